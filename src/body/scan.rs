//! Finds the end of a streamed answer, for a layer that stands without [`Commit`](crate::commit).

use crate::classify::{End, Ended, FailureKind};
use http::HeaderMap;

/// Watches an SSE answer for its `message_stop` or `error`.
#[derive(Debug)]
pub(crate) struct EndScan {
    end: End,
}

impl EndScan {
    /// A scan, where the answer is a stream of events.
    pub(crate) fn of(headers: &HeaderMap, end: End) -> Option<Self> {
        let is_sse = headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        is_sse.then_some(Self { end })
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if memchr::memmem::find(data, b"event: message_stop").is_some() {
            self.end.set(Ended::Complete);
        }
        if memchr::memmem::find(data, b"event: error").is_some() {
            self.end.set(Ended::Failed(FailureKind::Overloaded));
        }
    }

    pub(crate) fn end_of_body(&self) {
        self.end.set(Ended::Failed(FailureKind::Truncated));
    }
}
