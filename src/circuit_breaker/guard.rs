//! The watch over one attempt, from its admission to the end of its answer.

use super::{circuit::Circuit, evidence::Outcome, machine::Pass, shared::Shared};
use crate::{
    body::guarded::{Ending, Guard},
    call::Call,
    classify::{Failure, FailureKind, Verdict},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Reports how an attempt ended, once. Travels in the body of the answer.
pub struct AttemptGuard {
    shared: Arc<Shared>,
    circuit: Arc<Circuit>,
    call: Option<Call>,
    /// Gone once reported.
    pass: Option<Pass>,
    started: Instant,
    committed: bool,
    slow: bool,
}

impl fmt::Debug for AttemptGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptGuard")
            .field("circuit", self.circuit.model())
            .field("pass", &self.pass)
            .field("committed", &self.committed)
            .finish_non_exhaustive()
    }
}

impl AttemptGuard {
    pub(super) fn new(
        shared: Arc<Shared>,
        circuit: Arc<Circuit>,
        call: Option<Call>,
        pass: Pass,
        started: Instant,
    ) -> Self {
        Self {
            shared,
            circuit,
            call,
            pass: Some(pass),
            started,
            committed: false,
            slow: false,
        }
    }

    /// Takes the verdict on the answer. Where that is a failure and leaves the circuit open: for how long.
    pub(super) fn judge(&mut self, verdict: &Verdict, now: Instant) -> Option<Duration> {
        match verdict {
            Verdict::Failed(failure) => {
                self.slow = self.is_slow(now);
                self.cool_down(failure, now);
                let outcome = self.outcome_of(failure, now);
                self.record(outcome, now)
            }
            Verdict::Complete => {
                let slow = self.is_slow(now);
                self.record(Outcome::Success { slow }, now);
                None
            }
            Verdict::Committed(_) => {
                self.slow = self.is_slow(now);
                self.committed = true;
                let pass = self.pass.as_ref()?;
                let jitter = || self.shared.rng.unit();
                let change = self.circuit.commit(pass, self.slow, now, jitter);
                if let Some(change) = change {
                    self.shared.tell_change(&self.circuit, change);
                }
                None
            }
        }
    }

    fn outcome_of(&self, failure: &Failure, now: Instant) -> Outcome {
        match failure.kind {
            FailureKind::Cancelled => self.outcome_of_leaving(now),
            // Its caller's word too: the deadline, or the half of it that a model gets while another one waits.
            _ if failure.is_cut_short() => self.outcome_of_leaving(now),
            // A timeout with a status is upstream's word, one without is ours.
            FailureKind::Timeout => self.failure(failure.status.is_none()),
            _ if failure.counts_against_circuit() => self.failure(false),
            _ => Outcome::Neutral,
        }
    }

    /// A caller who left says something of the model only where it had been kept waiting: otherwise a caller with a
    /// shorter timeout than ours would keep the breaker blind. Of an answer that had begun it says nothing.
    fn outcome_of_leaving(&self, now: Instant) -> Outcome {
        if self.committed {
            return Outcome::Neutral;
        }
        let waited = now.saturating_duration_since(self.started);
        let patience = self.shared.patience(self.call.as_ref());
        if waited <= patience / 2 {
            Outcome::Neutral
        } else {
            self.failure(true)
        }
    }

    fn failure(&self, timeout: bool) -> Outcome {
        let limit = self.shared.policy.failures_per_call;
        let call = self.call.as_ref();
        Outcome::Failure {
            slow: self.slow,
            timeout: timeout && !self.committed,
            cut: self.committed,
            in_run: call.is_none_or(|call| call.claim_run(limit)),
        }
    }

    fn record(&mut self, outcome: Outcome, now: Instant) -> Option<Duration> {
        let pass = self.pass.take()?;
        let jitter = || self.shared.rng.unit();
        let (change, open_for) = self.circuit.record(pass, outcome, now, jitter);
        if let Some(change) = change {
            self.shared.tell_change(&self.circuit, change);
        }
        open_for
    }

    fn cool_down(&self, failure: &Failure, now: Instant) {
        let call = self.call.as_ref();
        let model = call
            .and_then(Call::model)
            .unwrap_or_else(|| self.circuit.model());
        self.shared.cool_down(call, model, failure, now);
    }

    fn is_slow(&self, now: Instant) -> bool {
        let slow = self.shared.policy.rules.slow;
        slow.is_some_and(|(most, _)| now.saturating_duration_since(self.started) > most)
    }
}

impl Guard for AttemptGuard {
    fn end(mut self, ending: Ending) {
        if self.pass.is_none() {
            return;
        }
        let now = Instant::now();
        if !self.committed {
            self.slow = self.is_slow(now);
        }
        let outcome = match ending {
            Ending::Complete => Outcome::Success { slow: self.slow },
            Ending::Failed(kind) => self.outcome_of(&Failure::new(kind), now),
            Ending::Dropped => self.outcome_of_leaving(now),
            Ending::Panicked => self.failure(false),
        };
        self.record(outcome, now);
    }
}
