//! What can go wrong inside of an answer, and the failure it is.

use super::{events::Ended, hold::Over};
use crate::{
    classify::{Classify, Failure, FailureKind, TransportKind},
    claude::headers,
    error::BoxError,
};
use http::response;

/// A fault in the body of an answer of success.
#[derive(Debug)]
pub(super) enum Fault {
    /// An `error` event with this data.
    Error(Vec<u8>),
    /// The body broke off, or ended before the answer did.
    Cut(Option<BoxError>),
    /// No sign of life for too long.
    Stall,
    /// An event is not whole.
    Mangled,
    /// A second `message_start`.
    Twice,
    /// `message_stop`, and no answer before it.
    Empty,
    /// An event past the bound.
    TooLarge,
}

impl From<Ended> for Fault {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Error(data) => Self::Error(data),
            Ended::TooLarge => Self::TooLarge,
            Ended::By(Over::Error) => Self::Error(Vec::new()),
            Ended::By(Over::Mangled) => Self::Mangled,
            Ended::By(Over::Twice) => Self::Twice,
            Ended::By(Over::Empty | Over::Stop) => Self::Empty,
        }
    }
}

impl Fault {
    /// The failure of an attempt that was not committed yet.
    pub(super) fn before_commit(self, judge: &dyn Classify, head: &response::Parts) -> Failure {
        match self {
            Self::Error(data) => error_event(judge, head, &data),
            Self::Cut(Some(error)) => match Failure::find(&*error) {
                Some(failure) => failure.clone(),
                None => judge.error(&*error).with_source(error),
            },
            fault => Failure::new(FailureKind::Transport).with_detail(fault.detail()),
        }
        .or_request_id(head)
    }

    /// The failure of an answer that was committed: nobody may ask again.
    pub(super) fn after_commit(self, judge: &dyn Classify, head: &response::Parts) -> Failure {
        let truncated = Failure::new(FailureKind::Truncated);
        match self {
            Self::Error(data) => error_event(judge, head, &data).with_should_retry(Some(false)),
            Self::Cut(Some(error)) => {
                let truncated = truncated.with_detail("the answer broke off");
                match TransportKind::of(&*error) {
                    Some(kind) => truncated.with_transport(kind),
                    None => truncated,
                }
                .with_source(error)
            }
            Self::Stall => truncated
                .with_detail(Self::Stall.detail())
                .with_error_type("timeout_error"),
            fault => truncated.with_detail(fault.detail()),
        }
        .or_request_id(head)
    }

    fn detail(&self) -> &'static str {
        match self {
            Self::Error(_) => "the answer is an error",
            Self::Cut(_) => "the answer ended before it was complete",
            Self::Stall => "the answer stalled",
            Self::Mangled => "an event of the answer is not whole",
            Self::Twice => "the answer began twice",
            Self::Empty => "the answer has no content",
            Self::TooLarge => "an event of the answer is too large",
        }
    }
}

fn error_event(judge: &dyn Classify, head: &response::Parts, data: &[u8]) -> Failure {
    // Not even an error body, but under that name nothing else either.
    let unread = || Failure::new(FailureKind::ServerError).with_detail("an error event");
    judge
        .body(head, data)
        .failure()
        .cloned()
        .unwrap_or_else(unread)
}

/// A small addition to [`Failure`].
trait OrRequestId {
    fn or_request_id(self, head: &response::Parts) -> Self;
}

impl OrRequestId for Failure {
    fn or_request_id(self, head: &response::Parts) -> Self {
        if self.request_id.is_some() {
            return self;
        }
        self.with_request_id(headers::request_id(&head.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::ClaudeClassifier;
    use http::Response;

    const OVERLOADED: &[u8] =
        br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

    fn head() -> response::Parts {
        let response = Response::builder().header("request-id", "req_7").body(());
        response.unwrap().into_parts().0
    }

    fn faults() -> [(Fault, FailureKind, FailureKind); 8] {
        use FailureKind::{Overloaded, ServerError, Transport, Truncated};
        [
            (Fault::Error(OVERLOADED.to_vec()), Overloaded, Overloaded),
            (Fault::Error(b"oops".to_vec()), ServerError, ServerError),
            (Fault::Cut(None), Transport, Truncated),
            (Fault::Cut(Some("reset".into())), Transport, Truncated),
            (Fault::Mangled, Transport, Truncated),
            (Fault::Twice, Transport, Truncated),
            (Fault::Empty, Transport, Truncated),
            (Fault::TooLarge, Transport, Truncated),
        ]
    }

    #[test]
    fn before_commit_a_fault_may_be_retried_and_sent_elsewhere() {
        for (fault, kind, _) in faults() {
            let failure = fault.before_commit(&ClaudeClassifier, &head());
            assert_eq!(failure.kind, kind);
            assert!(failure.is_retryable() && failure.warrants_fallback());
            assert_eq!(failure.request_id.as_deref(), Some("req_7"));
        }
    }

    #[test]
    fn after_commit_no_fault_may_be_retried() {
        for (fault, _, kind) in faults() {
            let failure = fault.after_commit(&ClaudeClassifier, &head());
            assert_eq!(failure.kind, kind);
            assert!(!failure.is_retryable() && failure.counts_against_circuit());
            assert_eq!(failure.request_id.as_deref(), Some("req_7"));
        }
    }

    #[test]
    fn a_stall_is_a_timeout_to_the_caller() {
        let failure = Fault::Stall.after_commit(&ClaudeClassifier, &head());
        assert_eq!(failure.kind, FailureKind::Truncated);
        assert_eq!(failure.as_answer().1, "timeout_error");
    }
}
