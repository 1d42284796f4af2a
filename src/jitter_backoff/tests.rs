//! Arithmetic of the policy and of the budget, on times and numbers of our choice.

use super::{
    budget::{Account, RetryBudget},
    policy::{Decision, Jitter, Policy, Room},
    progress::Progress,
};
use crate::{
    classify::{Failure, FailureKind, Retry},
    event::NotRetried,
    rng::SharedRng,
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

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
        floor in 0_u64..40_000, retry in 1_u8..40, models_left in 0_u8..2, unit in 0.0..1.0_f64,
        left in proptest::option::of(0_u64..60_000),
    ) {
        let policy = Policy { attempts: std::num::NonZeroU8::MAX, attempts_before_fallback: std::num::NonZeroU8::MAX, ..Policy::default() };
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
                prop_assert!(room.time_left.is_none_or(|left| wait < left));
            }
            Decision::HandUp(Some(NotRetried::Wait)) => prop_assert!(floor.max(own) > limit),
            Decision::HandUp(Some(NotRetried::Deadline)) => {
                prop_assert!(own.max(floor + (floor / 4).min(secs(2.0))) >= room.time_left.unwrap());
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

fn account(budget: RetryBudget) -> (Arc<Account>, Instant) {
    let start = Instant::now();
    (Arc::new(Account::new(budget, start)), start)
}

/// Takes all that is there.
fn drain(account: &Arc<Account>, now: Instant) -> usize {
    std::iter::from_fn(|| account.take(now))
        .map(|mut token| token.spend())
        .count()
}

#[test]
fn a_budget_of_20_percent_without_a_reserve_allows_2_000_of_10_000() {
    let budget = RetryBudget::new().with_reserve(0);
    let (one_by_one, now) = account(budget);
    let retries: usize = (0..10_000)
        .map(|_| {
            one_by_one.earn(now);
            drain(&one_by_one, now)
        })
        .sum();
    assert_eq!(retries, 2_000);
    let (all_at_once, now) = account(budget);
    (0..10_000).for_each(|_| all_at_once.earn(now));
    assert_eq!(drain(&all_at_once, now), 2_000);
}

#[test]
fn the_ratio_is_exact_where_whole_numbers_would_round_it() {
    for percent in [1, 7, 30, 60, 99, 150] {
        let budget = RetryBudget::new().with_reserve(0).with_percent(percent);
        let (account, now) = account(budget);
        (0..1_000).for_each(|_| account.earn(now));
        assert_eq!(drain(&account, now), 10 * percent as usize);
    }
}

#[test]
fn the_reserve_is_ten_at_the_start_and_refills_by_one_a_second() {
    let (account, start) = account(RetryBudget::new());
    assert_eq!(drain(&account, start), 10);
    assert_eq!(drain(&account, start + secs(0.999)), 0);
    assert_eq!(drain(&account, start + secs(1.0)), 1);
    assert_eq!(drain(&account, start + secs(4.5)), 3);
    assert_eq!(
        drain(&account, start + secs(5.0)),
        1,
        "the half second counts"
    );
    assert_eq!(drain(&account, start + secs(1e6)), 10);
}

#[test]
fn what_calls_earned_expires_within_a_minute_and_not_before_half_of_it() {
    for (after, left) in [(29.9, 20), (59.9, 20), (60.0, 0), (1e9, 0)] {
        let (account, start) = account(RetryBudget::new().with_reserve(0));
        (0..100).for_each(|_| account.earn(start));
        assert_eq!(
            drain(&account, start + secs(after)),
            left,
            "after {after} s"
        );
    }
    let (account, start) = account(RetryBudget::new().with_reserve(0));
    (0..100).for_each(|_| account.earn(start + secs(29.9)));
    assert_eq!(drain(&account, start + secs(59.9)), 20);
}

#[test]
fn a_retry_that_was_never_made_gives_back_what_it_took_and_no_more() {
    let (account, start) = account(RetryBudget::new().with_refill(1));
    account.earn(start);
    let tokens: Vec<_> = (0..10).map(|_| account.take(start).unwrap()).collect();
    assert!(account.take(start).is_none());
    drop(tokens);
    assert_eq!(drain(&account, start), 10);
    // While the token was out, the reserve was refilled: it does not overflow.
    let later = start + secs(100.0);
    let token = account.take(later).unwrap();
    let refilled = later + secs(10.0);
    assert!(!account.is_like_new(later));
    assert!(account.is_like_new(refilled));
    drop(token);
    assert_eq!(drain(&account, refilled), 10);
}

#[test]
fn the_balance_never_goes_below_zero_under_64_threads() {
    let (account, now) = account(RetryBudget::new());
    let spent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let turns = (0..500).map(|_| {
                        account.earn(now);
                        drop(account.take(now));
                        usize::from(account.take(now).map(|mut token| token.spend()).is_some())
                    });
                    turns.sum::<usize>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(spent + drain(&account, now), 64 * 500 / 5 + 10);
}

proptest! {
    #[test]
    fn retries_stay_within_a_fifth_of_the_calls_the_reserve_and_the_refill(
        script in proptest::collection::vec((0_u64..3_000, 0_u8..3), 0..400),
    ) {
        let (account, start) = account(RetryBudget::new());
        let (mut now, mut calls, mut retries) = (start, 0_u32, 0_u32);
        for (millis, step) in script {
            now += Duration::from_millis(millis);
            match step {
                0 => {
                    account.earn(now);
                    calls += 1;
                }
                1 => retries += u32::from(account.take(now).map(|mut token| token.spend()).is_some()),
                _ => drop(account.take(now)),
            }
            let bound = f64::from(calls) * 0.2 + 10.0 + (now - start).as_secs_f64();
            prop_assert!(f64::from(retries) <= bound + 1e-6);
        }
    }
}
