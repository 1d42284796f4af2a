//! What comes out: the headers, and the end of a stream.

use crate::{
    common::{self, Act, BodyEnd, DELTA, SONNET, START, STOP, Upstream, read, request},
    full,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};
use tower_claude::{BoxError, Outcome, ReplayBody, Served, classify::Ended, replay::ReplayLayer};

#[tokio::test]
async fn an_answer_says_what_served_it() {
    let upstream = Upstream::always(
        Act::ok()
            .header("tower-claude-outcome", "canned")
            .header("tower-claude-invented", "x"),
    );
    let response = ReplayLayer::new()
        .layer(upstream)
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(response.headers()["tower-claude-outcome"], "direct");
    assert_eq!(response.headers()["tower-claude-model"], SONNET);
    assert!(!response.headers().contains_key("tower-claude-invented"));
    assert!(!response.headers().contains_key("tower-claude-degraded"));
    let served = response.extensions().get::<Served>().unwrap();
    assert_eq!(
        (served.outcome, served.model.as_deref()),
        (Outcome::Direct, Some(SONNET))
    );
}

#[tokio::test]
async fn a_final_failure_tells_the_sdk_to_stop() {
    let upstream = Upstream::always(Act::overloaded().header("x-should-retry", "true"));
    let response = ReplayLayer::new()
        .layer(upstream)
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(response.status(), 529);
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(response.headers()["tower-claude-outcome"], "error");
}

async fn streamed(parts: &[&'static str], end: BodyEnd) -> (String, Result<(), BoxError>) {
    let upstream = Upstream::always(
        Act::sse(parts, end)
            .header("request-id", "req_7")
            .header("content-length", "999"),
    );
    let response = ReplayLayer::new()
        .layer(upstream)
        .oneshot(request(SONNET, true))
        .await
        .unwrap();
    assert!(!response.headers().contains_key("content-length"));
    assert!(!response.body().is_end_stream());
    read(response.into_body()).await
}

/// The data of the one `error` event, which must be the last, and what precedes it.
fn split_error(text: &str) -> (&str, serde_json::Value) {
    let (before, event) = text.split_once("event: error\ndata: ").unwrap();
    let data = event.strip_suffix("\n\n").unwrap();
    (before, serde_json::from_str(data).unwrap())
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_error_event() {
    let (text, ended) = streamed(&[START, DELTA], BodyEnd::Cut).await;
    ended.unwrap();
    let (before, data) = split_error(&text);
    assert_eq!(before, format!("{START}{DELTA}"));
    assert_eq!(data["type"], "error");
    assert_eq!(data["error"]["type"], "api_error");
    assert_eq!(data["request_id"], "req_7");
}

#[tokio::test]
async fn a_stream_that_stops_without_message_stop_does_not_end_as_if_whole() {
    let (text, ended) = streamed(&[START, DELTA], BodyEnd::Eof).await;
    ended.unwrap();
    assert_eq!(split_error(&text).0, format!("{START}{DELTA}"));
}

/// A server asks `is_end_stream` and would not poll for the error event.
#[tokio::test]
async fn a_cut_stream_is_not_at_its_end_when_its_last_bytes_are_out() {
    let inner = service_fn(|_: Request<ReplayBody>| async {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, BoxError>(response.body(full(DELTA)).unwrap())
    });
    let response = ReplayLayer::new()
        .layer(inner)
        .oneshot(request(SONNET, true))
        .await
        .unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), None);
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, DELTA);
    assert!(!body.is_end_stream());
    let last = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(last.starts_with(b"event: error\n"));
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn half_an_event_becomes_part_of_the_error() {
    let (text, _) = streamed(
        &[START, "event: content_block_delta\ndata: {\"ty"],
        BodyEnd::Cut,
    )
    .await;
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(
        last.starts_with("event: content_block_delta\ndata: {\"ty\nevent: error\ndata: {"),
        "{last}"
    );

    let (text, _) = streamed(&[START, "event: content_block_delta\n"], BodyEnd::Cut).await;
    assert!(
        text.contains("event: content_block_delta\nevent: error\ndata: {"),
        "{text}"
    );
}

#[tokio::test]
async fn a_whole_stream_and_one_with_its_own_error_get_nothing_added() {
    for parts in [&[START, DELTA, STOP][..], &[START, common::ERROR][..]] {
        let (text, ended) = streamed(parts, BodyEnd::Eof).await;
        ended.unwrap();
        assert_eq!(text, parts.concat());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_behind_message_stop_gets_nothing_added() {
    let (text, ended) = streamed(&[START, DELTA, STOP], BodyEnd::Cut).await;
    ended.unwrap();
    assert_eq!(text, [START, DELTA, STOP].concat());
}

#[tokio::test]
async fn other_bodies_keep_their_error() {
    let json = Act::Answer {
        after: Duration::ZERO,
        status: 200,
        kind: "application/json",
        headers: Vec::new(),
        frames: vec![(Duration::ZERO, Bytes::from_static(b"{"))],
        end: BodyEnd::Cut,
    };
    let response = ReplayLayer::new()
        .layer(Upstream::always(json))
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    let (text, ended) = read(response.into_body()).await;
    assert_eq!(text, "{");
    assert_eq!(ended.unwrap_err().to_string(), "connection reset");

    let foreign = Request::get("/v1/events")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let upstream = Upstream::always(Act::sse(&["data: x\n\n"], BodyEnd::Eof));
    let response = ReplayLayer::new()
        .layer(upstream)
        .oneshot(foreign)
        .await
        .unwrap();
    let (text, ended) = read(response.into_body()).await;
    ended.unwrap();
    assert_eq!(text, "data: x\n\n", "not the stream of a Messages call");
}

#[tokio::test]
async fn the_end_in_served_is_live() {
    let upstream = Upstream::always(Act::stream());
    let response = ReplayLayer::new()
        .layer(upstream)
        .oneshot(request(SONNET, true))
        .await
        .unwrap();
    let end = response.extensions().get::<Served>().unwrap().end.clone();
    assert_eq!(end.get(), None);
    response.into_body().collect().await.unwrap();
    assert_eq!(end.get(), Some(Ended::Complete));
}
