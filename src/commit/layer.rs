//! The layer, which is its own builder.

use super::service::Commit;
use crate::{
    classify::{Classify, ClaudeClassifier},
    claude::sse::{DEFAULT_MAX_EVENT, Splitter},
    error::BuildError,
    event::{Observe, Observers},
    timeouts::Timeouts,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use tower_layer::Layer;

/// Makes [`Commit`] services. See the [module docs](super).
#[derive(Debug, Clone, Default)]
pub struct CommitLayer {
    settings: Arc<Settings>,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) timeouts: Timeouts,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) observers: Observers,
    pub(super) hold_bytes: usize,
    pub(super) hold_for: Duration,
    pub(super) hold_json: usize,
    max_event: NonZeroUsize,
    full_parse: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            classify: Arc::new(ClaudeClassifier),
            observers: Observers::default(),
            hold_bytes: 64 << 10,
            hold_for: Duration::from_secs(15),
            hold_json: 1 << 20,
            max_event: DEFAULT_MAX_EVENT,
            full_parse: false,
        }
    }
}

impl Settings {
    pub(super) fn splitter(&self) -> Splitter {
        Splitter::new()
            .with_max_event(self.max_event)
            .with_full_parse(self.full_parse)
    }
}

impl CommitLayer {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// How long an attempt may take. Default: [`Timeouts::new`].
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.set(|settings| settings.timeouts = timeouts)
    }

    /// Who judges answers. Default: [`ClaudeClassifier`].
    #[must_use]
    pub fn with_classify(self, classify: Arc<dyn Classify>) -> Self {
        self.set(|settings| settings.classify = classify)
    }

    /// Tells `observer` of attempts that were committed, that failed, and of streams that broke off. Default: nobody.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observe>) -> Self {
        self.set(|settings| settings.observers.push(observer))
    }

    /// How much of a stream is held back before its first content, in bytes. Default 64 KiB; 0 holds nothing.
    #[must_use]
    pub fn with_hold(self, bytes: usize) -> Self {
        self.set(|settings| settings.hold_bytes = bytes)
    }

    /// How long a stream is held back after its `message_start`. Default 15 s.
    #[must_use]
    pub fn with_hold_for(self, hold_for: Duration) -> Self {
        self.set(|settings| settings.hold_for = hold_for)
    }

    /// Up to what size a JSON answer is held until it is whole, in bytes. Default 1 MiB; a larger one streams on.
    #[must_use]
    pub fn with_hold_json(self, bytes: usize) -> Self {
        self.set(|settings| settings.hold_json = bytes)
    }

    /// The longest event of a stream, in bytes. Default 1 MiB; a longer one breaks the stream off.
    #[must_use]
    pub fn with_max_event(self, bytes: NonZeroUsize) -> Self {
        self.set(|settings| settings.max_event = bytes)
    }

    /// Parses the data of every event, instead of looking at its outline. Default: false. Costs a copy and a parse.
    #[must_use]
    pub fn with_full_parse(self, full_parse: bool) -> Self {
        self.set(|settings| settings.full_parse = full_parse)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.settings.timeouts.check()
    }
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Commit<S> {
        Commit::new(inner, self.settings.clone())
    }
}
