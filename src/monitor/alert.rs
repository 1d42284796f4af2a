//! An alert, and the rules that raise them.

use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What raised an alert. The [module docs](super) say what each one means and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// Too large a share of the calls of the last hour failed.
    FailureShare,
    /// Too large a share of the calls of the last hour was served by another model than the one asked for.
    FallbackShare,
    /// Most calls of the last 5 minutes failed.
    FailureBurn,
    /// Most calls of the last 5 minutes were served by another model.
    FallbackBurn,
    /// Every call of the last 15 minutes failed, few as they may be.
    AllFailed,
    /// A model does not exist for a tenant, or no longer.
    ModelGone,
    /// A model's circuit has been open for long.
    CircuitOpen,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 7] = [
        Self::FailureShare,
        Self::FallbackShare,
        Self::FailureBurn,
        Self::FallbackBurn,
        Self::AllFailed,
        Self::ModelGone,
        Self::CircuitOpen,
    ];

    /// Its name in logs and metrics: `failure_share` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailureShare => "failure_share",
            Self::FallbackShare => "fallback_share",
            Self::FailureBurn => "failure_burn",
            Self::FallbackBurn => "fallback_burn",
            Self::AllFailed => "all_failed",
            Self::ModelGone => "model_gone",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an alert speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// All calls together.
    All,
    /// The calls of a feature.
    Feature(Arc<str>),
    /// A model.
    Model(Arc<str>),
}

impl Subject {
    /// The name of the feature or model; `all` for all calls.
    pub fn name(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Feature(name) | Self::Model(name) => name,
        }
    }
}

/// `all calls`, `feature chat`, `model claude-sonnet-4-5`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all calls"),
            Self::Feature(name) => write!(f, "feature {name}"),
            Self::Model(name) => write!(f, "model {name}"),
        }
    }
}

/// An alert that was raised, or cleared again.
///
/// Its `Display` form is a sentence for whoever is woken by it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alert {
    /// The rule that speaks.
    pub rule: Rule,
    /// What it speaks of.
    pub subject: Subject,
    /// True while it stands, false when this tells that it was cleared.
    pub raised: bool,
    /// The measured value: a share from 0 to 1; failed calls for [`AllFailed`](Rule::AllFailed); seconds for
    /// [`CircuitOpen`](Rule::CircuitOpen); 1 or 0 for [`ModelGone`](Rule::ModelGone).
    pub value: f64,
    /// The threshold that raises it, in the unit of the value.
    pub threshold: f64,
    /// The calls that the value was measured on; 0 where it speaks of a model.
    pub calls: u64,
    /// When it was raised.
    pub since: Instant,
    /// When this was said. Where two tasks tell alerts at the same time, this orders them.
    pub at: Instant,
}

impl Alert {
    /// How long it had stood when this was said.
    pub fn lasted(&self) -> Duration {
        self.at.saturating_duration_since(self.since)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.raised {
            f.write_str("cleared: ")?;
        }
        let (subject, calls) = (&self.subject, self.calls);
        let (value, limit) = (self.value * 100.0, self.threshold * 100.0);
        match self.rule {
            Rule::FailureShare => write!(
                f,
                "{subject}: {value:.1} % of {calls} calls failed in the last hour, limit {limit} %"
            ),
            Rule::FallbackShare => write!(
                f,
                "{subject}: {value:.1} % of {calls} calls went to another model in the last hour, limit {limit} %"
            ),
            Rule::FailureBurn => write!(
                f,
                "{subject}: {value:.1} % of {calls} calls failed in the last 5 min, limit {limit} %"
            ),
            Rule::FallbackBurn => write!(
                f,
                "{subject}: {value:.1} % of {calls} calls went to another model in the last 5 min, limit {limit} %"
            ),
            Rule::AllFailed => write!(
                f,
                "{subject}: {} of {calls} calls failed in the last 15 min",
                self.value
            ),
            Rule::ModelGone if self.raised => write!(f, "{subject}: gone, upstream answers 404"),
            Rule::ModelGone => write!(f, "{subject}: no more 404"),
            Rule::CircuitOpen => write!(
                f,
                "{subject}: circuit open for {:.0} s, limit {:.0} s",
                self.value, self.threshold
            ),
        }
    }
}
