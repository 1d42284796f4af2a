//! Why a call was not made.

use crate::classify::{Failure, FailureKind};
use std::{error::Error, fmt, sync::Arc, time::Duration};

/// A call that a breaker kept from its model: the source of the [`Failure`], for its name.
///
/// ```
/// # use tower_claude::{Failure, circuit_breaker::Rejection};
/// fn turned_away_from(failure: &Failure) -> Option<&str> {
///     use std::error::Error;
///     let rejection = failure.source()?.downcast_ref::<Rejection>()?;
///     Some(rejection.model())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    model: Arc<str>,
    why: &'static str,
}

impl Rejection {
    /// The model of the call.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// A failure of this kind, from here.
    pub(crate) fn failure(
        kind: FailureKind,
        model: &Arc<str>,
        why: &'static str,
        retry_after: Option<Duration>,
    ) -> Failure {
        Failure::new(kind)
            .with_detail(why)
            .with_retry_after(retry_after)
            .with_source(Self {
                model: Arc::clone(model),
                why,
            })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.model, self.why)
    }
}

impl Error for Rejection {}
