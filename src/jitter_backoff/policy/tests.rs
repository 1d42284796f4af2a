use super::*;
use crate::rng::SharedRng;
use proptest::prelude::*;

const FREE: Room = Room {
    models_left: 0,
    time_left: None,
};

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn policy(jitter: Jitter) -> Policy {
    Policy {
        jitter,
        ..Policy::default()
    }
}

/// Decides on the first failure of a call that may make 5 attempts.
fn first(policy: &Policy, failure: &Failure, room: Room, unit: f64) -> Decision {
    let mut progress = Progress::new(policy.attempts(room.models_left));
    policy.decide(&mut progress, failure, room, || unit)
}

fn overloaded() -> Failure {
    Failure::new(FailureKind::Overloaded)
}

#[test]
fn delays_double_from_one_second_to_the_cap() {
    let policy = policy(Jitter::None);
    let delays: Vec<_> = (0..7).map(|n| policy.delay(n, 0.9).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
}

// Case 47.
#[test]
fn attempt_1000_waits_for_the_cap_and_does_not_overflow() {
    for jitter in [
        Jitter::None,
        Jitter::Ratio(0.25),
        Jitter::Full,
        Jitter::Equal,
    ] {
        for base in [Duration::from_nanos(1), secs(1.0), Duration::MAX] {
            for cap in [secs(30.0), Duration::MAX] {
                let policy = Policy {
                    base,
                    cap,
                    jitter,
                    ..Policy::default()
                };
                for retry in [1000, u32::MAX] {
                    assert!(policy.delay(retry, 0.999_999) <= cap);
                }
            }
        }
    }
    assert_eq!(policy(Jitter::None).delay(1000, 0.0), secs(30.0));
}

#[test]
fn a_ratio_spreads_a_quarter_to_both_sides_but_never_above_the_cap() {
    let policy = policy(Jitter::Ratio(0.25));
    assert_eq!(policy.delay(0, 0.0), secs(0.75));
    assert_eq!(policy.delay(0, 0.5), secs(1.0));
    assert!(policy.delay(0, 0.999_999) > secs(1.2499));
    assert_eq!(policy.delay(5, 0.999_999), secs(30.0));
}

// Case 47.
#[test]
fn full_jitter_is_between_zero_and_the_delay_and_half_of_it_on_average() {
    let rng = SharedRng::seeded(47);
    for (jitter, least, mean) in [(Jitter::Full, 0.0, 0.5), (Jitter::Equal, 0.5, 0.75)] {
        let policy = policy(jitter);
        for retry in 0..8 {
            let longest = f64::from(1 << retry).min(30.0);
            let drawn: Vec<f64> = (0..10_000)
                .map(|_| policy.delay(retry, rng.unit()).as_secs_f64() / longest)
                .collect();
            assert!(drawn.iter().all(|&share| (least..=1.0).contains(&share)));
            let average = drawn.iter().sum::<f64>() / 10_000.0;
            assert!((average - mean).abs() < 0.02, "{jitter:?}: {average}");
        }
    }
}

/// Half of all seeds would be too early if a floor were spread to both sides.
// Case 44.
#[test]
fn no_attempt_precedes_a_retry_after_for_any_of_100_000_seeds() {
    let floor = secs(10.0);
    let failure = overloaded().with_retry_after(Some(floor));
    for seed in 0..100_000 {
        let unit = SharedRng::seeded(seed).unit();
        match first(&Policy::default(), &failure, FREE, unit) {
            Decision::Retry(wait) => assert!((floor..=secs(12.0)).contains(&wait), "{wait:?}"),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_wait_is_at_least_the_floor_and_at_most_the_limit_or_there_is_none(
        floor in 0_u64..40_000,
        retry in 1_u8..40,
        models_left in 0_u8..2,
        unit in 0.0..1.0_f64,
        left in prop::option::of(0_u64..60_000),
    ) {
        let policy = Policy {
            attempts: NonZeroU8::MAX,
            attempts_before_fallback: NonZeroU8::MAX,
            ..Policy::default()
        };
        let floor = Duration::from_millis(floor);
        let room = Room { models_left, time_left: left.map(Duration::from_millis) };
        let limit = secs(if models_left > 0 { 2.0 } else { 30.0 });
        let mut progress = Progress::new(u8::MAX);
        for _ in 1..retry {
            progress.next_attempt();
        }
        let own = policy.delay(u32::from(retry) - 1, unit);
        let failure = overloaded().with_retry_after(Some(floor));
        match policy.decide(&mut progress, &failure, room, || unit) {
            Decision::Retry(wait) => {
                prop_assert!(wait >= floor && wait >= own && wait <= limit);
                prop_assert!(wait <= own.max(floor + (floor / 4).min(secs(2.0))));
                prop_assert!(room.time().is_none_or(|time| wait < time));
            }
            Decision::HandUp(Some(NotRetried::Wait)) => prop_assert!(floor.max(own) > limit),
            Decision::HandUp(Some(NotRetried::Deadline)) => {
                prop_assert!(own.max(floor + (floor / 4).min(secs(2.0))) >= room.time().unwrap());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn a_retry_after_of_exactly_the_limit_is_honoured_and_a_longer_one_handed_up() {
    let policy = Policy::default();
    let asks = |millis| overloaded().with_retry_after(Some(Duration::from_millis(millis)));
    assert_eq!(
        first(&policy, &asks(30_000), FREE, 0.9),
        Decision::Retry(secs(30.0))
    );
    assert_eq!(
        first(&policy, &asks(30_001), FREE, 0.0),
        Decision::HandUp(Some(NotRetried::Wait))
    );
    let another = Room {
        models_left: 1,
        time_left: None,
    };
    assert_eq!(
        first(&policy, &asks(2_000), another, 0.9),
        Decision::Retry(secs(2.0))
    );
    assert_eq!(
        first(&policy, &asks(2_001), another, 0.0),
        Decision::HandUp(Some(NotRetried::Wait))
    );
}

#[test]
fn a_wait_that_would_end_at_the_deadline_is_not_begun() {
    let policy = policy(Jitter::None);
    let within = |left| Room {
        models_left: 0,
        time_left: Some(left),
    };
    assert_eq!(
        first(&policy, &overloaded(), within(secs(1.0)), 0.5),
        Decision::HandUp(Some(NotRetried::Deadline))
    );
    assert_eq!(
        first(&policy, &overloaded(), within(secs(1.001)), 0.5),
        Decision::Retry(secs(1.0))
    );
}

// Case 22.
#[test]
fn a_failure_that_left_the_circuit_open_is_handed_up_at_once() {
    let mut failure = overloaded();
    failure.mark_open(secs(60.0));
    assert_eq!(
        first(&Policy::default(), &failure, FREE, 0.5),
        Decision::HandUp(Some(NotRetried::CircuitOpen))
    );
}

#[test]
fn what_the_table_never_retries_is_handed_up_without_a_word() {
    for kind in FailureKind::ALL {
        let failure = Failure::new(kind);
        let silent = first(&Policy::default(), &failure, FREE, 0.5) == Decision::HandUp(None);
        assert_eq!(silent, !failure.is_retryable(), "{kind}");
    }
}

#[test]
fn after_a_failure_that_may_be_retried_once_at_most_one_attempt_follows() {
    let once = Failure::new(FailureKind::Timeout).with_retry(Retry::Once);
    for then in [once.clone(), overloaded()] {
        let mut progress = Progress::new(5);
        let policy = policy(Jitter::None);
        let decision = policy.decide(&mut progress, &once, FREE, || 0.5);
        assert_eq!(decision, Decision::Retry(secs(1.0)));
        progress.next_attempt();
        assert_eq!(progress.attempts_left(), 0);
        assert_eq!(
            policy.decide(&mut progress, &then, FREE, || 0.5),
            Decision::HandUp(Some(NotRetried::Attempts))
        );
    }
}

#[test]
fn waits_for_a_cool_down_spend_no_attempt_and_are_bounded_all_the_same() {
    let policy = Policy::default();
    let cooling =
        Failure::new(FailureKind::CoolingDown).with_retry_after(Some(Duration::from_millis(400)));
    let mut progress = Progress::new(5);
    for _ in 0..5 {
        match policy.decide(&mut progress, &cooling, FREE, || 0.5) {
            Decision::CoolDown(wait) => assert_eq!(wait, Duration::from_millis(450), "spread"),
            other => panic!("{other:?}"),
        }
        progress.after_cool_down();
        assert_eq!(progress.attempts_left(), 4);
    }
    assert_eq!(
        policy.decide(&mut progress, &cooling, FREE, || 0.5),
        Decision::HandUp(Some(NotRetried::Attempts))
    );
}

#[test]
fn bad_numbers_are_refused_by_name_and_harmless_where_nobody_checks() {
    let bad = [
        (
            Policy {
                base: Duration::ZERO,
                ..Policy::default()
            },
            "jitter_backoff.base",
        ),
        (
            Policy {
                cap: secs(0.5),
                ..Policy::default()
            },
            "jitter_backoff.cap",
        ),
        (policy(Jitter::Ratio(1.5)), "jitter_backoff.jitter"),
        (policy(Jitter::Ratio(f64::NAN)), "jitter_backoff.jitter"),
    ];
    for (policy, field) in bad {
        assert_eq!(policy.check().unwrap_err().field(), field);
        assert!(policy.delay(3, 0.7) <= policy.cap);
    }
    assert!(Policy::default().check().is_ok());
}
