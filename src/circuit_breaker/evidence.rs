//! What a closed circuit has seen of its model, and what that amounts to.

use super::{
    rules::Rules,
    run::Run,
    window::{Counts, Window},
};
use crate::event::OpenReason;
use tokio::time::Instant;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The model answered, whole.
    Success {
        /// It took longer than the slow-call threshold to commit its answer.
        slow: bool,
    },
    /// The model failed.
    Failure {
        /// As for a success; of a failure before commit, the time to the failure.
        slow: bool,
        /// A timeout of ours, or a wait that its caller gave up.
        timeout: bool,
        /// The answer had been committed and broke off.
        cut: bool,
        /// Counts towards a run: its call has not had its share yet.
        in_run: bool,
    },
    /// Says nothing of the model.
    Neutral,
}

/// The counts of a closed circuit.
#[derive(Debug)]
pub(crate) struct Evidence {
    window: Window,
    /// Failures before commit: refuted by the commit of a call that started after theirs.
    failures: Run,
    /// Answers that broke off after their commit: a commit says nothing against these, a whole answer to a call that
    /// started after theirs does.
    cuts: Run,
    /// Timeouts of ours, for the trigger at low traffic.
    timeouts: Run,
}

impl Evidence {
    pub(crate) fn new(now: Instant, rules: &Rules) -> Self {
        Self {
            window: Window::new(now, rules.window),
            failures: Run::default(),
            cuts: Run::default(),
            timeouts: Run::default(),
        }
    }

    /// Goes on by other rules.
    pub(crate) fn reconfigure(&mut self, rules: &Rules) {
        self.window = self.window.resized(rules.window);
    }

    pub(crate) fn clear(&mut self) {
        self.window.clear();
        self.failures.clear();
        self.cuts.clear();
        self.timeouts.clear();
    }

    /// The call with this number was answered so far.
    pub(crate) fn commit(&mut self, call: u64) {
        self.failures.refute(call);
        self.timeouts.refute(call);
    }

    /// Counts how the call with this number ended; a reason where that opens the circuit.
    pub(crate) fn record(
        &mut self,
        call: u64,
        outcome: Outcome,
        now: Instant,
        rules: &Rules,
    ) -> Option<OpenReason> {
        match outcome {
            Outcome::Neutral => None,
            Outcome::Success { slow } => {
                self.commit(call);
                self.cuts.refute(call);
                self.count(now, false, slow);
                self.too_slow(slow, now, rules)
            }
            Outcome::Failure {
                slow,
                timeout,
                cut,
                in_run,
            } => {
                self.count(now, true, slow);
                let run = if cut {
                    &mut self.cuts
                } else {
                    &mut self.failures
                };
                let in_a_row = in_run && run.push(call, now, rules.consecutive);
                let timed_out = in_run && timeout && self.timeouts.push(call, now, rules.timeouts);
                let counts = self.window.counts(now);
                if in_a_row {
                    Some(OpenReason::Consecutive)
                } else if rules.failure_rate.is_met(counts.failures, counts.total()) {
                    Some(OpenReason::FailureRate)
                } else if timed_out {
                    Some(OpenReason::Timeouts)
                } else {
                    self.too_slow(slow, now, rules)
                }
            }
        }
    }

    fn count(&mut self, now: Instant, failed: bool, slow: bool) {
        let counts = Counts {
            successes: u32::from(!failed),
            failures: u32::from(failed),
            slow: u32::from(slow),
        };
        self.window.add(now, counts);
    }

    /// Looked at on a slow answer only: a quick one never opens.
    fn too_slow(&self, slow: bool, now: Instant, rules: &Rules) -> Option<OpenReason> {
        let (_, rule) = rules.slow.filter(|_| slow)?;
        let counts = self.window.counts(now);
        rule.is_met(counts.slow, counts.total())
            .then_some(OpenReason::SlowRate)
    }

    pub(crate) fn counts(&self, now: Instant) -> Counts {
        self.window.counts(now)
    }

    /// Failures in a row, of the longer run, at most as many as open.
    pub(crate) fn in_a_row(&self, rules: &Rules) -> u32 {
        let limit = rules.consecutive.limit;
        self.failures.len(limit).max(self.cuts.len(limit))
    }
}
