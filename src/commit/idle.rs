//! How long a committed answer has been silent.

use super::{limits::far, timer::Timer};
use std::{
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// A timer that runs only while there is nothing to read.
///
/// Silence begins when a read finds nothing, so that a caller who reads slowly is not taken for an upstream that stalls.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
    timer: Timer,
}

impl Idle {
    /// The silence is over.
    pub(super) fn alive(&mut self) {
        self.since = None;
    }

    /// Ready when the silence has lasted for `limit`. `came`: this read has brought something, if no sign of life.
    pub(super) fn poll_stalled(
        &mut self,
        limit: Duration,
        came: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        ready!(self.timer.poll(far(since, limit), cx));
        if !came {
            return Poll::Ready(());
        }
        // Time ran out while nobody was reading: what the upstream sent meanwhile is only being read now.
        let now = Instant::now();
        self.since = Some(now);
        self.timer.poll(far(now, limit), cx)
    }
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
}
