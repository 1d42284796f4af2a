//! One answer of the script, described.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::fault::{At, Chunks, Fault, RetryAfter};
use super::message::Message;

/// How the fake Claude answers a call.
///
/// A reply is its own builder. [`Reply::ok`] answers as the call asks, with JSON or with a stream, and any [`Fault`] can be
/// put into it by [`fail`](Self::fail); the other constructors are the failures that happen before a model answers.
///
/// A setting that makes no sense for its reply (a text for an error, a status that does not exist) is an error when the
/// reply is put into use, by [`Builder::start`](super::Builder::start) or [`FakeClaude::set`](super::FakeClaude::set).
///
/// ```
/// use std::time::Duration;
/// use tower_claude::testing::{At, Fault, Reply, RetryAfter};
///
/// let slow = Reply::ok().text("Once upon a time").every(Duration::from_millis(20));
/// let dies = Reply::ok().fail(At::Deltas(2), Fault::Cut);
/// let busy = Reply::rate_limited(RetryAfter::Seconds(3)).code("ramp_limit_exceeded");
/// let edge = Reply::status(503).html("<h1>503</h1>").after(Duration::from_millis(5));
/// # let _ = (slow, dies, busy, edge);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a reply does nothing until it is in a script"]
pub struct Reply {
    pub(super) kind: Kind,
    pub(super) head_after: Duration,
    pub(super) pace: Pace,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) retry_after: RetryAfter,
    pub(super) fault: Option<(At, Fault)>,
    pub(super) framing: Framing,
    pub(super) chunks: Chunks,
    pub(super) crlf: bool,
    pub(super) pings: usize,
    problem: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Message(Message),
    Error {
        status: StatusCode,
        kind: String,
        message: String,
        code: Option<String>,
    },
    UnknownModel,
    Raw {
        status: StatusCode,
        body: Bytes,
    },
    OnlyPings {
        every: Duration,
    },
    Reset,
    Hang,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) first_event_after: Duration,
    pub(super) first_delta_after: Duration,
    pub(super) every: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    AsAsked,
    Json,
    Sse,
}

/// Constructors.
impl Reply {
    /// A whole, successful answer: a short text, one delta for each word, without pauses.
    pub fn ok() -> Self {
        Self::of(Kind::Message(Message::default()))
    }

    /// Any status, with an empty body and no `content-type`: see [`body`](Self::body), [`json`](Self::json),
    /// [`html`](Self::html), [`header`](Self::header). 200 to 999 are allowed.
    pub fn status(status: u16) -> Self {
        let (status, problem) = checked_status(status);
        let mut reply = Self::of(Kind::Raw {
            status,
            body: Bytes::new(),
        });
        reply.problem = problem;
        reply
    }

    /// An error in the API's own shape.
    pub fn error(status: u16, kind: impl Into<String>, message: impl Into<String>) -> Self {
        let (status, problem) = checked_status(status);
        let (kind, message) = (kind.into(), message.into());
        let mut reply = Self::of(Kind::Error {
            status,
            kind,
            message,
            code: None,
        });
        reply.problem = problem;
        reply
    }

    /// 529 `overloaded_error`, without `retry-after`.
    pub fn overloaded() -> Self {
        Self::error(529, "overloaded_error", "Overloaded")
    }

    /// 429 `rate_limit_error`.
    pub fn rate_limited(retry_after: RetryAfter) -> Self {
        let message = "This request would exceed your organization's rate limit.";
        Self::error(429, "rate_limit_error", message).retry_after(retry_after)
    }

    /// 429 `rate_limit_error` with the code `enforced_spend_limit_reached` and no `retry-after`: waiting does not help.
    pub fn spend_limit() -> Self {
        let message = "Your organization has reached its monthly spend limit.";
        Self::error(429, "rate_limit_error", message).code("enforced_spend_limit_reached")
    }

    /// 400 `invalid_request_error` that says the prepaid credit is used up.
    pub fn no_credit() -> Self {
        let message = "Your credit balance is too low to access the Anthropic API. \
                       Please go to Plans & Billing to upgrade or purchase credits.";
        Self::invalid_request(message)
    }

    /// 404 `not_found_error` with the message `model: <the model asked for>`, as for a retired model.
    pub fn unknown_model() -> Self {
        Self::of(Kind::UnknownModel)
    }

    /// 400 `invalid_request_error`.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::error(400, "invalid_request_error", message)
    }

    /// 401 `authentication_error`.
    pub fn unauthorized() -> Self {
        Self::error(401, "authentication_error", "invalid x-api-key")
    }

    /// 500 `api_error`.
    pub fn server_error() -> Self {
        Self::error(500, "api_error", "Internal server error")
    }

    /// 503 with a page of HTML, as the network edge answers.
    pub fn unavailable() -> Self {
        Self::status(503).html(
            "<html><head><title>503 Service Temporarily Unavailable</title></head>\
             <body><h1>503 Service Temporarily Unavailable</h1></body></html>",
        )
    }

    /// 504 `timeout_error`.
    pub fn timed_out() -> Self {
        Self::error(504, "timeout_error", "Request timed out")
    }

    /// The connection is reset when the request has been read, before a head.
    pub fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    /// No answer, ever: the connection stays open until the client leaves.
    pub fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    /// A head, and then nothing: `ok().fail(At::Start, Fault::Stall)`.
    pub fn stall() -> Self {
        Self::ok().fail(At::Start, Fault::Stall)
    }

    /// A stream without an event: `ok().fail(At::Start, Fault::End)`.
    pub fn empty() -> Self {
        Self::ok().fail(At::Start, Fault::End)
    }

    /// A stream of pings that never becomes an answer, also to a call that asked for no stream.
    pub fn only_pings(every: Duration) -> Self {
        let mut reply = Self::of(Kind::OnlyPings { every });
        if every.is_zero() {
            reply.complain("pings need a pause between them");
        }
        reply
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            head_after: Duration::ZERO,
            pace: Pace::default(),
            headers: Vec::new(),
            retry_after: RetryAfter::Unsaid,
            fault: None,
            framing: Framing::AsAsked,
            chunks: Chunks::PerEvent,
            crlf: false,
            pings: 0,
            problem: None,
        }
    }
}

/// Settings of a successful answer.
impl Reply {
    /// The text; by default a short greeting. It is sent in one delta for each word unless [`deltas`](Self::deltas) says
    /// otherwise.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.message("a text", |message| message.set_text(text.into()))
    }

    /// A text of this many words, counted as as many output tokens.
    pub fn tokens(self, tokens: usize) -> Self {
        self.message("tokens", |message| {
            message.set_text(vec!["token"; tokens].join(" "));
            message.output_tokens = tokens.try_into().ok();
        })
    }

    /// The number of deltas the text is sent in, at least 1; by default one for each word.
    pub fn deltas(mut self, deltas: usize) -> Self {
        if deltas == 0 {
            self.complain("a text is sent in one delta or more");
        }
        self.message("deltas", |message| message.deltas = Some(deltas))
    }

    /// A thinking block before the text: two more deltas, the thinking and its signature.
    pub fn thinking(self, thinking: impl Into<String>) -> Self {
        self.message("thinking", |message| message.add_thinking(thinking.into()))
    }

    /// A `tool_use` block after the text, in two deltas; the stop reason becomes `tool_use`.
    pub fn tool_use(self, name: impl Into<String>, input: Value) -> Self {
        self.message("a tool use", |message| {
            message.add_tool_use(name.into(), input)
        })
    }

    /// `stop_reason`; by default `end_turn`.
    pub fn stop_reason(self, reason: impl Into<String>) -> Self {
        self.message("a stop reason", |message| {
            message.stop_reason = reason.into()
        })
    }

    /// `usage`; by default a quarter of the request's bytes and the words of the answer.
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Self {
        self.message("usage", |message| {
            message.input_tokens = Some(input_tokens);
            message.output_tokens = Some(output_tokens);
        })
    }

    /// This many pings after the head, before `message_start`; by default none. Each is followed by the pause of
    /// [`every`](Self::every).
    pub fn pings(self, pings: usize) -> Self {
        let mut reply = self.message("pings", |_| ());
        reply.pings = pings;
        reply
    }

    /// Puts a fault into the answer; a second one replaces the first.
    ///
    /// [`Cut`](Fault::Cut), [`End`](Fault::End) and [`Stall`](Fault::Stall) work on every answer that has a body, the others
    /// on successful answers only.
    pub fn fail(mut self, at: At, fault: Fault) -> Self {
        self.fault = Some((at, fault));
        self
    }

    /// JSON, also to a call that asked for a stream.
    pub fn as_json(self) -> Self {
        let mut reply = self.message("a choice of JSON or SSE", |_| ());
        reply.framing = Framing::Json;
        reply
    }

    /// A stream, also to a call that asked for none.
    pub fn as_sse(self) -> Self {
        let mut reply = self.message("a choice of JSON or SSE", |_| ());
        reply.framing = Framing::Sse;
        reply
    }

    fn message(mut self, what: &str, change: impl FnOnce(&mut Message)) -> Self {
        match &mut self.kind {
            Kind::Message(message) => change(message),
            _ => self.complain(format!("{what} belongs to a successful answer")),
        }
        self
    }
}

/// Settings of time and bytes.
impl Reply {
    /// How long the head takes; by default no time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.head_after = delay;
        self
    }

    /// How long the first byte of the body comes after the head; by default no time.
    pub fn first_event_after(mut self, delay: Duration) -> Self {
        self.pace.first_event_after = delay;
        self
    }

    /// How long the first delta comes after `message_start`; by default no time. An answer that is no stream has its head
    /// that much later.
    pub fn first_delta_after(mut self, delay: Duration) -> Self {
        self.pace.first_delta_after = delay;
        self
    }

    /// The pause between two deltas; by default none. An answer that is no stream has its head later by all pauses
    /// together, since it is sent when the model is done.
    pub fn every(mut self, pause: Duration) -> Self {
        self.pace.every = pause;
        self
    }

    /// How the body is divided into frames; by default one for each event.
    pub fn chunks(mut self, chunks: Chunks) -> Self {
        if chunks == Chunks::Bytes(0) {
            self.complain("frames of no bytes carry nothing");
        }
        self.chunks = chunks;
        self
    }

    /// Lines of a stream end in CRLF; by default in LF.
    pub fn crlf(mut self) -> Self {
        self.crlf = true;
        self
    }
}

/// Settings of head and body.
impl Reply {
    /// A header, in place of one the reply would have by itself. Given twice, it is sent twice.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => self.complain(format!("`{name}: {value}` is no header")),
        }
        self
    }

    /// When to come back; by default unsaid.
    pub fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        if let RetryAfter::Text(text) = &retry_after {
            if HeaderValue::from_str(text).is_err() {
                self.complain(format!("`retry-after: {text}` is no header"));
            }
        }
        self.retry_after = retry_after;
        self
    }

    /// `x-should-retry: true` or `false`; by default unsaid.
    pub fn should_retry(self, yes: bool) -> Self {
        self.header("x-should-retry", if yes { "true" } else { "false" })
    }

    /// `error.details.error_code` of an error; by default `details` is absent.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        match &mut self.kind {
            Kind::Error { code: old, .. } => *old = Some(code.into()),
            _ => self.complain("a code belongs to an error"),
        }
        self
    }

    /// The body of a [`status`](Self::status) reply.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        match &mut self.kind {
            Kind::Raw { body, .. } => *body = bytes.into(),
            _ => self.complain("a body of bytes belongs to a reply made by `status`"),
        }
        self
    }

    /// The body of a [`status`](Self::status) reply, with `content-type: application/json`.
    pub fn json(self, json: &Value) -> Self {
        self.body(json.to_string())
            .header(header::CONTENT_TYPE.as_str(), "application/json")
    }

    /// The body of a [`status`](Self::status) reply, with `content-type: text/html`.
    pub fn html(self, html: impl Into<String>) -> Self {
        self.body(html.into())
            .header(header::CONTENT_TYPE.as_str(), "text/html; charset=UTF-8")
    }

    /// The body of a [`status`](Self::status) reply, with `content-type: text/event-stream`: a stream written by hand.
    pub fn sse(self, events: impl Into<String>) -> Self {
        self.body(events.into())
            .header(header::CONTENT_TYPE.as_str(), "text/event-stream")
    }
}

impl Reply {
    fn complain(&mut self, problem: impl Into<String>) {
        self.problem.get_or_insert_with(|| problem.into());
    }

    /// What makes this reply impossible.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let Some((at, fault)) = &self.fault else {
            return Ok(());
        };
        match &self.kind {
            Kind::Message(message) => {
                let deltas = message.delta_count();
                let reach = match at {
                    At::Deltas(after) => *after,
                    At::MidDelta(after) => after.saturating_add(1),
                    _ => 0,
                };
                if reach > deltas {
                    return Err(format!("a fault at {at:?} of an answer of {deltas} deltas"));
                }
                Ok(())
            }
            Kind::Error { .. } | Kind::UnknownModel | Kind::Raw { .. } => match fault {
                Fault::Cut | Fault::End | Fault::Stall => Ok(()),
                Fault::Error { .. } | Fault::Malformed => {
                    Err(format!("{fault:?} belongs to a successful answer"))
                }
            },
            Kind::OnlyPings { .. } | Kind::Reset | Kind::Hang => {
                Err("a fault needs an answer to be put into".into())
            }
        }
    }
}

fn checked_status(status: u16) -> (StatusCode, Option<String>) {
    match StatusCode::from_u16(status) {
        Ok(code) if !code.is_informational() => (code, None),
        _ => (StatusCode::OK, Some(format!("{status} is no final status"))),
    }
}
