//! Replay over a service in memory: what goes in, what comes out, and the one line about it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use bytes::Bytes;
use common::{Act, BodyEnd, DELTA, SONNET, START, STOP, Upstream, read, request};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_claude::{
    BodyTooLarge, BoxError, Call, Deadline, Event, Failure, FailureKind, Feature, Observe, Outcome,
    ReplayBody, Served, Tenant,
    classify::{End, Ended},
    replay::ReplayLayer,
};
use tower_service::Service;

/// What the inner service was given.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Request<ReplayBody>>>>);

impl Seen {
    fn service(
        &self,
    ) -> impl Service<
        Request<ReplayBody>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let seen = self.clone();
        service_fn(move |request| {
            seen.0.lock().unwrap().push(request);
            async { Ok(Response::new(Full::new(Bytes::from_static(b"{}")))) }
        })
    }

    fn only(&self) -> Request<ReplayBody> {
        let mut all = self.0.lock().unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// Sends a request through Replay alone, and gives what the inner service was given.
async fn through<B>(layer: ReplayLayer, request: Request<B>) -> Request<ReplayBody>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let seen = Seen::default();
    layer.layer(seen.service()).oneshot(request).await.unwrap();
    seen.only()
}

fn call_of<B>(request: &Request<B>) -> &Call {
    request.extensions().get().unwrap()
}

fn full(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

fn frames(
    parts: &[&'static str],
) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + use<>> {
    let frames: Vec<_> = parts
        .iter()
        .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

#[tokio::test]
async fn the_body_arrives_in_its_segments_and_the_call_says_what_it_asks() {
    let body = frames(&[
        "{\"mod",
        "el\":\"m\",\"stream\":true,\"max_tokens\":9,",
        "\"tools\":[{}]}",
    ]);
    let sent = through(ReplayLayer::new(), Request::new(body)).await;
    let call = call_of(&sent);
    assert_eq!(call.model().unwrap().as_ref(), "m");
    assert!(call.stream() && call.exact_output() && call.renders());
    assert_eq!((call.max_tokens(), call.body_bytes()), (Some(9), 55));
    assert!(call.request().unwrap().is_rewritable());
    assert_eq!(call.feature().as_str(), "default");
    assert_eq!(sent.body().segments().len(), 3);
    assert_eq!(sent.body().size_hint().exact(), Some(55));
}

#[tokio::test(start_paused = true)]
async fn feature_deadline_and_tenant_of_the_sender_go_into_the_call() {
    let deadline = Deadline::after(Duration::from_secs(7));
    let mut request = request(SONNET, false);
    request.extensions_mut().insert(Feature::new("chat"));
    request.extensions_mut().insert(deadline);
    request.extensions_mut().insert(Tenant::new("acme"));
    let sent = through(ReplayLayer::new(), request).await;
    let call = call_of(&sent);
    assert_eq!(call.feature().as_str(), "chat");
    assert_eq!(call.deadline(), Some(deadline));
    assert_eq!(call.tenant(), Tenant::new("acme"));
    assert_eq!(sent.extensions().len(), 1, "one extension, each costs");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_has_ten_minutes_or_what_is_set() {
    let left = |sent: &Request<ReplayBody>| call_of(sent).deadline().unwrap().left(Instant::now());
    let sent = through(ReplayLayer::new(), request(SONNET, false)).await;
    assert_eq!(left(&sent), Duration::from_secs(600));
    let layer = ReplayLayer::new().with_deadline(Duration::from_secs(3));
    assert_eq!(
        left(&through(layer, request(SONNET, false)).await),
        Duration::from_secs(3)
    );
}

#[tokio::test]
async fn the_tenant_is_told_by_the_credential() {
    let tenant = async |name: &'static str, value: &'static str| {
        let request = Request::builder()
            .header(name, value)
            .body(Empty::<Bytes>::new())
            .unwrap();
        call_of(&through(ReplayLayer::new(), request).await).tenant()
    };
    let key = tenant("x-api-key", "k1").await;
    assert_eq!(key, tenant("x-api-key", "k1").await);
    assert_ne!(key, tenant("x-api-key", "k2").await);
    assert_ne!(
        tenant("authorization", "Bearer k1").await,
        Tenant::default()
    );
    assert_eq!(tenant("accept", "*/*").await, Tenant::default());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_nothing_is_sent() {
    let layer = ReplayLayer::new().with_limit(10);
    let seen = Seen::default();
    let send = async |request: Request<common_body::Any>| {
        let error = layer
            .layer(seen.service())
            .oneshot(request)
            .await
            .unwrap_err();
        assert_eq!(error.downcast_ref::<BodyTooLarge>().unwrap().limit, 10);
        assert!(seen.is_empty());
    };
    // Known from the header, from the body, and only once it comes; the first two are not even read.
    let never = || common_body::never();
    send(
        Request::builder()
            .header("content-length", "11")
            .body(never())
            .unwrap(),
    )
    .await;
    send(Request::new(common_body::of(full("12345678901")))).await;
    send(Request::new(common_body::of(frames(&[
        "12345", "67890", "1",
    ]))))
    .await;

    let fits = Request::new(frames(&["12345", "67890"]));
    assert_eq!(through(layer.clone(), fits).await.body().len(), 10);
}

/// Bodies of one type, for tests that send several kinds.
mod common_body {
    use super::*;

    pub(super) type Any = http_body_util::combinators::BoxBody<Bytes, BoxError>;

    pub(super) fn of<B>(body: B) -> Any
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        body.map_err(Into::into).boxed()
    }

    pub(super) fn never() -> Any {
        of(StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, BoxError>,
        >()))
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_the_callers_mistake_and_nothing_is_sent() {
    let broken: [Result<Frame<Bytes>, BoxError>; 2] = [
        Ok(Frame::data(Bytes::from_static(b"{"))),
        Err("reset by peer".into()),
    ];
    let body = StreamBody::new(futures_util::stream::iter(broken));
    let seen = Seen::default();
    let error = ReplayLayer::new()
        .layer(seen.service())
        .oneshot(Request::new(body))
        .await
        .unwrap_err();
    let failure = Failure::find(&*error).unwrap();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        std::error::Error::source(failure).unwrap().to_string(),
        "reset by peer"
    );
    assert!(seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_ends_at_the_deadline() {
    let seen = Seen::default();
    let layer = ReplayLayer::new().with_deadline(Duration::from_secs(5));
    let start = Instant::now();
    let error = layer
        .layer(seen.service())
        .oneshot(Request::new(common_body::never()))
        .await
        .unwrap_err();
    assert_eq!(
        Failure::find(&*error).unwrap().kind,
        FailureKind::DeadlineExceeded
    );
    assert_eq!(Instant::now() - start, Duration::from_secs(5));
    assert!(seen.is_empty());
}

#[tokio::test]
async fn what_is_no_messages_call_passes_untouched() {
    for body in [
        "",
        "model=claude",
        "[{\"model\":\"a\"}]",
        "{\"model\":\"a\"",
    ] {
        let sent = through(ReplayLayer::new(), Request::new(full(body))).await;
        let call = call_of(&sent);
        assert_eq!(call.model(), None, "{body}");
        assert!(!call.renders() && call.request().is_none());
        assert_eq!(call.body_bytes(), body.len() as u64);
        assert_eq!(sent.body().to_bytes(), body);
    }
    let encoded = Request::builder()
        .header("content-encoding", "gzip")
        .body(full("{\"model\":\"a\"}"))
        .unwrap();
    assert_eq!(
        call_of(&through(ReplayLayer::new(), encoded).await).model(),
        None
    );
}

#[tokio::test]
async fn count_tokens_never_gets_a_canned_message() {
    for (path, exact) in [("/v1/messages/count_tokens", true), ("/v1/messages", false)] {
        let request = Request::post(path).body(full("{\"model\":\"a\"}")).unwrap();
        let sent = through(ReplayLayer::new(), request).await;
        assert_eq!(call_of(&sent).exact_output(), exact);
        assert!(call_of(&sent).model().is_some());
    }
}

#[tokio::test]
async fn what_is_ours_and_what_is_secret_stays_here() {
    let request = Request::builder()
        .header("tower-claude-feature", "chat")
        .header("tower-claude-outcome", "direct")
        .header("authorization", "Bearer s3cret")
        .header("accept", "*/*")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let sent = through(ReplayLayer::new(), request).await;
    assert_eq!(sent.headers().len(), 2);
    assert_eq!(
        sent.headers()["authorization"],
        "Bearer s3cret",
        "it is still sent"
    );
    assert!(!format!("{sent:?}").contains("s3cret"));
}

#[tokio::test]
async fn the_length_is_told_truly_where_anything_was_told() {
    let headers = async |name: &'static str, value: &'static str| -> HeaderMap {
        let request = Request::builder()
            .header(name, value)
            .body(frames(&["ab", "c"]))
            .unwrap();
        through(ReplayLayer::new(), request).await.headers().clone()
    };
    assert_eq!(headers("content-length", "2").await["content-length"], "3");
    let chunked = headers("transfer-encoding", "chunked").await;
    assert_eq!(chunked["content-length"], "3");
    assert!(!chunked.contains_key("transfer-encoding"));
    assert!(
        !headers("accept", "*/*")
            .await
            .contains_key("content-length")
    );
}

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

/// Keeps what calls ended with.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<CallEnd>>>);

type CallEnd = (Outcome, Option<FailureKind>, Duration);

impl Observe for Ends {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::CallEnded {
            outcome,
            failure,
            total,
            ..
        } = event
        {
            self.0.lock().unwrap().push((*outcome, *failure, *total));
        }
    }
}

impl Ends {
    fn layer(&self) -> ReplayLayer {
        ReplayLayer::new().with_observer(Arc::new(self.clone()))
    }

    fn all(&self) -> Vec<(Outcome, Option<FailureKind>)> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(outcome, failure, _)| (*outcome, *failure))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_is_told_once_when_its_body_ends() {
    let ends = Ends::default();
    let stream = Act::stream().every(Duration::from_secs(2));
    let service = ends.layer().layer(Upstream::always(stream));
    let response = service.oneshot(request(SONNET, true)).await.unwrap();
    assert_eq!(ends.all(), [], "the head is not the end");
    response.into_body().collect().await.unwrap();
    assert_eq!(ends.all(), [(Outcome::Direct, None)]);
    assert_eq!(ends.0.lock().unwrap()[0].2, Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_dropped_half_way_is_a_cancelled_call() {
    let ends = Ends::default();
    let service = ends.layer().layer(Upstream::always(Act::stream()));
    let mut body = service
        .oneshot(request(SONNET, true))
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(
        ends.all(),
        [(Outcome::Direct, Some(FailureKind::Cancelled))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_answer_is_cancelled() {
    for body in [
        common_body::never(),
        common_body::of(full("{\"model\":\"a\"}")),
    ] {
        let ends = Ends::default();
        let service = ends.layer().layer(Upstream::always(Act::Hang));
        let call = service.oneshot(Request::new(body));
        assert!(timeout(Duration::from_secs(1), call).await.is_err());
        assert_eq!(ends.all(), [(Outcome::Error, Some(FailureKind::Cancelled))]);
    }
}

#[tokio::test]
async fn every_failure_is_told_once() {
    for (act, kind) in [
        (Act::overloaded(), FailureKind::Overloaded),
        (Act::refused(), FailureKind::Refused),
        (Act::Break(Duration::ZERO), FailureKind::Transport),
    ] {
        let ends = Ends::default();
        let service = ends.layer().layer(Upstream::always(act));
        if let Ok(response) = service.oneshot(request(SONNET, false)).await {
            response.into_body().collect().await.unwrap();
        }
        assert_eq!(ends.all(), [(Outcome::Error, Some(kind))]);
    }
    let ends = Ends::default();
    let service = ends
        .layer()
        .with_limit(1)
        .layer(Upstream::always(Act::ok()));
    service.oneshot(request(SONNET, false)).await.unwrap_err();
    assert_eq!(ends.all(), [(Outcome::Error, Some(FailureKind::Refused))]);
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_as_such() {
    let ends = Ends::default();
    let service = ends
        .layer()
        .layer(Upstream::always(Act::sse(&[START, DELTA], BodyEnd::Cut)));
    service
        .oneshot(request(SONNET, true))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(
        ends.all(),
        [(Outcome::Direct, Some(FailureKind::Truncated))]
    );
}

#[tokio::test]
async fn a_panic_of_the_inner_service_is_told_as_one() {
    let ends = Ends::default();
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        assert!(request.headers().is_empty(), "boom");
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let call = tokio::spawn(ends.layer().layer(inner).oneshot(request(SONNET, false)));
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(
        ends.all(),
        [(Outcome::Error, Some(FailureKind::ServerError))]
    );
}

#[tokio::test]
async fn what_an_inner_layer_says_of_a_degraded_answer_stands() {
    let ends = Ends::default();
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        let end = End::new();
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        let mut served = served_by(&request).await;
        served.outcome = Outcome::Canned;
        served.degraded = Some(FailureKind::CircuitOpen);
        served.end = end;
        response.extensions_mut().insert(served);
        Ok::<_, Infallible>(response)
    });
    let response = ends
        .layer()
        .layer(inner)
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(response.headers()["tower-claude-outcome"], "canned");
    assert_eq!(response.headers()["tower-claude-degraded"], "circuit_open");
    response.into_body().collect().await.unwrap();
    assert_eq!(
        ends.all(),
        [(Outcome::Canned, Some(FailureKind::CircuitOpen))]
    );
}

/// `Served` cannot be made outside the crate: take one from a plain call.
async fn served_by(request: &Request<ReplayBody>) -> Served {
    let inner = Seen::default().service();
    let again = Request::new(request.body().clone());
    let response = ReplayLayer::new()
        .layer(inner)
        .oneshot(again)
        .await
        .unwrap();
    response.extensions().get::<Served>().unwrap().clone()
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

/// Must be polled ready before each call; a clone starts unready.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<ReplayBody>> for Strict {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ReplayBody>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called unready");
        std::future::ready(Ok(Response::new(Empty::new())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let mut service = ReplayLayer::new().layer(Strict::default());
    for _ in 0..2 {
        poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        let call = pin!(service.call(request(SONNET, false)));
        call.await.unwrap();
    }
}
