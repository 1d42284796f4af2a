//! The operator's hand on the circuits.

use super::{circuit::Circuit, shared::Shared, state::CircuitState};
use crate::event::OpenReason;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Looks at the circuits of a breaker and sets them by hand. Clones are the same hand.
///
/// There is no way to half-open a circuit by hand: what a probe proves is worth more than a guess, and a
/// [`reset`](Self::reset) does what is usually meant.
///
/// ```
/// use tower_claude::circuit_breaker::{CircuitBreakerLayer, CircuitState};
///
/// let layer = CircuitBreakerLayer::new();
/// let circuits = layer.handle();
/// circuits.force_open("claude-opus-4-1");
/// assert_eq!(circuits.state("claude-opus-4-1"), CircuitState::ForcedOpen);
/// circuits.reset("claude-opus-4-1");
/// assert_eq!(circuits.state("claude-opus-4-1"), CircuitState::Closed);
/// ```
#[derive(Debug, Clone)]
pub struct CircuitHandle {
    shared: Arc<Shared>,
}

impl CircuitHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The state of a model's circuit. A model that was not called yet is closed. Calls without a
    /// [`Call`](crate::Call) share the circuit `default`.
    pub fn state(&self, model: &str) -> CircuitState {
        self.shared
            .circuits
            .find(model)
            .map_or(CircuitState::Closed, |circuit| circuit.state())
    }

    /// Turns away all calls to a model until it is reset, whatever its probes would say.
    pub fn force_open(&self, model: &str) {
        let (circuit, now) = self.pinned(model);
        if let Some(change) = circuit.force_open(now) {
            self.shared.tell_change(&circuit, change);
        }
    }

    /// Lets all calls to a model through and counts none, until it is reset. Cool-downs after a 429 still hold.
    pub fn disable(&self, model: &str) {
        let (circuit, now) = self.pinned(model);
        if let Some(change) = circuit.disable(now) {
            self.shared.tell_change(&circuit, change);
        }
    }

    /// Starts afresh with a model: its circuit is closed at once, with nothing counted and no ramp, and the cool-downs of
    /// all tenants for it are forgotten. What calls under way report later is ignored.
    pub fn reset(&self, model: &str) {
        self.shared.cooldowns.forget(model);
        if let Some(circuit) = self.shared.circuits.find(model) {
            let change = circuit.reset(Instant::now());
            self.shared.tell_change(&circuit, change);
        }
    }

    /// All circuits, by name: those of the pinned models, and of models that were called lately.
    pub fn snapshot(&self) -> Vec<CircuitSnapshot> {
        let Shared {
            policy, circuits, ..
        } = &*self.shared;
        let now = Instant::now();
        for model in &policy.pinned {
            circuits.pin(model, policy, now);
        }
        let all = circuits.all();
        all.iter().map(|circuit| snapshot(circuit, now)).collect()
    }

    /// How many tenants wait for a model now, after a 429 or because it is gone; a tenant counts once per model.
    pub fn cooldowns(&self) -> usize {
        self.shared.cooldowns.count(Instant::now())
    }

    fn pinned(&self, model: &str) -> (Arc<Circuit>, Instant) {
        let Shared {
            policy, circuits, ..
        } = &*self.shared;
        let now = Instant::now();
        (circuits.pin(&model.into(), policy, now), now)
    }
}

/// A circuit at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CircuitSnapshot {
    /// The model; `default` for calls that name none, `(others)` for those that found the map of circuits full.
    pub model: Arc<str>,
    /// Its state.
    pub state: CircuitState,
    /// When it entered that state.
    pub since: Instant,
    /// Time to the first probe, while it is open. Zero: the next call is a probe.
    pub remaining: Option<Duration>,
    /// Successes in the window. Nothing is counted but in a closed circuit.
    pub successes: u32,
    /// Failures in the window.
    pub failures: u32,
    /// Of both, those over the slow-call threshold.
    pub slow: u32,
    /// Failures in a row, at most as many as would open it.
    pub consecutive: u32,
    /// Counts the openings, half-openings and words of the operator.
    pub generation: u64,
    /// What opened it last.
    pub last_reason: Option<OpenReason>,
}

fn snapshot(circuit: &Circuit, now: Instant) -> CircuitSnapshot {
    let reading = circuit.read(now);
    CircuitSnapshot {
        model: Arc::clone(circuit.model()),
        state: reading.state,
        since: reading.since,
        remaining: reading.remaining,
        successes: reading.counts.successes,
        failures: reading.counts.failures,
        slow: reading.counts.slow,
        consecutive: reading.in_a_row,
        generation: reading.generation,
        last_reason: reading.last_reason,
    }
}
