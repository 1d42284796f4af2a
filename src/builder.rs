//! The stack in the order that works, built once and wrapped around any client.
//!
//! ```text
//! Replay ▸ Degrade ▸ ModelFallback
//!   ▸ JitterBackoff ▸ Bulkhead ▸ CircuitBreaker ▸ Commit ▸ your client
//! ```
//!
//! The order is what this module knows. Fallback stands outside of backoff, so that a model gets its attempts before the
//! next one starts afresh; backoff outside of bulkhead and breaker, so that no permit is held while asleep and each
//! attempt is counted; the bulkhead outside of the breaker, so that a full compartment is never the model's failure; the
//! breaker outside of Commit, so that it sees the real end of each attempt. [`AnswerErrors`](crate::answer_errors) goes
//! around all of it where a server needs `Error = Infallible`.
//!
//! A slot that is switched off is the same type with nothing inside: the type of the stack does not depend on its
//! configuration, and can be named in a struct.
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tower::Layer;
//! use tower_claude::{
//!     BulkheadLayer, CircuitBreakerLayer, Resilience, bulkhead::Compartment, monitor::Monitor,
//! };
//!
//! # fn main() -> Result<(), tower_claude::BuildError> {
//! let monitor = Monitor::new();
//! let stack = Resilience::builder()
//!     .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
//!     .circuit_breaker(CircuitBreakerLayer::new().with_cooldown(Duration::from_secs(30)))
//!     .bulkhead(BulkheadLayer::new().with_feature("search", Compartment::new(8)))
//!     .deadline(Duration::from_secs(120))
//!     .observe(Arc::new(monitor.clone()))
//!     .build()?;
//! # let client = tower::service_fn(|_: http::Request<tower_claude::ReplayBody>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(bytes::Bytes::new())))
//! # });
//! let claude = stack.layer(client);
//!
//! // An operator's hand on what is inside.
//! let (circuits, compartments) = (stack.circuits(), stack.bulkheads());
//! # let _ = (claude, circuits, compartments);
//! # Ok(())
//! # }
//! ```
//!
//! # Clone
//!
//! A clone of [`Resilience`], and everything it was layered on, shares its circuits, compartments, budgets and cache. A
//! second set is a second `build` of layers of its own: a layer owns what its services share, and a clone of it is the same
//! layer.

use crate::{
    bulkhead::BulkheadLayer,
    call::Feature,
    circuit_breaker::CircuitBreakerLayer,
    classify::Classify,
    commit::CommitLayer,
    degrade::DegradeLayer,
    error::BuildError,
    event::Observe,
    jitter_backoff::JitterBackoffLayer,
    model_fallback::{ChainModel, ModelFallbackLayer},
    replay::ReplayLayer,
    stack::Resilience,
    timeouts::Timeouts,
};
use std::{fmt, sync::Arc, time::Duration};

/// Collects the layers of a [`Resilience`]. See the [module docs](self).
///
/// What is not set has its layer's defaults; a setter that takes a layer replaces the whole slot.
#[derive(Clone, Default)]
#[must_use = "does nothing until it is built"]
pub struct ResilienceBuilder {
    replay: ReplayLayer,
    degrade: DegradeLayer,
    fallback: ModelFallbackLayer,
    backoff: JitterBackoffLayer,
    bulkhead: BulkheadLayer,
    breaker: CircuitBreakerLayer,
    commit: CommitLayer,
    timeouts: Timeouts,
    pub(crate) code: Code,
    seed: Option<u64>,
}

/// What of a stack is code and no setting.
#[derive(Clone, Default)]
pub(crate) struct Code {
    pub(crate) classifier: Option<Arc<dyn Classify>>,
    pub(crate) observers: Vec<Arc<dyn Observe>>,
}

impl Resilience {
    /// A stack with every slot at its defaults, and no chain of models yet.
    pub fn builder() -> ResilienceBuilder {
        ResilienceBuilder::default()
    }
}

impl ResilienceBuilder {
    /// Adds a chain of models: a call for one of them falls back to those after it. Short for a
    /// [`ModelFallbackLayer`] with one more chain. Default: no chain, so no fallback.
    pub fn chain<M>(mut self, models: impl IntoIterator<Item = M>) -> Self
    where
        M: Into<ChainModel>,
    {
        self.fallback = self.fallback.with_chain(models);
        self
    }

    /// The fallback slot: chains per feature. Default: none. Replaces what [`chain`](Self::chain) has added.
    pub fn fallback(mut self, layer: ModelFallbackLayer) -> Self {
        self.fallback = layer;
        self
    }

    /// No chains: a failure of a model is a failure of the call.
    pub fn without_fallback(mut self) -> Self {
        self.fallback = ModelFallbackLayer::off();
        self
    }

    /// The backoff slot. Default: 5 attempts at the last model, 2 where another waits.
    pub fn backoff(mut self, layer: JitterBackoffLayer) -> Self {
        self.backoff = layer;
        self
    }

    /// One attempt at each model, no waiting.
    pub fn without_backoff(mut self) -> Self {
        self.backoff = JitterBackoffLayer::off();
        self
    }

    /// The bulkhead slot. Default: chat 20, summary 10, extraction 30, `background_jobs` 5, others 64 in flight.
    ///
    /// The stack has compartments of its own: take the handle on them from [`Resilience::bulkheads`], not from `layer`.
    pub fn bulkhead(mut self, layer: BulkheadLayer) -> Self {
        self.bulkhead = layer;
        self
    }

    /// No compartments.
    pub fn without_bulkhead(mut self) -> Self {
        self.bulkhead = BulkheadLayer::off();
        self
    }

    /// The circuit breaker slot. Default: 5 consecutive failures open a model's circuit for 60 s.
    ///
    /// Take the handle on the circuits from [`Resilience::circuits`]: it tells the observers of the stack. The
    /// models of all chains are pinned, and the layer's timeouts are those of the stack.
    pub fn circuit_breaker(mut self, layer: CircuitBreakerLayer) -> Self {
        self.breaker = layer;
        self
    }

    /// No circuits and no cool-downs.
    pub fn without_circuit_breaker(mut self) -> Self {
        self.breaker = CircuitBreakerLayer::off();
        self
    }

    /// The degrade slot. Default: a cached answer, then a canned message; a clean error for calls whose answer a program
    /// reads.
    pub fn degrade(mut self, layer: DegradeLayer) -> Self {
        self.degrade = layer;
        self
    }

    /// Failures go up as they are.
    pub fn without_degrade(mut self) -> Self {
        self.degrade = DegradeLayer::off();
        self
    }

    /// The timeouts of one attempt, for Commit and the circuit breaker alike. Default: [`Timeouts::default`]; the one
    /// to the first event may not exceed the [`deadline`](Self::deadline).
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The time in which a call must be answered where its sender sets no [`Deadline`](crate::Deadline). Default 10 min.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.replay = self.replay.with_deadline(deadline);
        self
    }

    /// The same for the calls of one feature. Default: none has a deadline of its own.
    pub fn feature_deadline(mut self, feature: impl Into<Feature>, deadline: Duration) -> Self {
        self.replay = self.replay.with_feature_deadline(feature, deadline);
        self
    }

    /// The largest request body, in bytes. Default 32 MiB; a larger one is
    /// [`BodyTooLarge`](crate::BodyTooLarge), and nothing is sent.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.replay = self.replay.with_limit(bytes);
        self
    }

    /// The commit slot: how much of an answer is held back, how large an event may be, whether events are parsed. Its
    /// [timeouts](Self::timeouts), [judge](Self::classifier) and observers are the stack's where those are set. Default:
    /// [`CommitLayer::new`].
    pub fn commit(mut self, layer: CommitLayer) -> Self {
        self.commit = layer;
        self
    }

    /// Another judge of answers. Default: [`ClaudeClassifier`](crate::classify::ClaudeClassifier).
    pub fn classifier(mut self, classifier: Arc<dyn Classify>) -> Self {
        self.code.classifier = Some(classifier);
        self
    }

    /// Adds an observer of every decision of every layer: a [`Monitor`](crate::monitor::Monitor), or one of your own.
    /// May be given several times. Default: none.
    pub fn observe(mut self, observer: Arc<dyn Observe>) -> Self {
        self.code.observers.push(observer);
        self
    }

    /// Makes all randomness of the stack repeatable. Default: seeded by the operating system.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks every setting and builds the stack.
    ///
    /// # Errors
    ///
    /// The first setting that cannot work, with its name, value and bound.
    pub fn build(self) -> Result<Resilience, BuildError> {
        let Self {
            replay,
            degrade,
            fallback,
            backoff,
            bulkhead,
            breaker,
            commit,
            timeouts,
            code,
            seed,
        } = self;
        timeouts.check()?;
        replay.check()?;
        fallback.check()?;
        backoff.check()?;
        bulkhead.check()?;
        breaker.check()?;
        degrade.check()?;
        let deadline = replay.deadline();
        // Of an empty request: what a body or `max_tokens` adds to these, the deadline cuts.
        for (field, timeout) in [
            ("timeouts.first_event", timeouts.first_event(0)),
            ("timeouts.answer", timeouts.answer(0, None)),
        ] {
            if timeout > deadline {
                return Err(BuildError::new(
                    field,
                    format!("{timeout:?}"),
                    format!("at most the deadline, {deadline:?}"),
                ));
            }
        }
        let models = fallback.models();
        let mut stack = Resilience {
            replay,
            degrade,
            fallback: fallback.in_stack(),
            backoff: backoff.in_stack(),
            bulkhead: bulkhead.with_pinned_models(models.iter().cloned()),
            breaker: breaker.with_pinned_models(models).with_timeouts(timeouts),
            commit: commit.with_timeouts(timeouts),
            code,
        };
        stack.commit.check()?;
        if let Some(classifier) = stack.code.classifier.clone() {
            stack.commit = stack.commit.with_classify(classifier);
        }
        if let Some(seed) = seed {
            // A stream of randomness each, so that one layer's draws do not shift another's.
            stack.backoff = stack.backoff.with_seed(seed);
            stack.breaker = stack.breaker.with_seed(seed.wrapping_add(1));
        }
        for observer in stack.code.observers.clone() {
            stack.replay = stack.replay.with_observer(observer.clone());
            stack.degrade = stack.degrade.with_observer(observer.clone());
            stack.fallback = stack.fallback.with_observer(observer.clone());
            stack.backoff = stack.backoff.with_observer(observer.clone());
            stack.bulkhead = stack.bulkhead.with_observer(observer.clone());
            stack.breaker = stack.breaker.with_observer(observer.clone());
            stack.commit = stack.commit.with_observer(observer);
        }
        Ok(stack)
    }
}

/// Neither observers nor classifiers have to be worth a look.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code")
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResilienceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilienceBuilder")
            .field("fallback", &self.fallback)
            .field("backoff", &self.backoff)
            .field("bulkhead", &self.bulkhead)
            .field("breaker", &self.breaker)
            .field("degrade", &self.degrade)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
