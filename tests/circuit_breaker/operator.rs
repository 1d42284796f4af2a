//! The operator and the observers.

use super::*;

// 34
#[tokio::test(start_paused = true)]
async fn forced_open_holds_until_it_is_reset() {
    let rig = Rig::new(Does::Status(200));
    rig.circuits.force_open("default");
    rig.circuits.force_open("default");
    advance(secs(86_400)).await;
    let failure = rig.call().await.unwrap();
    assert_eq!(
        (failure.kind, failure.retry_after),
        (FailureKind::CircuitOpen, None)
    );
    assert_eq!(rig.snapshot().last_reason, Some(OpenReason::Forced));
    rig.circuits.reset("default");
    assert!(rig.call().await.is_none());
    let told = [
        CircuitChange::Operator {
            state: "forced_open",
        },
        CircuitChange::Operator { state: "closed" },
    ];
    assert_eq!(rig.log.take(), told);
}

// 35
#[tokio::test(start_paused = true)]
async fn disabled_lets_all_through_and_records_nothing() {
    let rig = Rig::new(Does::Status(529));
    rig.circuits.disable("default");
    for _ in 0..50 {
        rig.call().await;
        advance(secs(1)).await;
    }
    assert_eq!(rig.model.asked(), 50);
    assert_eq!(rig.counts(), (0, 0));
}

// 37
#[tokio::test(start_paused = true)]
async fn a_reset_closes_at_once_with_nothing_counted_and_one_event() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    rig.circuits.reset("default");
    assert_eq!(
        rig.log.take(),
        [CircuitChange::Operator { state: "closed" }]
    );
    assert_eq!(rig.counts(), (0, 0));
    assert!(rig.call().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_the_cooldowns_of_the_model() {
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(secs(12)));
    let rig = Rig::new(Does::Fails(limited));
    rig.call().await;
    rig.circuits.reset("default");
    rig.call().await;
    assert_eq!(rig.model.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_what_an_operator_asks() {
    let rig = Rig::new(Does::Status(200));
    rig.calls(3).await;
    rig.model.does(Does::Status(529));
    rig.calls(2).await;
    let closed = rig.snapshot();
    assert_eq!(
        (closed.successes, closed.failures, closed.consecutive),
        (3, 2, 2)
    );
    assert_eq!(closed.remaining, None);
    rig.calls(2).await;
    advance(secs(2)).await;
    rig.call().await;
    let opened = Instant::now();
    advance(secs(20)).await;
    let open = rig.snapshot();
    assert_eq!((open.state, open.since), (CircuitState::Open, opened));
    assert_eq!(open.remaining, Some(secs(40)));
    assert_eq!(open.last_reason, Some(OpenReason::Consecutive));
    assert!(open.generation > closed.generation);
}

// 38
#[tokio::test(start_paused = true)]
async fn an_observer_that_re_enters_the_breaker_or_panics_changes_nothing() {
    struct Meddler(OnceLock<CircuitHandle>);
    impl Observe for Meddler {
        fn on_event(&self, event: &Event<'_>) {
            if let Event::CircuitChanged { model, .. } = event {
                let circuits = self.0.get().unwrap();
                circuits.state(model);
                circuits.snapshot();
                circuits.cooldowns();
                panic!("boom");
            }
        }
    }
    let meddler = Arc::new(Meddler(OnceLock::new()));
    let rig = Rig::with(Does::Status(200), |layer| {
        layer.with_observer(Arc::clone(&meddler) as Arc<dyn Observe>)
    });
    assert!(meddler.0.set(rig.circuits.clone()).is_ok());
    rig.trip().await;
    advance(secs(60)).await;
    rig.call().await;
    assert_eq!(
        rig.log.take(),
        [CircuitChange::HalfOpened, CircuitChange::Closed],
        "those after it are told too"
    );
}
