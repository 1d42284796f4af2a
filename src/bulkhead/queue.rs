//! One compartment as arithmetic: how many calls are in flight, and who waits for a seat, in order.
//!
//! Knows no clock, no call and no runtime. A [`Seat`] is one call in flight, a [`Place`] one in the line; both give back
//! what they hold when they are dropped, so nothing else has to remember it.
//!
//! A seat that is freed is assigned to the head of the line under the same lock, before anybody is woken. It is counted
//! as taken from then on, so a newcomer cannot overtake the waiter on its way, and a waiter that leaves with a seat
//! assigned hands it on. Wakers run, are cloned and are dropped outside the lock.

use crate::sync::{Mutex, lock};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// The name of a waiter. Drawn in order, so that the smallest is the head of the line.
type Ticket = u64;

/// A compartment. See the [module docs](self).
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

/// What a compartment holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) limit: usize,
    pub(crate) queue_limit: usize,
    /// Seats taken, those assigned to a waiter that has not sat down yet among them.
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
}

/// What lining up led to.
#[derive(Debug)]
pub(crate) enum LineUp {
    /// A seat was free and nobody waited for it.
    Seat(Seat),
    /// A place in the line.
    Place(Place),
    /// The line is full, or nobody is let in at all.
    Full,
}

#[derive(Debug)]
struct State {
    limit: usize,
    queue_limit: usize,
    in_flight: usize,
    next: Ticket,
    /// The line.
    waiting: BTreeMap<Ticket, Waker>,
    /// Waiters with a seat assigned, counted in `in_flight`. A ticket in neither set was turned away.
    assigned: BTreeSet<Ticket>,
}

impl State {
    fn take_seat(&mut self) -> bool {
        let free = self.in_flight < self.limit && self.waiting.is_empty();
        self.in_flight += usize::from(free);
        free
    }

    /// Assigns a free seat to the head of the line, whom the caller wakes. `None`: there is no such pair.
    fn assign(&mut self) -> Option<Waker> {
        if self.in_flight >= self.limit {
            return None;
        }
        let (ticket, waker) = self.waiting.pop_first()?;
        self.in_flight += 1;
        self.assigned.insert(ticket);
        Some(waker)
    }

    fn free_seat(&mut self) -> Option<Waker> {
        self.in_flight -= 1;
        self.assign()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Queue {
    /// A compartment of so many seats, with a line of at most `queue_limit`.
    pub(crate) fn new(limit: usize, queue_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                limit,
                queue_limit,
                in_flight: 0,
                next: 0,
                waiting: BTreeMap::new(),
                assigned: BTreeSet::new(),
            }),
        })
    }

    /// A seat, where one is free and nobody waits for it.
    pub(crate) fn try_seat(self: &Arc<Self>) -> Option<Seat> {
        let taken = lock(&self.state).take_seat();
        taken.then(|| Seat(self.clone()))
    }

    /// A seat, else a place at the end of the line.
    pub(crate) fn line_up(self: &Arc<Self>) -> LineUp {
        let mut state = lock(&self.state);
        if state.take_seat() {
            return LineUp::Seat(Seat(self.clone()));
        }
        if state.limit == 0 || state.waiting.len() >= state.queue_limit {
            return LineUp::Full;
        }
        let ticket = state.next;
        state.next += 1;
        // Until its first poll the waiter needs no waking: it will look by itself.
        state.waiting.insert(ticket, Waker::noop().clone());
        LineUp::Place(Place {
            ticket: Some(ticket),
            queue: self.clone(),
        })
    }

    /// Changes the limits. Takes effect on newcomers at once, on those who wait with [`settle`](Self::settle).
    pub(crate) fn set_limits(&self, limit: usize, queue_limit: usize) {
        let mut state = lock(&self.state);
        state.limit = limit;
        state.queue_limit = queue_limit;
    }

    /// Brings the line in agreement with the limit: as many as there are new seats sit down; with no seats at all,
    /// everybody is turned away. Newcomers cannot overtake meanwhile.
    pub(crate) fn settle(&self) {
        loop {
            let next = {
                let mut state = lock(&self.state);
                if state.limit == 0 {
                    state.waiting.pop_first().map(|(_, waker)| waker)
                } else {
                    state.assign()
                }
            };
            let Some(waker) = next else { return };
            waker.wake();
        }
    }

    /// What it holds now.
    pub(crate) fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts {
            limit: state.limit,
            queue_limit: state.queue_limit,
            in_flight: state.in_flight,
            queued: state.waiting.len(),
        }
    }
}

/// One call in flight.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Queue>);

impl Drop for Seat {
    fn drop(&mut self) {
        let next = lock(&self.0.state).free_seat();
        wake(next);
    }
}

/// A place in the line.
#[derive(Debug)]
pub(crate) struct Place {
    /// Until it is the waiter's turn or the waiter is turned away.
    ticket: Option<Ticket>,
    queue: Arc<Queue>,
}

impl Place {
    /// Waits for the seat; `None`: turned away. Not to be polled again after that.
    pub(crate) fn poll_seat(&mut self, cx: &mut Context<'_>) -> Poll<Option<Seat>> {
        let Some(ticket) = self.ticket else {
            return Poll::Ready(None);
        };
        let waker = cx.waker().clone();
        let mut state = lock(&self.queue.state);
        if let Some(place) = state.waiting.get_mut(&ticket) {
            let former = mem::replace(place, waker);
            drop(state);
            drop(former);
            return Poll::Pending;
        }
        let assigned = state.assigned.remove(&ticket);
        drop(state);
        self.ticket = None;
        Poll::Ready(assigned.then(|| Seat(self.queue.clone())))
    }

    /// Leaves the line. A seat that was assigned before that is taken after all.
    pub(crate) fn give_up(mut self) -> Option<Seat> {
        let ticket = self.ticket.take()?;
        let mut state = lock(&self.queue.state);
        let assigned = state.assigned.remove(&ticket);
        let waker = state.waiting.remove(&ticket);
        drop(state);
        drop(waker);
        assigned.then(|| Seat(self.queue.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = lock(&self.queue.state);
        let waker = state.waiting.remove(&ticket);
        let next = if state.assigned.remove(&ticket) {
            state.free_seat()
        } else {
            None
        };
        drop(state);
        drop(waker);
        wake(next);
    }
}
