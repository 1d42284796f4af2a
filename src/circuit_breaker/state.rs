//! What there is to see of a circuit.

use super::window::Counts;
use crate::event::OpenReason;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls pass and are counted.
    Closed,
    /// Calls are turned away. Stays so after its time is up, until the next call comes: that one is a probe.
    Open,
    /// A few probes pass, all others are turned away.
    HalfOpen,
    /// Turned away by the operator, until a reset.
    ForcedOpen,
    /// Calls pass and are not counted, by the operator, until a reset.
    Disabled,
}

impl CircuitState {
    /// Its name in logs and metrics: `closed`, `half_open` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A look at the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) state: CircuitState,
    pub(crate) since: Instant,
    pub(crate) remaining: Option<Duration>,
    pub(crate) counts: Counts,
    pub(crate) in_a_row: u32,
    pub(crate) generation: u64,
    pub(crate) last_reason: Option<OpenReason>,
}
