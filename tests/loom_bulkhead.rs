//! The line of a compartment under loom: every interleaving of taking, freeing, leaving and resizing keeps the seats
//! exact and wakes whoever has a seat.
//!
//! Includes the core itself, with loom's lock in place of std's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(missing_docs)]

#[allow(dead_code, clippy::pedantic)]
#[path = "../src/bulkhead/queue.rs"]
mod queue;

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

use loom::thread;
use queue::{LineUp, Place, Queue, Seat};
use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

/// Explores with at most so many preemptions per execution, which finds what real races there are in a lock-only core
/// and keeps a run to seconds.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks until the seat is there: a lost wakeup is a deadlock, which loom reports.
fn wait(mut place: Place) -> Option<Seat> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match place.poll_seat(&mut cx) {
            Poll::Ready(seat) => return seat,
            Poll::Pending => thread::park(),
        }
    }
}

fn seat(queue: &Arc<Queue>) -> Option<Seat> {
    match queue.line_up() {
        LineUp::Seat(seat) => Some(seat),
        LineUp::Place(place) => wait(place),
        LineUp::Full => None,
    }
}

fn place(queue: &Arc<Queue>) -> Place {
    match queue.line_up() {
        LineUp::Place(place) => place,
        other => panic!("expected a place in the line: {other:?}"),
    }
}

fn polled_once(mut place: Place) -> (Place, Poll<Option<Seat>>) {
    let mut cx = Context::from_waker(Waker::noop());
    let polled = place.poll_seat(&mut cx);
    (place, polled)
}

#[track_caller]
fn assert_empty(queue: &Queue) {
    let counts = queue.counts();
    assert_eq!((counts.in_flight, counts.queued), (0, 0));
}

#[test]
fn three_threads_share_one_seat_one_at_a_time_and_all_get_it() {
    model(|| {
        let queue = Queue::new(1, 2);
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let visit = |queue: Arc<Queue>, inside: Arc<loom::sync::atomic::AtomicUsize>| {
            use loom::sync::atomic::Ordering::SeqCst;
            let seat = seat(&queue).expect("the line is long enough");
            assert_eq!(inside.fetch_add(1, SeqCst), 0, "two calls in one seat");
            inside.fetch_sub(1, SeqCst);
            drop(seat);
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (queue, inside) = (queue.clone(), inside.clone());
                thread::spawn(move || visit(queue, inside))
            })
            .collect();
        visit(queue.clone(), inside);
        for other in others {
            other.join().unwrap();
        }
        assert_empty(&queue);
    });
}

#[test]
fn a_waiter_that_leaves_while_the_seat_is_freed_hands_it_on() {
    model(|| {
        let queue = Queue::new(1, 2);
        let held = queue.try_seat().unwrap();
        let (leaver, _) = polled_once(place(&queue));
        let stayer = place(&queue);
        let free = thread::spawn(move || drop(held));
        let leave = thread::spawn(move || drop(leaver));
        drop(wait(stayer).expect("a seat"));
        free.join().unwrap();
        leave.join().unwrap();
        assert_empty(&queue);
    });
}

#[test]
fn giving_up_while_the_seat_is_freed_either_takes_it_or_leaves_it() {
    model(|| {
        let queue = Queue::new(1, 1);
        let held = queue.try_seat().unwrap();
        let (waiter, _) = polled_once(place(&queue));
        let free = thread::spawn(move || drop(held));
        let given_up = waiter.give_up();
        assert!(queue.counts().in_flight <= 1);
        drop(given_up);
        free.join().unwrap();
        assert_empty(&queue);
        assert!(queue.try_seat().is_some());
    });
}

#[test]
fn growing_while_a_seat_is_freed_seats_everybody_and_no_seat_twice() {
    model(|| {
        let queue = Queue::new(1, 2);
        let held = queue.try_seat().unwrap();
        let (first, second) = (place(&queue), place(&queue));
        let grow = {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.set_limits(2, 2);
                queue.settle();
            })
        };
        let free = thread::spawn(move || drop(held));
        let seats = (wait(first).unwrap(), wait(second).unwrap());
        grow.join().unwrap();
        free.join().unwrap();
        assert_eq!(queue.counts().in_flight, 2);
        drop(seats);
        assert_empty(&queue);
    });
}

#[test]
fn closing_while_a_seat_is_freed_leaves_no_waiter_behind() {
    model(|| {
        let queue = Queue::new(1, 2);
        let held = queue.try_seat().unwrap();
        let waiter = place(&queue);
        let close = {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.set_limits(0, 0);
                queue.settle();
            })
        };
        let free = thread::spawn(move || drop(held));
        // Seated or turned away, as the race goes; never left waiting.
        drop(wait(waiter));
        close.join().unwrap();
        free.join().unwrap();
        assert_empty(&queue);
    });
}

#[test]
fn a_newcomer_cannot_take_a_new_seat_before_the_line_has_moved_up() {
    model(|| {
        let queue = Queue::new(1, 2);
        let _held = queue.try_seat().unwrap();
        let waiter = place(&queue);
        queue.set_limits(2, 2);
        assert!(queue.try_seat().is_none());
        queue.settle();
        assert!(queue.try_seat().is_none());
        assert!(wait(waiter).is_some());
    });
}
