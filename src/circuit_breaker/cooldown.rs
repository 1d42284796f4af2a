//! Models that one tenant must not call for a while: after a 429 that says how long, and after a 404 for the model.
//!
//! Keyed by tenant and model, since one tenant's quota or access is no outage of another's. Bounded: what has passed
//! makes room first, then what ends soonest.

use crate::{
    call::Tenant,
    classify::FailureKind,
    sync::{Mutex, lock},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

type Key = (Tenant, Arc<str>);

/// The waits of all tenants. See the [module docs](self).
#[derive(Debug, Default)]
pub(crate) struct Cooldowns {
    waits: Mutex<HashMap<Key, Wait>>,
    /// Whether there may be any: mostly there is none, and no call need take the lock to learn that. Written under it; a call
    /// that reads it as a wait is added may come first, as it might to the lock.
    any: AtomicBool,
}

/// Not before this time, because of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Instant,
    /// [`RateLimited`](FailureKind::RateLimited) or [`ModelGone`](FailureKind::ModelGone).
    pub(crate) kind: FailureKind,
}

impl Cooldowns {
    /// What this tenant has still to wait for, if anything.
    pub(crate) fn find(&self, tenant: Tenant, model: &Arc<str>, now: Instant) -> Option<Wait> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut waits = lock(&self.waits);
        let key = (tenant, Arc::clone(model));
        let wait = *waits.get(&key)?;
        if wait.until <= now {
            // With those of others who do not ask again.
            waits.retain(|_, wait| wait.until > now);
            self.any.store(!waits.is_empty(), Ordering::Relaxed);
            return None;
        }
        Some(wait)
    }

    /// Adds a wait, or lengthens one; true where there was none. A wait is never shortened: whichever answer asks for
    /// longer is right.
    pub(crate) fn add(
        &self,
        tenant: Tenant,
        model: &Arc<str>,
        wait: Wait,
        now: Instant,
        max: usize,
    ) -> bool {
        let mut waits = lock(&self.waits);
        let key = (tenant, Arc::clone(model));
        let active = waits.get(&key).filter(|old| old.until > now).copied();
        if let Some(old) = active {
            if wait.until > old.until {
                waits.insert(key, wait);
            }
            return false;
        }
        if waits.len() >= max && !waits.contains_key(&key) {
            make_room(&mut waits, now, max);
        }
        waits.insert(key, wait);
        self.any.store(true, Ordering::Relaxed);
        true
    }

    /// Forgets the waits of all tenants for a model.
    pub(crate) fn forget(&self, model: &str) {
        let mut waits = lock(&self.waits);
        waits.retain(|(_, of), _| **of != *model);
        self.any.store(!waits.is_empty(), Ordering::Relaxed);
    }

    /// Waits that have not passed.
    pub(crate) fn count(&self, now: Instant) -> usize {
        let waits = lock(&self.waits);
        waits.values().filter(|wait| wait.until > now).count()
    }
}

fn make_room(waits: &mut HashMap<Key, Wait>, now: Instant, max: usize) {
    waits.retain(|_, wait| wait.until > now);
    if waits.len() < max {
        return;
    }
    let soonest = waits
        .iter()
        .min_by_key(|(_, wait)| wait.until)
        .map(|(key, _)| key.clone());
    if let Some(key) = soonest {
        waits.remove(&key);
    }
}

/// How much longer than the rest of a wait a caller is told to stay away, so that those who wait do not come back in one
/// instant: up to a quarter of it, at least a tenth of a second and at most two; `jitter` in `[0, 1)`.
pub(crate) fn spread(rest: Duration, jitter: f64) -> Duration {
    let most = (rest / 4).clamp(Duration::from_millis(100), Duration::from_secs(2));
    most.mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(now: Instant, seconds: u64) -> Wait {
        Wait {
            until: now + Duration::from_secs(seconds),
            kind: FailureKind::RateLimited,
        }
    }

    #[test]
    fn a_wait_is_one_tenants_for_one_model_until_it_has_passed() {
        let (waits, now, model) = (Cooldowns::default(), Instant::now(), "sonnet".into());
        let (mine, other) = (Tenant::new("mine"), Tenant::new("other"));
        assert!(waits.add(mine, &model, wait(now, 12), now, 8));
        assert_eq!(waits.find(other, &model, now), None);
        assert_eq!(waits.find(mine, &"haiku".into(), now), None);
        let at = |millis| now + Duration::from_millis(millis);
        assert!(waits.find(mine, &model, at(11_999)).is_some());
        assert_eq!(waits.find(mine, &model, at(12_000)), None);
    }

    /// Whether there are any is known without a look: the end of one must not hide the others.
    #[test]
    fn a_wait_outlives_the_end_of_others() {
        let (waits, now, model) = (Cooldowns::default(), Instant::now(), "sonnet".into());
        let (short, long) = (Tenant::new("short"), Tenant::new("long"));
        waits.add(short, &model, wait(now, 1), now, 8);
        waits.add(long, &model, wait(now, 12), now, 8);
        let later = now + Duration::from_secs(2);
        assert_eq!(waits.find(short, &model, later), None);
        assert_eq!(waits.find(long, &model, later), Some(wait(now, 12)));
        waits.add(long, &"haiku".into(), wait(now, 12), now, 8);
        waits.forget("haiku");
        assert_eq!(waits.find(long, &model, later), Some(wait(now, 12)));
    }

    #[test]
    fn a_wait_is_lengthened_but_never_shortened_and_new_only_once() {
        let (waits, now, model) = (Cooldowns::default(), Instant::now(), "sonnet".into());
        let tenant = Tenant::default();
        assert!(waits.add(tenant, &model, wait(now, 12), now, 8));
        assert!(!waits.add(tenant, &model, wait(now, 3), now, 8));
        assert_eq!(waits.find(tenant, &model, now), Some(wait(now, 12)));
        assert!(!waits.add(tenant, &model, wait(now, 20), now, 8));
        assert_eq!(waits.find(tenant, &model, now), Some(wait(now, 20)));
    }

    #[test]
    fn a_full_map_drops_what_has_passed_and_then_what_ends_soonest() {
        let (waits, now, model) = (Cooldowns::default(), Instant::now(), "sonnet".into());
        let tenant = |name: u64| Tenant::new(name.to_be_bytes());
        for seconds in 1..=8 {
            waits.add(tenant(seconds), &model, wait(now, seconds), now, 8);
        }
        let later = now + Duration::from_secs(2);
        waits.add(tenant(9), &model, wait(now, 9), later, 8);
        assert_eq!(waits.count(later), 7, "two had passed");
        for seconds in 10..=100 {
            waits.add(tenant(seconds), &model, wait(now, seconds), later, 8);
        }
        assert_eq!(waits.count(later), 8);
        assert!(waits.find(tenant(3), &model, later).is_none());
        assert!(waits.find(tenant(100), &model, later).is_some());
    }

    #[test]
    fn waiters_are_spread_by_at_most_two_seconds() {
        for (rest, most) in [(0, 0.1), (4, 1.0), (3_600, 2.0)] {
            let rest = Duration::from_secs(rest);
            assert_eq!(spread(rest, 0.0), Duration::ZERO);
            assert!(spread(rest, 0.99).as_secs_f64() < most);
            assert!(spread(rest, 0.99).as_secs_f64() > most * 0.9);
        }
    }
}
