//! The bounds of values that have the right form.

use super::{error::Problem, reader::Findings, units::Time};
use std::{fmt, time::Duration};

/// Longer than this is no setting but a slip, and far from where sums of durations overflow.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Collects what is out of bounds, without lines.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Breach>);

/// How the value of one key is bound by that of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast,
    AtMost,
}

/// A value out of bounds.
#[derive(Debug)]
pub(super) struct Breach {
    key: String,
    /// The key whose value the bound is.
    against: Option<String>,
    /// `None`: not to be shown.
    value: Option<String>,
    bound: String,
}

impl Breach {
    /// With the line that is to blame: of the key, else of the one it is bound by, else of the table.
    pub(super) fn found(self, findings: &Findings) -> Problem {
        let against = self.against.as_ref();
        let line = findings
            .line_of(&self.key)
            .or_else(|| findings.line_of(against?))
            .or_else(|| findings.line_above(&self.key));
        self.problem(line)
    }

    pub(super) fn problem(self, line: Option<usize>) -> Problem {
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
                against: None,
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
                against: None,
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

    /// The value of one key is at most that of another.
    pub(super) fn ordered<T: PartialOrd + fmt::Display>(
        &mut self,
        (key, value): (&str, T),
        bound: Bound,
        (other, limit): (&str, T),
    ) {
        let (holds, word) = match bound {
            Bound::AtLeast => (value >= limit, "at least"),
            Bound::AtMost => (value <= limit, "at most"),
        };
        if !holds {
            self.0.push(Breach {
                key: key.to_owned(),
                against: Some(other.to_owned()),
                value: Some(value.to_string()),
                bound: format!("{word} {other}, {limit}"),
            });
        }
    }
}
