//! `[backoff]`

use super::{
    checks::{Bound, Checks},
    form::{DURATION, FLOAT, positive},
    reader::Reader,
    units::Time,
};
use crate::jitter_backoff::{Jitter, JitterBackoffLayer, RetryBudget};
use std::{num::NonZeroU8, time::Duration};

/// More are no resilience but a storm.
const MOST_ATTEMPTS: u8 = 20;

/// When a failed attempt is made again. See [`jitter_backoff`](crate::jitter_backoff).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackoffSettings {
    /// Attempts at the last model of a chain, or the only one. Default 5; at most 20.
    pub attempts: NonZeroU8,
    /// Attempts at a model while another one waits. Default 2; at most 20.
    pub attempts_with_fallback: NonZeroU8,
    /// The wait before the first retry; doubles with each. Default 1 s.
    pub base: Duration,
    /// The longest wait. Default 30 s; at least `base`.
    pub cap: Duration,
    /// The spread of a wait, as a share of it from 0 to 1. Default 0.25.
    pub jitter: f64,
    /// Retries per call of a feature and model, from 0 to 1 in hundredths, over a reserve of 10 that refills at 1/s.
    /// Default 0.2.
    pub budget: f64,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            attempts: NonZeroU8::MIN.saturating_add(4),
            attempts_with_fallback: NonZeroU8::MIN.saturating_add(1),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            jitter: 0.25,
            budget: 0.2,
        }
    }
}

impl BackoffSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        let attempts = positive("a whole number from 1 to 20");
        reader.read("attempts", &mut self.attempts, &attempts);
        reader.read(
            "attempts_with_fallback",
            &mut self.attempts_with_fallback,
            &attempts,
        );
        reader.read("base", &mut self.base, &DURATION);
        reader.read("cap", &mut self.cap, &DURATION);
        reader.read("jitter", &mut self.jitter, &FLOAT);
        reader.read("budget", &mut self.budget, &FLOAT);
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        for (key, attempts) in [
            ("backoff.attempts", self.attempts),
            (
                "backoff.attempts_with_fallback",
                self.attempts_with_fallback,
            ),
        ] {
            checks.must(
                attempts.get() <= MOST_ATTEMPTS,
                key,
                attempts,
                "a whole number from 1 to 20",
            );
        }
        checks.time("backoff.base", self.base);
        checks.time("backoff.cap", self.cap);
        checks.ordered(
            ("backoff.cap", Time(self.cap)),
            Bound::AtLeast,
            ("backoff.base", Time(self.base)),
        );
        let share = |value: f64| (0.0..=1.0).contains(&value);
        checks.must(
            share(self.jitter),
            "backoff.jitter",
            self.jitter,
            "a number from 0 to 1",
        );
        let whole = (self.budget * 100.0 - f64::from(self.percent())).abs() < 1e-9;
        checks.must(
            share(self.budget) && whole,
            "backoff.budget",
            self.budget,
            "a number from 0 to 1, in hundredths",
        );
    }

    /// The budget in hundredths; 0 for what [`check`](Self::check) refuses.
    fn percent(&self) -> u8 {
        (0..=100_u8)
            .find(|percent| f64::from(*percent) + 0.5 > self.budget * 100.0)
            .unwrap_or(0)
    }

    pub(super) fn layer(&self) -> JitterBackoffLayer {
        let budget = RetryBudget::new().with_percent(self.percent().into());
        JitterBackoffLayer::new()
            .with_attempts(self.attempts)
            .with_attempts_before_fallback(self.attempts_with_fallback)
            .with_base(self.base)
            .with_cap(self.cap)
            .with_jitter(Jitter::Ratio(self.jitter))
            .with_budget(budget)
    }
}
