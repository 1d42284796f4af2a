//! When an alert is raised and when it is cleared: plain arithmetic over totals.
//!
//! A rule that clears where it was raised would flap on a value that wanders about its threshold. So each has a second,
//! lower mark: shares and counts of calls must fall to 80 % of what raised them.

use super::{
    alert::{Alert, Rule, Subject},
    circuit::CircuitStatus,
    rolling::{Rolling, Window},
    snapshot::{Totals, share},
    tally::COUNTED,
};
use crate::error::BuildError;
use std::time::Duration;
use tokio::time::Instant;

/// The part of a threshold to which a value must fall before its alert is cleared.
const CLEARS_AT: f64 = 0.8;

/// A share of more than so many calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) share: f64,
    pub(super) more_than: u64,
}

/// The thresholds.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) slow: Share,
    pub(super) fast: Share,
    pub(super) all_failed: u64,
    pub(super) circuit_open: Duration,
    pub(super) off: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            slow: Share {
                share: 0.05,
                more_than: 100,
            },
            fast: Share {
                share: 0.5,
                more_than: 20,
            },
            all_failed: 5,
            circuit_open: Duration::from_secs(600),
            off: Vec::new(),
        }
    }
}

impl Rules {
    pub(super) fn check(&self) -> Result<(), BuildError> {
        for (field, Share { share, .. }) in [
            ("monitor.slow_burn", self.slow),
            ("monitor.fast_burn", self.fast),
        ] {
            // Not a number is neither.
            if !(share > 0.0 && share < 1.0) {
                return Err(BuildError::new(field, share, "between 0 and 1"));
            }
        }
        if self.circuit_open.is_zero() {
            return Err(BuildError::new(
                "monitor.circuit_open",
                "0s",
                "longer than 0s",
            ));
        }
        Ok(())
    }

    /// The measures of a feature's calls, or of all.
    pub(super) fn of_calls(&self, counts: &Rolling<COUNTED>) -> [Measure; 5] {
        let hour = Totals::of(&counts.sums(Window::Hour));
        let five = Totals::of(&counts.sums(Window::FiveMinutes));
        let quarter = Totals::of(&counts.sums(Window::QuarterHour));
        let (failures, fallbacks) = (Rule::FailureShare, Rule::FallbackShare);
        [
            self.slow.measure(failures, hour.failures, hour.judged()),
            self.slow.measure(fallbacks, hour.fallbacks, hour.judged()),
            self.fast
                .measure(Rule::FailureBurn, five.failures, five.judged()),
            self.fast
                .measure(Rule::FallbackBurn, five.fallbacks, five.judged()),
            self.all_failed(quarter.failures, quarter.judged()),
        ]
    }

    /// Cleared by the first call that succeeds, or by a quarter of an hour without any.
    fn all_failed(&self, failures: u64, calls: u64) -> Measure {
        Measure {
            rule: Rule::AllFailed,
            value: number(failures),
            threshold: number(self.all_failed),
            calls,
            raises: calls >= self.all_failed && failures == calls,
            clears: failures < calls || calls == 0,
        }
    }

    /// The measures of a model.
    pub(super) fn of_model(
        &self,
        circuit: Option<&CircuitStatus>,
        gone_until: Option<Instant>,
        now: Instant,
    ) -> [Measure; 2] {
        let gone = gone_until.is_some_and(|until| now < until);
        let open_since = circuit.and_then(|circuit| circuit.open_since);
        let open = open_since.map(|since| now.saturating_duration_since(since));
        [
            Measure {
                rule: Rule::ModelGone,
                value: f64::from(u8::from(gone)),
                threshold: 1.0,
                calls: 0,
                raises: gone,
                clears: !gone,
            },
            Measure {
                rule: Rule::CircuitOpen,
                value: open.unwrap_or_default().as_secs_f64(),
                threshold: self.circuit_open.as_secs_f64(),
                calls: 0,
                raises: open.is_some_and(|open| open > self.circuit_open),
                clears: open.is_none(),
            },
        ]
    }
}

impl Share {
    fn measure(self, rule: Rule, part: u64, calls: u64) -> Measure {
        let value = share(part, calls);
        let few = number(self.more_than) * CLEARS_AT;
        Measure {
            rule,
            value,
            threshold: self.share,
            calls,
            raises: calls > self.more_than && value > self.share,
            clears: value <= self.share * CLEARS_AT || number(calls) <= few,
        }
    }
}

/// A rule's view of now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    rule: Rule,
    value: f64,
    threshold: f64,
    calls: u64,
    raises: bool,
    clears: bool,
}

impl Measure {
    fn alert(&self, subject: &Subject, raised: bool, since: Instant, at: Instant) -> Alert {
        Alert {
            rule: self.rule,
            subject: subject.clone(),
            raised,
            value: self.value,
            threshold: self.threshold,
            calls: self.calls,
            since,
            at,
        }
    }
}

/// The alerts that stand for one subject.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    subject: Subject,
    raised: Vec<(Rule, Instant)>,
}

impl Standing {
    pub(super) fn new(subject: Subject) -> Self {
        Self {
            subject,
            raised: Vec::new(),
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.raised.is_empty()
    }

    /// Raises and clears; what changed goes to `told`.
    pub(super) fn judge(
        &mut self,
        measures: &[Measure],
        off: &[Rule],
        now: Instant,
        told: &mut Vec<Alert>,
    ) {
        for measure in measures {
            let found = self
                .raised
                .iter()
                .position(|(rule, _)| *rule == measure.rule);
            match found {
                None if measure.raises && !off.contains(&measure.rule) => {
                    self.raised.push((measure.rule, now));
                    told.push(measure.alert(&self.subject, true, now, now));
                }
                Some(place) if measure.clears => {
                    let (_, since) = self.raised.swap_remove(place);
                    told.push(measure.alert(&self.subject, false, since, now));
                }
                _ => {}
            }
        }
    }

    /// Lists the alerts that stand, as measured now.
    pub(super) fn list(&self, measures: &[Measure], now: Instant, into: &mut Vec<Alert>) {
        for (rule, since) in &self.raised {
            let measure = measures.iter().find(|measure| measure.rule == *rule);
            into.extend(measure.map(|measure| measure.alert(&self.subject, true, *since, now)));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls are far below 2⁵²"
)]
fn number(count: u64) -> f64 {
    count as f64
}
