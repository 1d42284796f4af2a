//! An open circuit, and its probes. Numbers in comments are those of the list of cases.

use super::super::rules::ShareRule;
use super::*;
use crate::event::OpenReason;

// 15
#[test]
fn an_open_circuit_rejects_to_the_last_millisecond_and_says_how_long() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(59.999);
    assert_eq!(
        rig.admit(),
        Admission::Reject(Some(Duration::from_millis(1)))
    );
    assert!(rig.told.is_empty());
    rig.wait(0.001);
    rig.pass();
    assert_eq!(rig.told, [CircuitChange::HalfOpened]);
}

// 16, 17
#[test]
fn late_results_of_the_closed_generation_change_nothing_once_open() {
    for outcome in [FAILURE, SUCCESS] {
        let mut rig = Rig::new(Rules::default());
        let old = rig.pass();
        rig.trip();
        rig.wait(10.0);
        rig.end(old, outcome);
        assert!(rig.told.is_empty());
        assert_eq!(
            rig.machine.open_for(rig.now),
            Some(Duration::from_secs(50)),
            "open-until is fixed"
        );
    }
}

// 19
#[test]
fn the_open_time_grows_while_probes_fail_and_restarts_after_a_real_close() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    for seconds in [60.0, 90.0, 135.0, 202.5, 300.0, 300.0] {
        let left = Duration::from_secs_f64(seconds);
        assert_eq!(rig.machine.open_for(rig.now), Some(left));
        rig.wait(seconds);
        rig.call(FAILURE);
    }
    rig.wait(300.0);
    rig.call(SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.trip();
    assert_eq!(rig.machine.open_for(rig.now), Some(Duration::from_secs(60)));
}

// 20
#[test]
fn the_open_time_takes_its_jitter_upward() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(4, FAILURE);
    rig.wait(2.0);
    let pass = rig.pass();
    let change = rig.machine.record(pass, FAILURE, rig.now, || 0.5);
    assert_eq!(
        change,
        Some(CircuitChange::Opened {
            reason: OpenReason::Consecutive,
            open_for: Duration::from_secs(66)
        })
    );
}

// 23, 24, 32
#[test]
fn three_probes_pass_of_a_hundred_and_their_success_closes_with_an_empty_window() {
    let mut rig = Rig::new(Rules {
        probes: 3,
        ..Rules::default()
    });
    rig.trip();
    rig.wait(60.0);
    let mut probes: Vec<_> = (0..100)
        .filter_map(|_| match rig.admit() {
            Admission::Pass(pass) => Some(pass),
            _ => None,
        })
        .collect();
    assert_eq!(probes.len(), 3);
    rig.end(probes.pop().unwrap(), SUCCESS);
    rig.end(probes.pop().unwrap(), SUCCESS);
    assert!(rig.rejected(), "a permit is used once");
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    rig.end(probes.pop().unwrap(), SUCCESS);
    assert_eq!(rig.told, [CircuitChange::HalfOpened, CircuitChange::Closed]);
    assert_eq!(rig.machine.read(rig.now).counts.total(), 0);
}

// 25
#[test]
fn one_failed_probe_of_three_opens_again() {
    let mut rig = Rig::new(Rules {
        probes: 3,
        ..Rules::default()
    });
    rig.trip();
    rig.wait(60.0);
    let (first, second, third) = (rig.pass(), rig.pass(), rig.pass());
    rig.end(first, SUCCESS);
    rig.end(second, FAILURE);
    assert_eq!(rig.machine.open_for(rig.now), Some(Duration::from_secs(90)));
    rig.end(third, SUCCESS);
    assert_eq!(rig.state(), CircuitState::Open);
}

// 26, 28
#[test]
fn a_probe_that_decides_nothing_returns_its_permit_and_the_next_call_probes() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let probe = rig.pass();
    assert!(rig.rejected());
    rig.end(probe, Outcome::Neutral);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    rig.call(SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 27
#[test]
fn probes_dropped_over_and_over_neither_close_it_nor_get_it_stuck() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    for _ in 0..1_000 {
        rig.call(Outcome::Neutral);
        rig.wait(20.0);
        assert_eq!(rig.state(), CircuitState::HalfOpen);
    }
    rig.call(SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 29
#[test]
fn a_probe_without_a_verdict_in_time_opens_again_and_its_late_result_is_ignored() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let hung = rig.pass();
    rig.wait(29.999);
    assert!(rig.rejected());
    assert_eq!(rig.state(), CircuitState::HalfOpen);
    rig.wait(0.001);
    assert!(rig.rejected());
    assert_eq!(opened(&rig.told), [OpenReason::Probe]);
    rig.end(hung, SUCCESS);
    assert_eq!(rig.state(), CircuitState::Open);
    assert_eq!(rig.machine.open_for(rig.now), Some(Duration::from_secs(90)));
}

#[test]
fn an_overdue_probe_noticed_late_opened_when_it_was_due() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let _hung = rig.pass();
    rig.wait(30.0 + 80.0);
    assert_eq!(
        rig.admit(),
        Admission::Reject(Some(Duration::from_secs(10)))
    );
    rig.wait(10.0);
    let _hung = rig.pass();
    rig.told.clear();
    rig.wait(86_400.0);
    rig.pass();
    assert_eq!(
        rig.told,
        [
            CircuitChange::Opened {
                reason: OpenReason::Probe,
                open_for: Duration::ZERO
            },
            CircuitChange::HalfOpened
        ],
        "a whole day later the next call is a probe"
    );
}

#[test]
fn a_probe_that_may_take_long_is_given_its_own_time() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let Admission::Pass(long) = rig.ask(false, Duration::from_secs(117)) else {
        panic!("no probe");
    };
    rig.wait(116.0);
    assert!(rig.rejected());
    rig.end(long, SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
}

#[test]
fn a_late_commit_of_an_earlier_generation_refutes_nothing() {
    let mut rig = Rig::new(Rules::default());
    let old = rig.pass();
    rig.machine.reset(rig.now);
    rig.calls(2, TIMEOUT);
    rig.commit(&old);
    rig.call(TIMEOUT);
    assert_eq!(rig.state(), CircuitState::Open);
}

// 30
#[test]
fn a_late_success_from_before_the_trip_does_not_close_a_half_open_circuit() {
    let mut rig = Rig::new(Rules::default());
    let old = rig.pass();
    rig.trip();
    rig.wait(60.0);
    let _probe = rig.pass();
    rig.commit(&old);
    rig.end(old, SUCCESS);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
}

// 31
#[test]
fn a_probes_verdict_after_an_operators_reset_is_ignored() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let probe = rig.pass();
    rig.machine.reset(rig.now);
    rig.end(probe, FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.machine.read(rig.now).counts.total(), 0);
}

// 33
#[test]
fn a_streamed_probe_closes_at_its_commit_and_counts_in_the_new_window_when_it_breaks_off() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    let stream = rig.pass();
    rig.commit(&stream);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.wait(5.0);
    rig.end(stream, CUT);
    assert_eq!(rig.machine.read(rig.now).counts.failures, 1);
}

/// In a brown-out each slow probe closed the circuit, and another half window of calls was slow before it opened again.
#[test]
fn a_slow_probe_opens_again_be_it_a_stream_or_not() {
    let share = ShareRule { rate: 0.5, min: 10 };
    let mut rig = Rig::new(Rules {
        slow: Some((Duration::from_secs(5), share)),
        ..Rules::default()
    });
    rig.calls(10, SLOW);
    rig.wait(60.0);
    rig.call(SLOW);
    rig.wait(90.0);
    let stream = rig.pass();
    let change = rig.machine.commit(&stream, true, rig.now, || 0.0);
    rig.told.extend(change);
    rig.end(stream, SLOW);
    let (slow, probe) = (OpenReason::SlowRate, OpenReason::Probe);
    assert_eq!(opened(&rig.told), [slow, probe, probe]);
    rig.wait(135.0);
    rig.call(SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
}

#[test]
fn a_committed_probe_that_breaks_off_while_others_are_still_out_opens_again() {
    let mut rig = Rig::new(Rules {
        probes: 2,
        ..Rules::default()
    });
    rig.trip();
    rig.wait(60.0);
    let stream = rig.pass();
    rig.commit(&stream);
    rig.end(stream, CUT);
    assert_eq!(opened(&rig.told), [OpenReason::Probe]);
}

#[test]
fn a_probe_that_commits_and_then_ends_is_one_success() {
    let mut rig = Rig::new(Rules {
        probes: 2,
        ..Rules::default()
    });
    rig.trip();
    rig.wait(60.0);
    let stream = rig.pass();
    rig.commit(&stream);
    rig.commit(&stream);
    rig.end(stream, SUCCESS);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
}

#[test]
fn probes_spaced_wider_than_the_window_still_close_it() {
    let mut rig = Rig::new(Rules {
        probes: 3,
        ..Rules::default()
    });
    rig.trip();
    rig.wait(60.0);
    for _ in 0..3 {
        rig.call(SUCCESS);
        rig.wait(600.0);
    }
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 34
#[test]
fn forced_open_holds_beyond_every_timer_until_reset() {
    let mut rig = Rig::new(Rules::default());
    assert!(rig.machine.force_open(rig.now).is_some());
    assert!(rig.machine.force_open(rig.now).is_none(), "one event");
    rig.wait(365.0 * 86_400.0);
    assert_eq!(rig.admit(), Admission::Reject(None));
    rig.machine.reset(rig.now);
    rig.pass();
}

// 35
#[test]
fn disabled_lets_all_through_and_records_nothing() {
    let mut rig = Rig::new(Rules::default());
    rig.machine.disable(rig.now);
    for _ in 0..100 {
        rig.call(FAILURE);
        rig.wait(1.0);
    }
    assert_eq!(rig.machine.read(rig.now).counts.total(), 0);
    assert!(rig.told.is_empty());
}

// 37
#[test]
fn a_reset_while_open_closes_at_once_and_clears_the_counts() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    assert_eq!(
        rig.machine.reset(rig.now),
        CircuitChange::Operator { state: "closed" }
    );
    rig.calls(4, FAILURE);
    rig.wait(1.0);
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.machine.read(rig.now).counts.total(), 4);
}

#[test]
fn the_ramp_diverts_only_calls_that_have_another_model() {
    let mut rig = Rig::new(Rules::default());
    rig.trip();
    rig.wait(60.0);
    rig.call(SUCCESS);
    let diverted = |rig: &mut Rig, divertible| {
        (0..100)
            .filter(|_| matches!(rig.ask(divertible, Duration::ZERO), Admission::Divert(_)))
            .count()
    };
    assert_eq!(diverted(&mut rig, false), 0);
    assert_eq!(diverted(&mut rig, true), 90);
    rig.wait(30.0);
    assert_eq!(diverted(&mut rig, true), 0);
}
