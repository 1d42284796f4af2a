//! The failure that is returned when all models failed.

use crate::{
    classify::{Failure, FailureKind, Verdict},
    error::BoxError,
};
use http::Response;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// A failed answer or error, kept while other models are asked. See [which one is returned](super#which-failure).
pub(super) struct Failed<R> {
    result: Result<R, BoxError>,
    failure: Failure,
    /// When the first of the models asked so far may be asked again, where any said so.
    free_at: Option<Instant>,
}

impl<R> Failed<R> {
    pub(super) fn new(result: Result<R, BoxError>, failure: Failure, now: Instant) -> Self {
        let free_at = failure.retry_after.and_then(|wait| now.checked_add(wait));
        Self {
            result,
            failure,
            free_at,
        }
    }

    /// The one of two that says more to the caller: the first, unless only the later lets a degraded answer stand in, or
    /// is the word of a model that was only spared before (`is_back`).
    pub(super) fn or(self, later: Self, is_back: bool) -> Self {
        let free_at = match (self.free_at, later.free_at) {
            (Some(first), Some(later)) => Some(first.min(later)),
            (first, later) => first.or(later),
        };
        let later_wins =
            is_back || !self.failure.warrants_degrade() && later.failure.warrants_degrade();
        let told = if later_wins { later } else { self };
        Self { free_at, ..told }
    }
}

impl<RB> Failed<Response<RB>> {
    /// The answer or error to return. Its `retry_after` is the time until the first of the models may be asked again.
    pub(super) fn into_result(mut self, now: Instant) -> Result<Response<RB>, BoxError> {
        let wait = self.free_at.map(|at| at.saturating_duration_since(now));
        // A 404 for a model that is gone stays as it is: it will not come back.
        if wait.is_some() && self.failure.kind != FailureKind::ModelGone {
            self.set_retry_after(wait);
        }
        self.result
    }

    fn set_retry_after(&mut self, wait: Option<Duration>) {
        let failure = match &mut self.result {
            Ok(response) => match response.extensions_mut().get_mut::<Verdict>() {
                Some(Verdict::Failed(failure)) => Some(failure),
                _ => None,
            },
            // Within a wrapper of a layer that is not ours it stays as it is.
            Err(error) => error.downcast_mut::<Failure>(),
        };
        if let Some(failure) = failure {
            failure.retry_after = wait;
        }
    }
}

impl<R> fmt::Debug for Failed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
