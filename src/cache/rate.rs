//! How many answers a second a store takes.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// What may be saved up: so much time's worth.
const BURST: Duration = Duration::from_secs(1);

/// At most so many a second, and after a pause as many at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: NonZeroU32,
    epoch: Instant,
    /// When the next one is due, in nanoseconds since the epoch: each puts it off by its share of a second.
    due: AtomicU64,
}

impl Rate {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            epoch: Instant::now(),
            due: AtomicU64::new(0),
        }
    }

    pub(super) fn per_second(&self) -> NonZeroU32 {
        self.per_second
    }

    /// Whether there is one for whoever asks now.
    pub(super) fn take(&self, now: Instant) -> bool {
        let taken = self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                self.next(due, now)
            });
        taken.is_ok()
    }

    /// Whether there is none for whoever asks now.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        self.next(self.due.load(Ordering::Relaxed), now).is_none()
    }

    /// When the one after the next is due. `None`: the next one is not due yet.
    fn next(&self, due: u64, now: Instant) -> Option<u64> {
        // As if the epoch had been a full burst earlier, so that there is one to begin with.
        let now = nanoseconds(now.saturating_duration_since(self.epoch) + BURST);
        let share = nanoseconds(BURST) / u64::from(self.per_second.get());
        let next = due.max(now - nanoseconds(BURST)) + share;
        (next <= now).then_some(next)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    // Half of all there are: 292 years.
    u64::try_from(time.as_nanos()).map_or(u64::MAX / 2, |time| time.min(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &Rate) -> usize {
        let take = |_: &i32| {
            let now = Instant::now();
            let spent = rate.is_spent(now);
            let taken = rate.take(now);
            assert_ne!(spent, taken, "the one tells of the other");
            taken
        };
        (0..5000).filter(take).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_brings_so_many_and_no_pause_brings_more_than_that() {
        for per_second in [1, 3, 1000] {
            let rate = Rate::new(NonZeroU32::new(per_second).unwrap());
            let all = usize::try_from(per_second).unwrap();
            assert_eq!(taken(&rate), all, "at once");
            assert_eq!(taken(&rate), 0);
            tokio::time::advance(BURST).await;
            assert_eq!(taken(&rate), all);
            tokio::time::advance(BURST * 100).await;
            assert_eq!(taken(&rate), all);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_a_second_brings_its_part() {
        let rate = Rate::new(NonZeroU32::new(1000).unwrap());
        taken(&rate);
        tokio::time::advance(BURST / 4).await;
        assert_eq!(taken(&rate), 250);
    }
}
