//! One answer of the script, described.

mod settings;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::fault::{At, Chunks, Fault, RetryAfter};
use super::message::Message;

/// How the fake Claude answers a call.
///
/// A reply is its own builder. [`Reply::ok`] answers as the call asks, with JSON or with a stream,
/// and any [`Fault`] can be put into it by [`fail`](Self::fail); the other constructors are the
/// failures that happen before a model answers.
///
/// A setting that makes no sense for its reply (a text for an error, a status that does not exist)
/// is an error when the reply is put into use, by
/// [`FakeClaudeBuilder::start`](super::FakeClaudeBuilder::start) or
/// [`FakeClaude::set`](super::FakeClaude::set).
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
    pub(in crate::testing) kind: Kind,
    pub(in crate::testing) head_after: Duration,
    pub(in crate::testing) pace: Pace,
    pub(in crate::testing) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::testing) retry_after: RetryAfter,
    pub(in crate::testing) fault: Option<(At, Fault)>,
    pub(in crate::testing) framing: Framing,
    pub(in crate::testing) chunks: Chunks,
    pub(in crate::testing) crlf: bool,
    pub(in crate::testing) pings: usize,
    problem: Option<String>,
}

#[derive(Clone, Debug)]
pub(in crate::testing) enum Kind {
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
    Reset,
    Hang,
}

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::testing) struct Pace {
    pub(in crate::testing) first_event_after: Duration,
    pub(in crate::testing) first_delta_after: Duration,
    pub(in crate::testing) every: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::testing) enum Framing {
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

    /// Any status, with an empty body and no `content-type`: see [`body`](Self::body),
    /// [`json`](Self::json), [`html`](Self::html), [`header`](Self::header). 200 to 999 are
    /// allowed.
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

    /// 429 `rate_limit_error` with the code `enforced_spend_limit_reached` and no `retry-after`:
    /// waiting does not help.
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

    /// 404 `not_found_error` with the message `model: <the model asked for>`, as for a retired
    /// model.
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

    /// A stream of pings that never becomes an answer, also to a call that asked for no stream:
    /// `ok().as_sse().fail(At::Start, Fault::OnlyPings { every })`.
    pub fn only_pings(every: Duration) -> Self {
        Self::ok()
            .as_sse()
            .fail(At::Start, Fault::OnlyPings { every })
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

impl Reply {
    fn complain(&mut self, problem: impl Into<String>) {
        self.problem.get_or_insert_with(|| problem.into());
    }

    /// What makes this reply impossible.
    pub(in crate::testing) fn check(&self) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let Some((at, fault)) = &self.fault else {
            return Ok(());
        };
        if matches!(fault, Fault::OnlyPings { every } if every.is_zero()) {
            return Err("pings need a pause between them".into());
        }
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
                Fault::Cut | Fault::Close | Fault::End | Fault::Stall | Fault::Pause(_) => Ok(()),
                Fault::Error { .. } | Fault::Malformed | Fault::OnlyPings { .. } => {
                    Err(format!("{fault:?} belongs to a successful answer"))
                }
            },
            Kind::Reset | Kind::Hang => Err("a fault needs an answer to be put into".into()),
        }
    }
}

fn checked_status(status: u16) -> (StatusCode, Option<String>) {
    match StatusCode::from_u16(status) {
        Ok(code) if !code.is_informational() => (code, None),
        _ => (StatusCode::OK, Some(format!("{status} is no final status"))),
    }
}
