//! From a [`Config`] to the stack.

use super::model::{Config, FallbackChoice, FeatureSettings};
use crate::{
    ResilienceBuilder, Timeouts,
    bulkhead::{BulkheadLayer, Compartment},
    cache::MemoryCache,
    call::Feature,
    circuit_breaker::CircuitBreakerLayer,
    degrade::{DegradeLayer, DegradePolicy},
    jitter_backoff::{Jitter, JitterBackoffLayer, RetryBudget},
    model_fallback::ModelFallbackLayer,
    stack::Resilience,
};
use std::{
    num::{NonZeroU8, NonZeroU32, NonZeroU64},
    sync::Arc,
};

impl Config {
    /// The stack it describes, to add observers to and to build.
    pub fn resilience(&self) -> ResilienceBuilder {
        let mut builder = Resilience::builder()
            .timeouts(self.attempt())
            .deadline(self.deadline)
            .max_body(self.max_body)
            .backoff(self.backoff())
            .circuit_breaker(self.circuit_breaker())
            .bulkhead(self.bulkhead())
            .fallback(self.fallback())
            .degrade(self.degrade());
        for (name, feature) in &self.features {
            if let Some(deadline) = feature.deadline {
                builder = builder.feature_deadline(name.as_str(), deadline);
            }
        }
        builder
    }

    fn attempt(&self) -> Timeouts {
        let timeouts = Timeouts::new()
            .with_first_event(self.timeouts.first_event)
            .with_idle(self.timeouts.idle);
        match self.timeouts.answer {
            Some(answer) => timeouts.with_answer(answer),
            None => timeouts,
        }
    }

    fn backoff(&self) -> JitterBackoffLayer {
        let backoff = &self.backoff;
        let at_least_one = |attempts| NonZeroU8::new(attempts).unwrap_or(NonZeroU8::MIN);
        JitterBackoffLayer::new()
            .with_attempts(at_least_one(backoff.attempts))
            .with_attempts_before_fallback(at_least_one(backoff.attempts_with_fallback))
            .with_base(backoff.base)
            .with_cap(backoff.cap)
            .with_jitter(Jitter::Ratio(backoff.jitter))
            .with_budget(RetryBudget::new().with_percent(backoff.budget_percent))
    }

    fn circuit_breaker(&self) -> CircuitBreakerLayer {
        let circuit = &self.circuit;
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        CircuitBreakerLayer::new()
            .with_consecutive(at_least_one(circuit.consecutive))
            .with_consecutive_within(circuit.window)
            .with_window(circuit.window)
            .with_failure_rate(circuit.rate, at_least_one(circuit.min_calls))
            .with_cooldown(circuit.cooldown)
            .with_cooldown_factor(circuit.growth)
            // A cool-down that was set longer than the cap of the default is its own cap.
            .with_max_cooldown(circuit.cooldown.max(std::time::Duration::from_secs(300)))
            .with_probes(at_least_one(circuit.probes))
            .with_ramp(circuit.ramp)
    }

    fn bulkhead(&self) -> BulkheadLayer {
        let seats = |feature: &FeatureSettings| {
            Compartment::new(feature.in_flight)
                .with_queue(feature.queue)
                .with_wait(feature.wait)
        };
        self.features
            .iter()
            .fold(BulkheadLayer::new(), |layer, (name, feature)| {
                match name.as_str() {
                    Feature::DEFAULT => layer.with_default(seats(feature)),
                    name => layer.with_feature(name, seats(feature)),
                }
            })
    }

    fn fallback(&self) -> ModelFallbackLayer {
        let chains = self.chains.iter().cloned();
        let layer = chains.fold(ModelFallbackLayer::new(), ModelFallbackLayer::with_chain);
        let features = self.features.iter();
        features.fold(layer, |layer, (name, feature)| match &feature.fallback {
            FallbackChoice::Chains => layer,
            FallbackChoice::Off => layer.without_fallback(name.as_str()),
            FallbackChoice::Own(chain) => layer.with_feature_chain(name.as_str(), chain.clone()),
        })
    }

    fn degrade(&self) -> DegradeLayer {
        let policy = |feature: &FeatureSettings| {
            if feature.answers {
                DegradePolicy::answer(feature.message.as_str())
            } else {
                DegradePolicy::error()
            }
        };
        let layer = match NonZeroU64::new(self.cache.max_bytes) {
            Some(max_bytes) => {
                let cache = MemoryCache::new()
                    .with_max_bytes(max_bytes)
                    .with_ttl(self.cache.ttl);
                DegradeLayer::new().with_cache(Arc::new(cache))
            }
            None => DegradeLayer::new().without_cache(),
        };
        self.features
            .iter()
            .fold(layer, |layer, (name, feature)| match name.as_str() {
                Feature::DEFAULT => layer.with_default(policy(feature)),
                name => layer.with_feature(name, policy(feature)),
            })
    }
}
