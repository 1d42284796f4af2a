//! The line before a model that takes up so many calls a second and no more.

use super::super::{
    scenario::{Scenario, Which},
    trace::Trace,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

/// First in, first out. A caller who leaves keeps his place where the scenario says that abandoned work is done.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    bell: Notify,
}

impl Line {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Joins; what comes back is called when it is this one's turn.
    pub(super) fn join(&self) -> oneshot::Receiver<()> {
        let (turn, called) = oneshot::channel();
        self.waiting().push_back(turn);
        self.bell.notify_one();
        called
    }

    /// Takes up one call after the other, for ever.
    pub(super) async fn serve(
        self: Arc<Self>,
        scenario: Arc<Scenario>,
        which: Which,
        trace: Trace,
    ) {
        let keep_abandoned = scenario.model(which).executes_abandoned;
        let mut free = Instant::now();
        loop {
            let next = self.waiting().pop_front();
            let Some(turn) = next else {
                self.bell.notified().await;
                continue;
            };
            if turn.is_closed() && !keep_abandoned {
                continue;
            }
            let rate = scenario.serves(which, trace.now()).unwrap_or(f64::INFINITY);
            // The clock's grain is a millisecond; the slot keeps its fraction, so that the rate is right.
            free = free.max(Instant::now()) + Duration::from_secs_f64(1.0 / rate);
            sleep_until(free).await;
            let _ = turn.send(());
        }
    }
}
