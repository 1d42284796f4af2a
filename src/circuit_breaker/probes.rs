//! The few calls that a half-open circuit lets through, to see whether the model answers again.

use tokio::time::Instant;

/// Permits for probes. Each is in flight, has succeeded or is free: never lost, never doubled.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    in_flight: Vec<Probe>,
    succeeded: u32,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    call: u64,
    /// When its verdict is overdue.
    due: Instant,
}

impl Probes {
    /// Takes a permit for the call with this number; false where there is none of `limit` left.
    pub(crate) fn admit(&mut self, call: u64, due: Instant, limit: u32) -> bool {
        let taken = self.in_flight.len() + self.succeeded as usize;
        let free = taken < limit as usize;
        if free {
            self.in_flight.push(Probe { call, due });
        }
        free
    }

    /// Returns the permit of a probe that decides nothing.
    pub(crate) fn give_back(&mut self, call: u64) {
        self.in_flight.retain(|probe| probe.call != call);
    }

    /// Settles a probe, once; true where that was the last of `limit`.
    pub(crate) fn succeed(&mut self, call: u64, limit: u32) -> bool {
        let before = self.in_flight.len();
        self.give_back(call);
        let settled = self.in_flight.len() < before;
        self.succeeded += u32::from(settled);
        settled && self.succeeded >= limit
    }

    /// The time by which the first of the probes in flight should have had its verdict.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.in_flight.iter().map(|probe| probe.due).min()
    }
}
