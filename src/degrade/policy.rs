//! Which feature gets what in place of an answer.

#[cfg(feature = "cache")]
use crate::cache::MemoryCache;
use crate::{cache::ResponseCache, call::Feature, error::BuildError, event::Observers};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What stands in for the answers of a feature. See the [module docs](super).
///
/// The default is [`answer`](Self::answer) with [`DEFAULT_MESSAGE`](Self::DEFAULT_MESSAGE).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DegradePolicy {
    cached: bool,
    /// `None`: an error.
    message: Option<Arc<str>>,
}

impl DegradePolicy {
    /// The canned message where no other is set.
    pub const DEFAULT_MESSAGE: &'static str =
        "I'm experiencing issues right now. Please try again in a minute.";

    /// A cached answer if there is one, else this message: for people. At least one letter, for Claude's API refuses
    /// conversations with an empty text in them.
    pub fn answer(message: impl Into<Arc<str>>) -> Self {
        Self {
            cached: true,
            message: Some(message.into()),
        }
    }

    /// An error in Claude's form: for programs.
    pub const fn error() -> Self {
        Self {
            cached: false,
            message: None,
        }
    }

    /// Whether an answer given before may stand in. Default: with [`answer`](Self::answer) yes, with
    /// [`error`](Self::error) no. Never for calls with tools or a structured output format.
    #[must_use]
    pub fn with_cached(mut self, cached: bool) -> Self {
        self.cached = cached;
        self
    }

    pub(super) fn cached(&self) -> bool {
        self.cached
    }

    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    fn check(&self, field: &str) -> Result<(), BuildError> {
        match &self.message {
            Some(message) if message.trim().is_empty() => {
                let bound = "a text with at least one letter";
                Err(BuildError::new(field, format!("{message:?}"), bound))
            }
            _ => Ok(()),
        }
    }
}

impl Default for DegradePolicy {
    fn default() -> Self {
        Self::answer(Self::DEFAULT_MESSAGE)
    }
}

/// The feature that runs without anybody who could read an apology.
const BACKGROUND: &str = "background_jobs";

/// What a layer was set to.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) default: DegradePolicy,
    pub(super) features: BTreeMap<Feature, DegradePolicy>,
    pub(super) cache: Option<Arc<dyn ResponseCache>>,
    /// The same store, where it is one whose answers can be handed on.
    #[cfg(feature = "cache")]
    pub(super) memory: Option<MemoryCache>,
    pub(super) lookup_timeout: Duration,
    pub(super) body_mark: bool,
    pub(super) observers: Observers,
}

impl Settings {
    pub(super) fn new() -> Self {
        let settings = Self {
            default: DegradePolicy::default(),
            features: BTreeMap::from([(Feature::new(BACKGROUND), DegradePolicy::error())]),
            cache: None,
            #[cfg(feature = "cache")]
            memory: None,
            lookup_timeout: Duration::from_millis(200),
            body_mark: true,
            observers: Observers::default(),
        };
        #[cfg(feature = "cache")]
        let settings = {
            let mut settings = settings;
            settings.keep_in(MemoryCache::new());
            settings
        };
        settings
    }

    #[cfg(feature = "cache")]
    pub(super) fn keep_in(&mut self, memory: MemoryCache) {
        self.cache = Some(Arc::new(memory.clone()));
        self.memory = Some(memory);
    }

    /// Whether the store would take no answer now, whatever it is: cheap to ask, where that is known.
    #[cfg_attr(
        not(feature = "cache"),
        expect(
            clippy::unused_self,
            reason = "without a store there is nothing to ask"
        )
    )]
    pub(super) fn is_sated(&self) -> bool {
        #[cfg(feature = "cache")]
        return self.memory.as_ref().is_some_and(MemoryCache::is_sated);
        #[cfg(not(feature = "cache"))]
        return false;
    }

    /// The policy for a call of this feature; `exact`, if a program reads the answer.
    pub(super) fn policy(&self, feature: &str, exact: bool) -> &DegradePolicy {
        static EXACT: DegradePolicy = DegradePolicy::error();
        if exact {
            return &EXACT;
        }
        self.features.get(feature).unwrap_or(&self.default)
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        self.default.check("degrade.default.message")?;
        for (feature, policy) in &self.features {
            policy.check(&format!("degrade.features.{feature}.message"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_jobs_and_calls_that_a_program_reads_get_an_error() {
        let settings = Settings::new();
        let message = |feature, exact| settings.policy(feature, exact).message().is_some();
        assert!(message("default", false));
        assert!(message("chat", false));
        assert!(!message("background_jobs", false));
        assert!(!message("chat", true));
        assert!(settings.policy("chat", false).cached());
        assert!(!settings.policy("chat", true).cached());
        assert!(!settings.policy("background_jobs", false).cached());
    }

    #[test]
    fn a_message_without_a_letter_is_refused_by_the_name_of_its_field() {
        let mut settings = Settings::new();
        assert_eq!(settings.check(), Ok(()));
        settings
            .features
            .insert(Feature::new("chat"), DegradePolicy::answer(" \n"));
        let error = settings.check().unwrap_err();
        assert_eq!(error.field(), "degrade.features.chat.message");
        assert_eq!(error.value(), "\" \\n\"");
        settings.features.clear();
        settings.default = DegradePolicy::answer("");
        assert_eq!(
            settings.check().unwrap_err().field(),
            "degrade.default.message"
        );
    }
}
