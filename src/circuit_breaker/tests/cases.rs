//! Cases that trusted breakers pass, one by one. Numbers in comments are those of the list they come from.

use super::*;
use crate::circuit_breaker::rules::ShareRule;
use crate::event::OpenReason;

fn opened(told: &[CircuitChange]) -> Vec<OpenReason> {
    told.iter()
        .filter_map(|change| match change {
            CircuitChange::Opened { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

/// Rules by which only the share of failures opens.
fn by_rate(min: u32) -> Rules {
    let mut rules = Rules {
        failure_rate: ShareRule { rate: 0.5, min },
        ..Rules::default()
    };
    rules.consecutive.limit = 1_000;
    rules
}

// 1
#[test]
fn nine_failures_of_ten_needed_leave_it_closed_and_the_tenth_opens() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(9, FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.call(FAILURE);
    assert_eq!(opened(&rig.told), [OpenReason::FailureRate]);
}

// 2
#[test]
fn exactly_half_of_the_outcomes_failed_opens_when_the_last_is_a_failure() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(5, SUCCESS);
    rig.calls(4, FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.call(FAILURE);
    assert_eq!(rig.state(), CircuitState::Open);
}

// 3
#[test]
fn a_final_success_never_opens() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(9, FAILURE);
    rig.call(SUCCESS);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 4
#[test]
fn failures_as_old_as_the_window_no_longer_count() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(9, FAILURE);
    rig.wait(60.0);
    rig.call(FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 5
#[test]
fn failures_on_both_sides_of_a_bucket_edge_add_up() {
    let mut rig = Rig::new(by_rate(10));
    rig.wait(0.999);
    rig.calls(5, FAILURE);
    rig.wait(0.001);
    rig.calls(5, FAILURE);
    assert_eq!(rig.state(), CircuitState::Open);
}

// 7
#[test]
fn half_of_the_calls_slow_but_good_opens_with_reason_slow() {
    let share = ShareRule { rate: 0.5, min: 10 };
    let mut rig = Rig::new(Rules {
        slow: Some((Duration::from_secs(5), share)),
        ..Rules::default()
    });
    rig.calls(5, SUCCESS);
    rig.calls(5, SLOW);
    assert_eq!(opened(&rig.told), [OpenReason::SlowRate]);
}

#[test]
fn slow_calls_open_nothing_by_default() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(100, SLOW);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 9, 10
#[test]
fn a_neutral_outcome_moves_neither_numerator_nor_denominator() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(100, Outcome::Neutral);
    rig.calls(9, FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.machine.read(rig.now).counts.total(), 9);
}

// 14
#[test]
fn a_jump_of_the_clock_far_beyond_the_window_empties_the_counts() {
    let mut rig = Rig::new(by_rate(10));
    rig.calls(9, FAILURE);
    rig.wait(50.0 * 365.0 * 86_400.0);
    assert_eq!(rig.machine.read(rig.now).counts.total(), 0);
    rig.call(FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
}

#[test]
fn a_run_of_five_failures_opens_only_once_it_spans_two_seconds() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(7, FAILURE);
    rig.wait(1.999);
    rig.call(FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.wait(0.001);
    rig.call(FAILURE);
    assert_eq!(opened(&rig.told), [OpenReason::Consecutive]);
}

#[test]
fn five_failures_spread_over_more_than_a_minute_do_not_open() {
    for (gap, state) in [(15.001, CircuitState::Closed), (15.0, CircuitState::Open)] {
        let mut rig = Rig::new(Rules::default());
        rig.call(FAILURE);
        for _ in 0..4 {
            rig.wait(gap);
            rig.call(FAILURE);
        }
        assert_eq!(rig.state(), state, "a gap of {gap} s");
    }
}

#[test]
fn a_success_that_started_before_the_run_does_not_end_it_and_a_later_one_does() {
    for (late, state) in [(true, CircuitState::Open), (false, CircuitState::Closed)] {
        let mut rig = Rig::new(Rules::default());
        let early = rig.pass();
        rig.calls(4, FAILURE);
        let pass = if late { early } else { rig.pass() };
        rig.end(pass, SUCCESS);
        rig.wait(2.0);
        rig.call(FAILURE);
        assert_eq!(rig.state(), state, "late: {late}");
    }
}

#[test]
fn a_commit_is_proof_enough_to_end_a_run() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(4, FAILURE);
    let stream = rig.pass();
    rig.commit(&stream);
    rig.wait(2.0);
    rig.calls(4, FAILURE);
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(
        rig.machine.read(rig.now).counts.successes,
        0,
        "it is counted at its end"
    );
}

#[test]
fn streams_that_always_break_off_open_though_each_was_committed() {
    let mut rig = Rig::new(Rules::default());
    for _ in 0..5 {
        let stream = rig.pass();
        rig.commit(&stream);
        rig.wait(1.0);
        rig.end(stream, CUT);
    }
    assert_eq!(opened(&rig.told), [OpenReason::Consecutive]);
}

#[test]
fn failures_beyond_the_share_of_their_call_do_not_make_a_run() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(2, FAILURE);
    rig.wait(5.0);
    rig.calls(10, failure(false, false, false));
    assert_eq!(rig.state(), CircuitState::Closed);
    rig.calls(3, FAILURE);
    assert_eq!(rig.state(), CircuitState::Open);
}

#[test]
fn three_timeouts_within_ten_minutes_open_at_low_traffic() {
    let mut rig = Rig::new(Rules::default());
    for _ in 0..2 {
        rig.call(TIMEOUT);
        rig.wait(299.0);
    }
    rig.call(TIMEOUT);
    assert_eq!(opened(&rig.told), [OpenReason::Timeouts]);
}

#[test]
fn a_success_between_timeouts_starts_their_count_anew() {
    let mut rig = Rig::new(Rules::default());
    for _ in 0..10 {
        rig.calls(2, TIMEOUT);
        rig.wait(61.0);
        rig.call(SUCCESS);
    }
    assert_eq!(rig.state(), CircuitState::Closed);
}

#[test]
fn timeouts_spread_over_more_than_ten_minutes_do_not_open() {
    let mut rig = Rig::new(Rules::default());
    for _ in 0..10 {
        rig.call(TIMEOUT);
        rig.wait(301.0);
    }
    assert_eq!(rig.state(), CircuitState::Closed);
}

// What a breaker that counts successes against failures gets wrong.
#[test]
fn any_amount_of_past_success_still_opens_on_a_total_outage_after_the_threshold() {
    let mut rig = Rig::new(Rules::default());
    rig.calls(1_000_000, SUCCESS);
    rig.calls(4, FAILURE);
    rig.wait(2.0);
    rig.call(FAILURE);
    assert_eq!(rig.state(), CircuitState::Open);
}

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
    let change = rig.machine.record(pass, FAILURE, rig.now, 0.5);
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
