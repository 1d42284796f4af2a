//! A waker for what is polled within another future.
//!
//! What a task polls wakes it, also where the task caused that itself: one end of a channel wakes the other, and both are
//! polled here, in turn. Each such wake-up would have the task polled once more for nothing. This waker passes on what
//! comes while the task waits, and of what comes while it works only remembers that something did: then what is within is
//! polled again at once, and the task need not be.

use futures_util::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Nobody waits: who wakes is heard once somebody looks.
const QUIET: u8 = 0;
/// So far, and somebody was woken.
const WOKEN: u8 = 1;
/// A task waits, and is to be woken.
const WAITING: u8 = 2;

/// How often in a row something is polled that wakes itself. More than one exchange takes; who goes on after it, as
/// cooperative tasks do when they have had their share, gets its next turn from the runtime.
const ROUNDS: usize = 4;

/// See the [module docs](self).
#[derive(Debug, Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
            self.task.wake();
        }
    }
}

/// Polls something, and hears what wakes it.
#[derive(Debug)]
pub(super) struct Listening {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Listening {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Self { bell, waker }
    }

    /// Polls a part until it is ready, or waits for something that is yet to come.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut part: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut within = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            // With whatever was done before the wake-up.
            self.bell.state.swap(QUIET, Ordering::AcqRel);
            let polled = part(&mut within);
            if polled.is_ready() {
                return polled;
            }
            self.bell.task.register(cx.waker());
            let waits = self.bell.state.compare_exchange(
                QUIET,
                WAITING,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if waits.is_ok() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

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
}
