//! Fallback between Replay and a Claude in memory: which models are asked, what they are sent, what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unnecessary_wraps,
    reason = "a test fails by panicking; a script gives answers and errors alike"
)]

mod common;

use bytes::Bytes;
use common::{Act, HAIKU, SONNET, Upstream, request};
use http::{Request, Response, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_claude::{
    BoxError, Call, Deadline, Event, Failure, FailureKind, Feature, Observe, ReplayBody, Verdict,
    jitter_backoff::{Jitter, JitterBackoffLayer},
    model_fallback::{ChainModel, ModelFallbackLayer},
    replay::ReplayLayer,
};
use tower_service::Service;

const OPUS: &str = "claude-opus-5";

type Answer = Result<Response<Full<Bytes>>, BoxError>;

/// Gives each model's answer by script, and remembers the requests.
#[derive(Clone)]
struct Models {
    script: Arc<dyn Fn(&str) -> Answer + Send + Sync>,
    seen: Arc<Mutex<Vec<Request<ReplayBody>>>>,
}

impl Models {
    fn new(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            seen: Arc::default(),
        }
    }

    fn service(
        &self,
    ) -> impl Service<
        Request<ReplayBody>,
        Response = Response<Full<Bytes>>,
        Error = BoxError,
        Future: Send,
    > + Clone
    + use<> {
        let this = self.clone();
        service_fn(move |request: Request<ReplayBody>| {
            let answer = (this.script)(&model_in(&request));
            this.seen.lock().unwrap().push(request);
            async { answer }
        })
    }

    /// Sends a request through Replay and the layer.
    async fn send(
        &self,
        layer: &ModelFallbackLayer,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<impl http_body::Body<Data = Bytes> + use<>>, BoxError> {
        let stack = ReplayLayer::new().layer(layer.layer(self.service()));
        stack.oneshot(request).await
    }

    /// Sends a request with a call of our making through the layer alone.
    async fn send_call(&self, layer: &ModelFallbackLayer, call: Call) -> Answer {
        let mut request = Request::new(ReplayBody::from(body_of(SONNET)));
        request.extensions_mut().insert(call);
        layer.layer(self.service()).oneshot(request).await
    }

    fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(model_in).collect()
    }

    fn bodies(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| text(request.body())).collect()
    }
}

fn text(body: &ReplayBody) -> String {
    String::from_utf8_lossy(&body.to_bytes()).into_owned()
}

/// As a server reads it.
fn model_in(request: &Request<ReplayBody>) -> String {
    let value: serde_json::Value =
        serde_json::from_slice(&request.body().to_bytes()).unwrap_or_default();
    value["model"].as_str().unwrap_or_default().to_owned()
}

fn body_of(model: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":64}}"#)
}

/// The call of that body.
fn call() -> Call {
    let body = Bytes::from(body_of(SONNET));
    Call::of(tower_claude::claude::request::RequestFacts::of(&[body]).unwrap())
}

fn status(status: u16) -> Answer {
    Ok(Response::builder()
        .status(status)
        .body(Full::default())
        .unwrap())
}

fn fails(kind: FailureKind) -> Answer {
    Err(Failure::new(kind).into())
}

/// As Commit hands it on: the answer, with its verdict.
fn judged(code: u16, failure: Failure) -> Answer {
    let mut answer = status(code)?;
    answer.extensions_mut().insert(Verdict::Failed(failure));
    Ok(answer)
}

fn chain() -> ModelFallbackLayer {
    ModelFallbackLayer::new().with_chain([SONNET, HAIKU])
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("http://claude.test/v1/messages")
        .body(Full::new(body.into()))
        .unwrap()
}

fn failure_of<B>(answer: &Result<Response<B>, BoxError>) -> Failure {
    Verdict::of(answer).failure().unwrap().clone()
}

#[derive(Default)]
struct Told(Mutex<Vec<(String, String, FailureKind)>>);

impl Observe for Told {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::FellBack { from, to, kind, .. } = *event {
            let line = (from.to_owned(), to.to_owned(), kind);
            self.0.lock().unwrap().push(line);
        }
    }
}

impl Told {
    fn lines(&self) -> Vec<(String, String, FailureKind)> {
        self.0.lock().unwrap().clone()
    }
}

// Case 68.
#[tokio::test]
async fn when_the_first_model_answers_no_other_is_asked() {
    let told = Arc::new(Told::default());
    let models = Models::new(|_| status(200));
    let layer = chain().with_observer(told.clone());
    let answer = models.send(&layer, request(SONNET, false)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["tower-claude-outcome"], "direct");
    assert_eq!(models.asked(), [SONNET]);
    assert!(told.lines().is_empty());
}

#[tokio::test]
async fn an_overload_is_answered_by_the_next_model_and_the_answer_says_which() {
    let models = Models::new(|model| status(if model == SONNET { 529 } else { 200 }));
    let answer = models.send(&chain(), request(SONNET, false)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["tower-claude-outcome"], "fallback");
    assert_eq!(answer.headers()["tower-claude-model"], HAIKU);
    assert_eq!(models.asked(), [SONNET, HAIKU]);
}

// Case 69.
#[tokio::test]
async fn outages_move_on_and_the_callers_mistakes_are_returned_as_they_are() {
    for kind in FailureKind::ALL {
        let models = Models::new(move |model| match model {
            SONNET => fails(kind),
            _ => status(200),
        });
        let moves_on = Failure::new(kind).warrants_fallback();
        let answer = models.send_call(&chain(), call()).await;
        assert_eq!(answer.is_ok(), moves_on, "{kind}");
        assert_eq!(models.asked().len(), 1 + usize::from(moves_on), "{kind}");
    }
    for code in [400, 401, 403, 404, 413, 422] {
        let models = Models::new(move |_| status(code));
        let answer = models.send(&chain(), request(SONNET, false)).await.unwrap();
        assert_eq!(answer.status(), code);
        assert_eq!(models.asked(), [SONNET]);
    }
}

// Case 70.
#[tokio::test]
async fn each_hop_patches_the_original_request() {
    let layer = ModelFallbackLayer::new().with_chain([
        ChainModel::new(OPUS),
        ChainModel::new(SONNET).with_max_tokens(10),
        ChainModel::new(HAIKU).with_max_tokens(100),
    ]);
    let models = Models::new(|_| status(529));
    let body = "{ \"max_tokens\" : 64 ,\n \"model\":\"claude-opus-5\", \"x\": 1.0e0 }";
    let _ = models.send(&layer, post(body)).await;
    let expected = [
        body.to_owned(),
        body.replace("64", "10").replace(OPUS, SONNET),
        body.replace(OPUS, HAIKU),
    ];
    assert_eq!(
        models.bodies(),
        expected,
        "hop 2 never sees the edits of hop 1"
    );
}

#[tokio::test]
async fn the_first_model_is_sent_what_the_caller_asked_also_above_its_cap() {
    let layer = ModelFallbackLayer::new().with_chain([
        ChainModel::new(SONNET).with_max_tokens(1),
        ChainModel::new(HAIKU),
    ]);
    let models = Models::new(|_| status(200));
    models.send(&layer, post(body_of(SONNET))).await.unwrap();
    assert_eq!(models.bodies(), [body_of(SONNET)]);
}

#[tokio::test]
async fn content_length_is_right_for_each_model_and_never_added() {
    let models = Models::new(|_| status(529));
    let body = body_of(SONNET);
    let mut with = post(body.clone());
    with.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    let _ = models.send(&chain(), with).await;
    let _ = models.send(&chain(), post(body.clone())).await;
    let lengths: Vec<_> = models
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.headers().get(CONTENT_LENGTH).cloned())
        .collect();
    let shorter = body.len() - SONNET.len() + HAIKU.len();
    assert_eq!(
        lengths,
        [Some(body.len().into()), Some(shorter.into()), None, None]
    );
}

#[tokio::test]
async fn duplicates_escapes_and_nested_models_are_told_apart() {
    for (body, expected) in [
        (
            r#"{"model":"x","messages":[{"model":"claude-sonnet-5-5"}],"model":"claude-sonnet-5-5"}"#,
            r#"{"model":"claude-haiku-5-5","messages":[{"model":"claude-sonnet-5-5"}],"model":"claude-haiku-5-5"}"#,
        ),
        (
            r#"{"\u006dodel":"claude-sonnet-5\u002d5","system":"\"model\":\"claude-sonnet-5-5\""}"#,
            r#"{"\u006dodel":"claude-haiku-5-5","system":"\"model\":\"claude-sonnet-5-5\""}"#,
        ),
        (
            r#"{"metadata":{"model":"nested"},"model":"claude-sonnet-5-5"}"#,
            r#"{"metadata":{"model":"nested"},"model":"claude-haiku-5-5"}"#,
        ),
    ] {
        let models = Models::new(|_| status(529));
        let _ = models.send(&chain(), post(body)).await;
        assert_eq!(models.bodies(), [body, expected]);
    }
}

#[tokio::test]
async fn a_model_after_20_mb_is_replaced_without_a_copy_of_them() {
    let message = Bytes::from(format!(r#"{{"messages":["{}"],"#, "x".repeat(20 << 20)));
    let tail = Bytes::from(format!(r#""model":"{SONNET}"}}"#));
    let parts = [message.clone(), tail].map(|part| Ok::<_, BoxError>(Frame::data(part)));
    let body = StreamBody::new(futures_util::stream::iter(parts));
    let models = Models::new(|model| status(if model == SONNET { 529 } else { 200 }));
    let stack = ReplayLayer::new().layer(chain().layer(models.service()));
    stack.oneshot(Request::new(body)).await.unwrap();
    let seen = models.seen.lock().unwrap();
    let sent = seen[1].body();
    assert_eq!(sent.segments()[0].as_ptr(), message.as_ptr(), "shared");
    let length = message.len() + HAIKU.len() + r#""model":""}"#.len();
    assert_eq!(sent.to_bytes().len(), length);
    assert!(
        sent.to_bytes()
            .ends_with(br#""],"model":"claude-haiku-5-5"}"#)
    );
}

#[tokio::test]
async fn what_cannot_be_rewritten_passes_through_untouched_and_without_fallback() {
    let nine = r#""model":"claude-sonnet-5-5","#.repeat(9);
    let bodies: [Vec<u8>; 5] = [
        b"not json".to_vec(),
        vec![0xff, 0xfe, 0],
        format!("[{}]", body_of(SONNET)).into_bytes(),
        format!("{}{{}}", body_of(SONNET)).into_bytes(),
        format!("{{{nine}\"x\":1}}").into_bytes(),
    ];
    for body in bodies {
        let models = Models::new(|_| status(529));
        let answer = models.send(&chain(), post(body.clone())).await.unwrap();
        assert_eq!(answer.status(), 529);
        let seen = models.seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].body().to_bytes(), body);
        let call = seen[0].extensions().get::<Call>().unwrap();
        assert!(!call.in_chain() && call.models_left() == 0);
    }
    let models = Models::new(|_| status(529));
    let mut encoded = post(body_of(SONNET));
    encoded
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    let _ = models.send(&chain(), encoded).await;
    assert_eq!(models.bodies(), [body_of(SONNET)]);
}

#[tokio::test]
async fn a_request_without_a_call_passes_through() {
    let models = Models::new(|_| status(529));
    let request = Request::new(ReplayBody::from(body_of(SONNET)));
    chain()
        .layer(models.service())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(models.asked(), [SONNET]);
}

#[tokio::test]
async fn a_call_starts_at_its_model_and_one_outside_every_chain_is_sent_as_it_is() {
    let layer = ModelFallbackLayer::new()
        .with_chain([OPUS, SONNET, HAIKU])
        .with_feature_chain("chat", [SONNET, OPUS])
        .without_fallback("code");
    for (feature, model, expected) in [
        ("default", SONNET, vec![SONNET, HAIKU]),
        ("default", HAIKU, vec![HAIKU]),
        ("default", "claude-2", vec!["claude-2"]),
        ("chat", SONNET, vec![SONNET, OPUS]),
        ("code", OPUS, vec![OPUS]),
    ] {
        let models = Models::new(|_| status(529));
        let mut request = request(model, false);
        request.extensions_mut().insert(Feature::new(feature));
        let _ = models.send(&layer, request).await;
        assert_eq!(models.asked(), expected, "{feature} {model}");
    }
}

#[tokio::test]
async fn every_attempt_knows_its_place_in_the_chain() {
    let layer = ModelFallbackLayer::new().with_chain([OPUS, SONNET, HAIKU]);
    let models = Models::new(|_| status(529));
    let _ = models.send(&layer, request(OPUS, false)).await;
    let seen = models.seen.lock().unwrap();
    let places: Vec<_> = seen
        .iter()
        .map(|request| {
            let call = request.extensions().get::<Call>().unwrap();
            assert_eq!(call.asked_model().unwrap().as_ref(), OPUS);
            assert_eq!(call.model().unwrap().as_ref(), model_in(request));
            assert_eq!(request.extensions().len(), 1);
            (call.models_left(), call.in_chain())
        })
        .collect();
    assert_eq!(places, [(2, true), (1, true), (0, true)]);
}

// Case 71.
#[tokio::test]
async fn the_event_is_told_once_for_each_real_substitution() {
    let told = Arc::new(Told::default());
    let layer = ModelFallbackLayer::new()
        .with_chain([OPUS, SONNET, HAIKU])
        .with_observer(told.clone());
    let models = Models::new(|model| match model {
        OPUS => fails(FailureKind::CircuitOpen),
        SONNET => status(529),
        _ => status(500),
    });
    let _ = models.send(&layer, request(OPUS, false)).await;
    assert_eq!(
        told.lines(),
        [
            (OPUS.into(), SONNET.into(), FailureKind::CircuitOpen),
            (SONNET.into(), HAIKU.into(), FailureKind::Overloaded),
        ],
        "and none for the failure of the last"
    );
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_no_other_model_is_asked() {
    let told = Arc::new(Told::default());
    let layer = chain().with_observer(told.clone());
    let models = Models::new(|_| fails(FailureKind::Overloaded));
    let deadline = Deadline::at(Instant::now());
    let answer = models
        .send_call(&layer, call().with_deadline(Some(deadline)))
        .await;
    assert_eq!(failure_of(&answer).kind, FailureKind::Overloaded);
    assert_eq!(models.asked(), [SONNET]);
    assert!(told.lines().is_empty());
}

#[tokio::test]
async fn a_400_or_404_of_a_later_model_never_replaces_the_first_failure() {
    use FailureKind as K;
    for later in [
        K::Refused,
        K::ModelGone,
        K::SpendLimit,
        K::ServerError,
        K::BulkheadFull,
    ] {
        let models = Models::new(move |model| match model {
            SONNET => judged(529, Failure::new(K::Overloaded)),
            _ => fails(later),
        });
        let answer = models.send_call(&chain(), call()).await;
        assert_eq!(answer.as_ref().unwrap().status(), 529);
        assert_eq!(failure_of(&answer).kind, K::Overloaded);
        assert_eq!(models.asked(), [SONNET, HAIKU]);
    }
}

#[tokio::test]
async fn a_failure_that_no_degraded_answer_may_replace_gives_way_to_an_outage() {
    use FailureKind as K;
    for (first, later, told) in [
        (K::BulkheadFull, K::Overloaded, K::Overloaded),
        (K::BulkheadFull, K::DeadlineExceeded, K::DeadlineExceeded),
        (K::ModelGone, K::CircuitOpen, K::CircuitOpen),
        (K::BulkheadFull, K::BulkheadFull, K::BulkheadFull),
        (K::BulkheadFull, K::Refused, K::BulkheadFull),
        (K::ModelGone, K::Refused, K::ModelGone),
    ] {
        let models = Models::new(move |model| fails(if model == SONNET { first } else { later }));
        let answer = models.send_call(&chain(), call()).await;
        assert_eq!(failure_of(&answer).kind, told, "{first}, then {later}");
    }
}

#[tokio::test]
async fn with_no_model_left_the_404_itself_is_returned_unchanged() {
    let gone = |wait| Failure::new(FailureKind::ModelGone).with_retry_after(wait);
    let models = Models::new(move |model| match model {
        SONNET => judged(404, gone(None)),
        _ => judged(404, gone(Some(Duration::from_secs(600)))),
    });
    let answer = models.send_call(&chain(), call()).await;
    assert_eq!(answer.as_ref().unwrap().status(), 404);
    assert_eq!(failure_of(&answer).retry_after, None);
    let alone = ModelFallbackLayer::new().with_chain([SONNET]);
    let models = Models::new(move |_| judged(404, gone(None)));
    let answer = models.send_call(&alone, call()).await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn the_failure_says_when_the_first_of_the_models_may_be_asked_again() {
    let secs = Duration::from_secs;
    for (first, later, told) in [
        (Some(60), Some(5), Some(5)),
        (Some(5), Some(60), Some(2)),
        (None, Some(9), Some(9)),
        (Some(60), None, Some(57)),
        (None, None, None),
    ] {
        // An answer and an error, which keep their failure in different places.
        for as_error in [false, true] {
            let upstream = service_fn(move |request: Request<ReplayBody>| async move {
                let sonnet = model_in(&request) == SONNET;
                let wait = if sonnet { first } else { later }.map(secs);
                let failure = Failure::new(FailureKind::RateLimited).with_retry_after(wait);
                if !sonnet {
                    tokio::time::sleep(secs(3)).await;
                }
                if as_error {
                    Err(failure.into())
                } else {
                    judged(429, failure)
                }
            });
            let mut request = Request::new(ReplayBody::from(body_of(SONNET)));
            request.extensions_mut().insert(call());
            let answer = chain().layer(upstream).oneshot(request).await;
            assert_eq!(failure_of(&answer).retry_after, told.map(secs));
        }
    }
}

#[tokio::test]
async fn an_inner_service_that_is_not_ready_for_the_next_model_is_a_failure_like_any() {
    #[derive(Clone)]
    struct ReadyOnce(Arc<AtomicUsize>);
    impl Service<Request<ReplayBody>> for ReadyOnce {
        type Response = Response<Full<Bytes>>;
        type Error = BoxError;
        type Future = std::future::Ready<Answer>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err("not ready".into()),
            })
        }
        fn call(&mut self, _: Request<ReplayBody>) -> Self::Future {
            std::future::ready(status(529))
        }
    }
    let polls = Arc::new(AtomicUsize::new(0));
    let mut request = Request::new(ReplayBody::from(body_of(SONNET)));
    request.extensions_mut().insert(call());
    let answer = chain()
        .layer(ReadyOnce(polls.clone()))
        .oneshot(request)
        .await;
    assert_eq!(answer.unwrap().status(), 529, "the first failure");
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

/// With backoff below, as in the stack.
fn with_backoff(
    backoff: JitterBackoffLayer,
    upstream: Upstream,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl http_body::Body<Data = Bytes>>,
    Error = BoxError,
    Future: Send,
> + Clone {
    ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(chain())
        .layer(backoff)
        .service(upstream)
}

#[tokio::test(start_paused = true)]
async fn a_model_gets_two_attempts_while_another_waits_and_the_last_one_five() {
    let upstream = Upstream::always(Act::overloaded());
    let backoff = JitterBackoffLayer::new().with_jitter(Jitter::None);
    let stack = with_backoff(backoff, upstream.clone());
    let start = Instant::now();
    let answer = stack.oneshot(request(SONNET, false)).await.unwrap();
    assert_eq!(answer.status(), 529);
    let seen: Vec<_> = upstream
        .seen()
        .iter()
        .map(|attempt| (attempt.model.clone(), (attempt.at - start).as_secs()))
        .collect();
    let expected = [
        (SONNET, 0),
        (SONNET, 1),
        (HAIKU, 1),
        (HAIKU, 2),
        (HAIKU, 4),
        (HAIKU, 8),
        (HAIKU, 16),
    ];
    assert_eq!(seen, expected.map(|(model, at)| (model.to_owned(), at)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_moves_on_at_once_and_one_that_fits_is_waited_for() {
    for (asks, sonnet, secs) in [("3", 1, 0), ("2", 2, 2)] {
        let upstream = Upstream::new(move |model, nth| match (model, nth) {
            (SONNET, 0) => Act::rate_limited(asks),
            _ => Act::ok(),
        });
        let start = Instant::now();
        let stack = with_backoff(JitterBackoffLayer::new().with_seed(1), upstream.clone());
        let answer = stack.oneshot(request(SONNET, false)).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(upstream.calls_to(SONNET), sonnet);
        assert_eq!(upstream.calls(), 2);
        assert_eq!((Instant::now() - start).as_secs(), secs);
    }
}

// Case 69.
#[tokio::test(start_paused = true)]
async fn an_open_circuit_moves_on_at_once() {
    let models = Models::new(|model| match model {
        SONNET => fails(FailureKind::CircuitOpen),
        _ => status(200),
    });
    let stack = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(chain())
        .layer(JitterBackoffLayer::new())
        .service(models.service());
    let start = Instant::now();
    stack.oneshot(request(SONNET, false)).await.unwrap();
    assert_eq!(models.asked(), [SONNET, HAIKU]);
    assert_eq!(Instant::now() - start, Duration::ZERO);
}

/// A breaker below backoff sees attempts, above it calls.
// Case 75.
#[tokio::test(start_paused = true)]
async fn three_attempts_against_a_dead_model_are_three_failures_below_backoff_and_not_one() {
    let recorded = Arc::new(AtomicUsize::new(0));
    let breaker = {
        let recorded = recorded.clone();
        move |result: Result<Response<common::PlayedBody>, BoxError>| {
            let failed = Verdict::of(&result).failure().is_some();
            recorded.fetch_add(usize::from(failed), Ordering::SeqCst);
            result
        }
    };
    let three = JitterBackoffLayer::new().with_attempts(3.try_into().unwrap());
    let stack = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(three)
        .map_result(breaker)
        .service(Upstream::always(Act::Break(Duration::ZERO)));
    stack.oneshot(request(SONNET, false)).await.unwrap_err();
    assert_eq!(recorded.load(Ordering::SeqCst), 3);
}

// Case 80.
#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    async fn trace(seed: u64) -> Vec<(String, Duration)> {
        let upstream = Upstream::new(|_, nth| {
            if nth % 3 == 0 {
                Act::Break(Duration::ZERO)
            } else {
                Act::overloaded()
            }
        });
        let stack = with_backoff(JitterBackoffLayer::new().with_seed(seed), upstream.clone());
        let start = Instant::now();
        for _ in 0..5 {
            let _ = stack.clone().oneshot(request(SONNET, false)).await;
        }
        let attempts = upstream.seen().into_iter();
        attempts
            .map(|attempt| (attempt.model, attempt.at - start))
            .collect()
    }
    let first = trace(80).await;
    assert_eq!(first, trace(80).await);
    assert_ne!(first, trace(81).await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Outages of any shape on both models: a call reaches the second one when it falls back.
    // Case 78.
    #[test]
    fn attempts_at_each_model_stay_within_the_calls_that_reach_it_a_fifth_and_the_reserve(
        seed in any::<u64>(),
        acts in prop::collection::vec(0_u8..5, 1..30),
        waves in prop::collection::vec((1_usize..60, 0_u64..20_000), 1..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let upstream = Upstream::new(move |model, nth| {
                match acts[(nth + model.len()) % acts.len()] {
                    0 => Act::ok(),
                    1 => Act::overloaded(),
                    2 => Act::rate_limited("1"),
                    3 => Act::rate_limited("20"),
                    _ => Act::Break(Duration::from_millis(300)),
                }
            });
            let told = Arc::new(Told::default());
            let stack = ServiceBuilder::new()
                .layer(ReplayLayer::new())
                .layer(chain().with_observer(told.clone()))
                .layer(JitterBackoffLayer::new().with_seed(seed))
                .service(upstream.clone());
            let start = Instant::now();
            let mut calls = Vec::new();
            for (count, pause) in waves {
                for _ in 0..count {
                    calls.push(tokio::spawn(stack.clone().oneshot(request(SONNET, false))));
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            let first = calls.len();
            for call in calls {
                let _ = call.await.unwrap();
            }
            let seconds = (Instant::now() - start).as_secs_f64();
            for (model, calls) in [(SONNET, first), (HAIKU, told.lines().len())] {
                let [calls, sent] = [calls, upstream.calls_to(model)]
                    .map(|count| f64::from(u32::try_from(count).unwrap()));
                let bound = calls * 1.2 + 10.0 + seconds;
                prop_assert!(sent <= bound, "{model}: {sent} attempts, bound {bound}");
            }
            Ok(())
        })?;
    }
}
