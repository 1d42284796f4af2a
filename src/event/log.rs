//! Events as `tracing` lines: what changed for a model at `warn` and `info`, one `warn` for each call that failed its
//! caller, and every other step of a call at `debug` or `trace`. The [module docs](super) have the table.

use super::{CircuitChange, Event};
use crate::{
    call::{Feature, Outcome},
    classify::FailureKind,
};
use std::time::Duration;
use tracing::{debug, error, info, trace, warn};

/// What changes for a model or a feature. Calls have a target of their own, to be filtered apart.
macro_rules! says {
    ($level:ident, $($rest:tt)+) => { $level!(target: "tower_claude", $($rest)+) };
}

macro_rules! call {
    ($level:ident, $($rest:tt)+) => { $level!(target: "tower_claude::call", $($rest)+) };
}

pub(super) fn log(event: &Event<'_>) {
    match *event {
        Event::CircuitChanged { model, change } => circuit_changed(cut(model), change),
        Event::CoolingDown {
            model,
            tenant,
            wait,
            kind,
        } => {
            let (model, wait_ms) = (cut(model), millis(wait));
            if kind == FailureKind::ModelGone {
                says!(error, model, ?tenant, wait_ms, "model is gone for this tenant");
            } else {
                let kind = kind.as_str();
                says!(info, model, ?tenant, wait_ms, kind, "model cools down for this tenant");
            }
        }
        Event::Alert {
            rule,
            subject,
            raised,
            value,
            threshold,
        } => {
            let subject = cut(subject);
            if raised {
                says!(warn, rule, subject, value, threshold, "alert raised");
            } else {
                says!(info, rule, subject, value, threshold, "alert cleared");
            }
        }
        ref step => log_step(step),
    }
}

fn circuit_changed(model: &str, change: CircuitChange) {
    match change {
        CircuitChange::Opened { reason, open_for } => {
            let (reason, open_for_ms) = (reason.as_str(), millis(open_for));
            says!(warn, model, reason, open_for_ms, "circuit opened");
        }
        CircuitChange::HalfOpened => says!(info, model, "circuit half-open, probing"),
        CircuitChange::Closed => says!(info, model, "circuit closed"),
        CircuitChange::Operator { state } => {
            says!(info, model, state, "circuit set by an operator");
        }
    }
}

/// A step of one call.
fn log_step(event: &Event<'_>) {
    match *event {
        Event::AttemptCommitted {
            feature,
            model,
            after,
        } => {
            let (feature, model) = names(feature, model);
            call!(trace, feature, model, after_ms = millis(after), "attempt answered");
        }
        Event::AttemptFailed {
            feature,
            model,
            kind,
            after,
        } => {
            let (feature, model) = names(feature, model);
            let (kind, after_ms) = (kind.as_str(), millis(after));
            call!(debug, feature, model, kind, after_ms, "attempt failed");
        }
        Event::StreamFailed {
            feature,
            model,
            kind,
        } => {
            let (feature, model) = names(feature, model);
            call!(warn, feature, model, kind = kind.as_str(), "answer broke off half-way");
        }
        Event::Retrying {
            feature,
            model,
            attempt,
            wait,
            kind,
        } => {
            let (feature, model) = names(feature, model);
            let (kind, wait_ms) = (kind.as_str(), millis(wait));
            call!(debug, feature, model, attempt, wait_ms, kind, "asking the same model again");
        }
        Event::NotRetried {
            feature,
            model,
            kind,
            reason,
        } => {
            let (feature, model) = names(feature, model);
            let (kind, reason) = (kind.as_str(), reason.as_str());
            call!(debug, feature, model, kind, reason, "not asking the same model again");
        }
        Event::CircuitRejected {
            feature,
            model,
            ramp,
        } => {
            let (feature, model) = names(feature, model);
            call!(debug, feature, model, ramp, "kept from the model by its circuit");
        }
        Event::Queued { feature, model } => {
            let (feature, model) = names(feature, model);
            call!(trace, feature, model, "waiting for a place");
        }
        Event::BulkheadFull {
            feature,
            model,
            waited,
        } => {
            let (feature, model) = names(feature, model);
            call!(debug, feature, model, waited, "no place in the compartment");
        }
        Event::UnknownFeature { feature } => {
            let feature = cut(feature.as_str());
            call!(debug, feature, "feature without a compartment, using the default one");
        }
        Event::FellBack {
            feature,
            from,
            to,
            kind,
        } => {
            let (feature, from) = names(feature, from);
            let (to, kind) = (cut(to), kind.as_str());
            call!(debug, feature, from, to, kind, "falling back to the next model");
        }
        Event::Degraded {
            feature,
            model,
            outcome,
            kind,
        } => {
            let (feature, model) = names(feature, model);
            let (outcome, kind) = (outcome.as_str(), kind.as_str());
            if outcome == Outcome::Error.as_str() {
                // Its end says so at `warn`.
                call!(debug, feature, model, outcome, kind, "answered with a clean error");
            } else {
                call!(warn, feature, model, outcome, kind, "answered in place of the model");
            }
        }
        Event::CallEnded { .. } => call_ended(event),
        Event::CircuitChanged { .. } | Event::CoolingDown { .. } | Event::Alert { .. } => {}
    }
}

fn call_ended(event: &Event<'_>) {
    let Event::CallEnded {
        feature,
        model,
        asked,
        outcome,
        failure,
        attempts,
        to_head,
        total,
    } = *event
    else {
        return;
    };
    let (feature, model) = names(feature, model);
    let asked = cut(asked);
    let ours = !matches!(failure, Some(FailureKind::Refused | FailureKind::Cancelled));
    let failed = outcome == Outcome::Error && ours;
    let (outcome, kind) = (outcome.as_str(), failure.map(FailureKind::as_str));
    let (to_head_ms, total_ms) = (millis(to_head), millis(total));
    if failed {
        call!(
            warn, feature, model, asked, outcome, kind, attempts, to_head_ms, total_ms,
            "call failed"
        );
    } else {
        call!(
            debug, feature, model, asked, outcome, kind, attempts, to_head_ms, total_ms,
            "call ended"
        );
    }
}

fn names<'a>(feature: &'a Feature, model: &'a str) -> (&'a str, &'a str) {
    (cut(feature.as_str()), cut(model))
}

/// The start of a name that may come from outside, at most 128 bytes.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(128);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
