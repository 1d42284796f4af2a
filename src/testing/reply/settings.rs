//! The settings of a reply: what it says, when, and in which bytes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;

use super::{Framing, Kind, Reply};
use crate::testing::fault::{At, Chunks, Fault, RetryAfter};
use crate::testing::message::Message;

/// Settings of a successful answer.
impl Reply {
    /// The text; by default a short greeting. It is sent in one delta for each word unless
    /// [`deltas`](Self::deltas) says otherwise.
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
            message.add_tool_use(name.into(), input);
        })
    }

    /// `stop_reason`; by default `end_turn`.
    pub fn stop_reason(self, reason: impl Into<String>) -> Self {
        self.message("a stop reason", |message| {
            message.stop_reason = reason.into();
        })
    }

    /// `usage`; by default a quarter of the request's bytes and the words of the answer.
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Self {
        self.message("usage", |message| {
            message.input_tokens = Some(input_tokens);
            message.output_tokens = Some(output_tokens);
        })
    }

    /// This many pings after the head, before `message_start`; by default none. Each is followed by
    /// the pause of [`every`](Self::every).
    pub fn pings(self, pings: usize) -> Self {
        let mut reply = self.message("pings", |_| ());
        reply.pings = pings;
        reply
    }

    /// Puts a fault into the answer; a second one replaces the first.
    ///
    /// [`Cut`](Fault::Cut), [`Close`](Fault::Close), [`End`](Fault::End), [`Stall`](Fault::Stall)
    /// and [`Pause`](Fault::Pause) work on every answer that has a body, the others on successful
    /// answers only.
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

    /// How long the first delta comes after `message_start`; by default no time. An answer that is
    /// no stream has its head that much later.
    pub fn first_delta_after(mut self, delay: Duration) -> Self {
        self.pace.first_delta_after = delay;
        self
    }

    /// The pause between two deltas; by default none. An answer that is no stream has its head
    /// later by all pauses together, since it is sent when the model is done.
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

    /// The lines of a stream end in CRLF; by default in LF. A stream written by hand with
    /// [`sse`](Self::sse) stays as it is.
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

    /// The body of a [`status`](Self::status) reply, with `content-type: text/event-stream`: a
    /// stream written by hand.
    pub fn sse(self, events: impl Into<String>) -> Self {
        self.body(events.into())
            .header(header::CONTENT_TYPE.as_str(), "text/event-stream")
    }
}
