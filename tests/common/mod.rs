//! A Claude in memory, for tests on a paused clock: a tower service that plays a script of answers and records what it
//! was asked.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tower_claude::{BoxError, ReplayBody};
use tower_service::Service;

pub const SONNET: &str = "claude-sonnet-5-5";
pub const HAIKU: &str = "claude-haiku-5-5";

/// What the upstream does with one attempt.
#[derive(Clone, Debug)]
pub enum Act {
    /// An answer: a head after a delay, then frames, each after a delay, then an end.
    Answer {
        after: Duration,
        status: u16,
        kind: &'static str,
        headers: Vec<(&'static str, String)>,
        frames: Vec<(Duration, Bytes)>,
        end: BodyEnd,
    },
    /// A transport error after a delay.
    Break(Duration),
    /// No answer, ever.
    Hang,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    Eof,
    Cut,
    Stall,
}

pub const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n";
pub const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
pub const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
pub const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
pub const END: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n";
pub const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
pub const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
pub const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;

impl Act {
    /// A whole JSON answer, at once.
    pub fn ok() -> Self {
        Self::json(200, MESSAGE)
    }

    pub fn json(status: u16, body: &'static str) -> Self {
        Self::Answer {
            after: Duration::ZERO,
            status,
            kind: "application/json",
            headers: Vec::new(),
            frames: vec![(Duration::ZERO, Bytes::from_static(body.as_bytes()))],
            end: BodyEnd::Eof,
        }
    }

    pub fn overloaded() -> Self {
        Self::json(
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        )
    }

    pub fn rate_limited(retry_after: &str) -> Self {
        Self::json(
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#,
        )
        .header("retry-after", retry_after)
    }

    pub fn refused() -> Self {
        Self::json(
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
        )
    }

    /// A whole stream, at once.
    pub fn stream() -> Self {
        Self::sse(&[START, BLOCK, DELTA, END, STOP], BodyEnd::Eof)
    }

    pub fn sse(frames: &[&'static str], end: BodyEnd) -> Self {
        Self::Answer {
            after: Duration::ZERO,
            status: 200,
            kind: "text/event-stream",
            headers: Vec::new(),
            frames: frames
                .iter()
                .map(|frame| (Duration::ZERO, Bytes::from_static(frame.as_bytes())))
                .collect(),
            end,
        }
    }

    pub fn after(mut self, delay: Duration) -> Self {
        if let Self::Answer { after, .. } | Self::Break(after) = &mut self {
            *after = delay;
        }
        self
    }

    /// A pause before every frame.
    pub fn every(mut self, pause: Duration) -> Self {
        if let Self::Answer { frames, .. } = &mut self {
            for (before, _) in frames {
                *before = pause;
            }
        }
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// One attempt as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: Instant,
    pub model: String,
    pub body: Bytes,
    pub headers: http::HeaderMap,
}

type Script = dyn Fn(&str, usize) -> Act + Send + Sync;

#[derive(Clone)]
pub struct Upstream {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Attempt>>>,
    open: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Upstream {
    /// Asks `script` with the model and how many attempts at it came before.
    pub fn new(script: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            seen: Arc::default(),
            open: Arc::default(),
            peak: Arc::default(),
        }
    }

    pub fn always(act: Act) -> Self {
        Self::new(move |_, _| act.clone())
    }

    pub fn seen(&self) -> Vec<Attempt> {
        self.seen.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn calls_to(&self, model: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|attempt| attempt.model == model)
            .count()
    }

    /// Bodies and calls that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The most that were ever open together.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

/// Counts an open call until it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request<ReplayBody>> for Upstream {
    type Response = Response<PlayedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody>) -> Self::Future {
        let this = self.clone();
        let now_open = this.open.fetch_add(1, Ordering::SeqCst) + 1;
        this.peak.fetch_max(now_open, Ordering::SeqCst);
        let seat = Seat(this.open.clone());
        let (head, body) = request.into_parts();
        let body = body.to_bytes();
        let model = serde_json::from_slice::<serde_json::Value>(&body)
            .ok()
            .and_then(|value| Some(value.get("model")?.as_str()?.to_owned()))
            .unwrap_or_default();
        let attempt = Attempt {
            at: Instant::now(),
            model: model.clone(),
            body,
            headers: head.headers,
        };
        let nth = {
            let mut seen = this.seen.lock().unwrap();
            seen.push(attempt);
            seen.iter().filter(|attempt| attempt.model == model).count() - 1
        };
        let act = (this.script)(&model, nth);
        Box::pin(async move {
            match act {
                Act::Hang => {
                    std::future::pending::<()>().await;
                    drop(seat);
                    unreachable!()
                }
                Act::Break(after) => {
                    sleep(after).await;
                    drop(seat);
                    Err("connection reset".into())
                }
                Act::Answer {
                    after,
                    status,
                    kind,
                    headers,
                    frames,
                    end,
                } => {
                    if !after.is_zero() {
                        sleep(after).await;
                    }
                    let mut builder = Response::builder()
                        .status(status)
                        .header("content-type", kind);
                    for (name, value) in headers {
                        builder = builder.header(name, value);
                    }
                    let body = PlayedBody {
                        frames: frames.into(),
                        end,
                        sleep: None,
                        seat: Some(seat),
                    };
                    Ok(builder.body(body).unwrap())
                }
            }
        })
    }
}

/// A body that plays its frames.
#[derive(Debug)]
pub struct PlayedBody {
    frames: VecDeque<(Duration, Bytes)>,
    end: BodyEnd,
    sleep: Option<Pin<Box<Sleep>>>,
    seat: Option<Seat>,
}

impl Body for PlayedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some((before, _)) = this.frames.front() else {
            return match this.end {
                BodyEnd::Stall => Poll::Pending,
                BodyEnd::Eof => {
                    this.seat = None;
                    Poll::Ready(None)
                }
                BodyEnd::Cut => {
                    this.seat = None;
                    Poll::Ready(Some(Err("connection reset".into())))
                }
            };
        };
        if !before.is_zero() {
            let wait = this.sleep.get_or_insert_with(|| Box::pin(sleep(*before)));
            std::task::ready!(wait.as_mut().poll(cx));
            this.sleep = None;
        }
        let frame = this
            .frames
            .pop_front()
            .map(|(_, data)| Ok(Frame::data(data)));
        Poll::Ready(frame)
    }
}

/// A Messages request.
pub fn request(model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":64,"stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    Request::post("http://claude.test/v1/messages")
        .header("content-type", "application/json")
        .header("x-api-key", "sk-test")
        .body(Full::from(body))
        .unwrap()
}

/// Reads a body to its end: what came, and how it ended.
pub async fn read<B>(body: B) -> (String, Result<(), BoxError>)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(Into::into) {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    text.extend_from_slice(&data);
                }
            }
            Err(error) => return (String::from_utf8(text).unwrap(), Err(error)),
        }
    }
    (String::from_utf8(text).unwrap(), Ok(()))
}
