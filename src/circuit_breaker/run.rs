//! Failures in a row.

use super::rules::RunRule;
use std::collections::VecDeque;
use tokio::time::Instant;

/// A longer run than this is counted as this long: the bound of what a run remembers.
pub(crate) const LONGEST: u32 = 1_000;

/// Failures since the last proof that the model answers.
///
/// Remembers only the first of them and the last few, so that it stays small however many there are. One that comes
/// longer than [`RunRule::within`] after the one before begins a new run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    first: Option<First>,
    recent: VecDeque<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct First {
    at: Instant,
    /// The number the next call to be admitted had then: calls from this number on started after it.
    next_call: u64,
}

impl Run {
    /// Adds a failure; true where the run is now long enough and old enough.
    pub(crate) fn push(&mut self, now: Instant, next_call: u64, rule: RunRule) -> bool {
        let gap = self.recent.back().map(|last| since(now, *last));
        if gap.is_some_and(|gap| gap > rule.within) {
            self.clear();
        }
        let first = *self.first.get_or_insert(First { at: now, next_call });
        self.recent.push_back(now);
        let limit = rule.limit.min(LONGEST) as usize;
        while self.recent.len() > limit {
            self.recent.pop_front();
        }
        self.recent.len() >= limit
            && since(now, first.at) >= rule.span
            && self
                .recent
                .front()
                .is_some_and(|oldest| since(now, *oldest) <= rule.within)
    }

    /// The call with this number was answered: ends the run, unless that call started before the run did.
    pub(crate) fn refute(&mut self, call: u64) {
        if self.first.is_some_and(|first| call >= first.next_call) {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.recent.clear();
    }

    /// Failures in the run, at most the limit.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }
}

fn since(now: Instant, then: Instant) -> std::time::Duration {
    now.saturating_duration_since(then)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn failures_exactly_as_far_apart_as_they_may_be_are_one_run() {
        let rule = RunRule {
            limit: 2,
            within: Duration::from_secs(60),
            span: Duration::ZERO,
        };
        let start = Instant::now();
        for (millis, long_enough) in [(60_000, true), (60_001, false)] {
            let mut run = Run::default();
            assert!(!run.push(start, 0, rule));
            let then = start + Duration::from_millis(millis);
            assert_eq!(run.push(then, 1, rule), long_enough, "{millis} ms");
        }
    }
}
