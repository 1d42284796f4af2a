//! The machine, step by step. Its services are tested in `tests/circuit_breaker`, its races in `tests/loom.rs`.

mod closed;
mod opened;
mod reference;
mod services;

use super::{
    evidence::Outcome,
    machine::{Admission, Ask, Machine, Pass},
    rules::Rules,
    state::CircuitState,
};
use crate::event::{CircuitChange, OpenReason};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const SUCCESS: Outcome = Outcome::Success { slow: false };
const SLOW: Outcome = Outcome::Success { slow: true };
const FAILURE: Outcome = failure(false, false, true);
const TIMEOUT: Outcome = failure(true, false, true);
const CUT: Outcome = failure(false, true, true);

const fn failure(timeout: bool, cut: bool, in_run: bool) -> Outcome {
    Outcome::Failure {
        slow: false,
        timeout,
        cut,
        in_run,
    }
}

/// A machine with a clock, and all it told.
struct Rig {
    machine: Machine,
    start: Instant,
    now: Instant,
    told: Vec<CircuitChange>,
}

impl Rig {
    fn new(rules: Rules) -> Self {
        let start = Instant::now();
        Self {
            machine: Machine::new(Arc::new(rules), start),
            start,
            now: start,
            told: Vec::new(),
        }
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn ask(&mut self, divertible: bool, patience: Duration) -> Admission {
        let ask = Ask {
            now: self.now,
            jitter: 0.0,
            patience,
            divertible,
        };
        let (admission, changes) = self.machine.admit(&ask);
        self.told.extend(changes.into_iter().flatten());
        admission
    }

    fn admit(&mut self) -> Admission {
        self.ask(false, Duration::ZERO)
    }

    fn pass(&mut self) -> Pass {
        match self.admit() {
            Admission::Pass(pass) => pass,
            other => panic!("{other:?}"),
        }
    }

    fn rejected(&mut self) -> bool {
        matches!(self.admit(), Admission::Reject(_))
    }

    fn commit(&mut self, pass: &Pass) {
        let change = self.machine.commit(pass, false, self.now, || 0.0);
        self.told.extend(change);
    }

    fn end(&mut self, pass: Pass, outcome: Outcome) {
        self.told
            .extend(self.machine.record(pass, outcome, self.now, || 0.0));
    }

    fn call(&mut self, outcome: Outcome) {
        let pass = self.pass();
        self.end(pass, outcome);
    }

    fn calls(&mut self, count: usize, outcome: Outcome) {
        for _ in 0..count {
            self.call(outcome);
        }
    }

    /// Opens by five failures, the last at the present moment.
    fn trip(&mut self) {
        self.calls(4, FAILURE);
        self.wait(2.0);
        self.call(FAILURE);
        assert_eq!(self.state(), CircuitState::Open);
        self.told.clear();
    }

    fn state(&self) -> CircuitState {
        self.machine.state()
    }
}

/// Why it opened, each time it did.
fn opened(told: &[CircuitChange]) -> Vec<OpenReason> {
    told.iter()
        .filter_map(|change| match change {
            CircuitChange::Opened { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}
