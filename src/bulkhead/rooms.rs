//! Which compartment a call belongs to: one per feature and model, in a map that outside input cannot grow.

use crate::{
    call::{Call, Feature},
    sync::{Mutex, lock},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{queue::Queue, settings::Compartment};

/// Compartments per feature for models that no chain names. Real traffic knows a dozen models.
const MAX_MODELS: usize = 256;
/// Longer than any model's name; keeps the map small in bytes too.
const MAX_NAME: usize = 256;
/// The name of the compartment that the models without one of their own share.
pub(super) const OTHER_MODELS: &str = "*";

/// All compartments of a layer.
#[derive(Debug)]
pub(super) struct Rooms {
    features: BTreeMap<Feature, Arc<Floor>>,
    default: Arc<Floor>,
    default_feature: Feature,
    no_model: Arc<str>,
    unknown: Arc<AtomicU64>,
}

/// What a call is told of where it belongs.
pub(super) struct Room {
    pub(super) wait: Duration,
    pub(super) queue: Arc<Queue>,
    /// False: the call named a feature that has no compartment.
    pub(super) known: bool,
}

impl Rooms {
    pub(super) fn new(
        features: &BTreeMap<Feature, Compartment>,
        default: Compartment,
        pinned: &Arc<HashSet<Arc<str>>>,
    ) -> Self {
        Self {
            features: features
                .iter()
                .map(|(name, settings)| (name.clone(), Floor::new(*settings, pinned.clone())))
                .collect(),
            default: Floor::new(default, pinned.clone()),
            default_feature: Feature::default(),
            no_model: "".into(),
            unknown: Arc::default(),
        }
    }

    /// As [`new`](Self::new), with the compartments of `old` that are still wanted, resized: a call under way keeps its
    /// seat, and counts. Those of a feature that is gone end with the calls that have seats there.
    pub(super) fn adopting(
        features: &BTreeMap<Feature, Compartment>,
        default: Compartment,
        pinned: &Arc<HashSet<Arc<str>>>,
        old: &Self,
    ) -> Self {
        let mut rooms = Self::new(features, default, pinned);
        rooms.unknown = old.unknown.clone();
        rooms.default = old.default.clone();
        rooms.default.reconfigure(default, pinned.clone());
        for (feature, floor) in &mut rooms.features {
            if let (Some(kept), Some(settings)) = (old.features.get(feature), features.get(feature))
            {
                *floor = kept.clone();
                floor.reconfigure(*settings, pinned.clone());
            }
        }
        rooms
    }

    /// The compartment of a call; counts the call where its feature has none.
    pub(super) fn room(&self, feature: &Feature, model: &Arc<str>) -> Room {
        // Most calls name none, and need not be searched for.
        let is_default = feature.is_default();
        let named = if is_default {
            None
        } else {
            self.features.get(feature)
        };
        let known = named.is_some() || is_default;
        if !known {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        let floor = named.unwrap_or(&self.default);
        let (queue, wait) = floor.queue(model);
        Room { wait, queue, known }
    }

    /// The feature and the model of a call, as far as it has them: without a model it shares the compartment of all such
    /// calls of its feature.
    pub(super) fn names<'a>(&'a self, call: Option<&'a Call>) -> (&'a Feature, &'a Arc<str>) {
        let Some(call) = call else {
            return (&self.default_feature, &self.no_model);
        };
        (call.feature(), call.model().unwrap_or(&self.no_model))
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Sets the limit of a feature, for all its models. False: there is no such compartment.
    pub(super) fn resize(&self, feature: &str, limit: usize) -> bool {
        let named = self.features.get(feature);
        let default = (feature == Feature::DEFAULT).then_some(&self.default);
        let Some(floor) = named.or(default) else {
            return false;
        };
        floor.resize(limit);
        true
    }

    pub(super) fn snapshot(&self) -> Vec<CompartmentSnapshot> {
        let default = (&self.default_feature, &self.default);
        let mut all = Vec::new();
        for (feature, floor) in self.features.iter().chain([default]) {
            floor.snapshot(feature, &mut all);
        }
        all
    }
}

/// The compartments of one feature.
#[derive(Debug)]
struct Floor {
    state: Mutex<State>,
    /// For models that have no compartment of their own: all are busy and the map is full, or the name is too long.
    others: Arc<Queue>,
}

#[derive(Debug)]
struct State {
    /// As built, or as resized since.
    settings: Compartment,
    pinned: Arc<HashSet<Arc<str>>>,
    /// In order: a search among so few costs less than a hash that outside input cannot fool.
    models: BTreeMap<Arc<str>, Arc<Queue>>,
    /// Entries that may be given up for another model.
    unpinned: usize,
}

impl Floor {
    fn new(settings: Compartment, pinned: Arc<HashSet<Arc<str>>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                settings,
                pinned,
                models: BTreeMap::new(),
                unpinned: 0,
            }),
            others: Queue::new(settings.limit(), settings.queue()),
        })
    }

    /// The compartment of a model, and how long a call waits for a seat in it.
    fn queue(&self, model: &Arc<str>) -> (Arc<Queue>, Duration) {
        let mut state = lock(&self.state);
        let queue = state.queue(model).unwrap_or_else(|| self.others.clone());
        (queue, state.settings.wait())
    }

    fn resize(&self, limit: usize) {
        self.change(|state| state.settings = state.settings.with_limit(limit));
    }

    fn reconfigure(&self, settings: Compartment, pinned: Arc<HashSet<Arc<str>>>) {
        self.change(|state| {
            state.settings = settings;
            state.pinned = pinned;
            let unpinned = state
                .models
                .keys()
                .filter(|model| !state.pinned.contains(*model));
            state.unpinned = unpinned.count();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let queues: Vec<_> = {
            let mut state = lock(&self.state);
            change(&mut state);
            let queues = state
                .models
                .values()
                .chain([&self.others])
                .cloned()
                .collect();
            // Under the lock, so that two changes at once leave the same limit everywhere.
            for queue in &queues {
                let queue: &Arc<Queue> = queue;
                queue.set_limits(state.settings.limit(), state.settings.queue());
            }
            queues
        };
        for queue in queues {
            queue.settle();
        }
    }

    fn snapshot(&self, feature: &Feature, into: &mut Vec<CompartmentSnapshot>) {
        let (mut queues, wait): (Vec<_>, _) = {
            let state = lock(&self.state);
            let queues = state.models.iter();
            let queues = queues.map(|(model, queue)| (model.clone(), queue.clone()));
            (queues.collect(), state.settings.wait())
        };
        let others = self.others.counts();
        if others.in_flight + others.queued > 0 {
            queues.push((OTHER_MODELS.into(), self.others.clone()));
        }
        into.extend(queues.into_iter().map(|(model, queue)| {
            let counts = queue.counts();
            CompartmentSnapshot {
                feature: feature.clone(),
                model,
                limit: counts.limit,
                in_flight: counts.in_flight,
                queued: counts.queued,
                queue_limit: counts.queue_limit,
                wait,
            }
        }));
    }
}

impl State {
    /// `None`: the model has no compartment of its own.
    fn queue(&mut self, model: &Arc<str>) -> Option<Arc<Queue>> {
        if model.len() > MAX_NAME {
            return None;
        }
        if let Some(queue) = self.models.get(model) {
            return Some(queue.clone());
        }
        if !self.pinned.contains(model) {
            if self.unpinned >= MAX_MODELS && !self.evict() {
                return None;
            }
            self.unpinned += 1;
        }
        let queue = Queue::new(self.settings.limit(), self.settings.queue());
        self.models.insert(model.clone(), queue.clone());
        Some(queue)
    }

    /// Gives up a compartment that nobody holds a seat or a place in. Both hold the queue, as does a call on its way to
    /// one, and only this map under its lock hands out new holds: a count of one stays one.
    fn evict(&mut self) -> bool {
        let idle = self
            .models
            .iter()
            .find(|(model, queue)| Arc::strong_count(queue) == 1 && !self.pinned.contains(*model))
            .map(|(model, _)| model.clone());
        let Some(idle) = idle else { return false };
        self.models.remove(&idle);
        self.unpinned -= 1;
        true
    }
}

/// One compartment at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompartmentSnapshot {
    /// The feature it is for.
    pub feature: Feature,
    /// The model it is for. Empty for calls without one; `*` for the models that had to share one compartment.
    pub model: Arc<str>,
    /// Calls that may be in flight.
    pub limit: usize,
    /// Calls in flight, until the end of their body. More than the limit for a while after a shrink.
    pub in_flight: usize,
    /// Calls that wait.
    pub queued: usize,
    /// Calls that may wait.
    pub queue_limit: usize,
    /// How long a call may wait.
    pub wait: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(pinned: &[String]) -> Rooms {
        let features = [(Feature::new("chat"), Compartment::new(2))].into();
        let pinned = pinned.iter().map(|model| model.as_str().into()).collect();
        Rooms::new(&features, Compartment::new(1), &Arc::new(pinned))
    }

    fn queue(rooms: &Rooms, model: &str) -> Arc<Queue> {
        rooms.room(&"chat".into(), &model.into()).queue
    }

    #[test]
    fn invented_models_evict_idle_compartments_and_neither_busy_nor_pinned_ones() {
        // Of the idle ones the first by name is evicted, which would be these.
        let named: Vec<_> = (0..64).map(|n| format!("a-pinned-{n}")).collect();
        let rooms = rooms(&named);
        let pinned = || named.iter().map(|model| Arc::as_ptr(&queue(&rooms, model)));
        let before: Vec<_> = pinned().collect();
        let busy = queue(&rooms, "busy");
        let seat = busy.try_seat().unwrap();
        for n in 0..3 * MAX_MODELS {
            queue(&rooms, &format!("invented-{n}"));
        }
        assert_eq!(rooms.snapshot().len(), MAX_MODELS + named.len());
        assert!(Arc::ptr_eq(&busy, &queue(&rooms, "busy")));
        assert!(pinned().eq(before));
        drop(seat);
    }

    #[test]
    fn models_beyond_the_bound_share_one_compartment_while_all_others_are_busy() {
        let rooms = rooms(&[]);
        let seats: Vec<_> = (0..MAX_MODELS)
            .map(|n| queue(&rooms, &format!("model-{n}")).try_seat().unwrap())
            .collect();
        let (one, other) = (queue(&rooms, "one"), queue(&rooms, "other"));
        assert!(Arc::ptr_eq(&one, &other));
        let _held = one.try_seat().unwrap();
        assert_eq!(
            rooms.snapshot().last().unwrap().model.as_ref(),
            OTHER_MODELS
        );
        drop(seats);
        assert!(
            !Arc::ptr_eq(&queue(&rooms, "one"), &other),
            "a place is free again"
        );
        let long = "m".repeat(MAX_NAME + 1);
        assert!(Arc::ptr_eq(&queue(&rooms, &long), &other));
    }

    #[test]
    fn models_that_are_no_longer_pinned_count_among_those_that_may_be_evicted() {
        let old = rooms(&["once".to_owned(), "before".to_owned()]);
        // Would be the first to go.
        let always = queue(&old, "always");
        for model in ["once", "before"] {
            queue(&old, model);
        }
        let features = [(Feature::new("chat"), Compartment::new(2))].into();
        let pinned = Arc::new(HashSet::from(["always".into()]));
        let new = Rooms::adopting(&features, Compartment::new(1), &pinned, &old);
        for n in 0..3 * MAX_MODELS {
            queue(&new, &format!("invented-{n}"));
        }
        assert_eq!(new.snapshot().len(), MAX_MODELS + 1);
        assert!(Arc::ptr_eq(&always, &queue(&new, "always")));
    }

    #[test]
    fn a_model_first_seen_after_a_resize_has_the_new_limit() {
        let rooms = rooms(&[]);
        assert!(rooms.resize("chat", 7));
        let counts = queue(&rooms, "late").counts();
        assert_eq!((counts.limit, counts.queue_limit), (7, 14));
        assert!(!rooms.resize("nobody", 7));
    }
}
