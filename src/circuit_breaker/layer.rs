//! The layer, which is its own builder.

use super::{
    handle::CircuitHandle,
    policy::Policy,
    rules::{Rules, RunRule, ShareRule},
    service::CircuitBreaker,
    shared::Shared,
};
use crate::{error::BuildError, event::Observe, rng::SharedRng, timeouts::Timeouts};
use std::{
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use tower_layer::Layer;

/// Breaks the circuit of a model that does not answer. See the [module docs](super).
///
/// The layer owns the circuits: applied twice, or once per route, it gives services that share them. A second set is a
/// second layer value. Settings come first: a circuit goes by the rules of the service that first called its model.
#[derive(Debug, Clone, Default)]
pub struct CircuitBreakerLayer {
    pub(super) shared: Shared,
    off: bool,
}

impl CircuitBreakerLayer {
    /// With the defaults of the [module docs](super).
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer that does nothing, of the same type.
    pub(crate) fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// With the circuits and cool-downs of another layer, which go on by the settings of this one.
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        if !self.off && !old.off {
            self.shared.circuits = Arc::clone(&old.shared.circuits);
            self.shared.cooldowns = Arc::clone(&old.shared.cooldowns);
            self.shared.circuits.reconfigure(&self.shared.policy);
        }
        self
    }

    /// Finds settings that cannot work.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.off {
            return Ok(());
        }
        self.shared.policy.check()
    }

    /// The operator's hand on the circuits. Take it after the settings: it tells those observers that the layer has now.
    pub fn handle(&self) -> CircuitHandle {
        CircuitHandle::new(Arc::new(self.shared.clone()))
    }

    /// Consecutive failures that open a circuit. Default 5, at most 1,000. In a row are those of calls that started after
    /// the last-started one that was answered: a late answer from before an outage ends no row, and a timeout is in none
    /// where a call that started after it was answered. They open nothing while the row is younger than
    /// [`with_consecutive_span`](Self::with_consecutive_span): a test that fails at once and often sets that to zero.
    #[must_use]
    pub fn with_consecutive(self, failures: NonZeroU32) -> Self {
        self.rules(|rules| rules.consecutive.limit = failures.get())
    }

    /// The time within which they must come. Default 60 s.
    #[must_use]
    pub fn with_consecutive_within(self, within: Duration) -> Self {
        self.rules(|rules| rules.consecutive.within = within)
    }

    /// How old the row must be, so that at a high rate of calls a few failures among many successes under way are no
    /// outage. Default 2 s; zero opens at the last of the consecutive failures.
    #[must_use]
    pub fn with_consecutive_span(self, span: Duration) -> Self {
        self.rules(|rules| rules.consecutive.span = span)
    }

    /// Failures of one call, over all its attempts at one model, that count towards a row. Default 2: a call that always
    /// fails must not close a model for all others.
    #[must_use]
    pub fn with_failures_per_call(self, failures: NonZeroU8) -> Self {
        self.policy(|policy| policy.failures_per_call = failures.get())
    }

    /// The share of failures in the window that opens a circuit, in (0, 1], and the outcomes it takes to say so. Default
    /// 0.5 of 20.
    #[must_use]
    pub fn with_failure_rate(self, rate: f64, min: NonZeroU32) -> Self {
        let min = min.get();
        self.rules(|rules| rules.failure_rate = ShareRule { rate, min })
    }

    /// The length of the window. Default 60 s; kept in 60 buckets.
    #[must_use]
    pub fn with_window(self, window: Duration) -> Self {
        self.rules(|rules| rules.window = window)
    }

    /// Timeouts of ours in a row that open a circuit at low traffic, and the time within which they must
    /// come. Default 3 within 10 min; at most 1,000.
    #[must_use]
    pub fn with_own_timeouts(self, timeouts: NonZeroU32, within: Duration) -> Self {
        self.rules(|rules| {
            rules.timeouts = RunRule {
                limit: timeouts.get(),
                within,
                ..rules.timeouts
            };
        })
    }

    /// The share of slow answers in the window that opens a circuit, in (0, 1], and the outcomes it takes to say so. An
    /// answer is slow when its commit took longer than `threshold`, be it good or bad. A window of 10 s to 30 s finds a
    /// brown-out sooner than the default one of 60 s. Default: off.
    #[must_use]
    pub fn with_slow_calls(self, threshold: Duration, rate: f64, min: NonZeroU32) -> Self {
        let min = min.get();
        self.rules(|rules| rules.slow = Some((threshold, ShareRule { rate, min })))
    }

    /// How long a circuit stays open at first. Default 60 s.
    #[must_use]
    pub fn with_cooldown(self, cooldown: Duration) -> Self {
        self.rules(|rules| rules.cooldown = cooldown)
    }

    /// What each failed probe multiplies the cool-down by. Default 1.5, at least 1.
    #[must_use]
    pub fn with_cooldown_factor(self, factor: f64) -> Self {
        self.rules(|rules| rules.cooldown_factor = factor)
    }

    /// What the cool-down grows to, before its jitter. Default 5 min, at least the cool-down.
    #[must_use]
    pub fn with_max_cooldown(self, max: Duration) -> Self {
        self.rules(|rules| rules.max_cooldown = max)
    }

    /// The most that is added to a cool-down by chance, as a share of it in [0, 1]. Default 0.2. Never shortens it.
    #[must_use]
    pub fn with_cooldown_jitter(self, jitter: f64) -> Self {
        self.rules(|rules| rules.cooldown_jitter = jitter)
    }

    /// Calls that a half-open circuit lets through, and successes it takes to close. Default 1.
    #[must_use]
    pub fn with_probes(self, probes: NonZeroU32) -> Self {
        self.rules(|rules| rules.probes = probes.get())
    }

    /// How long a probe may go without a verdict before the circuit opens again. Default 30 s, or the time the call has
    /// by [`with_timeouts`](Self::with_timeouts) where that is longer.
    #[must_use]
    pub fn with_probe_timeout(self, timeout: Duration) -> Self {
        self.rules(|rules| rules.probe_timeout = timeout)
    }

    /// The time after closing in which the load comes back: 10 %, 25 %, 50 % of the calls that have another model, a
    /// third of the time each. Default 30 s; zero: all at once.
    #[must_use]
    pub fn with_ramp(self, ramp: Duration) -> Self {
        self.rules(|rules| rules.ramp = ramp)
    }

    /// The timeouts that [`Commit`](crate::commit) goes by further in: a caller who leaves after more than half of them
    /// was kept waiting. Default [`Timeouts::default`].
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        self.policy(|policy| policy.timeouts = timeouts)
    }

    /// Adds models whose circuits are always kept: those that chains name. Default none.
    #[must_use]
    pub fn with_pinned_models<M>(self, models: impl IntoIterator<Item = M>) -> Self
    where
        M: Into<Arc<str>>,
    {
        self.policy(|policy| policy.pinned.extend(models.into_iter().map(Into::into)))
    }

    /// The most circuits of other models. Default 256; more models than that share one.
    #[must_use]
    pub fn with_max_models(self, max: NonZeroUsize) -> Self {
        self.policy(|policy| policy.max_models = max.get())
    }

    /// The longest that a 429 keeps a tenant from a model, whatever it asks for: after that one call asks again. Default
    /// 1 h.
    #[must_use]
    pub fn with_max_rate_limit_wait(self, max: Duration) -> Self {
        self.policy(|policy| policy.max_rate_limit = max)
    }

    /// How long a 404 for a model in a chain keeps a tenant from it. Default 10 min.
    #[must_use]
    pub fn with_model_gone_for(self, gone_for: Duration) -> Self {
        self.policy(|policy| policy.gone_for = gone_for)
    }

    /// The most pairs of tenant and model that are kept apart so at a time. Default 4,096; beyond, the one that ends
    /// soonest is forgotten.
    #[must_use]
    pub fn with_max_tenant_waits(self, max: NonZeroUsize) -> Self {
        self.policy(|policy| policy.max_waits = max.get())
    }

    /// Adds an observer of [`CircuitChanged`](crate::Event::CircuitChanged),
    /// [`KeptAway`](crate::Event::KeptAway) and [`CoolingDown`](crate::Event::CoolingDown). Default none.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observe>) -> Self {
        self.policy(|policy| policy.observers.push(observer))
    }

    /// Makes the jitter repeatable. Default: seeded by the operating system.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.shared.rng = SharedRng::seeded(seed);
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(Arc::make_mut(&mut self.shared.policy));
        self
    }

    fn rules(self, change: impl FnOnce(&mut Rules)) -> Self {
        self.policy(|policy| change(Arc::make_mut(&mut policy.rules)))
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        let shared = (!self.off).then(|| Arc::new(self.shared.for_calls()));
        CircuitBreaker::new(inner, shared)
    }
}
