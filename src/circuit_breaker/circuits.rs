//! One circuit per model, in a map that outside input cannot fill.
//!
//! Model ids come with requests. Those that a chain names are pinned and never leave, so that services may hold on to
//! them; of the others the one that was used longest ago makes room, if no call is under way in it and it is closed, or
//! open and long since not asked for. Where there is none such, and for ids longer than any model's, all share one
//! circuit: a flood of invented ids can neither evict an open circuit nor grow the map.

use super::{circuit::Circuit, policy::Policy, rules::Rules};
use crate::{
    call::Feature,
    sync::{Mutex, lock},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// The circuit of calls that name no model.
pub(crate) const DEFAULT: &str = Feature::DEFAULT;
/// The circuit that is shared where the map is full.
pub(crate) const OTHERS: &str = "(others)";
/// The longest id in bytes that gets a circuit of its own. Model ids have about 30; Bedrock's and Vertex's, with their
/// prefixes, about 100.
const LONGEST_ID: usize = 256;

/// The circuits of a breaker. See the [module docs](self).
#[derive(Debug, Default)]
pub(crate) struct Circuits(Mutex<Map>);

#[derive(Debug, Default)]
struct Map {
    /// In order: a search among so few costs less than a hash that outside input cannot fool.
    models: BTreeMap<Arc<str>, Entry>,
    others: Option<Arc<Circuit>>,
    /// Those of the last [`reconfigure`](Circuits::reconfigure): they hold also for calls that began under older ones.
    rules: Option<Arc<Rules>>,
    /// Those in `models` that are not pinned.
    loose: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    circuit: Arc<Circuit>,
    pinned: bool,
    last_use: u64,
}

impl Circuits {
    /// The circuit of `model`, made if it has none.
    pub(crate) fn get(&self, model: &Arc<str>, policy: &Policy, now: Instant) -> Arc<Circuit> {
        let mut map = lock(&self.0);
        if let Some(circuit) = map.touch(model) {
            return circuit;
        }
        let pinned = policy.pinned.contains(model);
        if !pinned && (model.len() > LONGEST_ID || !map.make_room(policy.max_models, now)) {
            let rules = map.rules(policy);
            let new = || Circuit::new(OTHERS.into(), rules, now);
            let others = map.others.get_or_insert_with(|| Arc::new(new()));
            return Arc::clone(others);
        }
        map.insert(model, pinned, policy, now)
    }

    /// The circuit of `model`, made if it has none, however many there are: for names that do not come with calls.
    pub(crate) fn pin(&self, model: &Arc<str>, policy: &Policy, now: Instant) -> Arc<Circuit> {
        let mut map = lock(&self.0);
        map.touch(model)
            .unwrap_or_else(|| map.insert(model, true, policy, now))
    }

    /// Goes on by the rules and the pinned models of another policy.
    pub(crate) fn reconfigure(&self, policy: &Policy) {
        let mut map = lock(&self.0);
        map.rules = Some(Arc::clone(&policy.rules));
        let mut loose = 0;
        for (model, entry) in &mut map.models {
            entry.pinned = policy.pinned.contains(model);
            loose += usize::from(!entry.pinned);
            entry.circuit.reconfigure(Arc::clone(&policy.rules));
        }
        map.loose = loose;
        if let Some(others) = &map.others {
            others.reconfigure(Arc::clone(&policy.rules));
        }
    }

    /// The circuit of `model`, if it has one.
    pub(crate) fn find(&self, model: &str) -> Option<Arc<Circuit>> {
        let map = lock(&self.0);
        match map.models.get(model) {
            Some(entry) => Some(Arc::clone(&entry.circuit)),
            None => map.others.clone().filter(|_| model == OTHERS),
        }
    }

    /// All there are, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Circuit>> {
        let map = lock(&self.0);
        let models = map.models.values().map(|entry| &entry.circuit);
        let mut all: Vec<_> = models.chain(&map.others).map(Arc::clone).collect();
        drop(map);
        all.sort_by(|one, other| one.model().cmp(other.model()));
        all
    }
}

impl Map {
    fn rules(&self, policy: &Policy) -> Arc<Rules> {
        Arc::clone(self.rules.as_ref().unwrap_or(&policy.rules))
    }

    fn touch(&mut self, model: &str) -> Option<Arc<Circuit>> {
        self.uses += 1;
        let entry = self.models.get_mut(model)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.circuit))
    }

    fn insert(
        &mut self,
        model: &Arc<str>,
        pinned: bool,
        policy: &Policy,
        now: Instant,
    ) -> Arc<Circuit> {
        let rules = self.rules(policy);
        let circuit = Arc::new(Circuit::new(Arc::clone(model), rules, now));
        self.loose += usize::from(!pinned);
        let entry = Entry {
            circuit: Arc::clone(&circuit),
            pinned,
            last_use: self.uses,
        };
        self.models.insert(Arc::clone(model), entry);
        circuit
    }

    /// Makes room for one more that is not pinned; false where there is none.
    fn make_room(&mut self, max: usize, now: Instant) -> bool {
        if self.loose < max {
            return true;
        }
        let oldest = self
            .models
            .values()
            .filter(|entry| !entry.pinned && entry.is_idle(now))
            .min_by_key(|entry| entry.last_use)
            .map(|entry| Arc::clone(entry.circuit.model()));
        let made = oldest.is_some_and(|model| self.models.remove(&model).is_some());
        self.loose -= usize::from(made);
        made
    }
}

impl Entry {
    /// Held by nobody else, and nothing is lost with it: who holds none gets one under the lock of the map only.
    fn is_idle(&self, now: Instant) -> bool {
        Arc::strong_count(&self.circuit) == 1 && self.circuit.is_forgettable(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit_breaker::{
        evidence::Outcome,
        machine::{Admission, Ask},
        state::CircuitState,
    };
    use std::time::Duration;

    const FAILURE: Outcome = Outcome::Failure {
        slow: false,
        timeout: false,
        cut: false,
        in_run: true,
    };

    fn ask(now: Instant) -> Ask {
        Ask {
            now,
            jitter: 0.0,
            patience: Duration::ZERO,
            divertible: false,
        }
    }

    fn policy(max_models: usize) -> Policy {
        Policy {
            max_models,
            pinned: std::collections::HashSet::from(["sonnet".into()]),
            ..Policy::default()
        }
    }

    fn name(model: &str, circuits: &Circuits, policy: &Policy) -> Arc<str> {
        let circuit = circuits.get(&model.into(), policy, Instant::now());
        Arc::clone(circuit.model())
    }

    // Case 40.
    #[test]
    fn the_same_model_has_the_same_circuit_and_another_model_another() {
        let (circuits, policy) = (Circuits::default(), policy(8));
        let get = |model: &str| circuits.get(&model.into(), &policy, Instant::now());
        assert!(Arc::ptr_eq(&get("haiku"), &get("haiku")));
        assert!(!Arc::ptr_eq(&get("haiku"), &get("opus")));
    }

    #[test]
    fn the_one_used_longest_ago_makes_room_and_a_pinned_one_never_does() {
        let (circuits, policy) = (Circuits::default(), policy(2));
        for model in ["sonnet", "a", "b", "a", "c"] {
            assert_eq!(&*name(model, &circuits, &policy), model);
        }
        assert!(circuits.find("b").is_none());
        for model in ["sonnet", "a", "c"] {
            assert!(circuits.find(model).is_some(), "{model}");
        }
    }

    #[test]
    fn open_circuits_and_those_in_use_stay_and_the_rest_share_one() {
        let (circuits, policy) = (Circuits::default(), policy(2));
        let now = Instant::now();
        circuits.get(&"open".into(), &policy, now).force_open(now);
        let _in_use = circuits.get(&"busy".into(), &policy, now);
        for invented in 0..1_000 {
            let model = format!("invented-{invented}");
            assert_eq!(&*name(&model, &circuits, &policy), OTHERS);
        }
        assert_eq!(circuits.all().len(), 3);
        assert_eq!(&*name("sonnet", &circuits, &policy), "sonnet");
    }

    /// Or each outage would take the places of models that are never asked for again.
    #[test]
    fn an_open_circuit_makes_room_once_nobody_has_asked_for_it_for_long() {
        let (circuits, policy) = (Circuits::default(), policy(1));
        let now = Instant::now();
        let old = circuits.get(&"old".into(), &policy, now);
        for second in 0..5 {
            let at = now + Duration::from_secs(second);
            let (admission, _) = old.admit(&ask(at));
            let Admission::Pass(pass) = admission else {
                panic!("{admission:?}")
            };
            old.record(pass, FAILURE, at, || 0.0);
        }
        assert_eq!(old.state(), CircuitState::Open);
        drop(old);
        let opened = now + Duration::from_secs(4);
        for (seconds, name) in [(60 + 300, OTHERS), (60 + 301, "new")] {
            let later = opened + Duration::from_secs(seconds);
            let circuit = circuits.get(&"new".into(), &policy, later);
            assert_eq!(&**circuit.model(), name, "after {seconds} s");
        }
    }

    #[test]
    fn an_id_longer_than_any_models_shares_a_circuit() {
        let (circuits, policy) = (Circuits::default(), policy(8));
        assert_eq!(&*name(&"x".repeat(257), &circuits, &policy), OTHERS);
    }
}
