//! What all services of a breaker share, and the door that every call comes through.

use super::{
    circuit::Circuit,
    circuits::{self, Circuits},
    cooldown::{self, Cooldowns, Wait},
    guard::AttemptGuard,
    machine::{self, Admission, Ask, Pass},
    policy::Policy,
    rejection::Rejection,
};
use crate::{
    call::{Call, Tenant},
    classify::{Failure, FailureKind},
    event::{CircuitChange, Event, KeptAway},
    pinned::Pinned,
    rng::SharedRng,
};
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The settings and the state of a breaker. A clone shares the state.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) policy: Arc<Policy>,
    pub(crate) circuits: Arc<Circuits>,
    pub(crate) cooldowns: Arc<Cooldowns>,
    pub(crate) rng: SharedRng,
    /// Some of these circuits, for calls.
    pinned: Pinned<Arc<Circuit>>,
    /// The name of the circuit of calls that name no model; made once, so that they cost no allocation either.
    unnamed: Arc<str>,
}

/// What becomes of a call.
pub(crate) enum Entry {
    /// Not a Messages call: none of the breaker's business.
    Unwatched,
    /// It is made, and watched.
    Watched(AttemptGuard),
    /// It is not made.
    Rejected(Failure),
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            policy: Arc::default(),
            circuits: Arc::default(),
            cooldowns: Arc::default(),
            rng: SharedRng::default(),
            pinned: Pinned::default(),
            unnamed: circuits::DEFAULT.into(),
        }
    }
}

impl Shared {
    /// The same for a service: with a place for the circuit of each pinned model.
    pub(crate) fn for_calls(&self) -> Self {
        Self {
            pinned: Pinned::new(&self.policy.pinned),
            ..self.clone()
        }
    }

    /// Decides about a call at `now`.
    pub(crate) fn enter(self: &Arc<Self>, call: Option<&Call>, now: Instant) -> Entry {
        let model = match call {
            None => &self.unnamed,
            Some(call) => match call.model() {
                Some(model) => model,
                None => return Entry::Unwatched,
            },
        };
        let tenant = call.map_or_else(Tenant::default, Call::tenant);
        if let Some(wait) = self.cooldowns.find(tenant, model, now) {
            let reason = match wait.kind {
                FailureKind::ModelGone => KeptAway::ModelGone,
                _ => KeptAway::CoolingDown,
            };
            self.tell_kept_away(call, model, reason);
            let mut failure = cooling_down(wait, model, now, self.rng.unit());
            self.mark_if_open_longer(&mut failure, model, now);
            return Entry::Rejected(failure);
        }
        let find = || self.circuits.get(model, &self.policy, now);
        let circuit = self.pinned.get(model, find).cloned();
        let circuit = circuit.unwrap_or_else(find);
        let divertible = call.is_some_and(|call| call.models_left() > 0);
        if let Some(pass) = circuit.pass(divertible) {
            return self.watch(circuit, call, pass, now);
        }
        let (admission, changes) = circuit.admit(&Ask {
            now,
            jitter: self.rng.unit(),
            patience: self.patience(call),
            divertible,
        });
        for change in changes.into_iter().flatten() {
            self.tell_change(&circuit, change);
        }
        match admission {
            Admission::Pass(pass) => self.watch(circuit, call, pass, now),
            Admission::Reject(wait) => {
                let why = "the circuit is open";
                let mut failure = Rejection::failure(FailureKind::CircuitOpen, model, why, wait);
                failure.mark_open(wait.unwrap_or(self.policy.rules.cooldown));
                self.tell_kept_away(call, model, KeptAway::Open);
                Entry::Rejected(failure)
            }
            Admission::Divert(wait) => {
                let why = "the load comes back step by step, and there is another model";
                let wait = Some(wait);
                let mut failure = Rejection::failure(FailureKind::CircuitOpen, model, why, wait);
                failure.mark_diverted();
                self.tell_kept_away(call, model, KeptAway::Ramp);
                Entry::Rejected(failure)
            }
        }
    }

    fn watch(
        self: &Arc<Self>,
        circuit: Arc<Circuit>,
        call: Option<&Call>,
        pass: Pass,
        now: Instant,
    ) -> Entry {
        let (shared, call) = (Arc::clone(self), call.cloned());
        Entry::Watched(AttemptGuard::new(shared, circuit, call, pass, now))
    }

    /// A cool-down that ends before the circuit may be asked is not worth a wait.
    fn mark_if_open_longer(&self, failure: &mut Failure, model: &str, now: Instant) {
        let circuit = self.circuits.find(model);
        let open_for = circuit.and_then(|circuit| circuit.open_for(now));
        if let (Some(open_for), Some(rest)) = (open_for, failure.retry_after) {
            if open_for > rest {
                failure.retry_after = Some(open_for);
                failure.mark_open(open_for);
            }
        }
    }

    /// The time an attempt has until it is committed.
    pub(super) fn patience(&self, call: Option<&Call>) -> Duration {
        let timeouts = &self.policy.timeouts;
        match call {
            Some(call) => timeouts.to_commit(call.stream(), call.body_bytes(), call.max_tokens()),
            None => timeouts.to_commit(false, 0, None),
        }
    }

    /// Keeps a tenant from a model, where this failure says so.
    pub(crate) fn cool_down(
        &self,
        call: Option<&Call>,
        model: &Arc<str>,
        failure: &Failure,
        now: Instant,
    ) {
        let wait = match failure.kind {
            FailureKind::RateLimited => failure.retry_after.map(|wait| {
                // Not for ever on one upstream word: past this, one call asks again.
                wait.min(self.policy.max_rate_limit)
            }),
            // Outside a chain a 404 is the caller's to see each time.
            FailureKind::ModelGone if call.is_some_and(Call::in_chain) => {
                Some(self.policy.gone_for)
            }
            _ => None,
        };
        let Some(wait) = wait.filter(|wait| !wait.is_zero()) else {
            return;
        };
        let tenant = call.map_or_else(Tenant::default, Call::tenant);
        let kind = failure.kind;
        let until = machine::after(now, wait);
        let max = self.policy.max_waits;
        let new = self
            .cooldowns
            .add(tenant, model, Wait { until, kind }, now, max);
        if new {
            self.policy.observers.tell(&Event::CoolingDown {
                model,
                tenant,
                wait,
                kind,
            });
        }
    }

    /// Called with no lock held.
    pub(crate) fn tell_change(&self, circuit: &Circuit, change: CircuitChange) {
        self.policy.observers.tell(&Event::CircuitChanged {
            model: circuit.model(),
            change,
        });
    }

    fn tell_kept_away(&self, call: Option<&Call>, model: &str, reason: KeptAway) {
        let feature = call.map(Call::feature).cloned().unwrap_or_default();
        self.policy.observers.tell(&Event::KeptAway {
            feature: &feature,
            model,
            reason,
        });
    }
}

fn cooling_down(wait: Wait, model: &Arc<str>, now: Instant, jitter: f64) -> Failure {
    if wait.kind == FailureKind::ModelGone {
        // As upstream would say it once more; a retry is not invited.
        return Rejection::failure(wait.kind, model, "the model is gone for this tenant", None)
            .with_status(StatusCode::NOT_FOUND)
            .with_error_type("not_found_error");
    }
    let rest = wait.until.saturating_duration_since(now);
    let retry_after = rest.saturating_add(cooldown::spread(rest, jitter));
    let why = "the model cools down for this tenant";
    Rejection::failure(FailureKind::CoolingDown, model, why, Some(retry_after))
}
