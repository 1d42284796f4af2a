//! The compartments of one feature: one per model, in a map that outside input cannot grow.

use crate::{
    call::Feature,
    sync::{Mutex, lock},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{queue::Queue, settings::Compartment};

/// Compartments per feature for models that no chain names. Real traffic knows a dozen models.
pub(super) const MAX_MODELS: usize = 256;
/// Longer than any model's name; keeps the map small in bytes too.
pub(super) const MAX_NAME: usize = 256;
/// The name of the compartment that the models without one of their own share.
pub(super) const OTHER_MODELS: &str = "*";

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Floor {
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
    pub(super) fn new(settings: Compartment, pinned: Arc<HashSet<Arc<str>>>) -> Arc<Self> {
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

    /// The compartment of a model.
    pub(super) fn queue(&self, model: &Arc<str>) -> Arc<Queue> {
        let queue = lock(&self.state).queue(model);
        queue.unwrap_or_else(|| self.others.clone())
    }

    /// How long a call waits for a seat.
    pub(super) fn wait(&self) -> Duration {
        lock(&self.state).settings.wait()
    }

    pub(super) fn resize(&self, limit: usize) {
        self.change(|state| state.settings = state.settings.with_limit(limit));
    }

    pub(super) fn reconfigure(&self, settings: Compartment, pinned: Arc<HashSet<Arc<str>>>) {
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

    pub(super) fn snapshot(&self, feature: &Feature, into: &mut Vec<CompartmentSnapshot>) {
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
    /// one, and a wing where it is or was pinned; only this map under its lock hands out new holds: a count of one stays one.
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
