//! The last known state of a model's circuit, from the changes that were told.

use crate::event::{CircuitChange, OpenReason};
use tokio::time::Instant;

/// What was last heard of a model's circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitStatus {
    /// `open`, `half_open`, `closed`, or the state that an operator set.
    pub state: &'static str,
    /// Since when.
    pub since: Instant,
    /// Since when it has not been closed; failed probes between do not count as closed.
    pub open_since: Option<Instant>,
    /// What opened it last.
    pub reason: Option<OpenReason>,
}

impl CircuitStatus {
    pub(super) fn after(before: Option<Self>, change: CircuitChange, now: Instant) -> Self {
        let reason = before.and_then(|circuit| circuit.reason);
        let open_since = Some(before.and_then(|circuit| circuit.open_since).unwrap_or(now));
        let (state, open_since, reason) = match change {
            CircuitChange::Opened { reason, .. } => ("open", open_since, Some(reason)),
            CircuitChange::HalfOpened => ("half_open", open_since, reason),
            CircuitChange::Closed => ("closed", None, reason),
            CircuitChange::Operator { state } if state.contains("open") => {
                (state, open_since, Some(OpenReason::Forced))
            }
            CircuitChange::Operator { state } => (state, None, reason),
        };
        Self {
            state,
            since: now,
            open_since,
            reason,
        }
    }
}

/// Whether a change begins a time without the model. A probe that failed only goes on with it: an outage of an hour is one
/// opening.
pub(super) fn opens(change: CircuitChange) -> bool {
    matches!(change, CircuitChange::Opened { reason, .. } if reason != OpenReason::Probe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn opened(reason: OpenReason) -> CircuitChange {
        CircuitChange::Opened {
            reason,
            open_for: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_circuit_stays_open_through_failed_probes_until_one_closes_it() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut circuit = CircuitStatus::after(None, opened(OpenReason::FailureRate), at(0));
        for (secs, change) in [
            (60, CircuitChange::HalfOpened),
            (61, opened(OpenReason::Probe)),
            (151, CircuitChange::HalfOpened),
        ] {
            circuit = CircuitStatus::after(Some(circuit), change, at(secs));
            assert_eq!(circuit.open_since, Some(at(0)));
        }
        circuit = CircuitStatus::after(Some(circuit), CircuitChange::Closed, at(152));
        assert_eq!((circuit.state, circuit.open_since), ("closed", None));
        assert_eq!(circuit.reason, Some(OpenReason::Probe));
    }

    #[test]
    fn an_operator_opens_and_closes_it_too() {
        let now = Instant::now();
        let set =
            |before, state| CircuitStatus::after(before, CircuitChange::Operator { state }, now);
        let forced = set(None, "forced_open");
        assert_eq!(forced.open_since, Some(now));
        assert_eq!(set(Some(forced), "disabled").open_since, None);
    }
}
