//! A retry budget: how many retries the calls of one feature to one model may cost.
//!
//! Retries answer a short fault. In an outage they only multiply the load, five attempts for each call, until the budget
//! says that it is one. An account earns a share of a retry with each call that reached the model, and holds a small
//! reserve, for a feature with few calls must be able to retry too.
//!
//! Everything is counted in millionths of a retry, so that no ratio is rounded. From that follows, for any run of
//! failures over a time `t` in seconds, without tolerance:
//!
//! ```text
//! attempts ≤ calls + calls · percent/100 + reserve + refill · t
//! ```
//!
//! where `calls` are those that reached the model: one that was kept from it, by a full compartment or an open circuit,
//! earns nothing.
//!
//! What calls earned is worth something for 30 to 60 s: a quiet night does not save up for a storm. A retry that
//! succeeds gives nothing back, else calls that always succeed at the second attempt would double the load for free. A
//! retry that never reached the model gives back what it took and no more.

use crate::sync::{Mutex, lock};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One retry, in the unit of an account.
const ONE: u64 = 1_000_000;

/// Savings are kept by the half minute in which they were earned, and dropped after the one that follows.
const SPAN: Duration = Duration::from_secs(30);

/// The numbers of a retry budget. See the [module docs](super#the-budget).
///
/// Every feature has, for every model, an account of its own: what one of them spends is never another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    percent: u32,
    reserve: u32,
    refill: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            reserve: 10,
            refill: 1,
        }
    }
}

impl RetryBudget {
    /// 20 % of the calls, and a reserve of 10 that refills at 1/s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Retries earned by 100 calls. Default 20; 0 leaves the reserve alone.
    #[must_use]
    pub fn with_percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Retries that are there before any call earned one. Default 10; 0 for none.
    #[must_use]
    pub fn with_reserve(mut self, reserve: u32) -> Self {
        self.reserve = reserve;
        self
    }

    /// Retries per second that fill the reserve up again. Default 1.
    #[must_use]
    pub fn with_refill(mut self, per_second: u32) -> Self {
        self.refill = per_second;
        self
    }

    fn earned_per_call(self) -> u64 {
        u64::from(self.percent) * (ONE / 100)
    }

    fn full_reserve(self) -> u64 {
        u64::from(self.reserve) * ONE
    }
}

/// The retries of one feature at one model.
#[derive(Debug)]
pub(super) struct Account {
    balance: Mutex<Balance>,
}

/// In millionths of a retry.
#[derive(Debug, Clone, Copy)]
struct Balance {
    budget: RetryBudget,
    /// Earned in this span.
    earned: u64,
    /// Earned in the span before.
    earned_before: u64,
    /// The end of the span.
    until: Instant,
    reserve: u64,
    refilled: Instant,
}

impl Balance {
    /// Begins another span where this one is over.
    fn turn(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        let is_next = now < self.until + SPAN;
        self.earned_before = if is_next { self.earned } else { 0 };
        self.earned = 0;
        self.until = if is_next { self.until } else { now } + SPAN;
    }

    /// Brings the account up to `now`. A `now` of another thread may be a little older than the last one.
    fn advance(&mut self, now: Instant) {
        self.turn(now);
        let since = now.saturating_duration_since(self.refilled);
        // A millionth per microsecond and unit of refill; what is left of a microsecond is not lost.
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let refill = micros.saturating_mul(u64::from(self.budget.refill));
        self.reserve = self
            .reserve
            .saturating_add(refill)
            .min(self.budget.full_reserve());
        self.refilled += Duration::from_micros(micros);
    }
}

impl Account {
    pub(super) fn new(budget: RetryBudget, now: Instant) -> Self {
        Self {
            balance: Mutex::new(Balance {
                budget,
                earned: 0,
                earned_before: 0,
                until: now + SPAN,
                reserve: budget.full_reserve(),
                refilled: now,
            }),
        }
    }

    /// Goes on by another budget: with what was earned. A larger reserve has the difference, a smaller one is cut.
    pub(super) fn reconfigure(&self, budget: RetryBudget, now: Instant) {
        let mut balance = lock(&self.balance);
        balance.advance(now);
        let more = budget
            .full_reserve()
            .saturating_sub(balance.budget.full_reserve());
        balance.reserve = balance.reserve.saturating_add(more);
        balance.budget = budget;
    }

    /// A call reached the model.
    pub(super) fn earn(&self, now: Instant) {
        let mut balance = lock(&self.balance);
        balance.turn(now);
        let earned = balance.budget.earned_per_call();
        balance.earned = balance.earned.saturating_add(earned);
    }

    /// Takes a retry, if there is one: of what was earned first, the oldest before the rest, for it expires.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Option<Token> {
        let mut balance = lock(&self.balance);
        balance.advance(now);
        let old = balance.earned_before.min(ONE);
        let new = balance.earned.min(ONE - old);
        let from_reserve = ONE - old - new;
        if from_reserve > balance.reserve {
            return None;
        }
        balance.earned_before -= old;
        balance.earned -= new;
        balance.reserve -= from_reserve;
        Some(Token {
            account: Arc::clone(self),
            from_reserve,
            spent: false,
        })
    }

    /// Retries that could be taken.
    #[expect(clippy::cast_precision_loss, reason = "budgets are far below 2⁵²")]
    pub(super) fn left(&self, now: Instant) -> f64 {
        let mut balance = lock(&self.balance);
        balance.advance(now);
        let earned = balance.earned.saturating_add(balance.earned_before);
        earned.saturating_add(balance.reserve) as f64 / ONE as f64
    }

    fn give_back(&self, from_reserve: u64) {
        let mut balance = lock(&self.balance);
        let reserve = balance.reserve.saturating_add(from_reserve);
        balance.reserve = reserve.min(balance.budget.full_reserve());
        balance.earned = balance.earned.saturating_add(ONE - from_reserve);
    }

    /// Whether this is as good as a new account: nothing is lost when it is dropped.
    pub(super) fn is_like_new(&self, now: Instant) -> bool {
        let mut balance = lock(&self.balance);
        balance.advance(now);
        balance.earned == 0
            && balance.earned_before == 0
            && balance.reserve == balance.budget.full_reserve()
    }
}

/// A retry taken from an account. Dropped before it is spent, it goes back.
#[derive(Debug)]
pub(super) struct Token {
    account: Arc<Account>,
    from_reserve: u64,
    spent: bool,
}

impl Token {
    /// The attempt begins.
    pub(super) fn spend(&mut self) {
        self.spent = true;
    }

    /// The attempt ended without reaching the model.
    pub(super) fn unspend(&mut self) {
        self.spent = false;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if !self.spent {
            self.account.give_back(self.from_reserve);
        }
    }
}

#[cfg(test)]
mod tests;
