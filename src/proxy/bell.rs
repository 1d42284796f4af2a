//! Wakers that hear what is meant for a task before the task does, and may keep it to themselves.

use crate::sync::{Mutex, lock};
use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
};

/// Whether a task is to be woken.
pub(super) trait Hear: Send + Sync + 'static {
    /// Told that something would wake it. False: it sleeps on.
    fn passes_on(&self) -> bool;
}

/// Rung by what wakes a task. See the [module docs](self).
#[derive(Debug)]
struct Bell<H> {
    hear: H,
    task: Mutex<Waker>,
}

impl<H: Hear> Wake for Bell<H> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is told: it looks.
        if self.hear.passes_on() {
            let task = lock(&self.task).clone();
            task.wake();
        }
    }
}

/// The end of a bell that the task holds.
#[derive(Debug)]
pub(super) struct Door<H> {
    bell: Arc<Bell<H>>,
    waker: Waker,
    // Of the task, as the bell knows it.
    task: Waker,
}

impl<H: Hear> Door<H> {
    pub(super) fn new(hear: H) -> Self {
        let task = Waker::noop();
        let bell = Arc::new(Bell {
            hear,
            task: Mutex::new(task.clone()),
        });
        Self {
            waker: Waker::from(bell.clone()),
            bell,
            task: task.clone(),
        }
    }

    /// Rings the bell.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// For what the task of `cx` polls behind the bell; and what the bell has heard.
    pub(super) fn behind(&mut self, cx: &Context<'_>) -> (Context<'_>, &H) {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            lock(&self.bell.task).clone_from(cx.waker());
        }
        (Context::from_waker(&self.waker), &self.bell.hear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    #[derive(Debug, Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    impl Hear for Arc<AtomicBool> {
        fn passes_on(&self) -> bool {
            self.load(SeqCst)
        }
    }

    #[test]
    fn the_task_that_stands_behind_it_is_woken_by_what_is_passed_on() {
        let passes_on = Arc::new(AtomicBool::new(true));
        let mut door = Door::new(passes_on.clone());
        let [first, second] = [Arc::new(Task::default()), Arc::new(Task::default())];
        let mut behind = |task: &Arc<Task>| {
            let waker = task.clone().into();
            let (behind, _) = door.behind(&Context::from_waker(&waker));
            behind.waker().clone()
        };
        let bell = behind(&first);
        bell.wake_by_ref();
        assert!(bell.will_wake(&behind(&second)), "the bell stays the same");
        bell.wake_by_ref();
        bell.wake_by_ref();
        passes_on.store(false, SeqCst);
        bell.wake_by_ref();
        let woken = [first, second].map(|task| task.0.load(SeqCst));
        assert_eq!(woken, [1, 2]);
        assert!(bell.will_wake(door.waker()));
    }
}
