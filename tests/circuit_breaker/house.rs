//! Circuits and services: which share what, and within what bounds.

use super::*;

// 40
#[tokio::test(start_paused = true)]
async fn models_never_share_state() {
    let rig = Rig::new(Does::Status(529));
    for _ in 0..5 {
        rig.call_as(call_to("sonnet")).await;
        advance(secs(1)).await;
    }
    assert_eq!(rig.circuits.state("sonnet"), CircuitState::Open);
    rig.model.does(Does::Status(200));
    assert!(rig.call_as(call_to("haiku")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_no_messages_call_passes_unrecorded() {
    let rig = Rig::new(Does::Status(529));
    for _ in 0..50 {
        rig.call_as(Call::new(None)).await;
        advance(secs(1)).await;
    }
    assert_eq!(rig.model.asked(), 50);
    assert_eq!(rig.circuits.snapshot(), []);
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_circuits_and_those_of_two_do_not() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    let ask = |layer: &CircuitBreakerLayer| {
        let call = layer.layer(rig.model.service()).oneshot(Request::new(()));
        async move { call.await.is_ok() }
    };
    assert!(!ask(&rig.layer).await);
    assert!(!ask(&rig.layer.clone()).await);
    assert!(ask(&CircuitBreakerLayer::new()).await);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_models_cannot_evict_an_open_circuit() {
    let rig = Rig::with(Does::Status(529), |layer| {
        layer.with_pinned_models(["haiku"])
    });
    for _ in 0..5 {
        rig.call_as(call_to("sonnet")).await;
        advance(secs(1)).await;
    }
    rig.model.does(Does::fail(FailureKind::Refused));
    for invented in 0..1_000 {
        rig.call_as(call_to(&format!("invented-{invented}"))).await;
    }
    assert_eq!(rig.circuits.state("sonnet"), CircuitState::Open);
    let all = rig.circuits.snapshot();
    assert_eq!(all.len(), 256 + 1);
    assert!(all.iter().any(|circuit| &*circuit.model == "haiku"));
}

// 80
#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_open_times_and_another_seed_others() {
    let mut times = Vec::new();
    for seed in [7, 7, 8] {
        let rig = Rig::with(Does::Status(529), |layer| {
            layer.with_cooldown_jitter(0.2).with_seed(seed)
        });
        for _ in 0..5 {
            rig.call().await;
            advance(secs(1)).await;
        }
        times.push(rig.log.take());
    }
    assert_eq!(times[0].len(), 1);
    assert_eq!(times[0], times[1]);
    assert_ne!(times[0], times[2]);
}

#[tokio::test(start_paused = true)]
async fn settings_without_bounds_do_not_overflow() {
    let rig = Rig::with(Does::Status(529), |layer| {
        layer
            .with_cooldown(Duration::MAX)
            .with_window(Duration::MAX)
            .with_consecutive_within(Duration::MAX)
            .with_probe_timeout(Duration::MAX)
            .with_ramp(Duration::MAX)
            .with_max_rate_limit_wait(Duration::MAX)
    });
    for _ in 0..5 {
        rig.call().await;
        advance(secs(1)).await;
    }
    assert_eq!(rig.state(), CircuitState::Open);
    rig.circuits.reset("default");
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(Duration::MAX));
    rig.model.does(Does::Fails(limited));
    rig.call().await;
    assert_eq!(kind(rig.call().await), Some(FailureKind::CoolingDown));
}
