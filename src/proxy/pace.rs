//! How long the sender of a body has kept the proxy waiting.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest single wait, and what all waits may take on top of a rate.
const WAIT: Duration = Duration::from_secs(30);

/// The least rate that a body may come in with, in bytes per second.
const RATE: u64 = 4 * 1024;

/// The waits for one body.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Pace {
    bytes: u64,
    waited: Duration,
    /// When the wait that runs began.
    since: Option<Instant>,
}

impl Pace {
    /// So many bytes came. The clock is read only if they were waited for.
    pub(super) fn moved(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            let wait = now().saturating_duration_since(since);
            self.waited = self.waited.saturating_add(wait);
        }
    }

    /// When a wait that began then will have been too long.
    fn end_of_wait(&self, since: Instant) -> Instant {
        let in_all = WAIT.saturating_add(Duration::from_secs(self.bytes / RATE));
        since + in_all.saturating_sub(self.waited).min(WAIT)
    }

    /// Nothing came. Ready once that has been so for too long, or at the latest `until` then.
    pub(super) fn poll_too_slow(
        &mut self,
        timer: &mut Option<Pin<Box<Sleep>>>,
        until: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = self.end_of_wait(since);
        let end = until.map_or(end, |until| until.min(end));
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_single_wait_is_30_s_however_much_came_before() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.end_of_wait(now), now + WAIT);
        pace.moved(100 << 20, || now);
        assert_eq!(pace.end_of_wait(now), now + WAIT);
    }

    #[test]
    fn all_waits_together_are_bounded_by_what_came() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.since = Some(now);
            pace.moved(4 * 1024, || now + 10 * SECOND);
        }
        // 30 s and one for each of three times 4 KiB, less three times 10 s.
        assert_eq!(pace.end_of_wait(now), now + 3 * SECOND);
    }
}
