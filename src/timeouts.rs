//! How long one attempt may take: until its first event, between events, until the whole answer.
//!
//! [`Commit`](crate::commit) enforces these; the [circuit breaker](crate::circuit_breaker) reads the same value to tell
//! a caller who left early from a model that kept it waiting. Long answers are better streamed: a stream is judged by
//! its first event and its pauses, a JSON answer only when it is whole.

use crate::error::BuildError;
use std::time::Duration;

const KIB_50: u64 = 50 * 1024;

/// The timeouts of one attempt. See the [module docs](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    first_event: Duration,
    first_event_extra: Duration,
    idle: Duration,
    answer: Option<Duration>,
    answer_cap: Duration,
    pings_are_life: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_event: Duration::from_secs(15),
            first_event_extra: Duration::from_secs(120),
            idle: Duration::from_secs(30),
            answer: None,
            answer_cap: Duration::from_secs(600),
            pings_are_life: true,
        }
    }
}

impl Timeouts {
    /// The defaults: 15 s to the first event, 30 s between events, answers by their `max_tokens`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Time to the first event that carries content, for an empty request. Default 15 s. 1 s is added for each 50 KiB of
    /// request body (a long prompt is slow to read), at most [`with_first_event_extra`](Self::with_first_event_extra).
    #[must_use]
    pub fn with_first_event(mut self, first_event: Duration) -> Self {
        self.first_event = first_event;
        self
    }

    /// The most that a large request body adds to the first-event timeout. Default 120 s.
    #[must_use]
    pub fn with_first_event_extra(mut self, extra: Duration) -> Self {
        self.first_event_extra = extra;
        self
    }

    /// The longest silence between two events of a committed stream, or two chunks of a committed JSON answer. Default
    /// 30 s.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// A fixed time for a whole JSON answer. Default: the first-event timeout + 1 s per 40 `max_tokens`, at most 10 min.
    #[must_use]
    pub fn with_answer(mut self, answer: Duration) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Whether a `ping` ends a silence. Default true.
    #[must_use]
    pub fn with_pings_as_life(mut self, pings_are_life: bool) -> Self {
        self.pings_are_life = pings_are_life;
        self
    }

    /// Time to the first content of a stream, for a request of `body_bytes`.
    pub fn first_event(&self, body_bytes: u64) -> Duration {
        let extra = Duration::from_secs(body_bytes / KIB_50).min(self.first_event_extra);
        self.first_event.saturating_add(extra)
    }

    /// The longest silence after commit.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Time to a whole JSON answer, for a request of `body_bytes` that allows `max_tokens`.
    pub fn answer(&self, body_bytes: u64, max_tokens: Option<u64>) -> Duration {
        self.answer.unwrap_or_else(|| {
            let tokens = Duration::from_secs(max_tokens.unwrap_or(0) / 40);
            self.first_event(body_bytes)
                .saturating_add(tokens)
                .min(self.answer_cap)
        })
    }

    /// Whether a `ping` ends a silence.
    pub fn pings_are_life(&self) -> bool {
        self.pings_are_life
    }

    /// The time an attempt has until it is committed: [`first_event`](Self::first_event) for a stream, else
    /// [`answer`](Self::answer).
    pub fn to_commit(&self, stream: bool, body_bytes: u64, max_tokens: Option<u64>) -> Duration {
        if stream {
            self.first_event(body_bytes)
        } else {
            self.answer(body_bytes, max_tokens)
        }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        for (field, value) in [
            ("timeouts.first_event", Some(self.first_event)),
            ("timeouts.idle", Some(self.idle)),
            ("timeouts.answer", self.answer),
        ] {
            if value.is_some_and(|value| value.is_zero()) {
                return Err(BuildError::new(field, "0s", "longer than 0s"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_adds_a_second_per_50_kib_up_to_two_minutes() {
        let timeouts = Timeouts::new();
        assert_eq!(timeouts.first_event(0), Duration::from_secs(15));
        assert_eq!(timeouts.first_event(KIB_50 - 1), Duration::from_secs(15));
        assert_eq!(timeouts.first_event(10 * KIB_50), Duration::from_secs(25));
        assert_eq!(timeouts.first_event(u64::MAX), Duration::from_secs(135));
    }

    #[test]
    fn a_json_answer_gets_a_second_per_40_tokens_up_to_ten_minutes() {
        let timeouts = Timeouts::new();
        assert_eq!(timeouts.answer(0, None), Duration::from_secs(15));
        assert_eq!(
            timeouts.answer(0, Some(4096)),
            Duration::from_secs(15 + 102)
        );
        assert_eq!(timeouts.answer(0, Some(u64::MAX)), Duration::from_secs(600));
        let fixed = timeouts.with_answer(Duration::from_secs(3));
        assert_eq!(fixed.answer(u64::MAX, Some(9)), Duration::from_secs(3));
    }

    #[test]
    fn a_zero_timeout_is_refused_by_name() {
        let error = Timeouts::new()
            .with_idle(Duration::ZERO)
            .check()
            .unwrap_err();
        assert_eq!(error.field(), "timeouts.idle");
    }
}
