//! What is counted for one subject, and the alerts that stand for it.

use super::{
    alert::{Alert, Subject},
    circuit::CircuitStatus,
    latency::BUCKETS,
    rolling::{Rolling, Window},
    rules::{Rules, Standing},
    snapshot::Windows,
    tally::{COUNTED, Entry, Metric},
};
use std::sync::Arc;
use tokio::time::Instant;

/// What had no event for longer than any window is forgotten.
const IDLE_SECS: u64 = 3600 + 60;

/// A feature, or all calls.
#[derive(Debug)]
pub(super) struct Row {
    counts: Rolling<COUNTED>,
    to_head: Rolling<BUCKETS>,
    standing: Standing,
    last: u64,
}

impl Row {
    pub(super) fn new(subject: Subject, secs: u64) -> Self {
        Self {
            counts: Rolling::new(secs),
            to_head: Rolling::new(secs),
            standing: Standing::new(subject),
            last: secs,
        }
    }

    pub(super) fn of_feature(name: &Arc<str>, secs: u64) -> Self {
        Self::new(Subject::Feature(Arc::clone(name)), secs)
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>, secs: u64) {
        self.counts.add(entry.tally, secs);
        if let Some(to_head) = entry.to_head {
            self.to_head.add(to_head, secs);
        }
        self.touch(secs);
    }

    pub(super) fn touch(&mut self, secs: u64) {
        self.last = secs;
    }

    /// Lets go of what is too old to be judged.
    pub(super) fn advance(&mut self, secs: u64) {
        self.counts.advance(secs);
    }

    pub(super) fn judge_calls(&mut self, rules: &Rules, now: Instant, told: &mut Vec<Alert>) {
        if self.standing.is_quiet() && self.is_well() {
            return;
        }
        let measures = rules.of_calls(&self.counts);
        self.standing.judge(&measures, &rules.off, now, told);
    }

    /// Whether no call failed or fell back within the longest window: nothing could raise an alert then.
    fn is_well(&self) -> bool {
        [Metric::Failures, Metric::Fallbacks]
            .into_iter()
            .all(|metric| self.counts.sum(Window::Hour, metric as usize) == 0)
    }

    pub(super) fn alerts(&self, rules: &Rules, now: Instant, into: &mut Vec<Alert>) {
        self.standing.list(&rules.of_calls(&self.counts), now, into);
    }

    pub(super) fn windows(&mut self, secs: u64) -> Windows {
        self.counts.advance(secs);
        self.to_head.advance(secs);
        Windows::of(&self.counts, Some(&self.to_head))
    }

    pub(super) fn in_use(&self, secs: u64) -> bool {
        secs.saturating_sub(self.last) <= IDLE_SECS || !self.standing.is_quiet()
    }
}

/// A model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) row: Row,
    pub(super) circuit: Option<CircuitStatus>,
    /// Until when it counts as gone.
    pub(super) gone_until: Option<Instant>,
}

impl Model {
    pub(super) fn new(name: &Arc<str>, secs: u64) -> Self {
        Self {
            row: Row::new(Subject::Model(Arc::clone(name)), secs),
            circuit: None,
            gone_until: None,
        }
    }

    pub(super) fn judge(&mut self, rules: &Rules, now: Instant, told: &mut Vec<Alert>) {
        let measures = rules.of_model(self.circuit.as_ref(), self.gone_until, now);
        self.row.standing.judge(&measures, &rules.off, now, told);
    }

    pub(super) fn alerts(&self, rules: &Rules, now: Instant, into: &mut Vec<Alert>) {
        let measures = rules.of_model(self.circuit.as_ref(), self.gone_until, now);
        self.row.standing.list(&measures, now, into);
    }

    pub(super) fn in_use(&self, secs: u64) -> bool {
        let open = self
            .circuit
            .is_some_and(|circuit| circuit.open_since.is_some());
        open || self.row.in_use(secs)
    }
}

/// A model for a feature.
#[derive(Debug)]
pub(super) struct Pair {
    counts: Rolling<COUNTED>,
    last: u64,
}

impl Pair {
    pub(super) fn new(secs: u64) -> Self {
        Self {
            counts: Rolling::new(secs),
            last: secs,
        }
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>, secs: u64) {
        self.counts.add(entry.tally, secs);
        self.last = secs;
    }

    pub(super) fn windows(&mut self, secs: u64) -> Windows {
        self.counts.advance(secs);
        Windows::of(&self.counts, None)
    }

    pub(super) fn in_use(&self, secs: u64) -> bool {
        secs.saturating_sub(self.last) <= IDLE_SECS
    }
}
