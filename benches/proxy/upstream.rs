//! Claude as fast as can be: one right answer, whole or as a stream.

use crate::process::announce;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Collected};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};

pub(crate) const ROLE: &str = "upstream";

/// Deltas of a stream.
const DELTAS: usize = 300;

/// A pause after the first delta, as there is one after every word of Claude: what comes behind it must not take the
/// machine's time while the first is on its way.
const AFTER_FIRST: Duration = Duration::from_millis(2);

const JSON: &str = r#"{"id":"msg_01BENCHBENCHBENCHBENCHBE","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[{"type":"text","text":"TEXT"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":512,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":256}}"#;

const START: [(&str, &str); 3] = [
    (
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_01BENCHBENCHBENCHBENCHBE","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":512,"output_tokens":1}}}"#,
    ),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    ),
    ("ping", r#"{"type":"ping"}"#),
];

const DELTA: (&str, &str) = (
    "content_block_delta",
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" some words of it"}}"#,
);

const END: [(&str, &str); 3] = [
    (
        "content_block_stop",
        r#"{"type":"content_block_stop","index":0}"#,
    ),
    (
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":300}}"#,
    ),
    ("message_stop", r#"{"type":"message_stop"}"#),
];

/// What there is to say.
struct Answers {
    json: Bytes,
    events: Vec<Bytes>,
}

impl Answers {
    fn new() -> Self {
        let deltas = std::iter::repeat_n(DELTA, DELTAS);
        let events = START.into_iter().chain(deltas).chain(END);
        Self {
            json: JSON.replace("TEXT", &"Some words. ".repeat(80)).into(),
            events: events
                .map(|(event, data)| format!("event: {event}\ndata: {data}\n\n").into())
                .collect(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(&listener);
    let answers = Arc::new(Answers::new());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(stream, answers.clone()));
    }
}

async fn serve(stream: TcpStream, answers: Arc<Answers>) {
    stream.set_nodelay(true).expect("a socket");
    let service = service_fn(|request| answer(request, &answers));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a proxy lets go of a connection is its own business.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    answers: &Answers,
) -> Result<Response<Events>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let streams = memmem::find(&body, br#""stream":true"#).is_some();
    let (content_type, events) = if streams {
        ("text/event-stream; charset=utf-8", answers.events.clone())
    } else {
        ("application/json", vec![answers.json.clone()])
    };
    let length = (!streams).then_some(answers.json.len() as u64);
    let body = Events {
        left: events.into(),
        length,
        sent: 0,
        pause: Pause::None,
    };
    let response = Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header("request-id", "req_011BENCHBENCHBENCHBENCHB")
        .header("anthropic-organization-id", "00000000-bench")
        .header("anthropic-ratelimit-requests-limit", "4000")
        .header("anthropic-ratelimit-requests-remaining", "3999")
        .header("anthropic-ratelimit-requests-reset", "2026-11-24T12:00:00Z");
    Ok(response.body(body).expect("an answer"))
}

/// Events, each in a write of its own, as Claude sends them.
struct Events {
    left: VecDeque<Bytes>,
    length: Option<u64>,
    sent: usize,
    pause: Pause,
}

/// What comes before the next event.
enum Pause {
    None,
    /// hyper writes what it has, and comes back.
    Write,
    Sleep(Pin<Box<Sleep>>),
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.pause {
            Pause::None => {}
            Pause::Write => {
                self.pause = Pause::None;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pause::Sleep(sleep) => ready!(sleep.as_mut().poll(cx)),
        }
        let frame = self.left.pop_front();
        self.sent += 1;
        self.pause = if self.left.is_empty() {
            Pause::None
        } else if self.sent == START.len() + 1 {
            Pause::Sleep(Box::pin(sleep(AFTER_FIRST)))
        } else {
            Pause::Write
        };
        Poll::Ready(frame.map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
