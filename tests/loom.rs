//! The cores that threads race through, under loom: every interleaving of a few calls.
//!
//! The sans-io rooms are included as they stand, with the locks of [`sync`] in place of the standard ones. Only decisions
//! that several threads could take at once are looked at; what a single thread can see is tested elsewhere.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows only functions with `#[test]` as tests, not their helpers"
)]

mod event {
    pub(crate) use tower_claude::event::{CircuitChange, OpenReason};
}

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

#[path = "../src/circuit_breaker"]
#[allow(
    clippy::module_inception,
    dead_code,
    unreachable_pub,
    reason = "the rooms are larger than what races in them, and public in the crate"
)]
mod circuit {
    mod circuit;
    mod evidence;
    mod machine;
    mod probes;
    mod ramp;
    mod rules;
    mod run;
    mod state;
    mod window;

    use self::{
        circuit::Circuit,
        evidence::Outcome,
        machine::{Admission, Ask, Pass},
        rules::Rules,
        state::CircuitState,
    };
    use crate::event::CircuitChange;
    use loom::thread;
    use std::{sync::Arc, time::Duration};
    use tokio::time::Instant;

    const SUCCESS: Outcome = Outcome::Success { slow: false };
    const FAILURE: Outcome = Outcome::Failure {
        slow: false,
        timeout: false,
        cut: false,
        in_run: true,
    };

    fn circuit(failures: u32, start: Instant) -> Arc<Circuit> {
        let mut rules = Rules::default();
        rules.consecutive.limit = failures;
        rules.consecutive.span = Duration::ZERO;
        Arc::new(Circuit::new("sonnet".into(), Arc::new(rules), start))
    }

    fn admit(circuit: &Circuit, now: Instant) -> (Option<Pass>, Vec<CircuitChange>) {
        // As every caller does.
        if let Some(pass) = circuit.pass(false) {
            return (Some(pass), Vec::new());
        }
        let (admission, changes) = circuit.admit(&Ask {
            now,
            jitter: 0.0,
            patience: Duration::ZERO,
            divertible: false,
        });
        let pass = match admission {
            Admission::Pass(pass) => Some(pass),
            Admission::Reject(_) | Admission::Divert(_) => None,
        };
        (pass, changes.into_iter().flatten().collect())
    }

    /// A circuit that opened a minute ago, and the present.
    fn due(start: Instant) -> (Arc<Circuit>, Instant) {
        let circuit = circuit(1, start);
        let (pass, _) = admit(&circuit, start);
        circuit.record(pass.unwrap(), FAILURE, start, || 0.0);
        assert_eq!(circuit.state(), CircuitState::Open);
        (circuit, start + Duration::from_secs(60))
    }

    #[test]
    fn failures_that_race_open_a_circuit_once() {
        loom::model(|| {
            let now = Instant::now();
            let circuit = circuit(2, now);
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let circuit = Arc::clone(&circuit);
                    thread::spawn(move || {
                        let (pass, none) = admit(&circuit, now);
                        assert!(none.is_empty());
                        pass.and_then(|pass| circuit.record(pass, FAILURE, now, || 0.0).0)
                    })
                })
                .collect();
            let told = threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .count();
            assert_eq!(told, 1);
            assert_eq!(circuit.read(now).generation, 1);
        });
    }

    #[test]
    fn callers_that_race_for_one_probe_get_one() {
        loom::model(|| {
            let (circuit, now) = due(Instant::now());
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let circuit = Arc::clone(&circuit);
                    thread::spawn(move || admit(&circuit, now))
                })
                .collect();
            let (passes, told): (Vec<_>, Vec<_>) = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .unzip();
            assert_eq!(passes.iter().flatten().count(), 1);
            let told: Vec<_> = told.into_iter().flatten().collect();
            assert_eq!(told, [CircuitChange::HalfOpened]);
        });
    }

    #[test]
    fn permits_of_dropped_probes_are_neither_lost_nor_doubled() {
        loom::model(|| {
            let (circuit, now) = due(Instant::now());
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let circuit = Arc::clone(&circuit);
                    thread::spawn(move || {
                        if let (Some(pass), _) = admit(&circuit, now) {
                            circuit.record(pass, Outcome::Neutral, now, || 0.0);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(admit(&circuit, now).0.is_some(), "lost");
            assert!(admit(&circuit, now).0.is_none(), "doubled");
        });
    }

    #[test]
    fn a_probes_success_that_races_with_a_late_failure_closes_once_and_stays_closed() {
        loom::model(|| {
            let start = Instant::now();
            let circuit = circuit(1, start);
            let (old, _) = admit(&circuit, start);
            let (trips, _) = admit(&circuit, start);
            circuit.record(trips.unwrap(), FAILURE, start, || 0.0);
            let now = start + Duration::from_secs(60);
            let (probe, _) = admit(&circuit, now);
            let threads: Vec<_> = [(old, FAILURE), (probe, SUCCESS)]
                .into_iter()
                .map(|(pass, outcome)| {
                    let circuit = Arc::clone(&circuit);
                    thread::spawn(move || circuit.record(pass.unwrap(), outcome, now, || 0.0).0)
                })
                .collect();
            let told: Vec<_> = threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect();
            assert_eq!(told, [CircuitChange::Closed]);
            assert_eq!(circuit.state(), CircuitState::Closed);
        });
    }

    #[test]
    fn an_operators_reset_that_races_with_a_failed_probe_has_the_last_word_on_it() {
        loom::model(|| {
            let (circuit, now) = due(Instant::now());
            let (probe, _) = admit(&circuit, now);
            let fails = {
                let circuit = Arc::clone(&circuit);
                thread::spawn(move || circuit.record(probe.unwrap(), FAILURE, now, || 0.0))
            };
            circuit.reset(now);
            fails.join().unwrap();
            assert_eq!(circuit.state(), CircuitState::Closed);
        });
    }
}
