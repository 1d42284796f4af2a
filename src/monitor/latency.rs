//! A small histogram of times: 31 buckets, each half as wide again as the one before, from 5 ms to 10 min.

use super::tally::Tally;
use std::time::Duration;

/// Buckets, the last one without an upper bound.
pub(super) const BUCKETS: usize = 31;

/// The upper bounds in microseconds: 5 ms · 1.5ⁿ, the last one 10 min 39 s.
const BOUNDS: [u64; BUCKETS - 1] = bounds();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [5_000; BUCKETS - 1];
    let mut place = 1;
    while place < bounds.len() {
        bounds[place] = bounds[place - 1] * 3 / 2;
        place += 1;
    }
    bounds
}

/// The bucket of a time.
pub(super) fn bucket(time: Duration) -> Tally {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Tally::one(BOUNDS.partition_point(|bound| *bound < micros))
}

/// The time that `per_mille` of the counted ones do not exceed, interpolated within its bucket: off by less than half.
/// None where nothing was counted.
pub(super) fn quantile(counts: &[u64; BUCKETS], per_mille: u64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    let rank = total.saturating_mul(per_mille).div_ceil(1000).max(1);
    let mut before = 0;
    let mut low = 0;
    // What is past the last bound is told as the last bound.
    let highs = BOUNDS.iter().copied().chain(BOUNDS.last().copied());
    for (count, high) in counts.iter().zip(highs) {
        if before + count >= rank {
            let within = (high - low).saturating_mul(rank - before) / count;
            return Some(Duration::from_micros(low + within));
        }
        before += count;
        low = high;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(times: &[u64]) -> [u64; BUCKETS] {
        let mut counts = [0; BUCKETS];
        for millis in times {
            let bucket = bucket(Duration::from_millis(*millis));
            for (place, count) in counts.iter_mut().enumerate() {
                *count += u64::from(bucket.has(place));
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_less_than_half(mut times in prop::collection::vec(10_u64..600_000, 1..300)) {
            let counts = counts(&times);
            times.sort_unstable();
            for per_mille in [500, 990] {
                let rank = (times.len() as u64 * per_mille).div_ceil(1000);
                let truth = Duration::from_millis(times[usize::try_from(rank).unwrap() - 1]).as_secs_f64();
                let told = quantile(&counts, per_mille).unwrap().as_secs_f64();
                prop_assert!(told > truth / 1.51 && told < truth * 1.51, "{told} for {truth}");
            }
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(quantile(&[0; BUCKETS], 500), None);
    }

    #[test]
    fn the_longest_time_is_told_as_the_last_bound() {
        let mut counts = [0; BUCKETS];
        counts[BUCKETS - 1] = 7;
        assert!(bucket(Duration::MAX).has(BUCKETS - 1));
        let told = quantile(&counts, 990).unwrap();
        assert!(
            told > Duration::from_secs(600) && told < Duration::from_secs(660),
            "{told:?}"
        );
    }
}
