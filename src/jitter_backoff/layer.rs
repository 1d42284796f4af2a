//! The layer and its settings.

use super::{
    accounts::{Accounts, BudgetSnapshot},
    budget::RetryBudget,
    policy::{Jitter, Policy},
    service::JitterBackoff,
};
use crate::{
    error::BuildError,
    event::{Observe, Observers},
    kept::Between,
    rng::SharedRng,
    spare::Spare,
};
use std::{num::NonZeroU8, sync::Arc, time::Duration};
use tokio::time::Instant;
use tower_layer::Layer;

/// Tries failed calls again, after a wait. See the [module docs](super).
///
/// Owns the random source and the budget: all services it makes, and their clones, share them.
#[derive(Debug, Clone)]
pub struct JitterBackoffLayer {
    policy: Policy,
    accounts: Option<Arc<Accounts>>,
    rng: SharedRng,
    observers: Observers,
    between: Between,
    off: bool,
}

/// What the services of a layer share.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) spare: Spare<S>,
    pub(super) policy: Policy,
    pub(super) accounts: Option<Arc<Accounts>>,
    pub(super) rng: SharedRng,
    pub(super) observers: Observers,
    pub(super) between: Between,
}

impl Default for JitterBackoffLayer {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            accounts: Some(Arc::new(Accounts::new(RetryBudget::new()))),
            rng: SharedRng::from_os(),
            observers: Observers::default(),
            between: Between::default(),
            off: false,
        }
    }
}

impl JitterBackoffLayer {
    /// The defaults: 5 attempts, 2 where another model waits, 1 s · 2ⁿ up to 30 s, ± 25 %, a budget of 20 %.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the accounts of another layer, which go on by the budget of this one.
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        if let (Some(new), Some(kept)) = (&mut self.accounts, &old.accounts) {
            kept.reconfigure(new.budget(), Instant::now());
            *new = Arc::clone(kept);
        }
        self
    }

    /// As a layer of a stack, where nothing stands between.
    pub(crate) fn in_stack(self) -> Self {
        Self {
            between: Between::Stack,
            ..self
        }
    }

    /// Passes every call through.
    pub(crate) fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// Attempts at the last model of a chain, or at the only one, with the first. Default 5.
    #[must_use]
    pub fn with_attempts(mut self, attempts: NonZeroU8) -> Self {
        self.policy.attempts = attempts;
        self
    }

    /// Attempts at a model while another one of the chain could be asked, with the first. Default 2.
    #[must_use]
    pub fn with_attempts_before_fallback(mut self, attempts: NonZeroU8) -> Self {
        self.policy.attempts_before_fallback = attempts;
        self
    }

    /// The delay before the first retry; it doubles with each. Default 1 s; longer than 0 and at most the cap.
    #[must_use]
    pub fn with_base(mut self, base: Duration) -> Self {
        self.policy.base = base;
        self
    }

    /// The longest wait, computed or asked for by `retry-after`. Default 30 s.
    #[must_use]
    pub fn with_cap(mut self, cap: Duration) -> Self {
        self.policy.cap = cap;
        self
    }

    /// The longest wait while another model could be asked. Default 2 s; the cap bounds it too.
    #[must_use]
    pub fn with_wait_before_fallback(mut self, wait: Duration) -> Self {
        self.policy.wait_before_fallback = wait;
        self
    }

    /// The spread of the computed delays. Default ± 25 %.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.policy.jitter = jitter;
        self
    }

    /// The retry budget of each feature and model. Default 20 % of its calls and a reserve of 10, refilled at 1/s.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.accounts = Some(Arc::new(Accounts::new(budget)));
        self
    }

    /// No budget. In an outage the load upstream is then that of the calls times their attempts.
    #[must_use]
    pub fn without_budget(mut self) -> Self {
        self.accounts = None;
        self
    }

    /// Makes the delays repeatable. Default: seeded by the operating system.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = SharedRng::seeded(seed);
        self
    }

    /// Adds an observer of [`Retrying`](crate::Event::Retrying) and [`NotRetried`](crate::Event::NotRetried).
    /// Default: none.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The retry budgets that calls have used so far, by feature and model. Without a budget: none.
    pub fn budgets(&self) -> Vec<BudgetSnapshot> {
        let accounts = self.accounts.as_ref();
        accounts.map_or_else(Vec::new, |accounts| accounts.snapshot(Instant::now()))
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.policy.check()
    }
}

impl<S: Clone> Layer<S> for JitterBackoffLayer {
    type Service = JitterBackoff<S>;

    fn layer(&self, inner: S) -> JitterBackoff<S> {
        let shared = (!self.off).then(|| {
            Arc::new(Shared {
                spare: Spare::of(&inner),
                policy: self.policy,
                accounts: self.accounts.clone(),
                rng: self.rng.clone(),
                observers: self.observers.clone(),
                between: self.between,
            })
        });
        JitterBackoff::new(inner, shared)
    }
}
