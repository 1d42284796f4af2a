//! How a proxy comes to its end.
//!
//! ```text
//! serving ──shutdown──▸ draining ──drain is over──▸ ending ──2 s──▸ over
//!                           └──────────shutdown again──────────────▸┘
//! ```
//!
//! While it drains it accepts no connection, and answers under way go on. When it ends, each stream that still runs gets a
//! last event, `error`, so that no caller takes half an answer for a whole one, and calls without an answer get a 503.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// What callers get for their last events.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How far a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Connections are accepted.
    Serving,
    /// What is under way goes on, nothing is accepted.
    Draining,
    /// What is still under way is told to end.
    Ending,
    /// What is still there is dropped.
    Over,
}

/// Told to everything under way when it is to end. Read at each poll, so that no call has to register with it: whoever
/// drives the connections polls them when the phase changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Moves a proxy from one phase to the next, and never back.
#[derive(Debug)]
pub(super) struct Course {
    phase: watch::Sender<Phase>,
    stop: Stop,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            stop: Stop::default(),
        }
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The first word begins the drain, a second one ends it at once.
    pub(super) fn shutdown(&self) {
        let next = match self.phase() {
            Phase::Serving => Phase::Draining,
            _ => Phase::Over,
        };
        self.advance(next);
    }

    pub(super) fn advance(&self, to: Phase) {
        if to >= Phase::Ending {
            self.stop.0.store(true, Ordering::Relaxed);
        }
        self.phase.send_if_modified(|phase| {
            let ahead = *phase < to;
            *phase = to.max(*phase);
            ahead
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_drains_and_the_second_ends_at_once() {
        let course = Course::new();
        assert_eq!(course.phase(), Phase::Serving);
        course.shutdown();
        assert_eq!(course.phase(), Phase::Draining);
        assert!(!course.stop().is_now());
        course.shutdown();
        assert_eq!(course.phase(), Phase::Over);
        assert!(course.stop().is_now());
    }

    #[test]
    fn no_phase_comes_back() {
        let course = Course::new();
        let mut watch = course.watch();
        course.advance(Phase::Ending);
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        course.advance(Phase::Draining);
        assert_eq!(course.phase(), Phase::Ending);
        assert!(!watch.has_changed().unwrap());
    }
}
