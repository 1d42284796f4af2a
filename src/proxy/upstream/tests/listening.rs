//! What is woken, and how often. The races are under loom (`tests/loom_listening.rs`).

use super::super::listening::{Listening, ROUNDS};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls once, and says how often the part was polled and how often the task was woken by then.
fn poll(
    listening: &Listening,
    task: &Arc<Task>,
    mut part: impl FnMut(usize, &Waker) -> Poll<()>,
) -> (Poll<()>, usize, usize) {
    let waker = Waker::from(task.clone());
    let mut polls = 0;
    let polled = listening.poll(&mut Context::from_waker(&waker), |cx| {
        polls += 1;
        part(polls, cx.waker())
    });
    (polled, polls, task.0.load(Ordering::Relaxed))
}

#[test]
fn who_wakes_itself_is_polled_again_and_its_task_is_not() {
    let (listening, task) = (Listening::new(), Arc::default());
    let once = |n, waker: &Waker| {
        if n == 1 {
            waker.wake_by_ref();
        }
        Poll::Pending
    };
    assert_eq!(poll(&listening, &task, once), (Poll::Pending, 2, 0));
    let ready = |_, waker: &Waker| {
        waker.wake_by_ref();
        Poll::Ready(())
    };
    assert_eq!(poll(&listening, &task, ready), (Poll::Ready(()), 1, 0));
}

#[test]
fn who_wakes_while_the_task_waits_wakes_it_once() {
    let (listening, task) = (Listening::new(), Arc::default());
    let mut kept = None;
    let waits = |_, waker: &Waker| {
        kept = Some(waker.clone());
        Poll::Pending
    };
    assert_eq!(poll(&listening, &task, waits), (Poll::Pending, 1, 0));
    let waker = kept.unwrap();
    waker.wake_by_ref();
    waker.wake();
    let still = |_, _: &Waker| Poll::Pending;
    assert_eq!(poll(&listening, &task, still), (Poll::Pending, 1, 1));
}

#[test]
fn nobody_is_woken_for_what_is_over() {
    let (listening, task) = (Listening::new(), Arc::default());
    let mut kept = None;
    let ready = |_, waker: &Waker| {
        kept = Some(waker.clone());
        Poll::Ready(())
    };
    assert_eq!(poll(&listening, &task, ready).1, 1);
    kept.unwrap().wake();
    assert_eq!(task.0.load(Ordering::Relaxed), 0);
}

#[test]
fn who_wakes_itself_for_ever_gets_its_turn_from_the_runtime() {
    let (listening, task) = (Listening::new(), Arc::default());
    let always = |_, waker: &Waker| {
        waker.wake_by_ref();
        Poll::Pending
    };
    assert_eq!(poll(&listening, &task, always), (Poll::Pending, ROUNDS, 1));
}
