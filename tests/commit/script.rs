//! A scripted client, and what was seen of the layer before it.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service, service_fn};
use tower_claude::{
    BoxError, Call, Event, Failure, FailureKind, Observe, Verdict,
    classify::End,
    commit::{CommitBody, CommitLayer},
};

pub(crate) const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{}}}\n\n";
pub(crate) const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
pub(crate) const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
pub(crate) const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello {\\\"\"}}\n\n";
pub(crate) const THOUGHT: &str = "event: content_block_delta\ndata: {\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}}\n\n";
pub(crate) const BLOCK_END: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
pub(crate) const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}}\n\n";
pub(crate) const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
pub(crate) const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
pub(crate) const MANGLED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"}\n\n";
pub(crate) const MESSAGE: &str = r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}"#;
pub(crate) const ERROR_JSON: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

/// A step of a scripted body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers,
    Cut,
    Stall,
}

pub(crate) use Step::{Cut, Stall, Trailers, Wait};

pub(crate) fn data(text: &str) -> Step {
    Step::Data(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) const S: Duration = Duration::from_secs(1);

/// A body that plays its steps and counts that it is open.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    open: Arc<AtomicUsize>,
    /// Says that it has ended with its last frame, as bodies of known length do.
    pub(crate) sure: bool,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match self.steps.front() {
                None => return Poll::Ready(None),
                Some(Stall) => return Poll::Pending,
                Some(Wait(pause)) => {
                    let pause = *pause;
                    let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
                    ready!(timer.as_mut().poll(cx));
                    self.sleep = None;
                    self.steps.pop_front();
                }
                Some(Cut) => return Poll::Ready(Some(Err("connection reset".into()))),
                Some(Trailers) => {
                    self.steps.pop_front();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-end", "1".parse().unwrap());
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Some(Step::Data(chunk)) => {
                    let chunk = chunk.clone();
                    self.steps.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sure && self.steps.is_empty()
    }
}

/// What an upstream answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) steps: Vec<Step>,
    pub(crate) sure: bool,
}

impl Answer {
    pub(crate) fn new(content_type: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", content_type.to_owned()),
                ("request-id", "req_1".to_owned()),
            ],
            steps: steps.into_iter().collect(),
            sure: false,
        }
    }

    pub(crate) fn sse(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new("text/event-stream; charset=utf-8", steps)
    }

    pub(crate) fn json(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new("application/json", steps)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same bytes in chunks of `size`.
    pub(crate) fn chunked(mut self, size: usize) -> Self {
        let mut steps = Vec::new();
        let mut run = Vec::new();
        for step in self.steps {
            if let Step::Data(chunk) = step {
                run.extend_from_slice(&chunk);
                continue;
            }
            steps.extend(
                run.chunks(size)
                    .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk))),
            );
            run.clear();
            steps.push(step);
        }
        steps.extend(
            run.chunks(size)
                .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk))),
        );
        self.steps = steps;
        self
    }
}

/// The observer, and what is open upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    events: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Observe for Seen {
    fn on_event(&self, event: &Event<'_>) {
        let text = match event {
            Event::AttemptCommitted { after, .. } => format!("committed after {after:?}"),
            Event::AttemptFailed { kind, after, .. } => format!("failed {kind} after {after:?}"),
            Event::StreamFailed { kind, .. } => format!("broke off {kind}"),
            other => format!("{other:?}"),
        };
        self.events.lock().unwrap().push(text);
    }
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

pub(crate) type Answered = Result<Response<CommitBody<Script>>, BoxError>;

pub(crate) async fn ask(
    layer: CommitLayer,
    answer: Answer,
    call: Option<Call>,
    seen: &Seen,
) -> Answered {
    let open = seen.open.clone();
    let mut service = layer
        .with_observer(Arc::new(seen.clone()))
        .layer(service_fn(move |_: Request<()>| {
            let answer = answer.clone();
            open.fetch_add(1, Ordering::SeqCst);
            let body = Script {
                steps: answer.steps.into(),
                sleep: None,
                open: open.clone(),
                sure: answer.sure,
            };
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            let response = response.body(body).unwrap();
            async move { Ok::<_, Infallible>(response) }
        }));
    let mut request = Request::post("/v1/messages").body(()).unwrap();
    if let Some(call) = call {
        request.extensions_mut().insert(call);
    }
    let mut call = std::pin::pin!(service.call(request));
    let answered = call.as_mut().await;
    if Verdict::of(&answered).failure().is_some() {
        assert_eq!(seen.open(), 0, "let go while its future is still there");
    }
    answered
}

/// A call that nothing could act for.
pub(crate) fn alone(stream: bool) -> Call {
    Call::new(Some("claude-sonnet-5-5".into())).with_stream(stream)
}

pub(crate) async fn plain(answer: Answer) -> Answered {
    ask(CommitLayer::new(), answer, None, &Seen::default()).await
}

pub(crate) fn end(response: &Response<CommitBody<Script>>) -> End {
    match response.extensions().get::<Verdict>() {
        Some(Verdict::Committed(end)) => end.clone(),
        other => panic!("{other:?}"),
    }
}

/// All data of a body, and its error.
pub(crate) async fn read(body: CommitBody<Script>) -> (String, Option<FailureKind>) {
    let mut body = body;
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap_or("[trailers]".into())),
            Err(error) => {
                let failure = Failure::find(&*error).unwrap().kind;
                assert!(body.frame().await.is_none(), "nothing comes after an error");
                assert!(body.is_end_stream());
                return (String::from_utf8(text).unwrap(), Some(failure));
            }
        }
    }
    assert!(body.is_end_stream());
    (String::from_utf8(text).unwrap(), None)
}

pub(crate) fn failure(answered: Answered) -> Failure {
    let error = answered.map(|response| response.map(|_| ())).unwrap_err();
    Failure::find(&*error).unwrap().clone()
}

/// Chunks of one byte, of a few, of some lines, of everything.
pub(crate) const SIZES: [usize; 6] = [1, 2, 5, 31, 300, 1 << 20];
