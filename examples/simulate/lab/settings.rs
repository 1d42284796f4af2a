//! Settings of our stack by name, as files and the command line write them.

use super::span::Span;
use std::{
    num::{NonZeroU8, NonZeroU32},
    str::FromStr,
    time::Duration,
};
use tower_claude::{
    BoxError, Resilience, ResilienceBuilder, Timeouts,
    bulkhead::{BulkheadLayer, Compartment},
    circuit_breaker::CircuitBreakerLayer,
    degrade::DegradeLayer,
    jitter_backoff::{JitterBackoffLayer, RetryBudget},
};

/// The names that [`Settings::set`] knows.
pub(crate) const NAMES: &str = "\
timeouts.first_event timeouts.answer deadline \
circuit.consecutive circuit.span circuit.failure_rate circuit.window circuit.slow circuit.cooldown circuit.factor \
circuit.max_cooldown circuit.probes circuit.ramp \
backoff.attempts backoff.attempts_before_fallback backoff.base backoff.cap backoff.wait_before_fallback backoff.budget \
bulkhead.FEATURE bulkhead.FEATURE.wait degrade.cache";

/// The layers of a stack, before they are put together.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    circuit: CircuitBreakerLayer,
    backoff: JitterBackoffLayer,
    bulkhead: BulkheadLayer,
    degrade: DegradeLayer,
    pub(crate) timeouts: Timeouts,
    deadline: Option<Duration>,
}

impl Default for Settings {
    /// A layer shares its state with its clones, so each stack starts from new ones.
    fn default() -> Self {
        Self {
            circuit: CircuitBreakerLayer::new(),
            backoff: JitterBackoffLayer::new(),
            bulkhead: BulkheadLayer::new(),
            degrade: DegradeLayer::new(),
            timeouts: Timeouts::new(),
            deadline: None,
        }
    }
}

fn parse<T: FromStr>(name: &str, value: &str) -> Result<T, BoxError>
where
    T::Err: std::fmt::Display,
{
    value
        .parse()
        .map_err(|error| format!("{name} = {value}: {error}").into())
}

impl Settings {
    /// Sets one, by name.
    pub(crate) fn set(self, name: &str, value: &str) -> Result<Self, BoxError> {
        let Some((slot, field)) = name.split_once('.') else {
            let deadline = match name {
                "deadline" => Some(parse::<Span>(name, value)?.0),
                _ => return Err(unknown(name)),
            };
            return Ok(Self { deadline, ..self });
        };
        match slot {
            "circuit" => self.set_circuit(name, field, value),
            "backoff" => self.set_backoff(name, field, value),
            "timeouts" => {
                let time = parse::<Span>(name, value)?.0;
                let timeouts = match field {
                    "first_event" => self.timeouts.with_first_event(time),
                    "answer" => self.timeouts.with_answer(time),
                    _ => return Err(unknown(name)),
                };
                Ok(Self { timeouts, ..self })
            }
            "bulkhead" => {
                let bulkhead = match field.split_once('.') {
                    // A wait alone is for the default size of a compartment that the load was sized to.
                    Some((feature, "wait")) => {
                        let (size, wait) = value.split_once('/').ok_or("write SIZE/WAIT")?;
                        let compartment = Compartment::new(parse(name, size)?);
                        let wait = parse::<Span>(name, wait)?.0;
                        self.bulkhead
                            .with_feature(feature, compartment.with_wait(wait))
                    }
                    _ => self
                        .bulkhead
                        .with_feature(field, Compartment::new(parse(name, value)?)),
                };
                Ok(Self { bulkhead, ..self })
            }
            "degrade" if field == "cache" && value == "off" => {
                let degrade = self.degrade.without_cache();
                Ok(Self { degrade, ..self })
            }
            _ => Err(unknown(name)),
        }
    }

    fn set_circuit(self, name: &str, field: &str, value: &str) -> Result<Self, BoxError> {
        let span = || parse::<Span>(name, value).map(|span| span.0);
        let number = || parse::<NonZeroU32>(name, value);
        let twenty = NonZeroU32::MIN.saturating_add(19);
        let layer = self.circuit;
        let circuit = match field {
            "consecutive" => layer.with_consecutive(number()?),
            "span" => layer.with_consecutive_span(span()?),
            "failure_rate" => layer.with_failure_rate(parse(name, value)?, twenty),
            "window" => layer.with_window(span()?),
            "slow" => layer.with_slow_calls(span()?, 0.5, twenty),
            "cooldown" => layer
                .with_cooldown(span()?)
                .with_max_cooldown(span()?.max(Duration::from_secs(300))),
            "factor" => layer.with_cooldown_factor(parse(name, value)?),
            "max_cooldown" => layer.with_max_cooldown(span()?),
            "probes" => layer.with_probes(number()?),
            "ramp" => layer.with_ramp(span()?),
            _ => return Err(unknown(name)),
        };
        Ok(Self { circuit, ..self })
    }

    fn set_backoff(self, name: &str, field: &str, value: &str) -> Result<Self, BoxError> {
        let span = || parse::<Span>(name, value).map(|span| span.0);
        let number = || parse::<NonZeroU8>(name, value);
        let layer = self.backoff;
        let backoff = match field {
            "attempts" => layer.with_attempts(number()?),
            "attempts_before_fallback" => layer.with_attempts_before_fallback(number()?),
            "base" => layer.with_base(span()?),
            "cap" => layer.with_cap(span()?),
            "wait_before_fallback" => layer.with_wait_before_fallback(span()?),
            "budget" if value == "off" => layer.without_budget(),
            "budget" => layer.with_budget(RetryBudget::new().with_percent(parse(name, value)?)),
            _ => return Err(unknown(name)),
        };
        Ok(Self { backoff, ..self })
    }

    /// The compartment of a feature.
    pub(crate) fn compartment(self, feature: &str, places: usize) -> Self {
        let bulkhead = self
            .bulkhead
            .with_feature(feature, Compartment::new(places));
        Self { bulkhead, ..self }
    }

    pub(crate) fn without_cache(self) -> Self {
        let degrade = self.degrade.without_cache();
        Self { degrade, ..self }
    }

    /// A builder with these layers, and `without` some of them.
    pub(crate) fn builder(self, without: &[String]) -> Result<ResilienceBuilder, BoxError> {
        let mut builder = Resilience::builder()
            .circuit_breaker(self.circuit)
            .backoff(self.backoff)
            .bulkhead(self.bulkhead)
            .degrade(self.degrade)
            .timeouts(self.timeouts);
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline);
        }
        for pattern in without {
            builder = match pattern.as_str() {
                "fallback" => builder.without_fallback(),
                "backoff" => builder.without_backoff(),
                "bulkhead" => builder.without_bulkhead(),
                "circuit_breaker" => builder.without_circuit_breaker(),
                "degrade" => builder.without_degrade(),
                other => return Err(format!("no pattern `{other}`").into()),
            };
        }
        Ok(builder)
    }
}

fn unknown(name: &str) -> BoxError {
    format!("no setting `{name}`; there are: {NAMES}").into()
}
