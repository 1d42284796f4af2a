//! The settings of the layer, and what of them cannot work.

use super::{rules::Rules, run};
use crate::{error::BuildError, event::Observers, timeouts::Timeouts};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// All settings of a breaker.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) rules: Arc<Rules>,
    pub(crate) failures_per_call: u8,
    pub(crate) timeouts: Timeouts,
    pub(crate) pinned: HashSet<Arc<str>>,
    pub(crate) max_models: usize,
    pub(crate) max_rate_limit: Duration,
    pub(crate) gone_for: Duration,
    pub(crate) max_waits: usize,
    pub(crate) observers: Observers,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rules: Arc::default(),
            failures_per_call: 2,
            timeouts: Timeouts::default(),
            pinned: HashSet::new(),
            max_models: 256,
            max_rate_limit: Duration::from_secs(3600),
            gone_for: Duration::from_secs(600),
            max_waits: 4096,
            observers: Observers::default(),
        }
    }
}

impl Policy {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let rules = &*self.rules;
        self.timeouts.check()?;
        for (field, limit) in [
            ("circuit_breaker.consecutive", rules.consecutive.limit),
            ("circuit_breaker.own_timeouts", rules.timeouts.limit),
        ] {
            if limit > run::LONGEST {
                let bound = format!("at most {}", run::LONGEST);
                return Err(BuildError::new(field, limit, bound));
            }
        }
        let shares = [
            (
                "circuit_breaker.failure_rate",
                Some(rules.failure_rate.rate),
            ),
            (
                "circuit_breaker.slow_calls",
                rules.slow.map(|(_, share)| share.rate),
            ),
        ];
        for (field, rate) in shares {
            if let Some(rate) = rate.filter(|rate| !(*rate > 0.0 && *rate <= 1.0)) {
                return Err(BuildError::new(field, rate, "above 0 and at most 1"));
            }
        }
        for (field, value) in [
            ("circuit_breaker.window", rules.window),
            ("circuit_breaker.cooldown", rules.cooldown),
            ("circuit_breaker.probe_timeout", rules.probe_timeout),
            (
                "circuit_breaker.consecutive_within",
                rules.consecutive.within,
            ),
            ("circuit_breaker.own_timeouts", rules.timeouts.within),
            (
                "circuit_breaker.slow_calls",
                rules.slow.map_or(Duration::MAX, |(threshold, _)| threshold),
            ),
        ] {
            if value.is_zero() {
                return Err(BuildError::new(field, "0s", "longer than 0s"));
            }
        }
        if rules.consecutive.span > rules.consecutive.within {
            return Err(BuildError::new(
                "circuit_breaker.consecutive_span",
                format!("{:?}", rules.consecutive.span),
                format!(
                    "at most circuit_breaker.consecutive_within, which is {:?}",
                    rules.consecutive.within
                ),
            ));
        }
        if rules.max_cooldown < rules.cooldown {
            return Err(BuildError::new(
                "circuit_breaker.max_cooldown",
                format!("{:?}", rules.max_cooldown),
                format!(
                    "at least circuit_breaker.cooldown, which is {:?}",
                    rules.cooldown
                ),
            ));
        }
        if !(rules.cooldown_factor >= 1.0 && rules.cooldown_factor.is_finite()) {
            return Err(BuildError::new(
                "circuit_breaker.cooldown_factor",
                rules.cooldown_factor,
                "at least 1",
            ));
        }
        if !(0.0..=1.0).contains(&rules.cooldown_jitter) {
            return Err(BuildError::new(
                "circuit_breaker.cooldown_jitter",
                rules.cooldown_jitter,
                "between 0 and 1",
            ));
        }
        Ok(())
    }
}
