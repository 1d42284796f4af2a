//! The settings of a monitor.

use super::{
    alert::{Alert, Rule},
    handle::Monitor,
    ledger::Ledger,
    rules::{Rules, Share},
};
use crate::{
    error::BuildError,
    event::{Observe, Observers},
};
use std::{fmt, num::NonZeroU64, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::time::Instant;

pub(super) type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// Builds a [`Monitor`]; from [`Monitor::builder`]. Every setting has a default.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct MonitorBuilder {
    rules: Rules,
    max_keys: NonZeroUsize,
    models: Vec<Arc<str>>,
    features: Vec<Arc<str>>,
    on_alert: Vec<OnAlert>,
    observers: Observers,
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            max_keys: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            models: Vec::new(),
            features: Vec::new(),
            on_alert: Vec::new(),
            observers: Observers::default(),
        }
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorBuilder")
            .field("rules", &self.rules)
            .field("max_keys", &self.max_keys)
            .field("models", &self.models)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

impl MonitorBuilder {
    /// How many models, how many features and how many pairs of the two are counted by name. Default 256. What comes after
    /// that is counted as [`OTHER`](super::OTHER) until a name had no event for an hour.
    pub fn with_max_keys(mut self, max_keys: NonZeroUsize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// Models that always have a place of their own, whatever other models callers invent: those of your chains. Default
    /// none.
    pub fn with_models<M: Into<Arc<str>>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models.extend(models.into_iter().map(Into::into));
        self
    }

    /// Features that always have a place of their own. Default none.
    pub fn with_features<F: Into<Arc<str>>>(
        mut self,
        features: impl IntoIterator<Item = F>,
    ) -> Self {
        self.features.extend(features.into_iter().map(Into::into));
        self
    }

    /// When [`Rule::FailureShare`] and [`Rule::FallbackShare`] are raised: a larger share than this, from 0 to 1, of more
    /// than so many calls in the last hour. Default 0.05 of 100.
    pub fn with_slow_burn(mut self, share: f64, more_than: u64) -> Self {
        self.rules.slow = Share { share, more_than };
        self
    }

    /// When [`Rule::FailureBurn`] and [`Rule::FallbackBurn`] are raised: a larger share than this, from 0 to 1, of more
    /// than so many calls in the last 5 minutes. Default 0.5 of 20.
    pub fn with_fast_burn(mut self, share: f64, more_than: u64) -> Self {
        self.rules.fast = Share { share, more_than };
        self
    }

    /// When [`Rule::AllFailed`] is raised: at least so many calls in the last 15 minutes, none of which succeeded. Default 5.
    pub fn with_all_failed(mut self, calls: NonZeroU64) -> Self {
        self.rules.all_failed = calls.get();
        self
    }

    /// When [`Rule::CircuitOpen`] is raised: a circuit that was not closed for longer than this. Default 10 min.
    pub fn with_circuit_open(mut self, longer_than: Duration) -> Self {
        self.rules.circuit_open = longer_than;
        self
    }

    /// Never raises this rule. Default: all rules speak.
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules.off.push(rule);
        self
    }

    /// Calls this for each alert raised and each cleared, once each, outside locks, on the task whose event or check
    /// changed it: be quick. It may use the monitor; what it panics with is swallowed. May be given more than once.
    /// Default: none.
    ///
    /// The alert is also told as [`Event::Alert`](crate::Event::Alert), and so logged.
    pub fn with_alert(mut self, on_alert: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.on_alert.push(Arc::new(on_alert));
        self
    }

    /// Tells [`Event::Alert`](crate::Event::Alert) to this observer. Default: none.
    pub fn with_observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// A share that is not between 0 and 1, or a time that is zero, by the name of its setting.
    pub fn build(self) -> Result<Monitor, BuildError> {
        self.rules.check()?;
        Ok(self.unchecked())
    }

    /// Builds it with rules that are known to be good.
    pub(super) fn unchecked(self) -> Monitor {
        let mut ledger = Ledger::new(self.rules, self.max_keys.get(), Instant::now());
        for model in self.models {
            ledger.pin_model(model);
        }
        for feature in self.features {
            ledger.pin_feature(feature);
        }
        Monitor::from_parts(ledger, self.on_alert, self.observers)
    }
}
