//! A future that is polled only once it was woken itself, however often its task is.
//!
//! A task that waits for several things polls all of them each time one has moved. Next to a connection, which is polled
//! several times for each call, that is a lock and a place in a queue each time for what happens once in its life.

use super::bell::{Door, Hear};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

pin_project! {
    /// See the [module docs](self).
    #[derive(Debug)]
    pub(super) struct Seldom<F> {
        #[pin]
        future: F,
        door: Door<Rung>,
    }
}

/// Whether the future can move.
#[derive(Debug)]
struct Rung(AtomicBool);

impl Hear for Rung {
    fn passes_on(&self) -> bool {
        self.0.store(true, Ordering::Release);
        true
    }
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        // For its first poll.
        let door = Door::new(Rung(AtomicBool::new(true)));
        Self { future, door }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (mut behind, Rung(rung)) = this.door.behind(cx);
        // Mostly not, and to look costs less than to swap. Taken before the poll, so that what comes meanwhile rings again.
        if !rung.load(Ordering::Relaxed) || !rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        this.future.poll(&mut behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mutex, lock};
    use std::{cell::Cell, future::poll_fn, pin::pin, sync::Arc, task::Wake};
    use tokio::sync::oneshot;

    /// How often a task was woken.
    #[derive(Debug, Default)]
    struct Task(Mutex<usize>);

    impl Task {
        fn woken(&self) -> usize {
            *lock(&self.0)
        }
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            *lock(&self.0) += 1;
        }
    }

    #[test]
    fn it_is_polled_at_first_and_then_only_once_it_was_woken() {
        let (tell, told) = oneshot::channel();
        let mut told = pin!(told);
        let polls = Cell::new(0);
        let mut seldom = pin!(Seldom::new(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            told.as_mut().poll(cx)
        })));
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut poll = |task: &Arc<Task>| {
            let waker = task.clone().into();
            seldom.as_mut().poll(&mut Context::from_waker(&waker))
        };
        for _ in 0..3 {
            assert!(poll(&first).is_pending());
        }
        // Another task has it now, though the future heard nothing of it.
        assert!(poll(&second).is_pending());
        assert_eq!(polls.get(), 1);
        tell.send(7).unwrap();
        assert_eq!((first.woken(), second.woken()), (0, 1));
        assert_eq!(poll(&second), Poll::Ready(Ok(7)));
        assert_eq!(polls.get(), 2);
    }

    #[test]
    fn what_comes_while_it_is_polled_is_not_lost() {
        let mut polls = 0;
        let mut seldom = pin!(Seldom::new(poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        let task = Arc::new(Task::default());
        let waker = task.clone().into();
        let mut cx = Context::from_waker(&waker);
        assert!(seldom.as_mut().poll(&mut cx).is_pending());
        assert_eq!(task.woken(), 1);
        assert!(seldom.as_mut().poll(&mut cx).is_ready());
    }
}
