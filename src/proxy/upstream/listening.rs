//! A waker for what is polled within another future.
//!
//! What a task polls wakes it, also where the task caused that itself: one end of a channel wakes the other, and both are
//! polled here, in turn. Each such wake-up would have the task polled once more for nothing. This waker passes on what
//! comes while the task waits, and of what comes while it works only remembers that something did: then what is within is
//! polled again at once, and the task need not be.

use crate::sync::{AtomicU8, AtomicWaker};
use std::{
    sync::{Arc, atomic::Ordering},
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
pub(super) const ROUNDS: usize = 4;

#[derive(Debug)]
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
        let bell = Arc::new(Bell {
            state: AtomicU8::new(QUIET),
            task: AtomicWaker::new(),
        });
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
