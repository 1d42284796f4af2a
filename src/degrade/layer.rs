use super::{
    policy::{DegradePolicy, Settings},
    service::Degrade,
};
use crate::{call::Feature, error::BuildError, event::Observe};
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// Makes services that answer in place of a model. See the [module docs](super).
///
/// | setting | default |
/// |---|---|
/// | [`with_default`](Self::with_default) | [`DegradePolicy::DEFAULT_MESSAGE`] |
/// | [`with_feature`](Self::with_feature) | `background_jobs`: [`DegradePolicy::error`] |
/// | `with_cache` | a `MemoryCache` of 64 MiB and 1 h; none without the feature `cache` |
/// | [`with_lookup_timeout`](Self::with_lookup_timeout) | 200 ms |
/// | [`with_body_mark`](Self::with_body_mark) | on |
#[derive(Debug, Clone)]
pub struct DegradeLayer {
    /// `None`: switched off.
    settings: Option<Arc<Settings>>,
}

impl DegradeLayer {
    /// With the defaults.
    pub fn new() -> Self {
        Self {
            settings: Some(Arc::new(Settings::new())),
        }
    }

    /// One that does nothing, and is of the same type.
    #[allow(dead_code, reason = "the builder's switched-off slot")]
    pub(crate) fn off() -> Self {
        Self { settings: None }
    }

    /// With the answers that another layer has kept, where both keep them in memory.
    pub(crate) fn adopt(self, old: &Self) -> Self {
        #[cfg(feature = "cache")]
        if let (Some(settings), Some(old)) = (&self.settings, &old.settings) {
            if let (Some(new), Some(old)) = (&settings.memory, &old.memory) {
                let memory = new.clone().adopt(old);
                return self.set(|settings| settings.keep_in(memory));
            }
        }
        #[cfg(not(feature = "cache"))]
        let _ = old;
        self
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        if let Some(settings) = &mut self.settings {
            change(Arc::make_mut(settings));
        }
        self
    }

    /// The policy of features that have none of their own. Default: [`DegradePolicy::default`].
    #[must_use]
    pub fn with_default(self, policy: DegradePolicy) -> Self {
        self.set(|settings| settings.default = policy)
    }

    /// No policies but the default one.
    #[cfg(feature = "config")]
    pub(crate) fn without_features(self) -> Self {
        self.set(|settings| settings.features.clear())
    }

    /// The policy of a feature. Default: only `background_jobs` has one, [`DegradePolicy::error`].
    #[must_use]
    pub fn with_feature(self, feature: impl Into<Feature>, policy: DegradePolicy) -> Self {
        self.set(|settings| {
            settings.features.insert(feature.into(), policy);
        })
    }

    /// Where good answers are kept. Default: a new [`MemoryCache`](crate::cache::MemoryCache). Give the same store to
    /// several layers to share it.
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    #[must_use]
    pub fn with_cache(self, cache: Arc<dyn crate::cache::ResponseCache>) -> Self {
        self.set(|settings| {
            settings.cache = Some(cache);
            settings.memory = None;
        })
    }

    /// As [`with_cache`](Self::with_cache), for a store whose answers a
    /// [reload](crate::Resilience::reloaded) hands on to the next one. Default: a new one of these.
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    #[must_use]
    pub fn with_memory_cache(self, cache: crate::cache::MemoryCache) -> Self {
        self.set(|settings| settings.keep_in(cache))
    }

    /// Keeps no answers: only canned messages and errors stand in.
    #[must_use]
    pub fn without_cache(self) -> Self {
        self.set(|settings| {
            settings.cache = None;
            #[cfg(feature = "cache")]
            {
                settings.memory = None;
            }
        })
    }

    /// How long a call that has failed waits for a cache that is not ready at once; never past its deadline. Default
    /// 200 ms. Zero: not at all.
    #[must_use]
    pub fn with_lookup_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.lookup_timeout = timeout)
    }

    /// Whether degraded answers say `"_degraded": true` in their body as well. Default on. Off for callers that refuse
    /// unknown fields; the headers always tell.
    #[must_use]
    pub fn with_body_mark(self, body_mark: bool) -> Self {
        self.set(|settings| settings.body_mark = body_mark)
    }

    /// Who is told of every call that is degraded, as [`Event::Degraded`](crate::Event::Degraded). May be given several
    /// times. Default: none.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observe>) -> Self {
        self.set(|settings| settings.observers.push(observer))
    }

    /// # Errors
    ///
    /// For a canned message without a letter.
    #[allow(dead_code, reason = "asked by the builder")]
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.settings.as_deref().map_or(Ok(()), Settings::check)
    }
}

impl Default for DegradeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for DegradeLayer {
    type Service = Degrade<S>;

    fn layer(&self, inner: S) -> Degrade<S> {
        Degrade::new(inner, self.settings.clone())
    }
}
