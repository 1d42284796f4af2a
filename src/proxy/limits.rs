//! How much is in flight and held in the whole proxy, counted and bounded.
//!
//! A compartment bounds the calls of one feature; memory and sockets are everybody's. Two numbers bound them: calls in
//! flight, from the head of a request to the end of its answer, and bytes held: request bodies until their answer is
//! committed, and what is read of answers until the caller was given it; the start of one that may go into the cache until
//! its end.

use crate::{
    classify::{Failure, FailureKind},
    config::Config,
};
use std::{
    error::Error,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::{task::futures::TaskLocalFuture, task_local};

task_local! {
    /// Of the call that is polled now. An extension of the request would be copied for each attempt.
    static CURRENT: Arc<Ticket>;
}

/// A call with its [current](Ticket::current) ticket.
pub(super) type Scoped<F> = TaskLocalFuture<Arc<Ticket>, F>;

/// The counters of a proxy, and what bounds them.
#[derive(Debug, Default)]
pub(super) struct Limits {
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    held: AtomicU64,
    max_held: AtomicU64,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        let limits = Self::default();
        limits.set(config);
        limits
    }

    /// Goes by other bounds from now on. What is over them already ends in its own time.
    pub(super) fn set(&self, config: &Config) {
        let max = config.max_in_flight.get();
        self.max_in_flight.store(max, Ordering::Relaxed);
        self.max_held.store(config.max_held, Ordering::Relaxed);
    }

    /// Lets a call in, if there is room.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Arc<Ticket>, Full> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        // Dropped, it counts the call out again.
        let ticket = Ticket {
            limits: Arc::clone(self),
            request: AtomicU64::new(0),
            answer: AtomicU64::new(0),
            committed: AtomicBool::new(false),
        };
        if before < self.max_in_flight.load(Ordering::Relaxed) {
            Ok(Arc::new(ticket))
        } else {
            Err(Full)
        }
    }

    fn hold(&self, bytes: u64) -> Result<(), Full> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.max_held.load(Ordering::Relaxed) {
            self.let_go(bytes);
            return Err(Full);
        }
        Ok(())
    }

    fn let_go(&self, bytes: u64) {
        // Often there is nothing left, and all threads count here.
        if bytes > 0 {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Calls now, and at most.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        let now = self.in_flight.load(Ordering::Relaxed);
        (now, self.max_in_flight.load(Ordering::Relaxed))
    }

    /// Bytes now, and at most.
    pub(super) fn held(&self) -> (u64, u64) {
        let now = self.held.load(Ordering::Relaxed);
        (now, self.max_held.load(Ordering::Relaxed))
    }
}

/// A call that was let in, and what it holds. Dropped, it holds nothing.
///
/// Its own counts are plain ones in all but their type: first the call adds to them and then the body of its answer, never
/// two at a time.
#[derive(Debug)]
pub(super) struct Ticket {
    limits: Arc<Limits>,
    /// Bytes of its request.
    request: AtomicU64,
    /// Bytes of its answer.
    answer: AtomicU64,
    /// Its answer is on its way to the caller, so that nothing may be refused any more.
    committed: AtomicBool,
}

impl Ticket {
    /// The ticket of the call that is polled now, if it goes through the stack.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The call, to which this ticket is the [current](Self::current) one. Gives it back at its end.
    pub(super) fn scope<F: Future>(self: Arc<Self>, call: F) -> Scoped<F> {
        CURRENT.scope(self, call)
    }

    /// Holds so much more of the request.
    pub(super) fn hold_request(&self, bytes: usize) -> Result<(), Full> {
        self.limits.hold(bytes as u64)?;
        add(&self.request, bytes as u64);
        Ok(())
    }

    /// Holds so much more of an answer. A committed one is never refused: it passes.
    pub(super) fn hold_answer(&self, bytes: usize) -> Result<(), Full> {
        let bytes = bytes as u64;
        if self.committed.load(Ordering::Relaxed) {
            self.limits.held.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.limits.hold(bytes)?;
        }
        add(&self.answer, bytes);
        Ok(())
    }

    /// The answer is committed: nobody will send the request again.
    pub(super) fn commit(&self) {
        self.committed.store(true, Ordering::Relaxed);
        let request = take(&self.request, u64::MAX);
        self.limits.let_go(request);
    }

    /// The caller was given so much of its answer. A stand-in was never held, and so is not let go of.
    pub(super) fn release(&self, bytes: u64) {
        self.limits.let_go(take(&self.answer, bytes));
    }
}

/// Adds where nobody else does.
fn add(count: &AtomicU64, more: u64) {
    let now = count.load(Ordering::Relaxed);
    count.store(now.saturating_add(more), Ordering::Relaxed);
}

/// Takes away so much, or all there is, where nobody else does.
fn take(count: &AtomicU64, most: u64) -> u64 {
    let now = count.load(Ordering::Relaxed);
    let taken = now.min(most);
    count.store(now - taken, Ordering::Relaxed);
    taken
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let held = *self.request.get_mut() + *self.answer.get_mut();
        self.limits.let_go(held);
        self.limits.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// There is no room in the proxy. The caller may ask again in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the proxy has no room for more")
    }
}

impl Error for Full {}

/// For the layers of the stack: no model's failure, and nothing to try again.
impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Failure::new(FailureKind::BulkheadFull)
            .with_detail("the proxy has no room for more")
            .with_source(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    fn limits(max_in_flight: usize, max_held: u64) -> Arc<Limits> {
        let config = Config {
            max_in_flight: NonZeroUsize::new(max_in_flight).unwrap(),
            max_held,
            ..Config::default()
        };
        Arc::new(Limits::new(&config))
    }

    #[test]
    fn a_call_is_in_flight_until_its_ticket_is_dropped() {
        let limits = limits(2, 0);
        let first = limits.enter().unwrap();
        let _second = limits.enter().unwrap();
        assert_eq!(limits.enter().unwrap_err(), Full);
        assert_eq!(limits.in_flight(), (2, 2), "a refused call takes no place");
        drop(first);
        assert!(limits.enter().is_ok());
    }

    #[test]
    fn bytes_are_held_by_all_calls_together_and_let_go_of_with_the_call() {
        let limits = limits(2, 10);
        let (one, other) = (limits.enter().unwrap(), limits.enter().unwrap());
        one.hold_request(6).unwrap();
        other.hold_answer(4).unwrap();
        assert_eq!(other.hold_request(1), Err(Full));
        assert_eq!(other.hold_answer(1), Err(Full));
        assert_eq!(limits.held(), (10, 10));
        drop(one);
        assert_eq!(limits.held(), (4, 10));
        other.hold_request(6).unwrap();
    }

    #[test]
    fn once_the_answer_is_committed_its_request_is_let_go_of_and_the_rest_passes() {
        let limits = limits(1, 10);
        let call = limits.enter().unwrap();
        call.hold_request(6).unwrap();
        call.hold_answer(3).unwrap();
        call.commit();
        assert_eq!(limits.held().0, 3);
        call.hold_answer(20).unwrap();
        assert_eq!(limits.held().0, 23, "counted, though over the bound");
        call.release(23);
        call.release(5);
        assert_eq!(limits.held().0, 0, "what was never held is not let go of");
    }

    #[test]
    fn other_bounds_hold_from_now_on() {
        let limits = limits(1, 10);
        let _call = limits.enter().unwrap();
        limits.set(&Config::default());
        assert!(limits.enter().is_ok());
    }
}
