//! The numbers a circuit goes by.

use std::time::Duration;

/// When a row of failures opens a circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunRule {
    /// So many failures in a row …
    pub(crate) limit: u32,
    /// … the last of them no further apart than this …
    pub(crate) within: Duration,
    /// … in a run that is at least this old.
    pub(crate) span: Duration,
}

/// A share of so many outcomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShareRule {
    /// In (0, 1]; reached at exactly this share.
    pub(crate) rate: f64,
    /// Outcomes in the window before the share means anything.
    pub(crate) min: u32,
}

impl ShareRule {
    pub(crate) fn is_met(self, part: u32, all: u32) -> bool {
        // Divided, not multiplied: 0.07 · 100 is more than 7 in binary, and 7 / 100 is the very number 0.07.
        all >= self.min && all > 0 && f64::from(part) / f64::from(all) >= self.rate
    }
}

/// The rules of a circuit; the defaults are those of the [module docs](super).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) consecutive: RunRule,
    pub(crate) timeouts: RunRule,
    pub(crate) window: Duration,
    pub(crate) failure_rate: ShareRule,
    /// The share of answers slower than the threshold; `None`: not looked at.
    pub(crate) slow: Option<(Duration, ShareRule)>,
    pub(crate) cooldown: Duration,
    pub(crate) max_cooldown: Duration,
    pub(crate) cooldown_factor: f64,
    /// The most that is added to a cool-down, as a share of it.
    pub(crate) cooldown_jitter: f64,
    pub(crate) probes: u32,
    pub(crate) probe_timeout: Duration,
    pub(crate) ramp: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive: RunRule {
                limit: 5,
                within: Duration::from_secs(60),
                span: Duration::from_secs(2),
            },
            timeouts: RunRule {
                limit: 3,
                within: Duration::from_secs(600),
                span: Duration::ZERO,
            },
            window: Duration::from_secs(60),
            failure_rate: ShareRule { rate: 0.5, min: 20 },
            slow: None,
            cooldown: Duration::from_secs(60),
            max_cooldown: Duration::from_secs(300),
            cooldown_factor: 1.5,
            cooldown_jitter: 0.2,
            probes: 1,
            probe_timeout: Duration::from_secs(30),
            ramp: Duration::from_secs(30),
        }
    }
}

impl Rules {
    /// How long a circuit stays open after `failed_probes` rounds of probes in a row that failed; `jitter` in `[0, 1)`.
    ///
    /// The cap bounds the cool-down, the jitter comes on top: processes that share an outage must not probe in step, also
    /// not once they all wait for the longest time.
    pub(crate) fn open_for(&self, failed_probes: u32, jitter: f64) -> Duration {
        let cap = self.max_cooldown.max(self.cooldown).as_secs_f64();
        let grown = self.cooldown_factor.powf(f64::from(failed_probes));
        let seconds = (self.cooldown.as_secs_f64() * grown).min(cap);
        // `max` also takes what is not a number for none.
        let more = (self.cooldown_jitter * jitter.clamp(0.0, 1.0)).max(0.0);
        let jittered = seconds * (1.0 + more);
        // Rounding must not open for a hair less than the setting says.
        Duration::try_from_secs_f64(jittered)
            .unwrap_or(Duration::MAX)
            .max(self.cooldown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_in_hundredths_is_reached_at_exactly_that_share() {
        for all in [20, 25, 50, 100] {
            for part in 1..=all {
                let rule = ShareRule {
                    rate: f64::from(part * 100 / all) / 100.0,
                    min: all,
                };
                assert!(rule.is_met(part, all), "{part} of {all}");
                assert!(!rule.is_met(part - 1, all), "{} of {all}", part - 1);
                assert!(!rule.is_met(part - 1, all - 1), "too few");
            }
        }
    }

    #[test]
    fn an_open_time_grows_by_half_up_to_five_minutes() {
        let rules = Rules::default();
        let millis: Vec<_> = (0..6)
            .map(|step| rules.open_for(step, 0.0).as_millis())
            .collect();
        assert_eq!(millis, [60_000, 90_000, 135_000, 202_500, 300_000, 300_000]);
        assert_eq!(rules.open_for(u32::MAX, 0.0), Duration::from_secs(300));
    }

    #[test]
    fn jitter_only_lengthens_an_open_time_by_at_most_a_fifth() {
        let rules = Rules::default();
        for step in 0..8 {
            let floor = rules.open_for(step, 0.0);
            for jitter in [0.0, 0.25, 0.5, 0.999, 7.0, -3.0] {
                let open_for = rules.open_for(step, jitter);
                assert!(open_for >= floor && open_for <= floor.mul_f64(1.2001));
            }
        }
    }

    #[test]
    fn settings_without_sense_overflow_nothing() {
        let rules = Rules {
            cooldown: Duration::MAX,
            cooldown_factor: f64::INFINITY,
            ..Rules::default()
        };
        assert_eq!(rules.open_for(3, 1.0), Duration::MAX);
        let rules = Rules {
            cooldown_factor: f64::NAN,
            cooldown_jitter: f64::NAN,
            ..Rules::default()
        };
        assert_eq!(rules.open_for(0, 1.0), Duration::from_secs(60));
        assert_eq!(rules.open_for(1, 1.0), Duration::from_secs(300));
    }
}
