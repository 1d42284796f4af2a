//! Which compartment a call belongs to, how it is resized, and what its being full means.

use super::house::{House, Log, Reply, Upstream, call, failure, one, settle};
use http::Request;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_claude::{
    Call, FailureKind,
    bulkhead::{BulkheadLayer, Compartment},
};

// Case 60.
#[tokio::test(start_paused = true)]
async fn shrinking_ends_no_call_does_not_block_and_lets_nobody_in_until_enough_are_over() {
    let mut house = House::new(Compartment::new(10));
    let mut running = Vec::new();
    for _ in 0..8 {
        running.push(house.chat().await);
    }
    assert!(house.bulkheads.resize("chat", 2));
    let waiting = house.chat().await;
    assert_eq!(house.counts(), (8, 1));
    for left in (2..8).rev() {
        house.upstream.reply(Reply::Error);
        running.remove(0).await.unwrap().unwrap_err();
        settle().await;
        assert_eq!(house.counts(), (left, 1), "not below the limit yet");
    }
    house.upstream.reply(Reply::Error);
    running.remove(0).await.unwrap().unwrap_err();
    settle().await;
    assert_eq!(house.counts(), (2, 0), "the waiter is let in");
    for survivor in [running.remove(0), waiting] {
        house.upstream.reply(Reply::Json);
        survivor.await.unwrap().unwrap();
    }
}

// Case 61.
#[tokio::test(start_paused = true)]
async fn growing_lets_in_as_many_waiters_as_there_are_new_seats() {
    let mut house = House::new(one().with_queue(10));
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(house.chat().await);
    }
    assert_eq!(house.counts(), (1, 5));
    assert!(house.bulkheads.resize("chat", 4));
    settle().await;
    assert_eq!(house.counts(), (4, 2));
    assert_eq!(house.upstream.seen(), 4);
    assert!(house.bulkheads.resize("chat", 40));
    settle().await;
    assert_eq!(house.counts(), (6, 0));
}

// Case 62.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_rejects_every_call_at_once() {
    let mut house = House::new(Compartment::new(0).with_queue(5));
    let start = Instant::now();
    for _ in 0..3 {
        let refused = failure(house.chat().await.await.unwrap());
        assert_eq!(refused.kind, FailureKind::BulkheadFull);
    }
    assert_eq!(Instant::now(), start);
    assert_eq!(house.upstream.seen(), 0);
}

// Case 62.
#[tokio::test(start_paused = true)]
async fn closing_a_compartment_turns_its_line_away_at_once_and_it_can_be_opened_again() {
    let mut house = House::new(one());
    let running = house.chat().await;
    let waiting = house.chat().await;
    let start = Instant::now();
    assert!(house.bulkheads.resize("chat", 0));
    let turned_away = failure(waiting.await.unwrap());
    assert_eq!(turned_away.kind, FailureKind::BulkheadFull);
    assert_eq!(Instant::now(), start);
    assert_eq!(house.counts(), (1, 0), "who is in flight stays");
    assert!(house.bulkheads.resize("chat", 2));
    let next = house.chat().await;
    assert_eq!(house.counts(), (2, 0));
    for call in [running, next] {
        house.upstream.reply(Reply::Json);
        call.await.unwrap().unwrap();
    }
}

// Case 63.
#[tokio::test(start_paused = true)]
async fn a_saturated_feature_or_model_delays_no_other() {
    let patient = one().with_queue(50).with_wait(Duration::from_secs(60));
    let mut house = House::new(patient);
    for _ in 0..51 {
        house.chat().await;
    }
    assert_eq!(house.counts(), (1, 50));
    let start = Instant::now();
    for other in [call("summary", "sonnet"), call("chat", "haiku")] {
        let id = house.next;
        let other = house.start(Some(other)).await;
        house.upstream.reply_to(id, Reply::Json);
        other.await.unwrap().unwrap();
    }
    assert_eq!(Instant::now(), start);
    assert_eq!(house.counts(), (1, 50));
}

// Case 64.
#[tokio::test(start_paused = true)]
async fn an_unknown_feature_takes_the_default_compartment_and_is_counted_and_told() {
    let log = Log::default();
    let layer = BulkheadLayer::new()
        .with_default(Compartment::new(2).with_queue(0))
        .with_observer(Arc::new(log.clone()));
    let mut house = House::of(&layer);
    let _typo = house.start(Some(call("caht", "sonnet"))).await;
    let _default = house.start(Some(Call::new(Some("sonnet".into())))).await;
    let refused = house.start(Some(call("other", "sonnet"))).await;
    let refused = failure(refused.await.unwrap());
    assert_eq!(refused.kind, FailureKind::BulkheadFull);
    assert_eq!(house.find("default", "sonnet").in_flight, 2);
    assert_eq!(house.bulkheads.unknown_features(), 2);
    let told = [
        "unknown caht",
        "unknown other",
        "full other sonnet waited=false",
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_call_belongs_to_the_default_compartment_and_no_model() {
    let mut house = House::of(&BulkheadLayer::new());
    let _bare = house.start(None).await;
    let _no_model = house.start(Some(Call::new(None))).await;
    assert_eq!(house.find("default", "").in_flight, 2);
    assert_eq!(house.bulkheads.unknown_features(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_compartments_of_a_new_layer_are_those_of_its_docs() {
    let mut house = House::of(&BulkheadLayer::new());
    for (feature, limit, queue, wait) in [
        ("chat", 20, 40, 2),
        ("summary", 10, 20, 2),
        ("extraction", 30, 60, 2),
        ("background_jobs", 5, 500, 60),
        ("default", 64, 128, 2),
    ] {
        let _running = house.start(Some(call(feature, "sonnet"))).await;
        let room = house.find(feature, "sonnet");
        assert_eq!((room.limit, room.queue_limit), (limit, queue), "{feature}");
        assert_eq!(room.wait, Duration::from_secs(wait), "{feature}");
    }
}

// Case 65.
#[tokio::test(start_paused = true)]
async fn full_is_no_failure_of_the_model_is_not_retried_and_moves_on_to_the_next_model() {
    let mut house = House::new(Compartment::new(0));
    let full = failure(house.chat().await.await.unwrap());
    assert!(full.kind.is_local());
    assert!(!full.counts_against_circuit());
    assert!(!full.is_retryable());
    assert!(full.warrants_fallback());
    assert!(!full.warrants_degrade());
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_their_compartments_and_those_of_two_layers_do_not() {
    let layer = BulkheadLayer::new().with_default(one().with_queue(0));
    let mut house = House::of(&layer);
    let _running = house.start(None).await;
    let upstream = Upstream::default();
    let shared = layer.layer(upstream.clone()).oneshot(Request::new(0)).await;
    assert_eq!(failure(shared).kind, FailureKind::BulkheadFull);
    let other = layer.with_default(one()).layer(upstream.clone());
    let _own = tokio::spawn(other.oneshot(Request::new(0)));
    settle().await;
    assert_eq!(upstream.seen(), 1);
}
