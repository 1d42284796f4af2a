//! The accounts of a layer, one per feature and model, in a map of bounded size.

use super::budget::{Account, RetryBudget};
use crate::{
    call::Feature,
    sync::{Mutex, lock},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Features times models that a layer tells apart. Both may come from outside.
const MOST_ACCOUNTS: usize = 1024;

/// A full map is searched for accounts to drop at most this often: a flood of invented names must not cost a search each.
const SWEEP: Duration = Duration::from_secs(1);

/// What an account is for. No model: calls that are not Messages calls.
type Key = (Feature, Option<Arc<str>>);

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Accounts {
    map: Mutex<Map>,
}

#[derive(Debug)]
struct Map {
    budget: RetryBudget,
    /// In order: a search costs less than a hash that outside input cannot fool, and needs no key of its own.
    accounts: Vec<(Key, Arc<Account>)>,
    /// Shared by all that find no room.
    overflow: Option<Arc<Account>>,
    swept: Option<Instant>,
}

impl Map {
    /// Where the account of this feature and model stands, or would stand.
    fn place(&self, feature: &Feature, model: Option<&Arc<str>>) -> Result<usize, usize> {
        let key = (feature, model);
        self.accounts
            .binary_search_by(|((feature, model), _)| (feature, model.as_ref()).cmp(&key))
    }

    fn find(&self, feature: &Feature, model: Option<&Arc<str>>) -> Option<&Arc<Account>> {
        let at = self.place(feature, model).ok()?;
        self.accounts.get(at).map(|(_, account)| account)
    }

    /// Drops the accounts that nobody holds and that are as good as new.
    fn sweep(&mut self, now: Instant) {
        let due = self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP);
        if due {
            self.swept = Some(now);
            self.accounts
                .retain(|(_, account)| Arc::strong_count(account) > 1 || !account.is_like_new(now));
        }
    }
}

impl Accounts {
    pub(super) fn new(budget: RetryBudget) -> Self {
        Self {
            map: Mutex::new(Map {
                budget,
                accounts: Vec::new(),
                overflow: None,
                swept: None,
            }),
        }
    }

    pub(super) fn budget(&self) -> RetryBudget {
        lock(&self.map).budget
    }

    /// Goes on by another budget, with what is in the accounts.
    pub(super) fn reconfigure(&self, budget: RetryBudget, now: Instant) {
        let mut map = lock(&self.map);
        map.budget = budget;
        let accounts = map.accounts.iter().map(|(_, account)| account);
        for account in accounts.chain(&map.overflow) {
            account.reconfigure(budget, now);
        }
    }

    /// A call of this feature reached the model.
    pub(super) fn earn(&self, feature: &Feature, model: Option<&Arc<str>>, now: Instant) {
        let map = lock(&self.map);
        if let Some(account) = map.find(feature, model) {
            account.earn(now);
            return;
        }
        drop(map);
        self.of(feature, model, now).earn(now);
    }

    /// The account of this feature and model.
    pub(super) fn of(
        &self,
        feature: &Feature,
        model: Option<&Arc<str>>,
        now: Instant,
    ) -> Arc<Account> {
        let mut map = lock(&self.map);
        if let Some(account) = map.find(feature, model) {
            return Arc::clone(account);
        }
        if map.accounts.len() >= MOST_ACCOUNTS {
            map.sweep(now);
        }
        let full = map.accounts.len() >= MOST_ACCOUNTS;
        let account = match &map.overflow {
            Some(overflow) if full => return Arc::clone(overflow),
            _ => Arc::new(Account::new(map.budget, now)),
        };
        if full {
            map.overflow = Some(Arc::clone(&account));
        } else if let Err(at) = map.place(feature, model) {
            let key = (feature.clone(), model.cloned());
            map.accounts.insert(at, (key, Arc::clone(&account)));
        }
        account
    }

    /// Every account, by feature and model.
    pub(super) fn snapshot(&self, now: Instant) -> Vec<BudgetSnapshot> {
        let map = lock(&self.map);
        let accounts = map.accounts.iter();
        let accounts = accounts.map(|((feature, model), account)| BudgetSnapshot {
            feature: feature.clone(),
            model: model.clone(),
            left: account.left(now),
        });
        accounts.collect()
    }
}

/// A retry budget at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BudgetSnapshot {
    /// The feature whose calls it is for.
    pub feature: Feature,
    /// The model it is for; `None` for calls that are not Messages calls.
    pub model: Option<Arc<str>>,
    /// Retries that could be made now, and the part of one that was earned towards the next.
    pub left: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accounts: &Accounts, model: &str, now: Instant) -> Arc<Account> {
        accounts.of(&Feature::default(), Some(&model.into()), now)
    }

    #[test]
    fn a_flood_of_invented_models_shares_one_account_and_evicts_none_in_use() {
        let accounts = Accounts::new(RetryBudget::new());
        let start = Instant::now();
        let real = of(&accounts, "real", start);
        real.take(start).unwrap().spend();
        for invented in 0..MOST_ACCOUNTS {
            of(&accounts, &format!("invented-{invented}"), start)
                .take(start)
                .unwrap()
                .spend();
        }
        let overflow = of(&accounts, "one more", start);
        assert!(Arc::ptr_eq(
            &overflow,
            &of(&accounts, "and one more", start)
        ));
        assert!(Arc::ptr_eq(&real, &of(&accounts, "real", start)));
        assert_eq!(lock(&accounts.map).accounts.len(), MOST_ACCOUNTS);
    }

    #[test]
    fn an_account_that_is_as_good_as_new_makes_room_for_another() {
        let accounts = Accounts::new(RetryBudget::new());
        let start = Instant::now();
        for model in 0..MOST_ACCOUNTS {
            of(&accounts, &format!("model-{model}"), start)
                .take(start)
                .unwrap()
                .spend();
        }
        let held = of(&accounts, "model-0", start);
        let later = start + Duration::from_secs(60);
        of(&accounts, "new", later);
        assert_eq!(
            lock(&accounts.map).accounts.len(),
            2,
            "the new one and the one that is held"
        );
        assert!(Arc::ptr_eq(&held, &of(&accounts, "model-0", later)));
    }
}
