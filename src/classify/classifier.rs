//! The judge: which kind an answer is.

use super::{End, Failure, FailureKind, Retry, Verdict};
use http::{HeaderMap, StatusCode, response};
use std::{error::Error, fmt::Debug};

/// Judges answers. Object-safe; give your own to [`CommitLayer`](crate::commit::CommitLayer) or the builder as an
/// `Arc<dyn Classify>` and fall back to [`ClaudeClassifier`] for what you do not override.
pub trait Classify: Debug + Send + Sync {
    /// Judges by the head alone.
    fn head(&self, head: &response::Parts) -> Verdict;

    /// Judges by the head and the start of the body: of a failed answer up to 64 KiB, of a JSON answer all that is held,
    /// of an SSE answer the data of its `error` event.
    fn body(&self, head: &response::Parts, start: &[u8]) -> Verdict;

    /// Judges an error of the client.
    fn error(&self, error: &(dyn Error + 'static)) -> Failure;
}

/// The table of the [module docs](super), for Claude's API and the platforms that offer it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaudeClassifier;

impl ClaudeClassifier {
    pub(crate) fn head_of(status: StatusCode, headers: &HeaderMap) -> Verdict {
        let _ = headers;
        if status.is_success() {
            return Verdict::Committed(End::new());
        }
        let (kind, retry) = match status.as_u16() {
            529 | 503 => (FailureKind::Overloaded, Retry::Yes),
            _ => (FailureKind::Refused, Retry::Never),
        };
        Verdict::Failed(Failure::new(kind).with_status(status).with_retry(retry))
    }
}

impl Classify for ClaudeClassifier {
    fn head(&self, head: &response::Parts) -> Verdict {
        Self::head_of(head.status, &head.headers)
    }

    fn body(&self, head: &response::Parts, start: &[u8]) -> Verdict {
        let _ = start;
        self.head(head)
    }

    fn error(&self, error: &(dyn Error + 'static)) -> Failure {
        Failure::find(error)
            .cloned()
            .unwrap_or_else(|| Failure::new(FailureKind::Transport))
    }
}
