//! Whether there is another attempt, and how long to wait for it: arithmetic without a clock.

use super::progress::Progress;
use crate::{
    classify::{Failure, FailureKind, Retry},
    error::BuildError,
    event::NotRetried,
};
use std::{num::NonZeroU8, time::Duration};

/// The spread above a `retry-after`: a quarter of it, but no more than this.
const FLOOR_SPREAD: Duration = Duration::from_secs(2);
const FLOOR_SHARE: f64 = 0.25;

/// Past this many doublings even a nanosecond is longer than [`Duration::MAX`].
const MOST_DOUBLINGS: u32 = 96;

/// How a computed delay is spread. None of them ever exceeds the cap.
///
/// With `d` = min(cap, base · 2ⁿ) before the n-th retry, counted from 0:
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly `d`, and nothing above a `retry-after`: for tests, and for a single caller.
    None,
    /// `d` ± this share of it, from 0 to 1.
    Ratio(f64),
    /// Anywhere in `[0, d]`: the widest spread, half as long on average.
    Full,
    /// Anywhere in `[d/2, d]`.
    Equal,
}

impl Default for Jitter {
    /// ± 25 %.
    fn default() -> Self {
        Self::Ratio(0.25)
    }
}

impl Jitter {
    /// Spreads a delay by a number drawn from `[0, 1)`.
    fn spread(self, delay: Duration, unit: f64) -> Duration {
        match self {
            Self::None => delay,
            Self::Ratio(ratio) => {
                let ratio = if ratio.is_nan() {
                    0.0
                } else {
                    ratio.clamp(0.0, 1.0)
                };
                scaled(delay, 1.0 - ratio + 2.0 * ratio * unit)
            }
            Self::Full => scaled(delay, unit),
            Self::Equal => scaled(delay, 0.5 + 0.5 * unit),
        }
    }

    /// What is added to a floor, which may only grow.
    fn above(self, floor: Duration, unit: f64) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Ratio(_) | Self::Full | Self::Equal => {
                scaled(floor, FLOOR_SHARE * unit).min(FLOOR_SPREAD)
            }
        }
    }
}

/// A product that saturates where `Duration::mul_f64` would panic.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// The numbers of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) attempts: NonZeroU8,
    pub(crate) attempts_before_fallback: NonZeroU8,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
    pub(crate) wait_before_fallback: Duration,
    pub(crate) jitter: Jitter,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU8::MIN.saturating_add(4),
            attempts_before_fallback: NonZeroU8::MIN.saturating_add(1),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
            wait_before_fallback: Duration::from_secs(2),
            jitter: Jitter::default(),
        }
    }
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing more at this model. The reason, where it could have been retried.
    HandUp(Option<NotRetried>),
    /// Another attempt after this wait, which costs a retry of the budget.
    Retry(Duration),
    /// The same attempt after this wait: nothing was sent, so that nothing is spent.
    CoolDown(Duration),
}

impl Policy {
    /// Attempts at one model, where so many others could be asked after it.
    pub(crate) fn attempts(&self, models_left: u8) -> u8 {
        if models_left > 0 {
            self.attempts_before_fallback.get()
        } else {
            self.attempts.get()
        }
    }

    /// The longest wait that fits.
    fn limit(&self, models_left: u8) -> Duration {
        if models_left > 0 {
            self.cap.min(self.wait_before_fallback)
        } else {
            self.cap
        }
    }

    /// The delay before the n-th retry, counted from 0, for a number drawn from `[0, 1)`.
    pub(crate) fn delay(&self, retry: u32, unit: f64) -> Duration {
        let doublings = retry.min(MOST_DOUBLINGS);
        let delay = (0..doublings).fold(self.base, |delay, _| delay.saturating_mul(2));
        self.jitter.spread(delay.min(self.cap), unit).min(self.cap)
    }

    /// The wait for a computed delay and an answer that asks for at least `floor`, or why it does not fit.
    ///
    /// What must fit is the wait without the spread above the floor. The spread then stays within the limit, so that a
    /// `retry-after` of exactly the limit is honoured.
    fn wait(
        &self,
        own: Duration,
        floor: Duration,
        room: Room,
        unit: f64,
    ) -> Result<Duration, NotRetried> {
        let limit = self.limit(room.models_left);
        if own.max(floor) > limit {
            return Err(NotRetried::Wait);
        }
        let spread = floor.saturating_add(self.jitter.above(floor, unit));
        let wait = own.max(spread.min(limit));
        if room.time().is_some_and(|time| wait >= time) {
            return Err(NotRetried::Deadline);
        }
        Ok(wait)
    }

    /// What follows from the failure of an attempt. Draws from `unit` at most once.
    pub(crate) fn decide(
        &self,
        progress: &mut Progress,
        failure: &Failure,
        room: Room,
        unit: impl FnOnce() -> f64,
    ) -> Decision {
        match failure.retry() {
            Retry::Never => return Decision::HandUp(None),
            Retry::Once => progress.last_but_one(),
            Retry::Yes => {}
        }
        if failure.circuit_open_for().is_some() {
            return Decision::HandUp(Some(NotRetried::CircuitOpen));
        }
        let cooling = failure.kind == FailureKind::CoolingDown;
        if !progress.may_go_on(cooling) {
            return Decision::HandUp(Some(NotRetried::Attempts));
        }
        let unit = unit();
        let own = match failure.retry_after {
            // The end of a cool-down is known: nothing is gained by waiting longer.
            Some(_) if cooling => Duration::ZERO,
            _ => self.delay(progress.retries(), unit),
        };
        let floor = failure.retry_after.unwrap_or_default();
        match self.wait(own, floor, room, unit) {
            Err(reason) => Decision::HandUp(Some(reason)),
            Ok(wait) if cooling => Decision::CoolDown(wait),
            Ok(wait) => Decision::Retry(wait),
        }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.base.is_zero() {
            return Err(BuildError::new(
                "jitter_backoff.base",
                "0s",
                "longer than 0s",
            ));
        }
        if self.cap < self.base {
            let bound = format!("at least jitter_backoff.base, {:?}", self.base);
            return Err(BuildError::new(
                "jitter_backoff.cap",
                format_args!("{:?}", self.cap),
                bound,
            ));
        }
        match self.jitter {
            Jitter::Ratio(ratio) if !(0.0..=1.0).contains(&ratio) => Err(BuildError::new(
                "jitter_backoff.jitter",
                ratio,
                "a ratio from 0 to 1",
            )),
            _ => Ok(()),
        }
    }
}

/// What a wait must fit into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Models that could be asked after this one.
    pub(crate) models_left: u8,
    /// Time to the deadline; `None` where there is none.
    pub(crate) time_left: Option<Duration>,
}

impl Room {
    /// What a wait may take: half of the time that is left while another model could be asked, for that one needs the
    /// other half.
    fn time(self) -> Option<Duration> {
        let share = if self.models_left > 0 { 2 } else { 1 };
        self.time_left.map(|left| left / share)
    }
}

#[cfg(test)]
mod tests;
