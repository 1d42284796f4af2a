//! A machine behind its lock.
//!
//! Changes are returned, not told: observers are called by whoever holds no lock.

use super::{
    evidence::Outcome,
    machine::{Admission, Ask, Machine, Pass},
    rules::Rules,
    state::{CircuitState, Reading},
};
use crate::{
    event::CircuitChange,
    sync::{Mutex, lock},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The circuit of a model.
#[derive(Debug)]
pub(crate) struct Circuit {
    model: Arc<str>,
    machine: Mutex<Machine>,
}

impl Circuit {
    pub(crate) fn new(model: Arc<str>, rules: Arc<Rules>, now: Instant) -> Self {
        Self {
            model,
            machine: Mutex::new(Machine::new(rules, now)),
        }
    }

    pub(crate) fn model(&self) -> &Arc<str> {
        &self.model
    }

    pub(crate) fn reconfigure(&self, rules: Arc<Rules>) {
        lock(&self.machine).reconfigure(rules);
    }

    pub(crate) fn pass(&self, divertible: bool) -> Option<Pass> {
        lock(&self.machine).pass(divertible)
    }

    pub(crate) fn admit(&self, ask: &Ask) -> (Admission, [Option<CircuitChange>; 2]) {
        lock(&self.machine).admit(ask)
    }

    pub(crate) fn commit(
        &self,
        pass: &Pass,
        slow: bool,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> Option<CircuitChange> {
        lock(&self.machine).commit(pass, slow, now, jitter)
    }

    /// Also how long the circuit is open from `now`, if it is.
    pub(crate) fn record(
        &self,
        pass: Pass,
        outcome: Outcome,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> (Option<CircuitChange>, Option<Duration>) {
        let mut machine = lock(&self.machine);
        let change = machine.record(pass, outcome, now, jitter);
        (change, machine.open_for(now))
    }

    pub(crate) fn force_open(&self, now: Instant) -> Option<CircuitChange> {
        lock(&self.machine).force_open(now)
    }

    pub(crate) fn disable(&self, now: Instant) -> Option<CircuitChange> {
        lock(&self.machine).disable(now)
    }

    pub(crate) fn reset(&self, now: Instant) -> CircuitChange {
        lock(&self.machine).reset(now)
    }

    /// How long it is open from `now`, if it is.
    pub(crate) fn open_for(&self, now: Instant) -> Option<Duration> {
        lock(&self.machine).open_for(now)
    }

    pub(crate) fn is_forgettable(&self, now: Instant) -> bool {
        lock(&self.machine).is_forgettable(now)
    }

    pub(crate) fn state(&self) -> CircuitState {
        lock(&self.machine).state()
    }

    pub(crate) fn read(&self, now: Instant) -> Reading {
        lock(&self.machine).read(now)
    }
}
