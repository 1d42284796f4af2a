//! The layer and its chains.

use super::{
    chain::{ChainModel, Chains},
    service::ModelFallback,
};
use crate::{
    call::Feature,
    error::BuildError,
    event::{Observe, Observers},
    kept::Between,
    spare::Spare,
};
use std::sync::Arc;
use tower_layer::Layer;

/// Asks the next model of a chain where one fails. See the [module docs](super).
#[derive(Debug, Clone, Default)]
pub struct ModelFallbackLayer {
    settings: Arc<Settings>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) between: Between,
    pub(super) chains: Chains,
    pub(super) observers: Observers,
}

/// What the services of a layer share.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) settings: Arc<Settings>,
    pub(super) spare: Spare<S>,
}

impl ModelFallbackLayer {
    /// No chain yet: passes every call through.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes every call through.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Adds a chain for all features that have none of their own, best model first. Default: none. Of several, the first
    /// that has the model of a call is its chain.
    #[must_use]
    pub fn with_chain<M: Into<ChainModel>>(self, models: impl IntoIterator<Item = M>) -> Self {
        let chain = models.into_iter().map(Into::into).collect();
        self.change(|settings| settings.chains.push(chain))
    }

    /// Sets the chain of one feature, which then uses no other. Default: that of all features.
    #[must_use]
    pub fn with_feature_chain<M: Into<ChainModel>>(
        self,
        feature: impl Into<Feature>,
        models: impl IntoIterator<Item = M>,
    ) -> Self {
        let chain = models.into_iter().map(Into::into).collect();
        self.change(|settings| settings.chains.set(feature.into(), Some(chain)))
    }

    /// Sets the chains of one feature, which then uses no other. Of several, the first that has the model of a call is its
    /// chain; without any, no other model stands in.
    #[must_use]
    pub fn with_feature_chains<C, M>(
        self,
        feature: impl Into<Feature>,
        chains: impl IntoIterator<Item = C>,
    ) -> Self
    where
        C: IntoIterator<Item = M>,
        M: Into<ChainModel>,
    {
        let chains = chains
            .into_iter()
            .map(|chain| chain.into_iter().map(Into::into).collect());
        self.change(|settings| settings.chains.set(feature.into(), chains))
    }

    /// Lets no other model stand in for one feature.
    #[must_use]
    pub fn without_fallback(self, feature: impl Into<Feature>) -> Self {
        self.change(|settings| settings.chains.set(feature.into(), None))
    }

    /// Adds an observer of [`FellBack`](crate::Event::FellBack). Default: none.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observe>) -> Self {
        self.change(|settings| settings.observers.push(observer))
    }

    /// As a layer of a stack, where nothing stands between.
    pub(crate) fn in_stack(self) -> Self {
        self.change(|settings| settings.between = Between::Stack)
    }

    /// Every model of every chain: what other layers keep for a model outlives a flood of invented names.
    pub(crate) fn models(&self) -> Vec<Arc<str>> {
        self.settings.chains.models()
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.settings.chains.check()
    }
}

impl<S: Clone> Layer<S> for ModelFallbackLayer {
    type Service = ModelFallback<S>;

    fn layer(&self, inner: S) -> ModelFallback<S> {
        let shared = Arc::new(Shared {
            settings: Arc::clone(&self.settings),
            spare: Spare::of(&inner),
        });
        ModelFallback::new(inner, shared)
    }
}
