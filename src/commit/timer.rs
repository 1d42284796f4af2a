//! A timer that is touched only where it must be.
//!
//! The timers of a runtime stand in lists behind one lock. To set one and take it down again, for an answer that comes in
//! time, costs a call more than most of what is done for it. So a timer that stands is left alone as long as it fires early
//! enough and wakes the right task; fired, it is set for the rest. And where the calls of a task follow one another, as those
//! of a connection to the proxy do, each leaves its timer to the next.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// See the [module docs](self). Made when it is first waited for: most answers that come whole know no silence.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Standing>>>);

pin_project! {
    #[derive(Debug)]
    struct Standing {
        #[pin]
        sleep: Sleep,
        // Whom it wakes.
        waker: Option<Waker>,
    }
}

impl Timer {
    /// Ready once it is `end`, which may be another one each time.
    pub(super) fn poll(&mut self, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let standing = match &mut self.0 {
            Some(standing) => standing,
            none => none.insert(kept::take().unwrap_or_else(|| Standing::until(end))),
        };
        standing.as_mut().poll(end, cx)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(standing) = self.0.take() {
            kept::put(standing);
        }
    }
}

impl Standing {
    fn until(end: Instant) -> Pin<Box<Self>> {
        Box::pin(Self {
            sleep: sleep_until(end),
            waker: None,
        })
    }

    fn poll(self: Pin<&mut Self>, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.deadline() > end {
            this.sleep.as_mut().reset(end);
        } else if !this.sleep.is_elapsed() && will_wake(this.waker.as_ref(), cx) {
            return Poll::Pending;
        }
        *this.waker = Some(cx.waker().clone());
        loop {
            // Pending must mean that it runs and will wake, not that the task has done enough for now.
            ready!(pin!(unconstrained(this.sleep.as_mut())).poll(cx));
            if this.sleep.deadline() >= end {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(end);
        }
    }
}

fn will_wake(waker: Option<&Waker>, cx: &Context<'_>) -> bool {
    waker.is_some_and(|waker| waker.will_wake(cx.waker()))
}

#[cfg(feature = "proxy")]
pub(crate) use kept::keep_timer;
#[cfg(all(test, feature = "proxy"))]
pub(crate) use kept::keeps_timer;

#[cfg(feature = "proxy")]
mod kept {
    use super::Standing;
    use std::{cell::Cell, future::Future, pin::Pin};
    use tokio::task_local;

    task_local! {
        static KEPT: Cell<Option<Pin<Box<Standing>>>>;
    }

    /// Lets the calls that this future makes, one after the other, use one timer.
    pub(crate) fn keep_timer<F: Future>(calls: F) -> impl Future<Output = F::Output> {
        KEPT.scope(Cell::new(None), calls)
    }

    /// Whether the calls of this task do.
    #[cfg(test)]
    pub(crate) fn keeps_timer() -> bool {
        KEPT.try_with(|_| ()).is_ok()
    }

    pub(super) fn take() -> Option<Pin<Box<Standing>>> {
        KEPT.try_with(Cell::take).ok().flatten()
    }

    pub(super) fn put(standing: Pin<Box<Standing>>) {
        let _ = KEPT.try_with(|kept| kept.set(Some(standing)));
    }
}

/// Nothing is known of the task.
#[cfg(not(feature = "proxy"))]
mod kept {
    use super::Standing;
    use std::pin::Pin;

    pub(super) fn take() -> Option<Pin<Box<Standing>>> {
        None
    }

    pub(super) fn put(_: Pin<Box<Standing>>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    const S: Duration = Duration::from_secs(1);

    async fn is_over(timer: &mut Timer, end: Instant) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll(end, cx).is_ready())).await
    }

    async fn wait(timer: &mut Timer, end: Instant) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| timer.poll(end, cx)).await;
        Instant::now() - start
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_at_the_end_that_it_was_asked_for_last() {
        let mut timer = Timer::default();
        let start = Instant::now();
        assert!(!is_over(&mut timer, start + 10 * S).await);
        assert!(!is_over(&mut timer, start + 90 * S).await);
        assert_eq!(wait(&mut timer, start + 40 * S).await, 40 * S);
        // It has fired, and is set again.
        assert!(is_over(&mut timer, start).await);
        assert_eq!(wait(&mut timer, start + 50 * S).await, 10 * S);
        assert!(!is_over(&mut timer, start + 90 * S).await);
        assert_eq!(wait(&mut timer, start + 51 * S).await, S);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_fires_early_enough_is_left_alone() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let stands = |timer: &Timer, cx: &Context<'_>| {
            let standing = timer.0.as_deref().unwrap();
            (
                standing.sleep.deadline(),
                will_wake(standing.waker.as_ref(), cx),
            )
        };
        for (end, stands_until) in [(10, 10), (90, 10), (10, 10), (9, 9), (90, 9)] {
            let over = poll_fn(|cx| {
                let over = timer.poll(start + end * S, cx).is_ready();
                Poll::Ready((over, stands(&timer, cx)))
            });
            assert_eq!(
                over.await,
                (false, (start + stands_until * S, true)),
                "{end}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_polled_last_is_woken() {
        let mut timer = Timer::default();
        let end = Instant::now() + 10 * S;
        assert!(!is_over(&mut timer, end).await);
        let other = tokio::spawn(async move { wait(&mut timer, end).await });
        let waited = tokio::time::timeout(20 * S, other).await;
        assert_eq!(waited.unwrap().unwrap(), 10 * S);
    }

    /// Timers of a task that has done enough for now are not even looked at: this one would never have woken anybody.
    #[tokio::test(start_paused = true)]
    async fn a_wait_that_begins_when_a_task_must_yield_ends_too() {
        let mut timer = Timer::default();
        let end = Instant::now() + 10 * S;
        let mut fresh = true;
        let over = poll_fn(|cx| {
            while fresh {
                fresh = pin!(tokio::task::consume_budget()).poll(cx).is_ready();
            }
            timer.poll(end, cx)
        });
        tokio::time::timeout(20 * S, over).await.unwrap();
    }

    #[cfg(feature = "proxy")]
    mod kept {
        use super::*;

        /// Where the timer of the next attempt stands.
        fn address(timer: &Timer) -> Option<*const Standing> {
            timer.0.as_deref().map(|standing| &raw const *standing)
        }

        #[tokio::test(start_paused = true)]
        async fn a_timer_is_left_to_the_next_call_of_its_task() {
            keep_timer(async {
                let start = Instant::now();
                let mut first = Timer::default();
                assert!(!is_over(&mut first, start + 15 * S).await);
                let left = address(&first);
                drop(first);
                for (after, wait_for) in [(1, 15), (40, 15), (0, 3)] {
                    tokio::time::sleep(after * S).await;
                    let mut next = Timer::default();
                    let end = Instant::now() + wait_for * S;
                    assert_eq!(wait(&mut next, end).await, wait_for * S);
                    assert_eq!(address(&next), left);
                }
            })
            .await;
        }

        #[tokio::test(start_paused = true)]
        async fn two_at_a_time_have_one_each() {
            keep_timer(async {
                let end = Instant::now() + 15 * S;
                let [mut one, mut other] = [Timer::default(), Timer::default()];
                assert!(!is_over(&mut one, end).await);
                assert!(!is_over(&mut other, end).await);
                assert_ne!(address(&one), address(&other));
                drop((one, other));
                assert_eq!(wait(&mut Timer::default(), end).await, 15 * S);
            })
            .await;
        }
    }
}
