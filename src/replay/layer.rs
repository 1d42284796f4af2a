//! The settings of Replay.

use super::service::Replay;
use crate::{
    call::Feature,
    error::BuildError,
    event::{Observe, Observers},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tower_layer::Layer;

/// Reads the request body once and puts a [`Call`](crate::Call) on the request. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct ReplayLayer {
    pub(super) limit: u64,
    pub(super) deadline: Duration,
    /// None where no feature has one of its own: the usual case costs nothing. A few, sooner compared than hashed.
    pub(super) deadlines: Option<Arc<BTreeMap<Feature, Duration>>>,
    pub(super) observers: Observers,
}

impl Default for ReplayLayer {
    fn default() -> Self {
        Self {
            // What the Messages API takes.
            limit: 32 << 20,
            deadline: Duration::from_secs(600),
            deadlines: None,
            observers: Observers::default(),
        }
    }
}

impl ReplayLayer {
    /// Bodies up to 32 MiB, 10 minutes for a call that brings no deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest request body in bytes; a larger one is [`BodyTooLarge`](crate::BodyTooLarge), and nothing is sent.
    /// Default 32 MiB. Memory held at most: this times the calls in flight.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How long a call may take to a committed answer, where its request brings no [`Deadline`](crate::Deadline).
    /// Default 10 min, as the official SDKs.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for the calls of one feature. Default: none has a deadline of its own.
    #[must_use]
    pub fn with_feature_deadline(
        mut self,
        feature: impl Into<Feature>,
        deadline: Duration,
    ) -> Self {
        let mut deadlines = self.deadlines.as_deref().cloned().unwrap_or_default();
        deadlines.insert(feature.into(), deadline);
        self.deadlines = Some(Arc::new(deadlines));
        self
    }

    /// The deadline of a call that brings none.
    pub(super) fn deadline_of(&self, feature: &Feature) -> Duration {
        let own = self
            .deadlines
            .as_ref()
            .and_then(|deadlines| deadlines.get(feature));
        own.copied().unwrap_or(self.deadline)
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.limit == 0 {
            return Err(BuildError::new(
                "replay.limit",
                "0 bytes",
                "at least 1 byte",
            ));
        }
        if self.deadline.is_zero() {
            return Err(BuildError::new("replay.deadline", "0s", "longer than 0s"));
        }
        for (feature, deadline) in self.deadlines.iter().flat_map(|deadlines| deadlines.iter()) {
            if deadline.is_zero() {
                let field = format!("replay.feature_deadline.{feature}");
                return Err(BuildError::new(field, "0s", "longer than 0s"));
            }
        }
        Ok(())
    }

    /// Tells this observer of [`Event::CallEnded`](crate::Event::CallEnded). May be given several times.
    /// Default: none.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observers.push(observer);
        self
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = Replay<S>;

    fn layer(&self, inner: S) -> Replay<S> {
        Replay::new(inner, self.clone())
    }
}
