//! What an attempt counts as.

use super::*;

// 11
#[tokio::test(start_paused = true)]
async fn a_callers_mistake_counts_neither_way_and_never_opens() {
    let rig = Rig::new(Does::fail(FailureKind::Refused));
    rig.calls(100).await;
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.counts(), (0, 0));
}

// 12
#[tokio::test(start_paused = true)]
async fn an_error_event_in_a_200_is_one_failure() {
    let rig = Rig::new(Does::Streams(&[DELTA, ERROR, DELTA]));
    rig.call().await;
    assert_eq!(rig.counts(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_as_it_ends() {
    for (does, counts) in [
        (Does::Streams(&[DELTA, STOP]), (1, 0)),
        (Does::Streams(&[DELTA]), (0, 1)),
        (Does::StreamsAndCuts(&[DELTA]), (0, 1)),
    ] {
        let rig = Rig::new(does.clone());
        rig.call().await;
        assert_eq!(rig.counts(), counts, "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_committed_answer_that_its_caller_drops_counts_neither_way() {
    let rig = Rig::new(Does::Streams(&[DELTA, DELTA, STOP]));
    let response = rig.send(None).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    advance(secs(1_000)).await;
    drop(body);
    assert_eq!(rig.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_dropped_after_message_stop_is_whole() {
    let rig = Rig::new(Does::Streams(&[STOP, DELTA]));
    let mut body = rig.send(None).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(rig.counts(), (1, 0));
}

// 13
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_model_is_one_failure_and_goes_on_to_the_caller() {
    let rig = Rig::new(Does::Panics);
    assert!(panics(rig.call()).await);
    assert_eq!(rig.counts(), (0, 1));

    rig.trip().await;
    advance(secs(60)).await;
    rig.model.does(Does::Panics);
    assert!(panics(rig.call()).await);
    assert_eq!(
        rig.state(),
        CircuitState::Open,
        "a probe's permit is not lost"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_before_it_gives_a_future_is_one_failure_too() {
    let layer = CircuitBreakerLayer::new();
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        let answer: fn() -> Response<Body> = || panic!("boom");
        std::future::ready(Ok::<_, Infallible>(answer()))
    }));
    let call = AssertUnwindSafe(|| drop(service.call(Request::new(()))));
    assert!(catch_unwind(call).is_err());
    assert_eq!(layer.handle().snapshot()[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_hung_calls_cancelled_by_a_timeout_outside_do_not_leave_it_blind() {
    let rig = Rig::new(Does::Hangs);
    let timed = ServiceBuilder::new()
        .timeout(secs(10))
        .layer(rig.layer.clone())
        .service(rig.model.service());
    for _ in 0..50 {
        assert!(timed.clone().oneshot(Request::new(())).await.is_err());
    }
    assert_eq!(rig.model.asked(), 3, "three timeouts at low traffic");
    assert_eq!(rig.log.openings(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_calls_at_once_that_hang_and_are_cancelled_open_it() {
    let rig = Rig::new(Does::Hangs);
    let calls = (0..50).map(|_| tokio::time::timeout(secs(10), rig.call()));
    join_all(calls).await;
    assert_eq!(rig.state(), CircuitState::Open);
    assert_eq!(rig.log.openings(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_before_half_of_the_timeout_say_nothing() {
    let rig = Rig::new(Does::Hangs);
    for _ in 0..50 {
        let call = tokio::time::timeout(Duration::from_millis(7_500), rig.call());
        assert!(call.await.is_err());
    }
    assert_eq!(rig.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_counts_only_after_half_of_the_timeout() {
    for (after, failures) in [(7_500, 0), (7_501, 1)] {
        let rig = Rig::new(Does::Errs(Failure::new(FailureKind::DeadlineExceeded)));
        rig.model.takes(Duration::from_millis(after));
        rig.call().await;
        assert_eq!(rig.counts(), (0, failures), "after {after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_waited_for_longer_before_a_cancel_counts() {
    let rig = Rig::new(Does::Hangs);
    let long = call_to("default").with_max_tokens(Some(4_000));
    let call = tokio::time::timeout(secs(50), rig.call_as(long));
    assert!(call.await.is_err());
    assert_eq!(rig.counts(), (0, 0), "57.5 s is half of its time");
}

#[tokio::test(start_paused = true)]
async fn three_timeouts_of_ours_open_it_and_three_of_upstreams_do_not() {
    let ours = Failure::new(FailureKind::Timeout);
    let theirs = ours.clone().with_status(StatusCode::GATEWAY_TIMEOUT);
    for (failure, state) in [(ours, CircuitState::Open), (theirs, CircuitState::Closed)] {
        let rig = Rig::new(Does::Fails(failure));
        for _ in 0..3 {
            rig.call().await;
            advance(secs(100)).await;
        }
        assert_eq!(rig.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_call_does_not_close_a_model_for_all() {
    let rig = Rig::with(Does::fail(FailureKind::ServerError), |layer| {
        layer.with_failures_per_call(NonZeroU8::new(2).unwrap())
    });
    for call in 0..3 {
        assert_eq!(rig.circuits.state("sonnet"), CircuitState::Closed, "{call}");
        let call = call_to("sonnet");
        for _ in 0..5 {
            rig.call_as(call.clone()).await;
            advance(secs(1)).await;
        }
    }
    assert_eq!(rig.circuits.state("sonnet"), CircuitState::Open);
}

// 7, 8
#[tokio::test(start_paused = true)]
async fn an_answer_exactly_as_slow_as_the_threshold_is_not_slow() {
    for (takes, state) in [(5_000, CircuitState::Closed), (5_001, CircuitState::Open)] {
        let rig = Rig::with(Does::Status(200), |layer| {
            layer.with_slow_calls(secs(5), 0.5, many(5))
        });
        rig.model.takes(Duration::from_millis(takes));
        rig.calls(5).await;
        assert_eq!(rig.state(), state, "{takes} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_stream_that_began_at_once_is_not_slow() {
    let rig = Rig::with(Does::Streams(&[DELTA, STOP]), |layer| {
        layer.with_slow_calls(secs(5), 0.5, NonZeroU32::MIN)
    });
    let response = rig.send(None).await.unwrap();
    advance(secs(60)).await;
    response.into_body().collect().await.unwrap();
    assert_eq!(rig.snapshot().slow, 0);
    assert_eq!(rig.state(), CircuitState::Closed);
}
