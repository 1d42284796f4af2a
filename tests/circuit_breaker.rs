//! The circuit breaker as a service, alone in a plain stack. Numbers in comments are those of the list of cases.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy knows only functions with `#[test]` as tests, not their helpers"
)]

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use std::{
    convert::Infallible,
    future::poll_fn,
    num::{NonZeroU8, NonZeroU32},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_claude::{
    Call, Event, Failure, FailureKind, Observe, Tenant, Verdict,
    body::GuardedBody,
    circuit_breaker::{
        AttemptGuard, CircuitBreakerLayer, CircuitHandle, CircuitSnapshot, CircuitState, Rejection,
    },
    event::{CircuitChange, OpenReason},
};

const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

type Body = UnsyncBoxBody<Bytes, BoxError>;
type Guarded = GuardedBody<Body, AttemptGuard>;
type Answer = Result<Response<Body>, BoxError>;

/// What the model does.
#[derive(Debug, Clone)]
enum Does {
    /// Answers with this status and an empty body.
    Status(u16),
    /// Answers with a status and the verdict that Commit would put on it.
    Fails(Failure),
    /// Ends in an error that holds this failure.
    Errs(Failure),
    /// Ends in an error that knows nothing of this crate.
    Breaks,
    /// Streams these events.
    Streams(&'static [&'static str]),
    /// Streams these events, and then the connection is cut.
    StreamsAndCuts(&'static [&'static str]),
    Hangs,
    Panics,
}

impl Does {
    fn fail(kind: FailureKind) -> Self {
        Self::Fails(Failure::new(kind))
    }

    async fn answer(self) -> Answer {
        let mut response = Response::new(body(&[], false));
        match self {
            Self::Status(status) => *response.status_mut() = StatusCode::from_u16(status)?,
            Self::Fails(failure) => {
                *response.status_mut() = StatusCode::from_u16(529)?;
                response.extensions_mut().insert(Verdict::Failed(failure));
            }
            Self::Errs(failure) => return Err(failure.into()),
            Self::Breaks => return Err("connection reset by peer".into()),
            Self::Streams(events) => return Ok(stream(events, false)),
            Self::StreamsAndCuts(events) => return Ok(stream(events, true)),
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("boom"),
        }
        Ok(response)
    }
}

fn stream(events: &'static [&'static str], cut: bool) -> Response<Body> {
    let mut response = Response::new(body(events, cut));
    let kind = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    response
}

fn body(chunks: &'static [&'static str], cut: bool) -> Body {
    let chunks = chunks
        .iter()
        .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))));
    let end = cut.then(|| Err("connection reset by peer".into()));
    StreamBody::new(futures_util::stream::iter(chunks.chain(end))).boxed_unsync()
}

/// A model that does as it is told, and how often it was asked.
#[derive(Clone)]
struct Model {
    does: Arc<Mutex<Does>>,
    takes: Arc<Mutex<Duration>>,
    asked: Arc<AtomicUsize>,
}

impl Model {
    fn new(does: Does) -> Self {
        Self {
            does: Arc::new(Mutex::new(does)),
            takes: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn service(
        &self,
    ) -> impl Service<Request<()>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + use<> {
        let model = self.clone();
        service_fn(move |_| {
            model.asked.fetch_add(1, Ordering::SeqCst);
            let (does, takes) = (
                model.does.lock().unwrap().clone(),
                *model.takes.lock().unwrap(),
            );
            async move {
                sleep(takes).await;
                does.answer().await
            }
        })
    }
}

/// Keeps what it was told of circuits.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<CircuitChange>>);

impl Observe for Log {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::CircuitChanged { change, .. } = event {
            self.0.lock().unwrap().push(*change);
        }
    }
}

impl Log {
    fn take(&self) -> Vec<CircuitChange> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn openings(&self) -> usize {
        let all = self.take();
        all.iter()
            .filter(|change| matches!(change, CircuitChange::Opened { .. }))
            .count()
    }
}

/// A breaker around a model.
struct Rig {
    layer: CircuitBreakerLayer,
    circuits: CircuitHandle,
    model: Model,
    log: Arc<Log>,
}

impl Rig {
    fn new(does: Does) -> Self {
        Self::with(does, |layer| layer)
    }

    fn with(does: Does, set: impl FnOnce(CircuitBreakerLayer) -> CircuitBreakerLayer) -> Self {
        let log = Arc::new(Log::default());
        let layer = set(CircuitBreakerLayer::new().with_cooldown_jitter(0.0))
            .with_observer(Arc::clone(&log) as Arc<dyn Observe>);
        Self {
            circuits: layer.handle(),
            layer,
            model: Model::new(does),
            log,
        }
    }

    async fn send(&self, call: Option<Call>) -> Result<Response<Guarded>, BoxError> {
        let mut request = Request::new(());
        request.extensions_mut().extend(extensions(call));
        self.layer
            .layer(self.model.service())
            .oneshot(request)
            .await
    }

    /// A call whose answer is read to its end; the failure it ends in.
    async fn call(&self) -> Option<Failure> {
        self.call_as(None).await
    }

    async fn call_as(&self, call: impl Into<Option<Call>>) -> Option<Failure> {
        let result = self.send(call.into()).await;
        let verdict = Verdict::of(&result);
        if let Ok(response) = result {
            let _ = response.into_body().collect().await;
        }
        verdict.failure().cloned()
    }

    async fn calls(&self, count: usize) {
        for _ in 0..count {
            self.call().await;
        }
    }

    /// Opens the circuit and makes the model well again.
    async fn trip(&self) {
        self.model.does(Does::Status(529));
        self.calls(4).await;
        advance(Duration::from_secs(2)).await;
        self.call().await;
        assert_eq!(self.state(), CircuitState::Open);
        self.log.take();
        self.model.does(Does::Status(200));
        self.model.asked.store(0, Ordering::SeqCst);
    }

    fn state(&self) -> CircuitState {
        self.circuits.state("default")
    }

    fn snapshot(&self) -> CircuitSnapshot {
        let all = self.circuits.snapshot();
        all.into_iter()
            .find(|circuit| &*circuit.model == "default")
            .unwrap()
    }

    /// Successes and failures in the window.
    fn counts(&self) -> (u32, u32) {
        let snapshot = self.snapshot();
        (snapshot.successes, snapshot.failures)
    }
}

fn extensions(call: Option<Call>) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    if let Some(call) = call {
        extensions.insert(call);
    }
    extensions
}

fn call_to(model: &str) -> Call {
    Call::new(Some(model.into()))
}

fn kind(failure: Option<Failure>) -> Option<FailureKind> {
    failure.map(|failure| failure.kind)
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// Whether a future panics.
async fn panics<F: Future>(future: F) -> bool {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(cx));
        match catch_unwind(poll) {
            Ok(polled) => polled.map(|_| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn many(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

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

// 11
#[tokio::test(start_paused = true)]
async fn a_callers_mistake_counts_neither_way_and_never_opens() {
    let rig = Rig::new(Does::fail(FailureKind::Refused));
    rig.calls(100).await;
    assert_eq!(rig.state(), CircuitState::Closed);
    assert_eq!(rig.counts(), (0, 0));
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

// 21
#[tokio::test(start_paused = true)]
async fn a_429_cools_the_model_down_for_its_tenant_and_is_no_failure() {
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(secs(12)));
    let rig = Rig::new(Does::Fails(limited));
    let mine = || call_to("sonnet").with_tenant(Tenant::new("mine"));
    assert_eq!(
        kind(rig.call_as(mine()).await),
        Some(FailureKind::RateLimited)
    );
    rig.model.does(Does::Status(200));
    advance(Duration::from_millis(11_999)).await;
    let failure = rig.call_as(mine()).await.unwrap();
    assert_eq!(failure.kind, FailureKind::CoolingDown);
    let wait = failure.retry_after.unwrap();
    assert!(wait >= Duration::from_millis(1) && wait <= Duration::from_millis(101));
    assert_eq!(rig.model.asked(), 1, "nothing was sent");
    assert_eq!(rig.circuits.cooldowns(), 1);

    let theirs = call_to("sonnet").with_tenant(Tenant::new("theirs"));
    assert!(rig.call_as(theirs).await.is_none(), "another tenant");
    let haiku = call_to("haiku").with_tenant(Tenant::new("mine"));
    assert!(rig.call_as(haiku).await.is_none(), "another model");

    advance(Duration::from_millis(1)).await;
    assert!(rig.call_as(mine()).await.is_none());
    assert_eq!(rig.circuits.snapshot()[1].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_wait_cools_nothing_down() {
    let rig = Rig::new(Does::fail(FailureKind::RateLimited));
    rig.calls(30).await;
    assert_eq!(rig.model.asked(), 30);
    assert_eq!(rig.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_429_that_asks_for_a_month_is_asked_again_after_an_hour() {
    let month = Some(secs(30 * 86_400));
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(month);
    let rig = Rig::new(Does::Fails(limited));
    rig.call().await;
    advance(secs(3_599)).await;
    rig.call().await;
    assert_eq!(rig.model.asked(), 1);
    advance(secs(1)).await;
    rig.call().await;
    assert_eq!(rig.model.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_cooldown_are_told_different_times() {
    let limited = Failure::new(FailureKind::RateLimited).with_retry_after(Some(secs(12)));
    let rig = Rig::new(Does::Fails(limited));
    rig.call().await;
    let mut waits = Vec::new();
    for _ in 0..20 {
        waits.push(rig.call().await.unwrap().retry_after.unwrap());
    }
    assert!(
        waits
            .iter()
            .all(|wait| *wait >= secs(12) && *wait < secs(14))
    );
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 20);
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
    assert_eq!(rig.log.openings(), 1 + count_probes(&rig));
}

/// Openings by a failed probe, from the growth of the generation: each is a half-opening and an opening.
fn count_probes(rig: &Rig) -> usize {
    let generation = usize::try_from(rig.snapshot().generation).unwrap();
    (generation - 1) / 2
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
