//! The settings of all compartments, and the compartments themselves.

use crate::{
    call::Feature,
    error::BuildError,
    event::{Observe, Observers},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tower_layer::Layer;

use super::{
    admission::Shared, handle::Bulkheads, rooms::Rooms, service::Bulkhead, settings::Compartment,
};

/// Gives each feature and model a compartment. See the [module docs](super).
///
/// Owns the compartments: its clones and all services it makes share them. A `with_*` starts a new set, so take the
/// [`handle`](Self::handle) last.
#[derive(Debug, Clone)]
pub struct BulkheadLayer {
    /// `None`: switched off.
    parts: Option<Parts>,
}

#[derive(Debug, Clone)]
struct Parts {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
struct Settings {
    features: BTreeMap<Feature, Compartment>,
    default: Compartment,
    pinned: Arc<HashSet<Arc<str>>>,
    observers: Observers,
}

impl Settings {
    fn build(self) -> Parts {
        let rooms = Rooms::new(&self.features, self.default, &self.pinned);
        let shared = Arc::new(Shared::new(rooms, self.observers.clone()));
        Parts {
            settings: self,
            shared,
        }
    }
}

impl Default for BulkheadLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl BulkheadLayer {
    /// In flight per model: chat 20, summary 10, extraction 30, `background_jobs` 5 (a line of 500, a wait of 60 s), any
    /// other feature 64. Lines are twice the limit, waits 2 s, where not said otherwise.
    pub fn new() -> Self {
        let features = [
            ("chat", Compartment::new(20)),
            ("summary", Compartment::new(10)),
            ("extraction", Compartment::new(30)),
            (
                "background_jobs",
                Compartment::new(5)
                    .with_queue(500)
                    .with_wait(Duration::from_secs(60)),
            ),
        ];
        let settings = Settings {
            features: features.map(|(name, size)| (name.into(), size)).into(),
            default: Compartment::new(64),
            pinned: Arc::default(),
            observers: Observers::default(),
        };
        Self {
            parts: Some(settings.build()),
        }
    }

    /// With the compartments of another layer, resized to the settings of this one. See [`Rooms::adopting`].
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        if let (Some(new), Some(old)) = (&mut self.parts, &old.parts) {
            let Settings {
                features,
                default,
                pinned,
                observers,
            } = &new.settings;
            let rooms = Rooms::adopting(features, *default, pinned, &old.shared.rooms);
            new.shared = Arc::new(Shared::new(rooms, observers.clone()));
        }
        self
    }

    /// No compartments: calls and answers pass through.
    pub(crate) fn off() -> Self {
        Self { parts: None }
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self {
            parts: self.parts.map(|parts| {
                let mut settings = parts.settings;
                change(&mut settings);
                settings.build()
            }),
        }
    }

    /// The compartment of a feature, per model; `default` is as [`with_default`](Self::with_default).
    #[must_use]
    pub fn with_feature(self, feature: impl Into<Feature>, compartment: Compartment) -> Self {
        let feature = feature.into();
        self.with(|settings| {
            if feature.as_str() == Feature::DEFAULT {
                settings.default = compartment;
            } else {
                settings.features.insert(feature, compartment);
            }
        })
    }

    /// No compartments but the default one.
    #[cfg(feature = "config")]
    pub(crate) fn without_features(self) -> Self {
        self.with(|settings| settings.features.clear())
    }

    /// The compartment of calls that name no feature or an unknown one, per model. Default: 64 in flight, a line of 128,
    /// a wait of 2 s.
    #[must_use]
    pub fn with_default(self, compartment: Compartment) -> Self {
        self.with(|settings| settings.default = compartment)
    }

    /// Models whose compartments are always their own, however many others are asked for: those that a chain names. The
    /// builder does this. Default: none; up to 256 models per feature have their own as they come.
    #[must_use]
    pub fn with_pinned_models<M: Into<Arc<str>>>(
        self,
        models: impl IntoIterator<Item = M>,
    ) -> Self {
        self.with(|settings| {
            Arc::make_mut(&mut settings.pinned).extend(models.into_iter().map(Into::into));
        })
    }

    /// One more observer of what is decided here. Default: none.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observe>) -> Self {
        self.with(|settings| settings.observers.push(observer))
    }

    /// Reads and resizes the compartments of this layer at run time.
    pub fn handle(&self) -> Bulkheads {
        Bulkheads::new(self.parts.as_ref().map(|parts| parts.shared.clone()))
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Some(Parts { settings, .. }) = &self.parts else {
            return Ok(());
        };
        settings.default.check(Feature::DEFAULT)?;
        settings
            .features
            .iter()
            .try_for_each(|(name, compartment)| compartment.check(name.as_str()))
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = Bulkhead<S>;

    fn layer(&self, inner: S) -> Bulkhead<S> {
        let shared = self.parts.as_ref().map(|parts| parts.shared.clone());
        Bulkhead::new(inner, shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use http_body_util::Full;
    use tower::{ServiceExt, service_fn};

    #[tokio::test]
    async fn a_layer_that_is_off_passes_through_and_has_nothing_to_show() {
        let layer = BulkheadLayer::off().with_default(Compartment::new(0));
        let service = layer.layer(service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::default()))
        }));
        service.oneshot(Request::new(())).await.unwrap();
        assert!(layer.check().is_ok());
        let bulkheads = layer.handle();
        assert!(!bulkheads.resize("default", 1));
        assert!(bulkheads.snapshot().is_empty());
        assert_eq!(bulkheads.unknown_features(), 0);
    }

    #[test]
    fn a_bad_setting_is_named_with_its_compartment() {
        let layer = BulkheadLayer::new().with_feature("chat", Compartment::new(usize::MAX));
        assert_eq!(layer.check().unwrap_err().field(), "bulkhead.chat.limit");
        let layer = BulkheadLayer::new().with_feature("default", Compartment::new(usize::MAX));
        assert_eq!(layer.check().unwrap_err().field(), "bulkhead.default.limit");
        assert!(BulkheadLayer::new().check().is_ok());
    }
}
