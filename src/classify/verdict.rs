//! The verdict on an answer, and the end of one that was committed before it ended.

use super::{Classify, ClaudeClassifier, Failure, FailureKind};
use crate::error::BoxError;
use http::Response;
use std::sync::{Arc, OnceLock};

/// What an answer means. Travels in the extensions of the response, put there by [`Commit`](crate::commit).
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The whole answer is here, and it is good.
    Complete,
    /// The answer is good so far and is being passed on; [`End`] tells how it ended.
    Committed(End),
    /// The answer is a failure; so is the error of a service.
    Failed(Failure),
}

impl Verdict {
    /// The only judge call of the layers: an answer with a verdict has that one, an answer without is classified by its
    /// head, an error is the [`Failure`] within it.
    pub fn of<B>(result: &Result<Response<B>, BoxError>) -> Self {
        match result {
            Ok(response) => Self::of_answer(response),
            Err(error) => Self::Failed(Self::of_error(error)),
        }
    }

    /// The same for whoever wants to know of a failure only.
    pub(crate) fn failure_of<B>(result: &Result<Response<B>, BoxError>) -> Option<Failure> {
        let response = match result {
            Ok(response) => response,
            Err(error) => return Some(Self::of_error(error)),
        };
        match response.extensions().get::<Self>() {
            Some(verdict) => verdict.failure().cloned(),
            None => match ClaudeClassifier::head_of(response.status(), response.headers()) {
                Self::Failed(failure) => Some(failure),
                Self::Complete | Self::Committed(_) => None,
            },
        }
    }

    /// The same for the error of a service.
    pub(crate) fn of_error(error: &BoxError) -> Failure {
        ClaudeClassifier.error(&**error)
    }

    /// The same for an answer.
    pub(crate) fn of_answer<B>(response: &Response<B>) -> Self {
        match response.extensions().get::<Self>() {
            Some(verdict) => verdict.clone(),
            None => ClaudeClassifier::head_of(response.status(), response.headers()),
        }
    }

    /// The failure, where it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Complete | Self::Committed(_) => None,
        }
    }
}

/// How a committed answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With `message_stop`, or with the last byte of a JSON answer.
    Complete,
    /// Before that.
    Failed(FailureKind),
}

/// A cell that tells how a committed answer ended, once it has.
///
/// Filled once, by the one scan of the stream; whoever holds a clone reads the same end. An answer that its caller
/// dropped half-way never fills it.
#[derive(Debug, Clone)]
pub struct End(Repr);

#[derive(Debug, Clone)]
enum Repr {
    /// Ended before anybody could ask, as a JSON answer that came whole: needs no cell.
    Known(Ended),
    /// Nobody will tell: the verdict on a head, whose reader makes a cell of its own.
    Untold,
    Cell(Arc<OnceLock<Ended>>),
}

impl End {
    /// A cell for an answer that has not ended.
    pub fn new() -> Self {
        Self(Repr::Cell(Arc::default()))
    }

    /// The end of an answer that has ended already.
    pub(crate) fn known(ended: Ended) -> Self {
        Self(Repr::Known(ended))
    }

    /// For a verdict on a head alone, whose reader makes a cell of its own.
    pub(crate) fn untold() -> Self {
        Self(Repr::Untold)
    }

    /// How the answer ended; `None` while it has not.
    pub fn get(&self) -> Option<Ended> {
        match &self.0 {
            Repr::Known(ended) => Some(*ended),
            Repr::Untold => None,
            Repr::Cell(cell) => cell.get().copied(),
        }
    }

    /// The first word stands.
    pub(crate) fn set(&self, ended: Ended) {
        if let Repr::Cell(cell) = &self.0 {
            let _ = cell.set(ended);
        }
    }
}

impl Default for End {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn the_first_end_stands() {
        let end = End::new();
        let reader = end.clone();
        assert_eq!(reader.get(), None);
        end.set(Ended::Complete);
        end.set(Ended::Failed(FailureKind::Truncated));
        assert_eq!(reader.get(), Some(Ended::Complete));
    }

    #[test]
    fn an_answer_without_a_verdict_is_judged_by_its_head() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(529).unwrap();
        let verdict = Verdict::of(&Ok(response));
        assert_eq!(verdict.failure().unwrap().kind, FailureKind::Overloaded);
    }

    #[test]
    fn a_foreign_error_is_a_transport_failure() {
        let verdict = Verdict::of::<()>(&Err("connection reset".into()));
        assert_eq!(verdict.failure().unwrap().kind, FailureKind::Transport);
    }
}
