//! What goes in: the body, the call, the headers.

use crate::{
    Seen, call_of,
    common::{SONNET, request},
    common_body, frames, full, through,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full, StreamBody};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_claude::{
    BodyTooLarge, BoxError, Deadline, Failure, FailureKind, Feature, ReplayBody, Tenant,
    replay::ReplayLayer,
};
use tower_service::Service;

#[tokio::test]
async fn the_body_arrives_in_its_segments_and_the_call_says_what_it_asks() {
    let body = frames(&[
        "{\"mod",
        "el\":\"m\",\"stream\":true,\"max_tokens\":9,",
        "\"tools\":[{}],\"messages\":[]}",
    ]);
    let sent = through(ReplayLayer::new(), Request::new(body)).await;
    let call = call_of(&sent);
    assert_eq!(call.model().unwrap().as_ref(), "m");
    assert!(call.stream() && call.exact_output() && call.renders());
    assert_eq!((call.max_tokens(), call.body_bytes()), (Some(9), 69));
    assert!(call.request().unwrap().is_rewritable());
    assert_eq!(call.feature().as_str(), "default");
    assert_eq!(sent.body().segments().len(), 3);
    assert_eq!(sent.body().size_hint().exact(), Some(69));
}

/// A body that says when it has ended, and must not be asked again.
struct Ended(Option<Bytes>);

impl Body for Ended {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.0.take().map(Frame::data).map(Ok);
        assert!(frame.is_some(), "polled behind its end");
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

#[tokio::test]
async fn a_body_that_says_that_it_has_ended_is_not_polled_again() {
    for text in [Some("{\"model\":\"m\",\"messages\":[]}"), None] {
        let body = Ended(text.map(Bytes::from));
        let sent = through(ReplayLayer::new(), Request::new(body)).await;
        let wanted = text.map_or(0, str::len) as u64;
        assert_eq!(sent.body().size_hint().exact(), Some(wanted));
    }
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

/// A key that everybody sends (a placeholder, or that of a gateway) must not make one tenant of all.
#[tokio::test]
async fn callers_who_share_one_of_two_credentials_are_two_tenants() {
    let tenant = async |token: &'static str| {
        let request = Request::builder()
            .header("x-api-key", "placeholder")
            .header("authorization", token)
            .body(Empty::<Bytes>::new())
            .unwrap();
        call_of(&through(ReplayLayer::new(), request).await).tenant()
    };
    assert_eq!(tenant("Bearer a").await, tenant("Bearer a").await);
    assert_ne!(tenant("Bearer a").await, tenant("Bearer b").await);
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
    let encoded = Request::post("/v1/messages")
        .header("content-encoding", "gzip")
        .body(full("{\"model\":\"a\"}"))
        .unwrap();
    assert_eq!(
        call_of(&through(ReplayLayer::new(), encoded).await).model(),
        None
    );
}

/// Agents, embeddings and others name a model as well: their calls were sent to another model, held for events that they
/// do not have, and answered with a message.
#[tokio::test]
async fn a_call_of_another_service_has_no_model() {
    const MESSAGES: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    const AGENT: &str = r#"{"model":"m","name":"a","system":"s","stream":true}"#;
    const BATCH: &str = r#"{"requests":[{"params":{"model":"m","messages":[]}}],"model":"m"}"#;
    for (path, body, has_model) in [
        ("/", MESSAGES, true),
        ("/chat", MESSAGES, true),
        ("/api/v1/assistant", MESSAGES, true),
        ("/v1/messages", MESSAGES, true),
        ("/proxy/v1/messages/?beta=true", MESSAGES, true),
        ("/v1/messages/count_tokens", MESSAGES, true),
        ("/model/eu.anthropic.claude-v1:0/invoke", MESSAGES, true),
        ("/models/claude@1:streamRawPredict", MESSAGES, true),
        ("/v1/messages", AGENT, true),
        ("/v1/chat/completions", MESSAGES, false),
        ("/v1/complete/", MESSAGES, false),
        ("/v1/agents", AGENT, false),
        ("/chat", AGENT, false),
        ("/v1/messages/batches", BATCH, false),
        (
            "/v1/embeddings",
            r#"{"model":"m","input":["messages"]}"#,
            false,
        ),
        ("/v1/files", r#"{"model":"m","messages":"all"}"#, false),
    ] {
        let sent = through(
            ReplayLayer::new(),
            Request::post(path).body(full(body)).unwrap(),
        )
        .await;
        let call = call_of(&sent);
        assert_eq!(call.model().is_some(), has_model, "{path} {body}");
        assert_eq!(call.renders(), has_model);
        assert_eq!(call.body_bytes(), body.len() as u64);
    }
}

#[tokio::test]
async fn count_tokens_never_gets_a_canned_message() {
    for (path, exact) in [
        ("/v1/messages/count_tokens", true),
        ("/publishers/anthropic/models/count-tokens:rawPredict", true),
        ("/v1/messages", false),
    ] {
        let body = full("{\"model\":\"a\",\"stream\":true}");
        let sent = through(ReplayLayer::new(), Request::post(path).body(body).unwrap()).await;
        assert_eq!(call_of(&sent).exact_output(), exact);
        assert_eq!(call_of(&sent).stream(), !exact, "a number is no stream");
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

/// The answers of the API are compressed for whoever allows it, as the official SDKs do.
#[tokio::test]
async fn an_answer_that_must_be_read_is_asked_for_plainly() {
    for (body, kept) in [(r#"{"model":"m","messages":[]}"#, false), ("no json", true)] {
        let mut request = Request::new(full(body));
        request
            .headers_mut()
            .insert("accept-encoding", "gzip, br".parse().unwrap());
        let sent = through(ReplayLayer::new(), request).await;
        assert_eq!(sent.headers().contains_key("accept-encoding"), kept);
    }
    // Its answer is watched as well.
    let encoded = Request::builder()
        .header("content-encoding", "gzip")
        .header("accept-encoding", "gzip")
        .body(full("gzip"))
        .unwrap();
    let sent = through(ReplayLayer::new(), encoded).await;
    assert!(!sent.headers().contains_key("accept-encoding"));
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
