//! From settings to a stack.

use super::{
    Config, ConfigError,
    features::{DegradeMode, FeatureFallback, FeatureSettings},
};
use crate::{
    builder::ResilienceBuilder,
    bulkhead::{BulkheadLayer, Compartment},
    call::Feature,
    degrade::{DegradeLayer, DegradePolicy},
    model_fallback::ModelFallbackLayer,
    stack::Resilience,
};

impl Config {
    /// The stack that these settings describe, still to be given observers and built.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check): none for a configuration from a file, which has been checked.
    pub fn resilience(&self) -> Result<ResilienceBuilder, ConfigError> {
        self.check()?;
        let builder = Resilience::builder()
            .timeouts(self.timeouts.timeouts())
            .backoff(self.backoff.layer())
            .circuit_breaker(self.circuit.layer())
            .fallback(self.fallback_layer())
            .bulkhead(self.bulkhead_layer())
            .degrade(self.degrade_layer())
            .max_body(self.max_body)
            .deadline(self.default_deadline().1);
        Ok(self
            .features
            .named
            .iter()
            .fold(builder, |builder, (name, settings)| {
                builder.feature_deadline(name.clone(), settings.deadline.unwrap_or(self.deadline))
            }))
    }

    fn named(&self) -> impl Iterator<Item = (Feature, &FeatureSettings)> {
        let named = self.features.named.iter();
        named.map(|(name, settings)| (name.clone(), settings))
    }

    /// Calls of an unknown feature take the chains of the default one, so these are the layer's own; a feature that
    /// differs from it gets its chains by name.
    fn fallback_layer(&self) -> ModelFallbackLayer {
        let chains = |settings: &FeatureSettings| -> Vec<_> {
            match &settings.fallback {
                FeatureFallback::None => Vec::new(),
                FeatureFallback::Own(chain) => vec![chain.clone()],
                FeatureFallback::Chains => self.fallback.chains.clone(),
            }
        };
        let default = &self.features.default;
        let layer = chains(default)
            .into_iter()
            .fold(ModelFallbackLayer::new(), ModelFallbackLayer::with_chain);
        self.named()
            .filter(|(_, settings)| settings.fallback != default.fallback)
            .fold(layer, |layer, (name, settings)| {
                layer.with_feature_chains(name, chains(settings))
            })
    }

    fn bulkhead_layer(&self) -> BulkheadLayer {
        let compartment = |settings: &FeatureSettings| {
            Compartment::new(settings.in_flight)
                .with_queue(settings.queue)
                .with_wait(settings.wait)
        };
        let layer = BulkheadLayer::new()
            .without_features()
            .with_default(compartment(&self.features.default));
        self.named().fold(layer, |layer, (name, settings)| {
            layer.with_feature(name, compartment(settings))
        })
    }

    fn degrade_layer(&self) -> DegradeLayer {
        let policy = |settings: &FeatureSettings| match settings.degrade {
            DegradeMode::Answer => DegradePolicy::answer(settings.message.as_str()),
            DegradeMode::Error => DegradePolicy::error(),
        };
        let layer = DegradeLayer::new()
            .without_features()
            .with_default(policy(&self.features.default));
        let layer = match self.cache.store() {
            Some(cache) => layer.with_memory_cache(cache),
            None => layer.without_cache(),
        };
        self.named().fold(layer, |layer, (name, settings)| {
            layer.with_feature(name, policy(settings))
        })
    }
}
