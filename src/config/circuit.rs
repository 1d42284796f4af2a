//! `[circuit]`

use super::{
    checks::Checks,
    form::{DURATION, FLOAT, positive},
    reader::Reader,
};
use crate::circuit_breaker::CircuitBreakerLayer;
use std::{num::NonZeroU32, time::Duration};

/// What the cool-down grows to while probes fail.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(300);
/// How old a row of failures must be; shorter only where the window is.
const SPAN: Duration = Duration::from_secs(2);
/// The layer remembers no more failures in a row.
const LONGEST_ROW: u32 = 1_000;

/// When the circuit of a model opens and closes. See [`circuit_breaker`](crate::circuit_breaker).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CircuitSettings {
    /// Failures in a row that open it. Default 5; at most 1,000.
    pub consecutive: NonZeroU32,
    /// The time in which failures count. Default 60 s.
    pub window: Duration,
    /// The share of failures that opens it, above 0 and at most 1. Default 0.5.
    pub rate: f64,
    /// The calls in the window before the share counts. Default 20.
    pub min_calls: NonZeroU32,
    /// How long it stays open at first. Default 60 s.
    pub cooldown: Duration,
    /// What each failed probe multiplies that by, up to 5 min; from 1 to 10. Default 1.5.
    pub growth: f64,
    /// Calls that try whether the model is back. Default 1.
    pub probes: NonZeroU32,
    /// The time in which the load returns; zero: at once. Default 30 s.
    pub ramp: Duration,
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self {
            consecutive: NonZeroU32::MIN.saturating_add(4),
            window: Duration::from_secs(60),
            rate: 0.5,
            min_calls: NonZeroU32::MIN.saturating_add(19),
            cooldown: Duration::from_secs(60),
            growth: 1.5,
            probes: NonZeroU32::MIN,
            ramp: Duration::from_secs(30),
        }
    }
}

impl CircuitSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        let count = positive("a whole number, at least 1");
        reader.read("consecutive", &mut self.consecutive, &count);
        reader.read("window", &mut self.window, &DURATION);
        reader.read("rate", &mut self.rate, &FLOAT);
        reader.read("min_calls", &mut self.min_calls, &count);
        reader.read("cooldown", &mut self.cooldown, &DURATION);
        reader.read("growth", &mut self.growth, &FLOAT);
        reader.read("probes", &mut self.probes, &count);
        reader.read("ramp", &mut self.ramp, &DURATION);
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(
            self.consecutive.get() <= LONGEST_ROW,
            "circuit.consecutive",
            self.consecutive,
            format!("at most {LONGEST_ROW}"),
        );
        checks.time("circuit.window", self.window);
        let rate = self.rate > 0.0 && self.rate <= 1.0;
        checks.must(rate, "circuit.rate", self.rate, "above 0 and at most 1");
        checks.time("circuit.cooldown", self.cooldown);
        let growth = (1.0..=10.0).contains(&self.growth);
        checks.must(
            growth,
            "circuit.growth",
            self.growth,
            "a number from 1 to 10",
        );
        checks.time_or_none("circuit.ramp", self.ramp);
    }

    /// What the cool-down grows to.
    pub(super) fn max_cooldown(&self) -> Duration {
        self.cooldown.max(LONGEST_COOLDOWN)
    }

    pub(super) fn layer(&self) -> CircuitBreakerLayer {
        CircuitBreakerLayer::new()
            .with_consecutive(self.consecutive)
            .with_consecutive_within(self.window)
            .with_consecutive_span(self.window.min(SPAN))
            .with_window(self.window)
            .with_failure_rate(self.rate, self.min_calls)
            .with_cooldown(self.cooldown)
            .with_max_cooldown(self.max_cooldown())
            .with_cooldown_factor(self.growth)
            .with_probes(self.probes)
            .with_ramp(self.ramp)
    }
}
