//! A sliding window of outcomes, kept in time buckets: constant memory at any rate of calls.
//!
//! The window is cut into 60 periods. An outcome counts while its period is one of the last 60, the present one included:
//! never as long as the whole window, always longer than the window less one period (59 to 60 s of 60 s). An outcome
//! exactly as old as the window no longer counts.

use std::time::Duration;
use tokio::time::Instant;

/// Periods of a window.
const BUCKETS: usize = 60;
const PERIODS: u64 = BUCKETS as u64;

/// What happened in a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) successes: u32,
    pub(crate) failures: u32,
    /// Successes and failures that took longer than the slow-call threshold.
    pub(crate) slow: u32,
}

impl Counts {
    pub(crate) fn total(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            successes: self.successes.saturating_add(other.successes),
            failures: self.failures.saturating_add(other.failures),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// The period it holds. A bucket of a period gone by is empty without having been cleared, so a jump of the clock
    /// costs nothing.
    period: u64,
    counts: Counts,
}

/// The outcomes of the last while. See the [module docs](self).
#[derive(Debug)]
pub(crate) struct Window {
    start: Instant,
    /// Length of a period in nanoseconds.
    width: u64,
    buckets: [Bucket; BUCKETS],
}

impl Window {
    pub(crate) fn new(start: Instant, length: Duration) -> Self {
        Self {
            start,
            width: (nanos(length) / PERIODS).max(1),
            buckets: [Bucket::default(); BUCKETS],
        }
    }

    /// The same outcomes in a window of another length.
    pub(crate) fn resized(&self, length: Duration) -> Self {
        let mut new = Self::new(self.start, length);
        if new.width == self.width {
            new.buckets = self.buckets;
            return new;
        }
        for bucket in &self.buckets {
            let age = self.width.checked_mul(bucket.period);
            let at = age.map(Duration::from_nanos);
            if let Some(at) = at.and_then(|age| self.start.checked_add(age)) {
                new.add(at, bucket.counts);
            }
        }
        new
    }

    pub(crate) fn clear(&mut self) {
        self.buckets = [Bucket::default(); BUCKETS];
    }

    /// Adds an outcome.
    pub(crate) fn add(&mut self, now: Instant, counts: Counts) {
        let period = self.period(now);
        let slot = usize::try_from(period % PERIODS).unwrap_or(0);
        let Some(bucket) = self.buckets.get_mut(slot) else {
            return;
        };
        // Threads read the clock before they take the lock, so `now` may be a little behind what is here already.
        if bucket.period > period {
            return;
        }
        if bucket.period < period {
            *bucket = Bucket {
                period,
                counts: Counts::default(),
            };
        }
        bucket.counts = bucket.counts.plus(counts);
    }

    /// What counts at `now`.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let period = self.period(now);
        self.buckets
            .iter()
            .filter(|bucket| period.saturating_sub(bucket.period) < PERIODS)
            .fold(Counts::default(), |sum, bucket| sum.plus(bucket.counts))
    }

    fn period(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start)) / self.width
    }
}

/// Past 584 years: those.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILURE: Counts = Counts {
        successes: 0,
        failures: 1,
        slow: 0,
    };

    #[test]
    fn an_outcome_as_old_as_the_window_no_longer_counts() {
        let start = Instant::now();
        let mut window = Window::new(start, Duration::from_secs(60));
        window.add(start, FAILURE);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(window.counts(at(59_999)).failures, 1);
        assert_eq!(window.counts(at(60_000)).failures, 0);
    }

    #[test]
    fn outcomes_of_neighbouring_periods_add_up() {
        let start = Instant::now();
        let mut window = Window::new(start, Duration::from_secs(60));
        window.add(start + Duration::from_millis(999), FAILURE);
        window.add(start + Duration::from_secs(1), FAILURE);
        assert_eq!(window.counts(start + Duration::from_secs(1)).failures, 2);
    }

    #[test]
    fn outcomes_stay_when_the_window_gets_another_length() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut window = Window::new(start, Duration::from_secs(60));
        for second in [5, 30, 59] {
            window.add(at(second), FAILURE);
        }
        for (length, failures) in [(1, 1), (30, 2), (60, 3), (600, 3)] {
            let resized = window.resized(Duration::from_secs(length));
            assert_eq!(resized.counts(at(59)).failures, failures, "{length} s");
        }
        let longer = window.resized(Duration::from_secs(600));
        assert_eq!(longer.counts(at(300)).failures, 3);
        assert_eq!(longer.counts(at(900)).failures, 0);
    }

    #[test]
    fn a_jump_of_the_clock_empties_it_without_overflow() {
        let start = Instant::now();
        let mut window = Window::new(start, Duration::from_nanos(0));
        window.add(start, FAILURE);
        let far = start + Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(window.counts(far), Counts::default());
        window.add(far, FAILURE);
        assert_eq!(window.counts(far).failures, 1);
        assert_eq!(
            window.counts(start).failures,
            1,
            "a clock behind is the present"
        );
    }

    #[test]
    fn an_outcome_of_a_period_long_gone_is_not_taken_for_a_present_one() {
        let start = Instant::now();
        let mut window = Window::new(start, Duration::from_secs(60));
        let now = start + Duration::from_secs(60);
        window.add(now, FAILURE);
        window.add(start, FAILURE);
        assert_eq!(window.counts(now).failures, 1);
    }

    proptest! {
        // Case 6.
        #[test]
        fn it_equals_a_recount_of_all_outcomes(
            script in prop::collection::vec((0_u64..5_000, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let start = Instant::now();
            let mut window = Window::new(start, Duration::from_secs(60));
            let (mut millis, mut all) = (0, Vec::new());
            for (step, failed, slow) in script {
                millis += step;
                let one = Counts {
                    successes: u32::from(!failed),
                    failures: u32::from(failed),
                    slow: u32::from(slow),
                };
                let now = start + Duration::from_millis(millis);
                window.add(now, one);
                all.push((millis / 1000, one));
                let recount = all
                    .iter()
                    .filter(|(second, _)| millis / 1000 - second < 60)
                    .fold(Counts::default(), |sum, (_, one)| sum.plus(*one));
                prop_assert_eq!(window.counts(now), recount);
            }
        }
    }
}
