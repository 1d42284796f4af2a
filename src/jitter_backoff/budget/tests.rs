use super::*;
use proptest::prelude::*;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
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

// Case 51.
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

// Case 52.
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

// Case 52.
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

/// Also where nobody has taken a retry since the span before.
#[test]
fn what_is_earned_after_a_pause_is_as_good_for_half_a_minute() {
    for pause in [45.0, 75.0, 1e6] {
        let (account, start) = account(RetryBudget::new().with_reserve(0));
        (0..100).for_each(|_| account.earn(start + secs(pause)));
        assert_eq!(
            drain(&account, start + secs(pause + 20.0)),
            20,
            "after {pause} s"
        );
    }
}

// Case 54.
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

// Case 53.
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

#[test]
fn another_budget_goes_on_with_what_was_earned_and_spent() {
    let (account, now) = account(RetryBudget::new().with_reserve(4).with_refill(0));
    let spend = |most: u32| {
        (0..most)
            .map_while(|_| account.take(now))
            .map(|mut token| token.spend())
            .count()
    };
    let calls = |calls: u32| (0..calls).for_each(|_| account.earn(now));
    calls(5);
    assert_eq!(spend(3), 3, "one was earned, two are of the reserve");

    account.reconfigure(RetryBudget::new().with_percent(100).with_reserve(5), now);
    calls(2);
    assert_eq!(
        spend(9),
        2 + 3,
        "earned at 100 %, and one more in the reserve"
    );

    account.reconfigure(RetryBudget::new().with_percent(0).with_reserve(1), now);
    calls(100);
    assert_eq!(spend(9), 0);
    let later = now + Duration::from_secs(9);
    let tokens: Vec<_> = (0..9).map_while(|_| account.take(later)).collect();
    assert_eq!(tokens.len(), 1, "refilled up to the smaller reserve");
}
