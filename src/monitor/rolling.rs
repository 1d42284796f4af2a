//! Totals over the last minute, 5 minutes, 15 minutes and hour, in two rings of buckets: 60 of 5 s and 60 of 1 min.
//!
//! An event adds to the 5 s that run now and touches nothing else; only when they are over do they go into the rings and
//! their sums. So counting is one number, and reading one addition each, whatever the traffic. Time is seconds since the
//! monitor began, and never goes back: an event that is told late counts in the newest bucket.

use super::tally::Tally;
use std::time::Duration;

const SLOTS: u64 = 60;

/// A span of time that the totals cover: the bucket that runs now and the whole ones before it, so that a window is short by
/// at most one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Window {
    /// The last minute, in buckets of 5 s.
    Minute,
    /// The last 5 minutes, in buckets of 5 s.
    FiveMinutes,
    /// The last 15 minutes, in buckets of 1 min.
    QuarterHour,
    /// The last hour, in buckets of 1 min.
    Hour,
}

impl Window {
    /// Every window, the shortest first.
    pub const ALL: [Self; 4] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
    ];

    /// Its length.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
        })
    }

    /// The width of its buckets.
    pub fn resolution(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute | Self::FiveMinutes => FINE,
            Self::QuarterHour | Self::Hour => COARSE,
        })
    }
}

const FINE: u64 = 5;
const COARSE: u64 = 60;

/// `M` numbers over the four windows.
#[derive(Debug, Clone)]
pub(super) struct Rolling<const M: usize> {
    /// The bucket of 5 s that runs now, which is in no ring yet.
    running: [u32; M],
    /// When it is over: at the edge of a bucket in both rings, or not.
    until: u64,
    /// Boxed, so that what every event touches lies close together.
    fine: Box<Ring<M>>,
    coarse: Box<Ring<M>>,
}

impl<const M: usize> Rolling<M> {
    pub(super) fn new(secs: u64) -> Self {
        Self {
            running: [0; M],
            until: next_edge(secs),
            fine: Box::new(Ring::new(FINE, 12, secs)),
            coarse: Box::new(Ring::new(COARSE, 15, secs)),
        }
    }

    pub(super) fn add(&mut self, tally: Tally, secs: u64) {
        self.advance(secs);
        for place in tally.places() {
            if let Some(count) = self.running.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Lets go of what is too old at `secs`.
    pub(super) fn advance(&mut self, secs: u64) {
        if secs >= self.until {
            self.turn(secs);
        }
    }

    /// Puts the bucket that is over into the rings, and turns these to `secs`.
    #[cold]
    fn turn(&mut self, secs: u64) {
        for ring in [&mut self.fine, &mut self.coarse] {
            ring.take(&self.running);
            ring.advance(secs);
        }
        self.running = [0; M];
        self.until = next_edge(secs);
    }

    /// The sums as of the last [`advance`](Self::advance) or [`add`](Self::add).
    pub(super) fn sums(&self, window: Window) -> [u64; M] {
        let mut sums = *self.whole(window);
        for (sum, running) in sums.iter_mut().zip(&self.running) {
            *sum += u64::from(*running);
        }
        sums
    }

    /// One of these sums.
    pub(super) fn sum(&self, window: Window, place: usize) -> u64 {
        let whole = self.whole(window).get(place).copied();
        let running = self.running.get(place).copied();
        whole.unwrap_or(0) + u64::from(running.unwrap_or(0))
    }

    /// The sums of the buckets that are over.
    fn whole(&self, window: Window) -> &[u64; M] {
        match window {
            Window::Minute => &self.fine.short,
            Window::FiveMinutes => &self.fine.long,
            Window::QuarterHour => &self.coarse.short,
            Window::Hour => &self.coarse.long,
        }
    }
}

/// The end of the bucket of 5 s that `secs` is in.
fn next_edge(secs: u64) -> u64 {
    (secs / FINE + 1).saturating_mul(FINE)
}

/// One ring, and the sums of its newest `short_slots` buckets and of all.
#[derive(Debug, Clone)]
struct Ring<const M: usize> {
    width: u64,
    short_slots: u64,
    slots: Box<[[u32; M]]>,
    /// The bucket that runs now, counted from the beginning of time.
    head: u64,
    short: [u64; M],
    long: [u64; M],
}

impl<const M: usize> Ring<M> {
    fn new(width: u64, short_slots: u64, secs: u64) -> Self {
        Self {
            width,
            short_slots,
            slots: (0..SLOTS).map(|_| [0; M]).collect(),
            head: secs / width,
            short: [0; M],
            long: [0; M],
        }
    }

    fn slot(slots: &mut [[u32; M]], bucket: u64) -> Option<&mut [u32; M]> {
        slots.get_mut(usize::try_from(bucket % SLOTS).ok()?)
    }

    fn advance(&mut self, secs: u64) {
        let now = secs / self.width;
        // After a whole turn nothing is left to forget, however far the clock jumped.
        let until = now.min(self.head.saturating_add(SLOTS));
        for next in self.head + 1..=until {
            let leaves_short = next + (SLOTS - self.short_slots);
            if let Some(slot) = Self::slot(&mut self.slots, leaves_short) {
                subtract(&mut self.short, slot);
            }
            if let Some(slot) = Self::slot(&mut self.slots, next) {
                subtract(&mut self.long, slot);
                *slot = [0; M];
            }
        }
        self.head = self.head.max(now);
    }

    /// Adds counts to the bucket at the head.
    fn take(&mut self, counts: &[u32; M]) {
        let Some(slot) = Self::slot(&mut self.slots, self.head) else {
            return;
        };
        let sums = self.short.iter_mut().zip(&mut self.long);
        for ((slot, count), (short, long)) in slot.iter_mut().zip(counts).zip(sums) {
            // A bucket that is full stays full, and the sums stay those of the buckets.
            let added = (*count).min(u32::MAX - *slot);
            *slot += added;
            *short += u64::from(added);
            *long += u64::from(added);
        }
    }
}

fn subtract<const M: usize>(sums: &mut [u64; M], slot: &[u32; M]) {
    for (sum, count) in sums.iter_mut().zip(slot) {
        *sum -= u64::from(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Tally = Tally::one(0);

    /// The same by brute force: the buckets of a window that ends with the bucket of `now`.
    fn recount(times: &[u64], window: Window, now: u64) -> u64 {
        let width = window.resolution().as_secs();
        let buckets = window.length().as_secs() / width;
        let counted = |time: &&u64| now / width - **time / width < buckets;
        times.iter().filter(counted).count() as u64
    }

    proptest! {
        #[test]
        fn totals_equal_a_recount_at_any_time(
            gaps in prop::collection::vec(
                prop_oneof![8 => 0_u64..4, 3 => 0_u64..90, 1 => 0_u64..5_000],
                0..400,
            ),
            start in 0_u64..1_000_000,
            rest in 0_u64..4_000,
        ) {
            let mut rolling = Rolling::<2>::new(start);
            let mut now = start;
            let mut times = Vec::new();
            for gap in gaps {
                now += gap;
                times.push(now);
                rolling.add(ONE, now);
                for window in Window::ALL {
                    prop_assert_eq!(rolling.sums(window), [recount(&times, window, now), 0]);
                }
            }
            now += rest;
            rolling.advance(now);
            for window in Window::ALL {
                prop_assert_eq!(rolling.sums(window)[0], recount(&times, window, now));
                // No event is forgotten a whole bucket early, none kept past the window.
                let width = window.resolution().as_secs();
                let length = window.length().as_secs();
                let within = |span: u64| times.iter().filter(|time| now - **time < span).count() as u64;
                prop_assert!(within(length - width + 1) <= rolling.sums(window)[0]);
                prop_assert!(rolling.sums(window)[0] <= within(length));
            }
        }
    }

    #[test]
    fn a_window_is_exact_at_the_edge_of_a_bucket() {
        let mut rolling = Rolling::<1>::new(0);
        rolling.add(ONE, 0);
        rolling.advance(59);
        assert_eq!(rolling.sums(Window::Minute), [1]);
        rolling.advance(60);
        assert_eq!(rolling.sums(Window::Minute), [0]);
        rolling.advance(3599);
        assert_eq!(rolling.sums(Window::Hour), [1]);
        rolling.advance(3600);
        assert_eq!(rolling.sums(Window::Hour), [0]);
    }

    #[test]
    fn a_clock_that_goes_back_counts_in_the_newest_bucket() {
        let mut rolling = Rolling::<1>::new(100);
        rolling.add(ONE, 1000);
        rolling.add(ONE, 10);
        rolling.advance(0);
        rolling.advance(1055);
        assert_eq!(rolling.sums(Window::Minute), [2]);
        rolling.advance(1060);
        assert_eq!(rolling.sums(Window::Minute), [0]);
    }

    #[test]
    fn a_clock_that_leaps_forgets_everything_at_once() {
        let mut rolling = Rolling::<1>::new(0);
        rolling.add(ONE, 3);
        rolling.advance(u64::MAX);
        rolling.add(ONE, u64::MAX);
        assert!(
            Window::ALL
                .iter()
                .all(|window| rolling.sums(*window) == [1])
        );
    }

    #[test]
    fn a_full_bucket_stays_full() {
        let mut rolling = Rolling::<1>::new(0);
        for ring in [&mut rolling.fine, &mut rolling.coarse] {
            ring.slots[0] = [u32::MAX - 1];
            ring.short = [u64::from(u32::MAX) - 1];
            ring.long = ring.short;
        }
        rolling.add(ONE, 0);
        rolling.add(ONE, 0);
        rolling.advance(FINE);
        for window in Window::ALL {
            assert_eq!(rolling.sums(window), [u64::from(u32::MAX)]);
        }
        rolling.running = [u32::MAX];
        rolling.add(ONE, FINE);
        assert_eq!(rolling.running, [u32::MAX]);
        rolling.advance(7200);
        assert_eq!(rolling.sums(Window::Hour), [0]);
    }
}
