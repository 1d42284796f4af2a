//! Which compartment a call belongs to: one per feature and model.

use crate::{
    call::{Call, Feature},
    pinned::Pinned,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    floor::{CompartmentSnapshot, Floor},
    queue::Queue,
    settings::Compartment,
};

/// All compartments of a layer.
#[derive(Debug)]
pub(super) struct Rooms {
    features: BTreeMap<Feature, Wing>,
    default: Wing,
    default_feature: Feature,
    no_model: Arc<str>,
    unknown: Arc<AtomicU64>,
}

/// What a call is told of where it belongs.
pub(super) struct Room<'a> {
    pub(super) queue: Cow<'a, Arc<Queue>>,
    floor: &'a Floor,
    /// False: the call named a feature that has no compartment.
    pub(super) known: bool,
}

impl Room<'_> {
    /// How long a call waits for a seat.
    pub(super) fn wait(&self) -> Duration {
        self.floor.wait()
    }
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
                .map(|(name, settings)| (name.clone(), Wing::new(*settings, pinned)))
                .collect(),
            default: Wing::new(default, pinned),
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
        rooms.default.adopt(&old.default, default, pinned);
        for (feature, wing) in &mut rooms.features {
            if let (Some(kept), Some(settings)) = (old.features.get(feature), features.get(feature))
            {
                wing.adopt(kept, *settings, pinned);
            }
        }
        rooms
    }

    /// The compartment of a call; counts the call where its feature has none.
    pub(super) fn room(&self, feature: &Feature, model: &Arc<str>) -> Room<'_> {
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
        let Wing { floor, pinned } = named.unwrap_or(&self.default);
        let find = || floor.queue(model);
        let queue = match pinned.get(model, find) {
            Some(queue) => Cow::Borrowed(queue),
            None => Cow::Owned(find()),
        };
        Room {
            queue,
            floor,
            known,
        }
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
        let Some(wing) = named.or(default) else {
            return false;
        };
        wing.floor.resize(limit);
        true
    }

    pub(super) fn snapshot(&self) -> Vec<CompartmentSnapshot> {
        let default = (&self.default_feature, &self.default);
        let mut all = Vec::new();
        for (feature, wing) in self.features.iter().chain([default]) {
            wing.floor.snapshot(feature, &mut all);
        }
        all
    }
}

/// The compartments of one feature, and at hand those of the pinned models.
#[derive(Debug)]
struct Wing {
    floor: Arc<Floor>,
    pinned: Pinned<Arc<Queue>>,
}

impl Wing {
    fn new(settings: Compartment, pinned: &Arc<HashSet<Arc<str>>>) -> Self {
        Self {
            floor: Floor::new(settings, pinned.clone()),
            pinned: Pinned::new(&**pinned),
        }
    }

    /// Goes on with the compartments of another one, by its own settings.
    fn adopt(&mut self, old: &Self, settings: Compartment, pinned: &Arc<HashSet<Arc<str>>>) {
        self.floor = old.floor.clone();
        self.floor.reconfigure(settings, pinned.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::floor::{MAX_MODELS, MAX_NAME, OTHER_MODELS},
        *,
    };

    fn rooms(pinned: &[String]) -> Rooms {
        let features = [(Feature::new("chat"), Compartment::new(2))].into();
        let pinned = pinned.iter().map(|model| model.as_str().into()).collect();
        Rooms::new(&features, Compartment::new(1), &Arc::new(pinned))
    }

    fn queue(rooms: &Rooms, model: &str) -> Arc<Queue> {
        rooms.room(&"chat".into(), &model.into()).queue.into_owned()
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
