//! The circuit as a pure machine: closed, open, half-open, forced open, disabled.
//!
//! A generation begins with each opening, each half-opening and each word of the operator. A call carries the generation
//! it was admitted in ([`Pass`]); what it reports in a later one is ignored. The probes that close a circuit belong to the
//! generation they close, so a stream that was a good probe and breaks off later counts there.
//!
//! No timer runs: what is due is done when the next call comes. So an open circuit whose time is up stays open until then,
//! and a probe that never reported re-opens as of the moment it was due.

use super::{
    evidence::{Evidence, Outcome},
    probes::Probes,
    ramp::Ramp,
    rules::Rules,
    state::{CircuitState, Reading},
};
use crate::event::{CircuitChange, OpenReason};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where the time to the next place is not known: for calls turned away while a probe is in flight or on the ramp.
const SOON: Duration = Duration::from_secs(1);

/// What a call asks of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) now: Instant,
    /// In `[0, 1)`: lengthens the open time, should this call begin one.
    pub(crate) jitter: f64,
    /// The time this call has to be committed. A probe is given as much, where that is longer than the probe timeout: a
    /// long JSON answer is not a hung one, and where all calls are long no probe would ever close the circuit.
    pub(crate) patience: Duration,
    /// Whether it has another model to go to.
    pub(crate) divertible: bool,
}

/// The leave to make a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    generation: u64,
    /// Calls are numbered as they are admitted, which tells what started after what also within one tick of the clock.
    call: u64,
}

/// The answer to a call that asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go, and report.
    Pass(Pass),
    /// Open, or half-open with all probes in flight; the time to wait, where it is known.
    Reject(Option<Duration>),
    /// Closed, but on the ramp: take the other model.
    Divert(Duration),
}

#[derive(Debug)]
enum State {
    Closed(Ramp),
    Open { until: Instant },
    HalfOpen(Probes),
    ForcedOpen,
    Disabled,
}

/// A circuit. See the [module docs](self).
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Arc<Rules>,
    state: State,
    since: Instant,
    generation: u64,
    next_call: u64,
    /// Rounds of probes in a row that failed.
    failed_probes: u32,
    last_reason: Option<OpenReason>,
    evidence: Evidence,
}

impl Machine {
    pub(crate) fn new(rules: Arc<Rules>, now: Instant) -> Self {
        Self {
            evidence: Evidence::new(now, &rules),
            rules,
            state: State::Closed(Ramp::full()),
            since: now,
            generation: 0,
            next_call: 0,
            failed_probes: 0,
            last_reason: None,
        }
    }

    /// Goes on by other rules. What was counted stays, and what is open stays open as long as it was told.
    pub(crate) fn reconfigure(&mut self, rules: Arc<Rules>) {
        self.evidence.reconfigure(&rules);
        self.rules = rules;
    }

    /// Lets a call through a closed circuit that has nothing to decide, as it is for almost every call. `None`: it has to
    /// [ask](Self::admit).
    pub(crate) fn pass(&mut self, divertible: bool) -> Option<Pass> {
        match &self.state {
            State::Closed(ramp) if !divertible || ramp.is_full() => Some(self.next_pass()),
            _ => None,
        }
    }

    /// Decides about a call, and tells what changed in doing so: an overdue probe may first have re-opened the circuit,
    /// and then half-opened it once more.
    pub(crate) fn admit(&mut self, ask: &Ask) -> (Admission, [Option<CircuitChange>; 2]) {
        let changes = [
            self.reopen_if_overdue(ask.now, || ask.jitter),
            self.half_open_if_due(ask.now),
        ];
        let call = self.next_call;
        let refused = match &mut self.state {
            State::Disabled => None,
            State::Closed(ramp) => {
                let passes = !ask.divertible || ramp.lets_through(ask.now, self.rules.ramp);
                (!passes).then_some(Admission::Divert(SOON))
            }
            State::HalfOpen(probes) => {
                let due = after(ask.now, self.rules.probe_timeout.max(ask.patience));
                let passes = probes.admit(call, due, self.rules.probes);
                (!passes).then_some(Admission::Reject(Some(SOON)))
            }
            State::Open { until } => {
                let rest = until.saturating_duration_since(ask.now);
                Some(Admission::Reject(Some(rest)))
            }
            State::ForcedOpen => Some(Admission::Reject(None)),
        };
        let admission = refused.unwrap_or_else(|| Admission::Pass(self.next_pass()));
        (admission, changes)
    }

    fn next_pass(&mut self) -> Pass {
        let call = self.next_call;
        self.next_call += 1;
        Pass {
            generation: self.generation,
            call,
        }
    }

    /// The answer of a call is good so far: settles a probe, unless it was slow, and refutes the
    /// failures of calls that started before it. `jitter` is drawn where this opens the circuit.
    pub(crate) fn commit(
        &mut self,
        pass: &Pass,
        slow: bool,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> Option<CircuitChange> {
        let reopened = self.reopen_if_overdue(now, &jitter);
        if pass.generation != self.generation {
            return reopened;
        }
        match &mut self.state {
            State::HalfOpen(_) if slow => Some(self.open(OpenReason::Probe, now, now, jitter())),
            State::HalfOpen(probes) => {
                let closes = probes.succeed(pass.call, self.rules.probes);
                closes.then(|| self.close(now))
            }
            State::Closed(_) => {
                self.evidence.commit(pass.call);
                None
            }
            State::Open { .. } | State::ForcedOpen | State::Disabled => None,
        }
    }

    /// A call ended. `jitter` is drawn where that opens the circuit.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a pass is used up: no call reports twice"
    )]
    pub(crate) fn record(
        &mut self,
        pass: Pass,
        outcome: Outcome,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> Option<CircuitChange> {
        let Pass { generation, call } = pass;
        let reopened = self.reopen_if_overdue(now, &jitter);
        if generation != self.generation {
            return reopened;
        }
        match &mut self.state {
            State::HalfOpen(probes) => match outcome {
                Outcome::Neutral => {
                    probes.give_back(call);
                    None
                }
                Outcome::Success { slow: false } => {
                    let closes = probes.succeed(call, self.rules.probes);
                    closes.then(|| self.close(now))
                }
                // Slow is what may have opened it: a model that still is would open it again, calls later.
                Outcome::Success { slow: true } | Outcome::Failure { .. } => {
                    Some(self.open(OpenReason::Probe, now, now, jitter()))
                }
            },
            State::Closed(_) => self
                .evidence
                .record(call, outcome, now, &self.rules)
                .map(|reason| self.open(reason, now, now, jitter())),
            State::Open { .. } | State::ForcedOpen | State::Disabled => None,
        }
    }

    /// Holds the circuit open until it is reset; nothing where it is held already.
    pub(crate) fn force_open(&mut self, now: Instant) -> Option<CircuitChange> {
        if matches!(self.state, State::ForcedOpen) {
            return None;
        }
        self.last_reason = Some(OpenReason::Forced);
        Some(self.operate(State::ForcedOpen, now))
    }

    /// Lets all calls through and counts none, until it is reset; nothing where it does already.
    pub(crate) fn disable(&mut self, now: Instant) -> Option<CircuitChange> {
        if matches!(self.state, State::Disabled) {
            return None;
        }
        Some(self.operate(State::Disabled, now))
    }

    /// Closes the circuit, whatever it was, with nothing counted and no ramp.
    pub(crate) fn reset(&mut self, now: Instant) -> CircuitChange {
        self.operate(State::Closed(Ramp::full()), now)
    }

    /// The time to the next probe, where the circuit is open. Of one forced open, its cool-down.
    pub(crate) fn open_for(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::ForcedOpen => Some(self.rules.cooldown),
            State::Closed(_) | State::HalfOpen(_) | State::Disabled => None,
        }
    }

    /// Whether nothing is lost with it: it is closed, or nobody has asked for longer than its longest cool-down since its
    /// next probe was due.
    pub(crate) fn is_forgettable(&self, now: Instant) -> bool {
        let due = match &self.state {
            State::Closed(_) => return true,
            State::Open { until } => *until,
            State::HalfOpen(_) => self.since,
            State::ForcedOpen | State::Disabled => return false,
        };
        now.saturating_duration_since(due) > self.rules.max_cooldown
    }

    /// What there is to see of it.
    pub(crate) fn read(&self, now: Instant) -> Reading {
        Reading {
            state: self.state(),
            since: self.since,
            remaining: match &self.state {
                State::Open { until } => Some(until.saturating_duration_since(now)),
                _ => None,
            },
            counts: self.evidence.counts(now),
            in_a_row: self.evidence.in_a_row(&self.rules),
            generation: self.generation,
            last_reason: self.last_reason,
        }
    }

    pub(crate) fn state(&self) -> CircuitState {
        match &self.state {
            State::Closed(_) => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen(_) => CircuitState::HalfOpen,
            State::ForcedOpen => CircuitState::ForcedOpen,
            State::Disabled => CircuitState::Disabled,
        }
    }

    fn reopen_if_overdue(
        &mut self,
        now: Instant,
        jitter: impl Fn() -> f64,
    ) -> Option<CircuitChange> {
        let State::HalfOpen(probes) = &self.state else {
            return None;
        };
        let due = probes.due().filter(|due| *due <= now)?;
        Some(self.open(OpenReason::Probe, due, now, jitter()))
    }

    fn half_open_if_due(&mut self, now: Instant) -> Option<CircuitChange> {
        match &self.state {
            State::Open { until } if *until <= now => {
                self.enter(State::HalfOpen(Probes::default()), now);
                Some(CircuitChange::HalfOpened)
            }
            _ => None,
        }
    }

    /// Opens as of `at`, which is `now` or a moment before it. The time is fixed here: nothing later moves it.
    fn open(
        &mut self,
        reason: OpenReason,
        at: Instant,
        now: Instant,
        jitter: f64,
    ) -> CircuitChange {
        if reason == OpenReason::Probe {
            self.failed_probes = self.failed_probes.saturating_add(1);
        }
        let open_for = self.rules.open_for(self.failed_probes, jitter);
        let until = after(at, open_for);
        self.last_reason = Some(reason);
        self.enter(State::Open { until }, now);
        CircuitChange::Opened {
            reason,
            open_for: until.saturating_duration_since(now),
        }
    }

    /// Closes with an empty window, in the generation of the probes. See the [module docs](self).
    fn close(&mut self, now: Instant) -> CircuitChange {
        self.failed_probes = 0;
        self.evidence.clear();
        self.state = State::Closed(Ramp::from(now));
        self.since = now;
        CircuitChange::Closed
    }

    fn operate(&mut self, state: State, now: Instant) -> CircuitChange {
        self.failed_probes = 0;
        self.enter(state, now);
        CircuitChange::Operator {
            state: self.state().as_str(),
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.generation += 1;
        self.evidence.clear();
    }
}

/// Past the end of the clock means in 30 years.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(duration)
        .or_else(|| now.checked_add(FAR))
        .unwrap_or(now)
}
