//! The circuit breaker as a service, alone in a plain stack. Numbers in comments are those of the list of cases.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy knows only functions with `#[test]` as tests, not their helpers"
)]

mod house;
mod limits;
mod operator;
mod outcomes;
mod states;

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
