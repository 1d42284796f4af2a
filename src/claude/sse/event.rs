//! What the splitter tells of a stream.

use std::{fmt, num::NonZeroUsize};

/// What an event is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// `message_start`: the model has begun; no content yet.
    MessageStart,
    /// `content_block_start`: announces a block of text, thinking or tool use.
    ContentBlockStart,
    /// `content_block_delta`: content of any kind.
    ContentBlockDelta,
    /// `content_block_stop`
    ContentBlockStop,
    /// `message_delta`: stop reason and usage.
    MessageDelta,
    /// `message_stop`: the only sign that an answer is complete.
    MessageStop,
    /// `ping`: may come at any time.
    Ping,
    /// `error`: the stream failed; nothing follows.
    Error,
    /// Any other name, or none.
    Other,
}

impl EventKind {
    /// Whether this is one of the events that the API documents.
    pub fn is_known(self) -> bool {
        self != Self::Other
    }

    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"content_block_delta" => Self::ContentBlockDelta,
            b"content_block_start" => Self::ContentBlockStart,
            b"content_block_stop" => Self::ContentBlockStop,
            b"message_start" => Self::MessageStart,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            b"ping" => Self::Ping,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// An event whose end lies in the chunk that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SseEvent<'a> {
    /// What it is.
    pub kind: EventKind,
    /// Offset in the chunk just after the blank line that ends the event.
    pub end: usize,
    /// Whether the data is one whole JSON object. A `ping` with no data at all counts as whole: it has nothing to lose.
    /// Says nothing of use about [`EventKind::Other`].
    pub whole: bool,
    /// The first [`MAX_ERROR_DATA`](super::MAX_ERROR_DATA) bytes of the data of an [`EventKind::Error`]; empty for all others.
    pub error: &'a [u8],
}

/// An event passed the splitter's bound.
///
/// The stream cannot be followed any further; every later push gives the same error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLarge {
    /// The bound, in bytes.
    pub limit: NonZeroUsize,
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an event of the stream is longer than {} bytes",
            self.limit
        )
    }
}

impl std::error::Error for EventTooLarge {}
