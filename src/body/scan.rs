//! Finds the end of a streamed answer, for a layer that stands without [`Commit`](crate::commit).

use crate::{
    classify::{Classify, ClaudeClassifier, End, Ended, FailureKind},
    claude::{
        headers,
        sse::{EventKind, Splitter},
    },
};
use http::{HeaderMap, Response, response};

/// Watches an SSE answer for its `message_stop` or `error`, and tells its [`End`].
#[derive(Debug)]
pub(crate) struct EndScan {
    splitter: Splitter,
    end: End,
    head: response::Parts,
}

impl EndScan {
    /// A scan, where the answer is a stream of events that can be read.
    pub(crate) fn of(headers: &HeaderMap, end: End) -> Option<Self> {
        let readable = headers::is_event_stream(headers) && !headers::is_encoded(headers);
        readable.then(|| Self {
            splitter: Splitter::new(),
            end,
            head: Response::new(()).into_parts().0,
        })
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        let Self {
            splitter,
            end,
            head,
        } = self;
        let pushed = splitter.push(data, |event| match event.kind {
            EventKind::MessageStop => end.set(Ended::Complete),
            EventKind::Error => {
                let verdict = ClaudeClassifier.body(head, event.error);
                let kind = verdict
                    .failure()
                    .map_or(FailureKind::ServerError, |f| f.kind);
                end.set(Ended::Failed(kind));
            }
            _ => {}
        });
        if pushed.is_err() {
            end.set(Ended::Failed(FailureKind::Truncated));
        }
    }

    /// The body is over; without a `message_stop` it was cut.
    pub(crate) fn end_of_body(&self) {
        self.end.set(Ended::Failed(FailureKind::Truncated));
    }
}
