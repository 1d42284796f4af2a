//! What one event adds to the totals: which numbers, of which model and feature.

use super::latency;
use crate::{
    call::{Feature, Outcome},
    classify::FailureKind,
    event::Event,
};
use std::iter;

/// A number that is counted; its value is its place among the [`COUNTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Calls,
    Failures,
    Refused,
    Cancelled,
    Fallbacks,
    Cached,
    Similar,
    Canned,
    Errors,
    Broken,
    Attempts,
    AttemptFailures,
    Retries,
    Hops,
    Full,
    Spared,
    CoolDowns,
    Openings,
}

/// How many numbers there are.
pub(super) const COUNTED: usize = 18;

/// The numbers that one event adds one to: a bit each, since no event adds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally(u32);

impl Tally {
    pub(super) const fn one(place: usize) -> Self {
        Self(1 << place)
    }

    fn with(self, metric: Metric) -> Self {
        self.and(metric, true)
    }

    fn and(self, metric: Metric, counts: bool) -> Self {
        Self(self.0 | u32::from(counts) << metric as u32)
    }

    pub(super) fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    /// The places that have one.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        iter::from_fn(move || {
            let place = left.trailing_zeros();
            // Without its lowest bit.
            left &= left.checked_sub(1)?;
            usize::try_from(place).ok()
        })
    }
}

impl From<Metric> for Tally {
    fn from(metric: Metric) -> Self {
        Self::default().with(metric)
    }
}

/// An event as the totals see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) model: &'a str,
    /// None where the event is a model's alone.
    pub(super) feature: Option<&'a str>,
    pub(super) tally: Tally,
    /// The bucket of the time to the answer's head, of a call whose caller stayed for it.
    pub(super) to_head: Option<Tally>,
}

impl<'a> Entry<'a> {
    pub(super) fn ends_a_call(&self) -> bool {
        self.tally.has(Metric::Calls as usize)
    }

    /// None for an event that adds nothing.
    pub(super) fn of(event: &Event<'a>) -> Option<Self> {
        let (model, feature, tally) = match *event {
            Event::CallEnded {
                feature,
                model,
                asked,
                outcome,
                failure,
                to_head,
                ..
            } => {
                let cancelled = failure == Some(FailureKind::Cancelled);
                return Some(Self {
                    model: if asked.is_empty() { model } else { asked },
                    feature: Some(feature.as_str()),
                    tally: of_call(outcome, failure),
                    to_head: (!cancelled).then(|| latency::bucket(to_head)),
                });
            }
            Event::AttemptCommitted { feature, model, .. } => {
                (model, Some(feature), Metric::Attempts.into())
            }
            Event::AttemptFailed { feature, model, .. } => {
                let tally = Tally::from(Metric::Attempts).with(Metric::AttemptFailures);
                (model, Some(feature), tally)
            }
            Event::StreamFailed { feature, model, .. } => {
                (model, Some(feature), Metric::Broken.into())
            }
            Event::Retrying { feature, model, .. } => {
                (model, Some(feature), Metric::Retries.into())
            }
            Event::FellBack { feature, from, .. } => (from, Some(feature), Metric::Hops.into()),
            Event::BulkheadFull { feature, model, .. } => {
                (model, Some(feature), Metric::Full.into())
            }
            Event::KeptAway { feature, model, .. } => (model, Some(feature), Metric::Spared.into()),
            Event::CoolingDown { model, .. } => (model, None, Metric::CoolDowns.into()),
            Event::CircuitChanged { model, change } if super::circuit::opens(change) => {
                (model, None, Metric::Openings.into())
            }
            // A degraded answer is counted when its call ends.
            _ => return None,
        };
        Some(Self {
            model,
            feature: feature.map(Feature::as_str),
            tally,
            to_head: None,
        })
    }
}

/// Each call is one of answered, failed, refused or cancelled.
fn of_call(outcome: Outcome, failure: Option<FailureKind>) -> Tally {
    let call = Tally::from(Metric::Calls);
    match failure {
        Some(FailureKind::Cancelled) => call.with(Metric::Cancelled),
        Some(FailureKind::Refused) => call.with(Metric::Refused),
        _ => {
            let failed = failure.is_some() || outcome.is_degraded() || outcome == Outcome::Error;
            call.and(Metric::Failures, failed)
                .and(Metric::Fallbacks, outcome == Outcome::Fallback)
                .and(Metric::Cached, outcome == Outcome::Cached)
                .and(Metric::Similar, outcome == Outcome::Similar)
                .and(Metric::Canned, outcome == Outcome::Canned)
                .and(Metric::Errors, outcome == Outcome::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(tally: Tally, metric: Metric) -> bool {
        tally.has(metric as usize)
    }

    #[test]
    fn the_last_metric_has_the_last_place() {
        assert_eq!(Metric::Openings as usize + 1, COUNTED);
    }

    #[test]
    fn a_call_failed_when_it_got_an_error_a_stand_in_or_half_an_answer() {
        for (outcome, failure) in [
            (Outcome::Error, Some(FailureKind::Overloaded)),
            (Outcome::Error, Some(FailureKind::BulkheadFull)),
            (Outcome::Error, None),
            (Outcome::Cached, Some(FailureKind::CircuitOpen)),
            (Outcome::Canned, Some(FailureKind::Timeout)),
            (Outcome::Direct, Some(FailureKind::Truncated)),
            (Outcome::Fallback, Some(FailureKind::Timeout)),
        ] {
            assert!(
                has(of_call(outcome, failure), Metric::Failures),
                "{outcome} {failure:?}"
            );
        }
    }

    #[test]
    fn what_the_caller_dropped_or_got_wrong_is_no_failure() {
        for outcome in Outcome::ALL {
            let dropped = of_call(outcome, Some(FailureKind::Cancelled));
            assert!(has(dropped, Metric::Cancelled) && !has(dropped, Metric::Failures));
            let refused = of_call(outcome, Some(FailureKind::Refused));
            assert!(has(refused, Metric::Refused) && !has(refused, Metric::Failures));
        }
        for outcome in [Outcome::Direct, Outcome::Retried, Outcome::Fallback] {
            assert!(!has(of_call(outcome, None), Metric::Failures), "{outcome}");
        }
    }
}
