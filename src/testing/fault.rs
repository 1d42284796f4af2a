//! What can go wrong with an answer, and where.

use std::time::Duration;

/// Where in an answer a [`Fault`] strikes.
///
/// Positions are those of a stream. In an answer that is no stream, `Start` and `Ping` mean before
/// the first byte of the body, and everything else means after half of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum At {
    /// After the head, before any event.
    Start,
    /// After the pings that come before `message_start`: one, or as many as
    /// [`Reply::pings`](super::Reply::pings) says.
    Ping,
    /// After `message_start`.
    MessageStart,
    /// After this many `content_block_delta` events; 0 is just before the first.
    Deltas(usize),
    /// After this many `content_block_delta` events and half of the next.
    MidDelta(usize),
    /// After everything but `message_stop`.
    BeforeStop,
}

/// What goes wrong at a point of the answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The connection is reset: the client's read fails.
    ///
    /// What was sent is given 5 ms to arrive first, since some systems throw away what a reset
    /// overtakes.
    Cut,
    /// The connection is closed in the middle of the body: what was sent arrives, and then the
    /// client's read fails.
    Close,
    /// The body ends as if it were whole. An answer with a `content-length` ends short of it, which
    /// HTTP clients report as an error; a stream ends cleanly, which they do not.
    End,
    /// Nothing more comes, and the connection stays open until the client leaves.
    Stall,
    /// Nothing comes for this long; then the answer goes on.
    Pause(Duration),
    /// Nothing but pings comes any more, this far apart, and the connection stays open until the
    /// client leaves. An answer that is no stream stalls.
    OnlyPings {
        /// The pause between two pings, more than zero.
        every: Duration,
    },
    /// An `error` event, and the end of the stream. An answer that is no stream is a whole error
    /// object under status 200.
    Error {
        /// `error.type`, as in `overloaded_error`.
        kind: String,
        /// `error.message`.
        message: String,
    },
    /// An event whose data is not JSON, after which the stream goes on. An answer that is no stream
    /// is a body that is not JSON, of the right length.
    Malformed,
}

impl Fault {
    /// An [`Error`](Fault::Error) of this `error.type` and `error.message`.
    pub fn error(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Error {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// The `overloaded_error` that a stream of an overloaded model carries.
    pub fn overloaded() -> Self {
        Self::error("overloaded_error", "Overloaded")
    }

    /// The `api_error` that a stream of a failing service carries.
    pub fn api_error() -> Self {
        Self::error("api_error", "Internal server error")
    }
}

/// How an answer says when to come back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// Not at all.
    Unsaid,
    /// `retry-after: 12`.
    Seconds(u64),
    /// `retry-after: 0.25`.
    Fraction(f64),
    /// `retry-after: Tue, 24 Nov 2026 08:00:00 GMT`, this long after the moment of the answer. A
    /// date has whole seconds: the wait it tells is up to 1 s shorter.
    DateIn(Duration),
    /// `retry-after: Tue, 24 Nov 2026 08:00:00 GMT`, this long before the moment of the answer.
    DateAgo(Duration),
    /// `retry-after-ms: 300`.
    Millis(u64),
    /// `retry-after:` and this text as it is, for values no client should trust.
    Text(String),
}

/// How a body is divided into frames, which HTTP/1.1 sends as one chunk each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunks {
    /// One event per frame; a body that is no stream is one frame.
    #[default]
    PerEvent,
    /// All events that no pause separates in one frame.
    Together,
    /// Frames of this many bytes (the last may be shorter), across the borders of events; 1 is the
    /// hardest.
    Bytes(usize),
}
