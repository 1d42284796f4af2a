//! Opening, turning away, probing, closing.

use super::*;

// 15
#[tokio::test(start_paused = true)]
async fn an_open_circuit_rejects_without_asking_the_model_and_says_which_and_how_long() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(Duration::from_millis(59_999)).await;
    let failure = rig.call().await.unwrap();
    assert_eq!(failure.kind, FailureKind::CircuitOpen);
    assert_eq!(failure.retry_after, Some(Duration::from_millis(1)));
    assert_eq!(failure.circuit_open_for(), failure.retry_after);
    let source = std::error::Error::source(&failure).unwrap();
    assert_eq!(
        source.downcast_ref::<Rejection>().unwrap().model(),
        "default"
    );
    assert_eq!(rig.model.asked(), 0);
    advance(Duration::from_millis(1)).await;
    assert!(rig.call().await.is_none());
    assert_eq!(rig.model.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_opens_after_five_failures_and_one_good_probe_closes() {
    let rig = Rig::new(Does::Status(200));
    rig.calls(1_000).await;
    rig.model.does(Does::Status(529));
    rig.calls(4).await;
    advance(secs(2)).await;
    rig.call().await;
    rig.model.does(Does::Status(200));
    advance(secs(60)).await;
    rig.call().await;
    let told = rig.log.take();
    let opened = CircuitChange::Opened {
        reason: OpenReason::Consecutive,
        open_for: secs(60),
    };
    assert_eq!(
        told,
        [opened, CircuitChange::HalfOpened, CircuitChange::Closed]
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_inner_service() {
    let (inner, mut upstream) = tower_test::mock::pair::<Request<()>, Response<Body>>();
    let mut service = CircuitBreakerLayer::new().layer(inner);
    upstream.allow(0);
    assert!(is_pending(&mut service.ready()).await);
    upstream.allow(1);
    assert!(!is_pending(&mut service.ready()).await);
    upstream.send_error("gone");
    assert!(service.ready().await.is_err());
}

// 28
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_refused_decides_nothing() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.does(Does::fail(FailureKind::Refused));
    rig.calls(3).await;
    assert_eq!(rig.model.asked(), 3);
    assert_eq!(rig.state(), CircuitState::HalfOpen);
}

// 18
#[tokio::test(start_paused = true)]
async fn a_hundred_tasks_that_fail_together_are_one_transition() {
    let rig = Rig::new(Does::Status(529));
    rig.model.takes(secs(3));
    let calls = (0..100).map(|_| rig.call());
    join_all(calls).await;
    assert_eq!(rig.model.asked(), 100);
    assert_eq!(rig.log.openings(), 1);
}

// 22
#[tokio::test(start_paused = true)]
async fn the_failure_that_opens_the_circuit_says_so() {
    let overloaded = Failure::new(FailureKind::Overloaded);
    for does in [
        Does::Status(529),
        Does::Fails(overloaded.clone()),
        Does::Errs(overloaded),
        Does::Breaks,
    ] {
        let rig = Rig::new(does.clone());
        for _ in 0..4 {
            assert_eq!(rig.call().await.unwrap().circuit_open_for(), None);
        }
        advance(secs(2)).await;
        let failure = rig.call().await.unwrap();
        assert_eq!(failure.circuit_open_for(), Some(secs(60)), "{does:?}");
        let local = matches!(failure.kind, FailureKind::CircuitOpen);
        assert!(!local, "it keeps its own kind");
        let rejected = rig.call().await.unwrap();
        assert_eq!(rejected.kind, FailureKind::CircuitOpen);
        assert!(!rejected.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn the_mark_keeps_a_foreign_error_as_its_source() {
    let rig = Rig::with(Does::Breaks, |layer| {
        layer.with_failure_rate(1.0, NonZeroU32::MIN)
    });
    let error = rig.send(None).await.err().unwrap();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.kind, FailureKind::Transport);
    let source = std::error::Error::source(failure).unwrap();
    assert_eq!(source.to_string(), "connection reset by peer");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_concurrent_callers_at_half_open_are_one_probe() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.takes(secs(5));
    let calls = (0..100).map(|_| rig.call());
    let failures = join_all(calls).await;
    assert_eq!(rig.model.asked(), 1);
    assert_eq!(failures.iter().flatten().count(), 99);
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 26
#[tokio::test(start_paused = true)]
async fn a_probe_whose_future_is_dropped_leaves_the_next_call_to_probe() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.does(Does::Hangs);
    for _ in 0..3 {
        let call = tokio::time::timeout(secs(1), rig.call());
        assert!(call.await.is_err());
        assert_eq!(rig.state(), CircuitState::HalfOpen);
    }
    assert_eq!(rig.model.asked(), 3);
    rig.model.does(Does::Status(200));
    rig.call().await;
    assert_eq!(rig.state(), CircuitState::Closed);
}

// 29
#[tokio::test(start_paused = true)]
async fn a_hung_probe_opens_again_after_half_a_minute_and_its_answer_comes_too_late() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.takes(secs(31));
    let others = async {
        sleep(secs(30)).await;
        assert_eq!(kind(rig.call().await), Some(FailureKind::CircuitOpen));
        assert_eq!(rig.log.openings(), 1);
    };
    let (answer, ()) = tokio::join!(rig.call(), others);
    assert!(answer.is_none());
    assert_eq!(rig.state(), CircuitState::Open);
}

// 30
#[tokio::test(start_paused = true)]
async fn a_late_success_from_before_the_trip_does_not_close_a_half_open_circuit() {
    let rig = Rig::new(Does::Streams(&[DELTA, STOP]));
    let late = rig.send(None).await.unwrap();
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.does(Does::Hangs);
    let mut probe = Box::pin(rig.send(None));
    assert!(is_pending(&mut probe).await);
    late.into_body().collect().await.unwrap();
    assert_eq!(rig.state(), CircuitState::HalfOpen);
}

// 33
#[tokio::test(start_paused = true)]
async fn a_streamed_probe_is_good_when_committed_and_bad_news_after_that_count_anew() {
    let rig = Rig::new(Does::Status(200));
    rig.trip().await;
    advance(secs(60)).await;
    rig.model.does(Does::StreamsAndCuts(&[DELTA]));
    let response = rig.send(None).await.unwrap();
    assert_eq!(rig.state(), CircuitState::Closed);
    let _ = response.into_body().collect().await;
    assert_eq!(rig.counts(), (0, 1));
    assert_eq!(rig.state(), CircuitState::Closed);
}
