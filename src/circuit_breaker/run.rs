//! Failures in a row, by when their calls started.
//!
//! A failure is known when its call ends, and a timeout ends long after it began: calls that began later have been
//! answered by then. So what is consecutive is judged by starts. A row is the failures of calls that started after the
//! last-started call that was answered, in whatever order they ended. In an outage nothing that starts is answered: each
//! of its failures joins the row, and late answers to calls from before it take none away.

use super::rules::RunRule;
use std::collections::VecDeque;
use tokio::time::Instant;

/// A longer run than this is counted as this long: the bound of what a run remembers.
pub(crate) const LONGEST: u32 = 1_000;

/// Failures since the last proof that the model answers. See the [module docs](self).
///
/// Remembers only the first of them, which tells its age, and the last few, which tell its length, so that it stays small
/// however many there are: taken for younger where its first is refuted, never for older. One that comes longer than
/// [`RunRule::within`] after the one before begins a new run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// In the order in which they ended.
    failures: VecDeque<Failed>,
    /// The last-started call that was answered.
    answered: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    at: Instant,
    /// Calls are numbered in the order in which they started.
    call: u64,
}

impl Run {
    /// Adds the failure of the call with this number, unless one that started after it was answered; true where the run
    /// is now long enough and old enough.
    pub(crate) fn push(&mut self, call: u64, now: Instant, rule: RunRule) -> bool {
        if self.answered >= Some(call) {
            return false;
        }
        let gap = self.failures.back().map(|last| since(now, last.at));
        if gap.is_some_and(|gap| gap > rule.within) {
            self.failures.clear();
        }
        self.failures.push_back(Failed { at: now, call });
        let limit = rule.limit.min(LONGEST) as usize;
        while self.failures.len() > limit + 1 {
            self.failures.remove(1);
        }
        let Some(first) = self.failures.front() else {
            return false;
        };
        // Of the last `limit`; none where there are fewer.
        let oldest = self.failures.iter().rev().nth(limit.saturating_sub(1));
        since(now, first.at) >= rule.span
            && oldest.is_some_and(|oldest| since(now, oldest.at) <= rule.within)
    }

    /// The call with this number was answered, which refutes the failures of those that started before it.
    pub(crate) fn refute(&mut self, call: u64) {
        if self.answered < Some(call) {
            self.answered = Some(call);
            self.failures.retain(|failed| failed.call > call);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Failures in the run, at most so many.
    pub(crate) fn len(&self, limit: u32) -> u32 {
        u32::try_from(self.failures.len()).map_or(limit, |len| len.min(limit))
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
            assert!(!run.push(0, start, rule));
            let then = start + Duration::from_millis(millis);
            assert_eq!(run.push(1, then, rule), long_enough, "{millis} ms");
        }
    }

    const TWO: RunRule = RunRule {
        limit: 2,
        within: Duration::from_secs(60),
        span: Duration::from_secs(2),
    };

    #[test]
    fn a_run_remembers_its_first_and_its_last_few() {
        let (mut run, start) = (Run::default(), Instant::now());
        for millis in 0..2_000 {
            assert!(!run.push(millis, start + Duration::from_millis(millis), TWO));
        }
        assert_eq!(run.failures.len(), 3);
        assert!(
            run.push(2_000, start + Duration::from_secs(2), TWO),
            "old enough by its first"
        );
    }

    #[test]
    fn a_run_whose_first_is_refuted_is_as_old_as_the_oldest_that_is_left() {
        let (mut run, start) = (Run::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!run.push(1, at(0), TWO));
        assert!(!run.push(3, at(1_000), TWO));
        run.refute(2);
        assert!(!run.push(4, at(2_000), TWO));
        assert!(run.push(5, at(3_000), TWO));
    }
}
