//! Who waits, how long, in which order, and what is told of it.

use super::house::{Body, House, Log, Reply, Upstream, call, failure, one, settle};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{BoxError, Deadline, FailureKind, bulkhead::BulkheadLayer};

// Case 57.
#[tokio::test(start_paused = true)]
async fn with_n_running_and_no_wait_the_next_is_full_at_once_and_upstream_is_not_asked() {
    for no_wait in [one().with_wait(Duration::ZERO), one().with_queue(0)] {
        let mut house = House::new(no_wait);
        let _running = house.chat().await;
        let start = Instant::now();
        let refused = failure(house.chat().await.await.unwrap());
        assert_eq!(refused.kind, FailureKind::BulkheadFull);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(Instant::now(), start);
        assert_eq!(house.upstream.seen(), 1);
        assert_eq!(house.counts(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once_and_keeps_those_in_it() {
    let mut house = House::new(one());
    let _running = house.chat().await;
    let _waiting = (house.chat().await, house.chat().await);
    let start = Instant::now();
    let refused = failure(house.chat().await.await.unwrap());
    assert_eq!(refused.kind, FailureKind::BulkheadFull);
    assert_eq!(Instant::now(), start);
    assert_eq!(house.counts(), (1, 2));
}

// Case 58.
#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_they_came_when_a_seat_is_released() {
    let mut house = House::new(one());
    let calls = [house.chat().await, house.chat().await, house.chat().await];
    for (id, call) in (0..).zip(calls) {
        assert_eq!(house.upstream.reply(Reply::Json), id);
        drop(call.await.unwrap().unwrap());
        settle().await;
    }
    assert_eq!(house.counts(), (0, 0));
}

// Case 58.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_exactly_the_longest_wait() {
    let wait = Duration::from_millis(1234);
    let mut house = House::new(one().with_wait(wait));
    let _running = house.chat().await;
    let start = Instant::now();
    let waited = failure(house.chat().await.await.unwrap());
    assert_eq!(waited.kind, FailureKind::BulkheadFull);
    assert_eq!(Instant::now() - start, wait);
    assert_eq!(house.counts(), (1, 0));
}

// Case 58.
#[tokio::test(start_paused = true)]
async fn a_seat_that_is_free_at_the_instant_the_wait_ends_is_taken() {
    let wait = Duration::from_secs(2);
    let mut house = House::new(one().with_wait(wait));
    let running = house.chat().await;
    house.upstream.reply(Reply::Json);
    let answer = running.await.unwrap().unwrap();
    let mut waiting = house.unpolled();
    assert!(waiting.poll().is_pending());
    advance(wait).await;
    drop(answer);
    assert!(waiting.poll().is_pending(), "it is in flight now");
    assert_eq!(house.counts(), (1, 0));
    assert_eq!(house.upstream.seen(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake_a_waiter_that_was_woken_and_has_not_run_yet() {
    let mut house = House::new(one());
    let running = house.chat().await;
    house.upstream.reply(Reply::Json);
    let answer = running.await.unwrap().unwrap();
    let mut waiting = house.unpolled();
    assert!(waiting.poll().is_pending());
    drop(answer);
    let mut newcomer = house.unpolled();
    assert!(newcomer.poll().is_pending());
    assert_eq!(house.upstream.seen(), 1, "the newcomer lines up");
    assert!(waiting.poll().is_pending());
    assert_eq!(house.upstream.seen(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_line_is_the_deadlines_failure() {
    let mut house = House::new(one());
    let _running = house.chat().await;
    let start = Instant::now();
    let late = |after| call("chat", "sonnet").with_deadline(Some(Deadline::after(after)));
    let waited = house.start(Some(late(Duration::from_millis(300)))).await;
    let waited = failure(waited.await.unwrap());
    assert_eq!(waited.kind, FailureKind::DeadlineExceeded);
    assert_eq!(Instant::now() - start, Duration::from_millis(300));
    let passed = house.start(Some(late(Duration::ZERO))).await;
    let passed = failure(passed.await.unwrap());
    assert_eq!(passed.kind, FailureKind::DeadlineExceeded);
    assert_eq!(
        Instant::now() - start,
        Duration::from_millis(300),
        "at once"
    );
    assert_eq!(house.upstream.seen(), 1);
}

/// Panics where it is called without having been polled to readiness, as many services do.
struct Strict {
    upstream: Upstream,
    ready: bool,
}

/// A clone has to become ready by itself.
impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            upstream: self.upstream.clone(),
            ready: false,
        }
    }
}

impl Service<Request<u32>> for Strict {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = <Upstream as Service<Request<u32>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u32>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        self.upstream.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_made_by_the_service_that_was_ready_for_it() {
    let upstream = Upstream::default();
    let mut service = BulkheadLayer::new().with_default(one()).layer(Strict {
        upstream: upstream.clone(),
        ready: false,
    });
    let mut calls = Vec::new();
    for id in 0..3 {
        let ready = service.ready().await.unwrap();
        calls.push(tokio::spawn(ready.call(Request::new(id))));
    }
    for call in calls {
        settle().await;
        upstream.reply(Reply::Json);
        drop(call.await.unwrap().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_and_giving_up_are_told_with_feature_and_model() {
    let log = Log::default();
    let layer = BulkheadLayer::new()
        .with_feature("chat", one().with_queue(1))
        .with_observer(Arc::new(log.clone()));
    let mut house = House::of(&layer);
    let _running = house.chat().await;
    assert!(log.take().is_empty());
    let waiting = house.chat().await;
    assert_eq!(log.take(), ["queued chat sonnet"]);
    house.chat().await.await.unwrap().unwrap_err();
    assert_eq!(log.take(), ["full chat sonnet waited=false"]);
    waiting.await.unwrap().unwrap_err();
    assert_eq!(log.take(), ["full chat sonnet waited=true"]);
}
