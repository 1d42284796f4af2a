//! How far one call has come at one model.

/// Counts the attempts of a call. See the [module docs](self).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The attempt that is under way, counted from 1.
    attempt: u8,
    /// The last one there may be.
    last: u8,
    /// Waits for the end of a cool-down. As many as attempts are allowed, for there must be a last one.
    cool_downs: u8,
    most_cool_downs: u8,
}

impl Progress {
    /// The first attempt of so many.
    pub(crate) fn new(attempts: u8) -> Self {
        Self {
            attempt: 1,
            last: attempts.max(1),
            cool_downs: 0,
            most_cool_downs: attempts,
        }
    }

    /// The attempt that is under way, counted from 1.
    pub(crate) fn attempt(self) -> u8 {
        self.attempt
    }

    /// Attempts that could follow.
    pub(crate) fn attempts_left(self) -> u8 {
        self.last.saturating_sub(self.attempt)
    }

    /// Retries before the next one.
    pub(super) fn retries(self) -> u32 {
        u32::from(self.attempt.saturating_sub(1))
    }

    /// After a failure that may be retried once in a call, at most one more attempt follows, whatever that one meets.
    pub(super) fn last_but_one(&mut self) {
        self.last = self.last.min(self.attempt.saturating_add(1));
    }

    /// Whether the call may go on, after a cool-down or with another attempt.
    pub(super) fn may_go_on(self, cooling: bool) -> bool {
        if cooling {
            self.cool_downs < self.most_cool_downs
        } else {
            self.attempt < self.last
        }
    }

    /// Another attempt begins.
    pub(crate) fn next_attempt(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
    }

    /// The same attempt begins again, after a cool-down.
    pub(crate) fn after_cool_down(&mut self) {
        self.cool_downs = self.cool_downs.saturating_add(1);
    }
}
