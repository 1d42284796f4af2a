//! The bounds of values that have the right form.

use super::{
    error::Problem,
    units::{Size, Time},
};
use std::{fmt, time::Duration};

/// Longer than this is no setting but a slip, and far from where sums of durations overflow.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Collects what is out of bounds, without lines.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Breach>);

/// A value out of bounds.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) key: String,
    /// `None`: not to be shown.
    value: Option<String>,
    bound: String,
}

impl Breach {
    pub(super) fn on(self, line: Option<usize>) -> Problem {
        Problem::value(line, self.key, self.value, self.bound)
    }
}

impl Checks {
    pub(super) fn into_breaches(self) -> Vec<Breach> {
        self.0
    }

    pub(super) fn must(
        &mut self,
        holds: bool,
        key: impl Into<String>,
        value: impl fmt::Display,
        bound: impl Into<String>,
    ) {
        if !holds {
            self.0.push(Breach {
                key: key.into(),
                value: Some(value.to_string()),
                bound: bound.into(),
            });
        }
    }

    /// As [`must`](Self::must), for a value that may be a secret.
    pub(super) fn must_secretly(
        &mut self,
        holds: bool,
        key: impl Into<String>,
        bound: impl Into<String>,
    ) {
        if !holds {
            self.0.push(Breach {
                key: key.into(),
                value: None,
                bound: bound.into(),
            });
        }
    }

    /// Longer than nothing and at most a day.
    pub(super) fn time(&mut self, key: impl Into<String>, value: Duration) {
        let holds = !value.is_zero() && value <= DAY;
        self.must(holds, key, Time(value), "longer than 0s and at most 1d");
    }

    /// At most a day.
    pub(super) fn time_or_none(&mut self, key: impl Into<String>, value: Duration) {
        self.must(value <= DAY, key, Time(value), "at most 1d");
    }

    pub(super) fn at_least_time(
        &mut self,
        key: &str,
        value: Duration,
        other: &str,
        floor: Duration,
    ) {
        let bound = format!("at least {other}, {}", Time(floor));
        self.must(value >= floor, key, Time(value), bound);
    }

    pub(super) fn at_most_time(
        &mut self,
        key: &str,
        value: Duration,
        other: &str,
        ceiling: Duration,
    ) {
        let bound = format!("at most {other}, {}", Time(ceiling));
        self.must(value <= ceiling, key, Time(value), bound);
    }

    pub(super) fn at_least_size(&mut self, key: &str, value: u64, other: &str, floor: u64) {
        let bound = format!("at least {other}, {}", Size(floor));
        self.must(value >= floor, key, Size(value), bound);
    }
}
