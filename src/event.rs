//! What the layers decide, told as it happens.
//!
//! Give an [`Observe`] to a layer, or to the builder for all of them. It is called outside all locks, on the task that
//! makes the call, so it must be quick; what it panics with is swallowed, for an observer harms nobody. With the feature
//! `tracing` (default) every event is also logged, whether or not an observer is set.
//!
//! No event holds a credential, a prompt or an answer.
//!
//! # Logs
//!
//! | target | what | level |
//! |---|---|---|
//! | `tower_claude` | a circuit opened, an alert was raised | warn |
//! | | a model is gone | error |
//! | | a circuit half-opened, closed or was set by an operator; an alert was cleared; a model cools down | info |
//! | `tower_claude::call` | a call got an error, a stand-in or half an answer | warn, one line per call |
//! | | all other steps of a call: failed attempts, retries, fallbacks, full compartments, its end | debug |
//! | | attempts that were answered, calls that wait for a place | trace |
//!
//! So an outage writes a few lines about models and at most one per failed call; at high traffic switch those off with
//! `tower_claude=info,tower_claude::call=off` and have the [monitor](crate::monitor) tell the shares. Names that come from
//! outside are cut at 128 bytes and escaped by the subscriber.

use crate::{
    call::{Feature, Outcome, Tenant},
    classify::FailureKind,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Something a layer decided or saw. Names are borrowed: an event costs no allocation.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt was committed: its answer is good so far. From [`Commit`](crate::commit).
    AttemptCommitted {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that answers.
        model: &'a str,
        /// Time from sending to the first content, or to the whole JSON answer.
        after: Duration,
    },
    /// An attempt failed before its answer was committed. From [`Commit`](crate::commit).
    AttemptFailed {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that was asked.
        model: &'a str,
        /// How it failed.
        kind: FailureKind,
        /// Time from sending to the failure.
        after: Duration,
    },
    /// A committed answer broke off. From [`Commit`](crate::commit).
    StreamFailed {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that answered.
        model: &'a str,
        /// How it failed.
        kind: FailureKind,
    },
    /// Another attempt at the same model follows. From [`JitterBackoff`](crate::jitter_backoff).
    Retrying {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that is asked again.
        model: &'a str,
        /// The attempt that follows; the first retry is 2.
        attempt: u32,
        /// The sleep before it.
        wait: Duration,
        /// What failed.
        kind: FailureKind,
    },
    /// A failure that could have been retried is handed up. From [`JitterBackoff`](crate::jitter_backoff).
    NotRetried {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that was asked.
        model: &'a str,
        /// What failed.
        kind: FailureKind,
        /// Why there is no other attempt.
        reason: NotRetried,
    },
    /// The circuit of a model changed state. From [`CircuitBreaker`](crate::circuit_breaker).
    CircuitChanged {
        /// The model.
        model: &'a str,
        /// The change, and why.
        change: CircuitChange,
    },
    /// An attempt was kept from a model: upstream was spared it. From [`CircuitBreaker`](crate::circuit_breaker).
    KeptAway {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model.
        model: &'a str,
        /// What kept it away.
        reason: KeptAway,
    },
    /// A model cools down for a tenant after a 429, or is gone for it. From [`CircuitBreaker`](crate::circuit_breaker).
    CoolingDown {
        /// The model.
        model: &'a str,
        /// The tenant whose limit it is.
        tenant: Tenant,
        /// How long.
        wait: Duration,
        /// [`RateLimited`](FailureKind::RateLimited) or [`ModelGone`](FailureKind::ModelGone).
        kind: FailureKind,
    },
    /// A call waits for a place. From [`Bulkhead`](crate::bulkhead).
    Queued {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model of the compartment.
        model: &'a str,
    },
    /// A call found no place. From [`Bulkhead`](crate::bulkhead).
    BulkheadFull {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model of the compartment.
        model: &'a str,
        /// Whether it waited for its whole wait; else the queue was full.
        waited: bool,
    },
    /// A call named a feature without a compartment and takes the default one. From [`Bulkhead`](crate::bulkhead).
    UnknownFeature {
        /// The feature it named.
        feature: &'a Feature,
    },
    /// The next model of the chain is asked. From [`ModelFallback`](crate::model_fallback).
    FellBack {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that failed.
        from: &'a str,
        /// The model that is asked now.
        to: &'a str,
        /// How the first one failed.
        kind: FailureKind,
    },
    /// A failure was answered in place of the model. From [`Degrade`](crate::degrade).
    Degraded {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model the caller asked for.
        model: &'a str,
        /// With what: [`Cached`](Outcome::Cached), [`Similar`](Outcome::Similar), [`Canned`](Outcome::Canned), or a clean
        /// [`Error`](Outcome::Error).
        outcome: Outcome,
        /// What failed.
        kind: FailureKind,
    },
    /// A call is over: its body ended, broke off or was dropped. From [`Replay`](crate::replay), once per call.
    CallEnded {
        /// The feature of the call.
        feature: &'a Feature,
        /// The model that served it or was asked last; empty where the call was not a Messages call.
        model: &'a str,
        /// The model the caller asked for.
        asked: &'a str,
        /// Where the answer came from.
        outcome: Outcome,
        /// What failed: the call, or its body half-way. [`Cancelled`](FailureKind::Cancelled) where the caller left. For a
        /// degraded answer, what it stood in for.
        failure: Option<FailureKind>,
        /// Attempts sent upstream.
        attempts: u32,
        /// Time from the call to its answer's head.
        to_head: Duration,
        /// Time from the call to its end.
        total: Duration,
    },
    /// An alert was raised or cleared. From [`Monitor`](crate::monitor).
    Alert {
        /// The rule that speaks.
        rule: &'a str,
        /// What it speaks of: `all calls`, `feature chat`, `model claude-sonnet-4-5`.
        subject: &'a str,
        /// True when raised, false when cleared.
        raised: bool,
        /// The measured value, in the unit of the rule: a share from 0 to 1, seconds, calls.
        value: f64,
        /// The threshold that raises it.
        threshold: f64,
    },
}

/// Why a failure that could be retried is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRetried {
    /// It was the last attempt.
    Attempts,
    /// The retry budget of the feature and model is empty.
    Budget,
    /// The wait is longer than this layer may wait.
    Wait,
    /// The wait does not end before the deadline.
    Deadline,
    /// The failure left the circuit open.
    CircuitOpen,
}

impl NotRetried {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Wait => "wait",
            Self::Deadline => "deadline",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// What kept an attempt from a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeptAway {
    /// Its circuit is open.
    Open,
    /// Its circuit has closed, and its load comes back step by step; the call has another model.
    Ramp,
    /// It cools down for the tenant of the call, after a 429.
    CoolingDown,
    /// It is gone for the tenant of the call, by a 404.
    ModelGone,
}

impl KeptAway {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ramp => "ramp",
            Self::CoolingDown => "cooling_down",
            Self::ModelGone => "model_gone",
        }
    }
}

/// A change of a circuit's state.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum CircuitChange {
    /// Opened.
    Opened {
        /// By which trigger.
        reason: OpenReason,
        /// Until the first probe.
        open_for: Duration,
    },
    /// Open, and now letting probes through.
    HalfOpened,
    /// Closed by its probes.
    Closed,
    /// Set by an operator: forced open, disabled, or reset.
    Operator {
        /// The new state, as [`CircuitState`](crate::circuit_breaker::CircuitState) names it.
        state: &'static str,
    },
}

/// What opened a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenReason {
    /// Consecutive failures.
    Consecutive,
    /// The share of failures in the window.
    FailureRate,
    /// Timeouts of ours at low traffic.
    Timeouts,
    /// The share of slow answers in the window.
    SlowRate,
    /// A failed probe, or probes without a verdict in time.
    Probe,
    /// The operator.
    Forced,
}

impl OpenReason {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::FailureRate => "failure_rate",
            Self::Timeouts => "timeouts",
            Self::SlowRate => "slow_rate",
            Self::Probe => "probe",
            Self::Forced => "forced",
        }
    }
}

/// Sees what the layers decide. See the [module docs](self).
///
/// ```
/// use tower_claude::{Event, Observe};
///
/// #[derive(Debug)]
/// struct CountFallbacks(std::sync::atomic::AtomicU64);
///
/// impl Observe for CountFallbacks {
///     fn on_event(&self, event: &Event<'_>) {
///         if let Event::FellBack { .. } = event {
///             self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observe: Send + Sync {
    /// Called for each event, outside locks.
    fn on_event(&self, event: &Event<'_>);
}

/// The observers of a layer.
#[derive(Clone, Default)]
pub(crate) struct Observers(Option<Arc<[Arc<dyn Observe>]>>);

impl Observers {
    /// Adds one.
    pub(crate) fn push(&mut self, observer: Arc<dyn Observe>) {
        let before = self
            .0
            .iter()
            .flat_map(|observers| observers.iter().cloned());
        self.0 = Some(before.chain([observer]).collect());
    }

    /// Tells all of them. Never called with a lock held.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        // Neither a log nor an observer that panics may fail the call it looks at.
        #[cfg(feature = "tracing")]
        let _ = catch_unwind(AssertUnwindSafe(|| log::log(event)));
        for observer in self.0.iter().flat_map(|observers| observers.iter()) {
            let _ = catch_unwind(AssertUnwindSafe(|| observer.on_event(event)));
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Observers({})",
            self.0.as_ref().map_or(0, |observers| observers.len())
        )
    }
}

#[cfg(feature = "tracing")]
mod log;
