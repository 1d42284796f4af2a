//! What the layers of this crate mark on a failure for each other.

use super::Failure;
use crate::classify::FailureKind;
use std::time::Duration;

impl Failure {
    /// The time to the next probe, where this failure left the model's circuit open.
    pub fn circuit_open_for(&self) -> Option<Duration> {
        self.open_for
    }

    /// The breaker's mark: this failure left the circuit open, for so long.
    pub(crate) fn mark_open(&mut self, open_for: Duration) {
        self.open_for = Some(open_for);
    }

    /// Commit's mark: the deadline of the call ended the attempt before its own time was up.
    pub(crate) fn mark_cut_short(&mut self) {
        self.cut_short = true;
    }

    /// Whether it was the deadline of the call that ended the attempt.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short || self.kind == FailureKind::DeadlineExceeded
    }

    /// The breaker's mark: the model is well, and spared because there is another one.
    pub(crate) fn mark_diverted(&mut self) {
        self.diverted = true;
    }

    /// Whether the model would be asked if there were no other one.
    pub(crate) fn is_diverted(&self) -> bool {
        self.diverted
    }

    /// Outside a chain a 404 for a model is the caller's mistake: there is no other model the answer could mean.
    pub(crate) fn outside_a_chain(mut self) -> Self {
        if self.kind == FailureKind::ModelGone {
            self.kind = FailureKind::Refused;
        }
        self
    }
}
