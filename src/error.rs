//! Errors that are not a [`Failure`](crate::classify::Failure) of a call: a body that is too large, a configuration that
//! cannot work.

use std::{error::Error, fmt};

/// The error of every layer, as in tower.
///
/// A failed call is a boxed [`Failure`](crate::classify::Failure); find it through any wrapper with
/// [`Failure::find`](crate::classify::Failure::find).
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request body was larger than the stack holds for replay. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The limit that was passed, in bytes.
    pub limit: u64,
}

impl BodyTooLarge {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit }
    }
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request body is larger than {} bytes", self.limit)
    }
}

impl Error for BodyTooLarge {}

/// A setting that cannot work, found when the stack was built.
///
/// Names the field, the value it was given and the bound that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    field: String,
    value: String,
    bound: String,
}

impl BuildError {
    pub(crate) fn new(
        field: impl Into<String>,
        value: impl fmt::Display,
        bound: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            bound: bound.into(),
        }
    }

    /// The setting, as `layer.field`: `backoff.jitter`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The value it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What the value must be.
    pub fn bound(&self) -> &str {
        &self.bound
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {}, but must be {}",
            self.field, self.value, self.bound
        )
    }
}

impl Error for BuildError {}
