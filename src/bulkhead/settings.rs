//! How large a compartment is and how long its line may get.

use crate::{
    call::Call,
    classify::{Failure, FailureKind},
    error::BuildError,
};
use std::time::Duration;
use tokio::time::Instant;

/// More seats than any process has connections for; above it the number is a mistake.
const MAX_LIMIT: usize = 1_000_000;
/// A longer line holds more request bodies than anybody wants to wait behind.
const MAX_QUEUE: usize = 100_000;
/// The longest answer takes ten minutes; who waits longer than an hour is not waiting but forgotten.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The settings of one compartment: calls in flight, calls in the line, time in the line.
///
/// ```
/// use std::time::Duration;
/// use tower_claude::bulkhead::Compartment;
///
/// let batch = Compartment::new(5)
///     .with_queue(500)
///     .with_wait(Duration::from_secs(60));
/// assert_eq!(batch.queue(), 500);
/// assert_eq!(Compartment::new(20).queue(), 40);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compartment {
    limit: usize,
    queue: Option<usize>,
    wait: Duration,
}

impl Compartment {
    /// So many calls in flight, at most 1,000,000; 0 rejects every call. A line of twice as many, a wait of 2 s.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            queue: None,
            wait: Duration::from_secs(2),
        }
    }

    /// How many calls may wait, at most 100,000; 0: none. Default: twice the limit, also after a resize.
    #[must_use]
    pub const fn with_queue(mut self, queue: usize) -> Self {
        self.queue = Some(queue);
        self
    }

    /// How long a call may wait, at most 1 h; zero: not at all. Default 2 s.
    #[must_use]
    pub const fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Calls in flight at most.
    pub fn limit(&self) -> usize {
        self.limit.min(MAX_LIMIT)
    }

    /// Calls that wait at most.
    pub fn queue(&self) -> usize {
        self.queue
            .unwrap_or_else(|| self.limit().saturating_mul(2))
            .min(MAX_QUEUE)
    }

    /// How long a call waits at most.
    pub fn wait(&self) -> Duration {
        self.wait.min(MAX_WAIT)
    }

    pub(super) fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Names what is out of bounds. A layer that stands alone takes the bound in its place.
    pub(super) fn check(&self, name: &str) -> Result<(), BuildError> {
        let field = |field| format!("bulkhead.{name}.{field}");
        if self.limit > MAX_LIMIT {
            let bound = format!("at most {MAX_LIMIT}");
            return Err(BuildError::new(field("limit"), self.limit, bound));
        }
        if let Some(queue) = self.queue.filter(|queue| *queue > MAX_QUEUE) {
            let bound = format!("at most {MAX_QUEUE}");
            return Err(BuildError::new(field("queue"), queue, bound));
        }
        if self.wait > MAX_WAIT {
            let value = format!("{:?}", self.wait);
            return Err(BuildError::new(field("wait"), value, "at most 1h"));
        }
        Ok(())
    }
}

/// How long one call waits, and what it is told when nothing came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// How long; zero: not at all.
    pub(super) wait: Duration,
    /// What the end of the wait is.
    pub(super) then: FailureKind,
}

impl Patience {
    /// The wait of the compartment, within the deadline; within half of what is left of it while another model could be
    /// asked, so that the other one gets its time too.
    pub(super) fn of(wait: Duration, call: Option<&Call>, now: Instant) -> Self {
        let full = Self {
            wait,
            then: FailureKind::BulkheadFull,
        };
        let Some((call, deadline)) = call.and_then(|call| Some((call, call.deadline()?))) else {
            return full;
        };
        let left = deadline.left(now);
        if left.is_zero() || (call.models_left() == 0 && left <= wait) {
            return Self {
                wait: left,
                then: FailureKind::DeadlineExceeded,
            };
        }
        if call.models_left() > 0 {
            return Self {
                wait: wait.min(left / 2),
                ..full
            };
        }
        full
    }
}

/// A call that found no seat. Nothing was sent, so it may be asked again: a seat is free as soon as any answer ends.
pub(super) fn failure(kind: FailureKind, waited: bool) -> Failure {
    const ASK_AGAIN: Duration = Duration::from_secs(1);
    match kind {
        FailureKind::DeadlineExceeded => Failure::new(kind)
            .with_detail("the deadline passed before a seat in the compartment was free"),
        _ => Failure::new(kind)
            .with_retry_after(Some(ASK_AGAIN))
            .with_detail(if waited {
                "no seat in the compartment was free in time"
            } else {
                "the compartment is full"
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Deadline;

    const SECOND: Duration = Duration::from_secs(1);

    fn call(now: Instant, left: Duration, models_left: u8) -> Call {
        let mut call = Call::new(None).with_deadline(Some(Deadline::at(now + left)));
        call.set_hop(0, &"model".into(), models_left);
        call
    }

    #[test]
    fn without_a_deadline_a_call_waits_as_long_as_its_compartment_lets_it() {
        let now = Instant::now();
        for call in [None, Some(Call::new(None))] {
            let patience = Patience::of(2 * SECOND, call.as_ref(), now);
            assert_eq!(patience.wait, 2 * SECOND);
            assert_eq!(patience.then, FailureKind::BulkheadFull);
        }
    }

    #[test]
    fn a_wait_ends_with_the_deadline_and_says_which_came_first() {
        let now = Instant::now();
        for (left, wait, then) in [
            (SECOND, SECOND, FailureKind::DeadlineExceeded),
            (2 * SECOND, 2 * SECOND, FailureKind::DeadlineExceeded),
            (3 * SECOND, 2 * SECOND, FailureKind::BulkheadFull),
        ] {
            let patience = Patience::of(2 * SECOND, Some(&call(now, left, 0)), now);
            assert_eq!(patience, Patience { wait, then });
        }
    }

    #[test]
    fn while_another_model_waits_at_most_half_of_what_is_left_is_waited_for() {
        let now = Instant::now();
        for (left, wait) in [(3 * SECOND, 3 * SECOND / 2), (9 * SECOND, 2 * SECOND)] {
            let patience = Patience::of(2 * SECOND, Some(&call(now, left, 1)), now);
            assert_eq!(patience.wait, wait);
            assert_eq!(patience.then, FailureKind::BulkheadFull);
        }
        let late = Patience::of(2 * SECOND, Some(&call(now, Duration::ZERO, 1)), now);
        assert_eq!(late.then, FailureKind::DeadlineExceeded);
    }

    #[test]
    fn a_setting_out_of_bounds_is_refused_by_name_and_bounded_where_nobody_checks() {
        let wide = Compartment::new(usize::MAX);
        assert_eq!(
            wide.check("chat").unwrap_err().field(),
            "bulkhead.chat.limit"
        );
        assert_eq!((wide.limit(), wide.queue()), (MAX_LIMIT, MAX_QUEUE));
        let long = Compartment::new(1).with_queue(usize::MAX);
        assert_eq!(
            long.check("chat").unwrap_err().field(),
            "bulkhead.chat.queue"
        );
        let slow = Compartment::new(1).with_wait(Duration::MAX);
        assert_eq!(
            slow.check("chat").unwrap_err().field(),
            "bulkhead.chat.wait"
        );
        assert_eq!(slow.wait(), MAX_WAIT);
        assert!(
            Compartment::new(0)
                .with_queue(0)
                .with_wait(Duration::ZERO)
                .check("chat")
                .is_ok()
        );
    }
}
