//! The way back after closing: not all of the load at once onto a model that has just come up.
//!
//! 10 % in the first third of the ramp, 25 % in the second, 50 % in the last, then all. Only calls that have another
//! model to go to are diverted; for the others a model that may falter is better than none.

use std::time::Duration;
use tokio::time::Instant;

/// The load of a closed circuit. See the [module docs](self).
#[derive(Debug)]
pub(crate) struct Ramp {
    since: Option<Instant>,
    /// Hundredths of a call that may pass. A count where a random draw would do: exact also for few calls.
    credit: u32,
}

impl Ramp {
    /// Lets everything through.
    pub(crate) fn full() -> Self {
        Self {
            since: None,
            credit: 0,
        }
    }

    /// Whether it lets everything through.
    pub(crate) fn is_full(&self) -> bool {
        self.since.is_none()
    }

    /// Begins at `now`.
    pub(crate) fn from(now: Instant) -> Self {
        Self {
            since: Some(now),
            // The first call passes: the probe before it did well.
            credit: 90,
        }
    }

    /// Whether a call that could go elsewhere passes.
    pub(crate) fn lets_through(&mut self, now: Instant, length: Duration) -> bool {
        let Some(since) = self.since else {
            return true;
        };
        let age = now.saturating_duration_since(since);
        if age >= length {
            *self = Self::full();
            return true;
        }
        self.credit += match age.as_nanos() * 3 / length.as_nanos() {
            0 => 10,
            1 => 25,
            _ => 50,
        };
        let passes = self.credit >= 100;
        if passes {
            self.credit -= 100;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_a_tenth_then_a_quarter_then_half_then_all() {
        let start = Instant::now();
        let length = Duration::from_secs(30);
        let mut ramp = Ramp::from(start);
        let mut passed = |second| {
            (0..100)
                .filter(|_| ramp.lets_through(start + Duration::from_secs(second), length))
                .count()
        };
        assert_eq!(passed(0), 10);
        assert_eq!(passed(10), 25);
        assert_eq!(passed(29), 50);
        assert_eq!(passed(30), 100);
    }

    #[test]
    fn the_first_call_after_closing_passes() {
        let start = Instant::now();
        assert!(Ramp::from(start).lets_through(start, Duration::from_secs(30)));
    }

    #[test]
    fn a_ramp_of_no_length_passes_all() {
        let start = Instant::now();
        let mut ramp = Ramp::from(start);
        assert!((0..100).all(|_| ramp.lets_through(start, Duration::ZERO)));
    }
}
