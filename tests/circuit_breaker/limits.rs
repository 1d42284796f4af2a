//! One tenant's cool-downs after a 429.

use super::*;

// 21
#[tokio::test(start_paused = true)]
async fn a_429_cools_the_model_down_for_its_tenant_and_is_no_failure() {
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(secs(12)));
    let rig = Rig::new(Does::Fails(limited));
    let mine = || call_to("sonnet").with_tenant(Tenant::new("mine"));
    assert_eq!(
        kind(rig.call_as(mine()).await),
        Some(FailureKind::RateLimited)
    );
    rig.model.does(Does::Status(200));
    advance(Duration::from_millis(11_999)).await;
    let failure = rig.call_as(mine()).await.unwrap();
    assert_eq!(failure.kind, FailureKind::CoolingDown);
    let wait = failure.retry_after.unwrap();
    assert!(wait >= Duration::from_millis(1) && wait <= Duration::from_millis(101));
    assert_eq!(rig.model.asked(), 1, "nothing was sent");
    assert_eq!(rig.circuits.cooldowns(), 1);

    let theirs = call_to("sonnet").with_tenant(Tenant::new("theirs"));
    assert!(rig.call_as(theirs).await.is_none(), "another tenant");
    let haiku = call_to("haiku").with_tenant(Tenant::new("mine"));
    assert!(rig.call_as(haiku).await.is_none(), "another model");

    advance(Duration::from_millis(1)).await;
    assert!(rig.call_as(mine()).await.is_none());
    assert_eq!(rig.circuits.snapshot()[1].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_wait_cools_nothing_down() {
    let rig = Rig::new(Does::fail(FailureKind::RateLimited));
    rig.calls(30).await;
    assert_eq!(rig.model.asked(), 30);
    assert_eq!(rig.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_429_that_asks_for_a_month_is_asked_again_after_an_hour() {
    let month = Some(secs(30 * 86_400));
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(month);
    let rig = Rig::new(Does::Fails(limited));
    rig.call().await;
    advance(secs(3_599)).await;
    rig.call().await;
    assert_eq!(rig.model.asked(), 1);
    advance(secs(1)).await;
    rig.call().await;
    assert_eq!(rig.model.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_cooldown_are_told_different_times() {
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(secs(12)));
    let rig = Rig::new(Does::Fails(limited));
    rig.call().await;
    let mut waits = Vec::new();
    for _ in 0..20 {
        waits.push(rig.call().await.unwrap().retry_after.unwrap());
    }
    assert!(
        waits
            .iter()
            .all(|wait| *wait >= secs(12) && *wait < secs(14))
    );
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 20);
}
