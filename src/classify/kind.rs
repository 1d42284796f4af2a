//! The kinds of failure: the rows of the table.

use std::fmt;

/// What failed. See the [table](super) for what follows from each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureKind {
    /// Claude has no capacity for this model now.
    Overloaded,
    /// An internal error, at Claude or at its edge.
    ServerError,
    /// No answer in time.
    Timeout,
    /// The connection failed before an answer was committed.
    Transport,
    /// A committed answer did not come to its end.
    Truncated,
    /// The caller's own rate limit.
    RateLimited,
    /// The caller's own spend limit, or no credit.
    SpendLimit,
    /// The model does not exist, or no longer.
    ModelGone,
    /// The request was refused: the caller's mistake.
    Refused,
    /// Not sent: the model cools down after a 429.
    CoolingDown,
    /// Not sent: the model's circuit is open.
    CircuitOpen,
    /// Not sent: no place in the compartment.
    BulkheadFull,
    /// The call's deadline passed.
    DeadlineExceeded,
    /// The caller dropped the call.
    Cancelled,
}

impl FailureKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Overloaded,
        Self::ServerError,
        Self::Timeout,
        Self::Transport,
        Self::Truncated,
        Self::RateLimited,
        Self::SpendLimit,
        Self::ModelGone,
        Self::Refused,
        Self::CoolingDown,
        Self::CircuitOpen,
        Self::BulkheadFull,
        Self::DeadlineExceeded,
        Self::Cancelled,
    ];

    /// The name in headers, logs and metrics: `overloaded`, `circuit_open` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Truncated => "truncated",
            Self::RateLimited => "rate_limited",
            Self::SpendLimit => "spend_limit",
            Self::ModelGone => "model_gone",
            Self::Refused => "refused",
            Self::CoolingDown => "cooling_down",
            Self::CircuitOpen => "circuit_open",
            Self::BulkheadFull => "bulkhead_full",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether this crate decided it without asking upstream.
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::CoolingDown
                | Self::CircuitOpen
                | Self::BulkheadFull
                | Self::DeadlineExceeded
                | Self::Cancelled
        )
    }

    pub(super) fn retry(self) -> Retry {
        match self {
            Self::Overloaded
            | Self::ServerError
            | Self::Transport
            | Self::RateLimited
            | Self::CoolingDown => Retry::Yes,
            Self::Timeout
            | Self::Truncated
            | Self::SpendLimit
            | Self::ModelGone
            | Self::Refused
            | Self::CircuitOpen
            | Self::BulkheadFull
            | Self::DeadlineExceeded
            | Self::Cancelled => Retry::Never,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The retry column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Never,
    /// One more attempt in the whole call.
    Once,
    Yes,
}
