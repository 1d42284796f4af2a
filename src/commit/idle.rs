//! How long a committed answer has been silent.

use super::limits::far;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// A timer that runs only while there is nothing to read.
///
/// Silence begins when a read finds nothing, so that a caller who reads slowly is not taken for an upstream that stalls.
/// Made at the first silence, and boxed: the body that holds it stays `Unpin`, and most answers that come whole know none.
#[derive(Debug, Default)]
pub(super) struct Idle {
    timer: Option<Pin<Box<Timer>>>,
}

pin_project! {
    #[derive(Debug)]
    struct Timer {
        #[pin]
        sleep: Sleep,
        since: Option<Instant>,
        // Whom it wakes.
        waker: Option<Waker>,
    }
}

impl Idle {
    /// The silence is over.
    pub(super) fn alive(&mut self) {
        if let Some(timer) = &mut self.timer {
            *timer.as_mut().project().since = None;
        }
    }

    /// Ready when the silence has lasted for `limit`. `came`: this read has brought something, if no sign of life.
    pub(super) fn poll_stalled(
        &mut self,
        limit: Duration,
        came: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => none.insert(Box::pin(Timer::new(limit))),
        };
        let mut timer = timer.as_mut().project();
        let since = *timer.since.get_or_insert_with(Instant::now);
        let until = far(since, limit);
        // A timer set for an earlier silence goes on running: that is cheaper than setting it at every pause. And it is left
        // alone as long as it will wake the right one.
        if timer.sleep.deadline() > until {
            timer.sleep.as_mut().reset(until);
        } else if !timer.sleep.is_elapsed() && will_wake(timer.waker.as_ref(), cx) {
            return Poll::Pending;
        }
        *timer.waker = Some(cx.waker().clone());
        loop {
            // Pending must mean that it runs and will wake, not that the task has done enough for now.
            ready!(pin!(unconstrained(timer.sleep.as_mut())).poll(cx));
            let until = if timer.sleep.deadline() < until {
                until
            } else if came {
                // Time ran out while nobody was reading: what the upstream sent meanwhile is only being read now.
                let now = Instant::now();
                *timer.since = Some(now);
                far(now, limit)
            } else {
                return Poll::Ready(());
            };
            timer.sleep.as_mut().reset(until);
        }
    }
}

impl Timer {
    /// For a silence that begins now.
    fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            sleep: sleep_until(far(now, limit)),
            since: Some(now),
            waker: None,
        }
    }
}

fn will_wake(waker: Option<&Waker>, cx: &Context<'_>) -> bool {
    waker.is_some_and(|waker| waker.will_wake(cx.waker()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn poll_once(idle: &mut Idle, came: bool) -> bool {
        poll_fn(|cx| Poll::Ready(idle.poll_stalled(LIMIT, came, cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_first_read_that_found_nothing() {
        let start = Instant::now();
        let mut idle = Idle::default();
        tokio::time::advance(LIMIT * 2).await;
        poll_fn(|cx| idle.poll_stalled(LIMIT, false, cx)).await;
        assert_eq!(Instant::now() - start, LIMIT * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_starts_it_anew_and_a_mere_frame_does_not() {
        let mut idle = Idle::default();
        assert!(!poll_once(&mut idle, false).await);
        tokio::time::advance(LIMIT / 2).await;
        assert!(!poll_once(&mut idle, true).await);
        tokio::time::advance(LIMIT / 2).await;
        assert!(poll_once(&mut idle, false).await);
        idle.alive();
        assert!(!poll_once(&mut idle, false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_was_away_is_no_stall() {
        let mut idle = Idle::default();
        assert!(!poll_once(&mut idle, false).await);
        tokio::time::advance(LIMIT * 2).await;
        assert!(!poll_once(&mut idle, true).await);
        tokio::time::advance(LIMIT).await;
        assert!(poll_once(&mut idle, false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_polled_last_is_woken() {
        let mut idle = Idle::default();
        assert!(!poll_once(&mut idle, false).await);
        // Another task goes on with it.
        let stalled = tokio::spawn(async move {
            assert!(!poll_once(&mut idle, false).await);
            poll_fn(|cx| idle.poll_stalled(LIMIT, false, cx)).await;
        });
        tokio::time::timeout(LIMIT * 2, stalled)
            .await
            .unwrap()
            .unwrap();
    }

    /// Timers of a task that has done enough for now are not even looked at: this one would never have woken anybody.
    #[tokio::test(start_paused = true)]
    async fn a_silence_that_begins_when_a_task_must_yield_ends_too() {
        let mut idle = Idle::default();
        let mut fresh = true;
        let stalled = poll_fn(|cx| {
            while fresh {
                fresh = pin!(tokio::task::consume_budget()).poll(cx).is_ready();
            }
            idle.poll_stalled(LIMIT, false, cx)
        });
        tokio::time::timeout(LIMIT * 2, stalled).await.unwrap();
    }
}
