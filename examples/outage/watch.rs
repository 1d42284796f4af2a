//! What the stack decides, as it tells it to an observer.

use crate::board::Board;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tower_claude::{
    Event, Observe,
    event::{CircuitChange, OpenReason},
};

/// Counts decisions and shows the ones that matter.
pub(crate) struct Watch {
    board: Arc<Board>,
    pub(crate) retries: AtomicU64,
    pub(crate) fallbacks: AtomicU64,
    pub(crate) transitions: AtomicU64,
    pub(crate) spared: AtomicU64,
    pub(crate) full: AtomicU64,
}

impl Watch {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            retries: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            transitions: AtomicU64::new(0),
            spared: AtomicU64::new(0),
            full: AtomicU64::new(0),
        }
    }
}

impl Observe for Watch {
    fn on_event(&self, event: &Event<'_>) {
        match *event {
            Event::Retrying { .. } => self.retries.fetch_add(1, Relaxed),
            Event::FellBack { .. } => self.fallbacks.fetch_add(1, Relaxed),
            Event::KeptAway { .. } => self.spared.fetch_add(1, Relaxed),
            Event::BulkheadFull { .. } => self.full.fetch_add(1, Relaxed),
            Event::CircuitChanged { model, change } => {
                self.board.note(&match change {
                    CircuitChange::Opened { reason, open_for } => format!(
                        "circuit of {model} opens for {:.1} s: {}",
                        open_for.as_secs_f64(),
                        match reason {
                            OpenReason::Consecutive => "failures in a row",
                            OpenReason::Probe => "the probe failed",
                            other => other.as_str(),
                        }
                    ),
                    CircuitChange::HalfOpened => {
                        format!("circuit of {model} lets one probe through")
                    }
                    CircuitChange::Closed => format!(
                        "circuit of {model} closes: it answers again, its load returns step by step"
                    ),
                    other => format!("circuit of {model}: {other:?}"),
                });
                self.transitions.fetch_add(1, Relaxed)
            }
            _ => 0,
        };
    }
}
