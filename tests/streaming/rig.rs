//! The whole stack over a real connection to a fake Claude of its own, and what is seen of a call through it.

use crate::common::{HAIKU, SONNET};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::{
    num::NonZeroU8,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::timeout;
use tower::Layer;
use tower_claude::{
    BoxError, Event, Failure, FailureKind, Observe, Resilience, ResilienceBuilder, Resilient,
    Timeouts,
    client::{HttpsClient, https_client},
    commit::CommitLayer,
    jitter_backoff::JitterBackoffLayer,
    testing::{FakeClaude, Script},
};

/// Longer than anything here takes, however busy the machine: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Attempts at the last model of the chain; 2 at the one before it.
pub(crate) const LAST_ATTEMPTS: u8 = 3;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn request(url: &str, model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":64,"stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    Request::post(url)
        .header("content-type", "application/json")
        .body(Full::from(body))
        .unwrap()
}

/// A stack with waits of milliseconds, and timeouts that nothing reaches which is alive.
pub(crate) fn patient() -> ResilienceBuilder {
    with_timeouts(Duration::from_secs(30))
}

/// The same, with one time for all that may not come.
pub(crate) fn with_timeouts(limit: Duration) -> ResilienceBuilder {
    let timeouts = Timeouts::new()
        .with_first_event(limit)
        .with_answer(limit)
        .with_idle(limit);
    Resilience::builder()
        .chain([SONNET, HAIKU])
        .timeouts(timeouts)
        .commit(CommitLayer::new().with_hold_for(limit))
        .backoff(
            JitterBackoffLayer::new()
                .with_base(ms(1))
                .with_attempts(NonZeroU8::new(LAST_ATTEMPTS).unwrap())
                .without_budget(),
        )
}

/// What the layers told, in words.
#[derive(Debug, Default)]
pub(crate) struct Trace(Mutex<Vec<String>>);

impl Trace {
    pub(crate) fn count(&self, start: &str) -> usize {
        let told = self.0.lock().unwrap();
        told.iter().filter(|event| event.starts_with(start)).count()
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observe for Trace {
    fn on_event(&self, event: &Event<'_>) {
        let said = match event {
            Event::AttemptFailed { model, kind, .. } => format!("failed {model} {kind}"),
            Event::AttemptCommitted { model, .. } => format!("committed {model}"),
            Event::StreamFailed { model, kind, .. } => format!("broke {model} {kind}"),
            Event::CallEnded {
                failure: Some(kind),
                ..
            } => format!("ended {kind}"),
            Event::CallEnded { failure: None, .. } => "ended well".to_owned(),
            Event::CircuitChanged { model, change } => format!("circuit {model} {change:?}"),
            _ => return,
        };
        self.0.lock().unwrap().push(said);
    }
}

/// A stack on a fake Claude.
pub(crate) struct Rig {
    pub(crate) fake: FakeClaude,
    pub(crate) stack: Resilience,
    pub(crate) claude: Resilient<HttpsClient>,
    pub(crate) trace: Arc<Trace>,
}

impl Rig {
    pub(crate) async fn new(
        builder: ResilienceBuilder,
        client: HttpsClient,
        sonnet: impl Into<Script>,
        haiku: impl Into<Script>,
    ) -> Self {
        let fake = FakeClaude::builder().on(SONNET, sonnet).on(HAIKU, haiku);
        let trace = Arc::new(Trace::default());
        let stack = builder.observe(trace.clone()).build().unwrap();
        Self {
            fake: fake.start().await.unwrap(),
            claude: stack.layer(client),
            stack,
            trace,
        }
    }

    /// With a client of its own.
    pub(crate) async fn alone(builder: ResilienceBuilder, sonnet: impl Into<Script>) -> Self {
        Self::new(builder, https_client(), sonnet, Script::new()).await
    }

    pub(crate) fn request(&self, stream: bool) -> Request<Full<Bytes>> {
        request(&self.fake.messages_url(), SONNET, stream)
    }

    /// One call, read to its end.
    pub(crate) async fn call(&self, stream: bool) -> Saw {
        read(
            within(self.claude.send(self.request(stream)))
                .await
                .unwrap(),
        )
        .await
    }

    /// Failures and successes in a model's circuit.
    pub(crate) fn circuit(&self, model: &str) -> (u32, u32) {
        let circuits = self.stack.circuits().snapshot();
        let circuit = circuits.iter().find(|circuit| &*circuit.model == model);
        circuit.map_or((0, 0), |circuit| (circuit.failures, circuit.successes))
    }

    /// Attempts that hold a permit.
    pub(crate) fn in_flight(&self) -> usize {
        let rooms = self.stack.bulkheads().snapshot();
        rooms.iter().map(|room| room.in_flight + room.queued).sum()
    }

    pub(crate) async fn wait_until_idle(&self) {
        within(self.fake.wait_until_idle()).await;
    }
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("took far too long")
}

/// What a caller saw of an answer.
#[derive(Debug)]
pub(crate) struct Saw {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: String,
    pub(crate) error: Option<FailureKind>,
}

impl Saw {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn outcome(&self) -> &str {
        self.header("tower-claude-outcome")
    }
}

pub(crate) async fn read<B>(response: Response<B>) -> Saw
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut error) = (Vec::new(), None);
    while let Some(frame) = within(body.frame()).await {
        match frame.map_err(Into::into) {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(told) => {
                let failure = Failure::find(&*told).expect("an error holds a failure");
                error = Some(failure.kind);
                break;
            }
        }
    }
    Saw {
        status: head.status,
        headers: head.headers,
        bytes: String::from_utf8(bytes).unwrap(),
        error,
    }
}
