//! How long an attempt may stay uncommitted.

use crate::{call::Call, classify::FailureKind};
use std::time::Duration;
use tokio::time::Instant;

/// What is due when the time of an attempt is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The stream has started and is not to be held longer.
    Commit,
    /// The attempt failed.
    Fail(FailureKind),
}

/// The limits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Without a sign of life until then, the attempt is a timeout.
    attempt: Instant,
    /// No attempt goes beyond this one.
    cut: Option<(Instant, FailureKind)>,
}

impl Limits {
    /// For an attempt that starts now and may take `allowed`.
    ///
    /// The deadline cuts it; while another model waits, half of what is left of the deadline does, for the other model
    /// needs the other half.
    pub(super) fn new(now: Instant, allowed: Duration, call: Option<&Call>) -> Self {
        let cut = call.and_then(Call::deadline).map(|deadline| {
            let left = deadline.left(now);
            if left.is_zero() || call.is_none_or(|call| call.models_left() == 0) {
                (deadline.instant(), FailureKind::DeadlineExceeded)
            } else {
                (now + left / 2, FailureKind::Timeout)
            }
        });
        Self {
            attempt: far(now, allowed),
            cut,
        }
    }

    /// Whether there is no time for an attempt at all.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        self.cut.is_some_and(|(at, _)| at <= now)
    }

    /// When something is due, and what. `hold_until`: when a stream that has started is committed at the latest.
    pub(super) fn due(&self, hold_until: Option<Instant>) -> (Instant, Due) {
        let own = match hold_until {
            Some(at) => (at, Due::Commit),
            None => (self.attempt, Due::Fail(FailureKind::Timeout)),
        };
        match self.cut {
            Some((at, kind)) if at <= own.0 => (at, Due::Fail(kind)),
            _ => own,
        }
    }
}

/// So long after `now`; a year, where that is past the end of the clock.
pub(super) fn far(now: Instant, after: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    now.checked_add(after).unwrap_or(now + YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Deadline;

    const S: Duration = Duration::from_secs(1);

    fn call(now: Instant, deadline: Option<Duration>, models_left: u8) -> Call {
        let deadline = deadline.map(|after| Deadline::at(now + after));
        let mut call = Call::new(Some("sonnet".into())).with_deadline(deadline);
        call.set_hop(0, &"sonnet".into(), models_left);
        call
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_limit_that_is_reached_says_what_is_due() {
        use FailureKind::{DeadlineExceeded, Timeout};
        let now = Instant::now();
        let fail = |after: Duration, kind| (now + after, Due::Fail(kind));
        for (deadline, models_left, started, due) in [
            (None, 0, None, fail(15 * S, Timeout)),
            (None, 1, None, fail(15 * S, Timeout)),
            (Some(60 * S), 0, None, fail(15 * S, Timeout)),
            (Some(10 * S), 0, None, fail(10 * S, DeadlineExceeded)),
            (Some(15 * S), 0, None, fail(15 * S, DeadlineExceeded)),
            (Some(10 * S), 1, None, fail(5 * S, Timeout)),
            (Some(60 * S), 1, None, fail(15 * S, Timeout)),
            (None, 0, Some(29 * S), (now + 29 * S, Due::Commit)),
            (
                Some(20 * S),
                0,
                Some(29 * S),
                fail(20 * S, DeadlineExceeded),
            ),
            (Some(20 * S), 2, Some(12 * S), fail(10 * S, Timeout)),
        ] {
            let limits = Limits::new(now, 15 * S, Some(&call(now, deadline, models_left)));
            let told = limits.due(started.map(|after| now + after));
            assert_eq!(told, due, "{deadline:?} {models_left} {started:?}");
            assert!(!limits.is_past(now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_has_passed_is_no_timeout_of_a_model() {
        let now = Instant::now();
        for models_left in [0, 1] {
            let call = call(now, Some(Duration::ZERO), models_left);
            let limits = Limits::new(now, 15 * S, Some(&call));
            assert!(limits.is_past(now));
            assert_eq!(
                limits.due(None),
                (now, Due::Fail(FailureKind::DeadlineExceeded))
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_call_only_the_timeout_counts() {
        let now = Instant::now();
        let limits = Limits::new(now, Duration::MAX, None);
        assert!(!limits.is_past(now));
        assert!(limits.due(None).0 > now + 1000 * S);
    }
}
