//! Events as `tracing` lines: what changed for a model at `warn` and `info`, one `warn` for each call that failed its
//! caller, and every other step of a call at `debug` or `trace`. The [module docs](super) have the table.

use super::{CircuitChange, Event};
use crate::{call::Outcome, classify::FailureKind};
use std::time::Duration;
use tracing::{debug, error, info, trace, warn};

/// What changes for a model.
macro_rules! says {
    ($level:ident, $($rest:tt)+) => { $level!(target: "tower_claude", $($rest)+) };
}

/// A step of a call: has a target of its own, to be filtered apart. Names are cut only where the line is written.
macro_rules! call {
    ($level:ident, $feature:ident, $model:ident, $($rest:tt)+) => {
        $level!(
            target: "tower_claude::call",
            feature = cut($feature.as_str()),
            $model = cut($model),
            $($rest)+
        )
    };
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
                says!(
                    error,
                    model,
                    ?tenant,
                    wait_ms,
                    "model is gone for this tenant"
                );
            } else {
                let kind = kind.as_str();
                says!(
                    info,
                    model,
                    ?tenant,
                    wait_ms,
                    kind,
                    "model cools down for this tenant"
                );
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
        ref step => attempt(step),
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

/// What one attempt does.
fn attempt(event: &Event<'_>) {
    match *event {
        Event::AttemptCommitted {
            feature,
            model,
            after,
        } => {
            call!(
                trace,
                feature,
                model,
                after_ms = millis(after),
                "attempt answered"
            );
        }
        Event::AttemptFailed {
            feature,
            model,
            kind,
            after,
        } => {
            let (kind, after_ms) = (kind.as_str(), millis(after));
            call!(debug, feature, model, kind, after_ms, "attempt failed");
        }
        Event::StreamFailed {
            feature,
            model,
            kind,
        } => {
            let kind = kind.as_str();
            call!(warn, feature, model, kind, "answer broke off half-way");
        }
        Event::KeptAway {
            feature,
            model,
            reason,
        } => {
            let reason = reason.as_str();
            call!(debug, feature, model, reason, "kept from the model");
        }
        Event::Queued { feature, model } => call!(trace, feature, model, "waiting for a place"),
        Event::BulkheadFull {
            feature,
            model,
            waited,
        } => {
            call!(debug, feature, model, waited, "no place in the compartment");
        }
        ref step => decision(step),
    }
}

/// What is decided for a call, and its end.
fn decision(event: &Event<'_>) {
    match *event {
        Event::Retrying {
            feature,
            model,
            attempt,
            wait,
            kind,
        } => {
            let (wait_ms, kind) = (millis(wait), kind.as_str());
            call!(
                debug,
                feature,
                model,
                attempt,
                wait_ms,
                kind,
                "asking the same model again"
            );
        }
        Event::NotRetried {
            feature,
            model,
            kind,
            reason,
        } => {
            let (kind, reason) = (kind.as_str(), reason.as_str());
            call!(
                debug,
                feature,
                model,
                kind,
                reason,
                "not asking the same model again"
            );
        }
        Event::FellBack {
            feature,
            from,
            to,
            kind,
        } => {
            let (to, kind) = (cut(to), kind.as_str());
            call!(
                debug,
                feature,
                from,
                to,
                kind,
                "falling back to the next model"
            );
        }
        Event::Degraded {
            feature,
            model,
            outcome: Outcome::Error,
            kind,
        } => {
            // Its end says so at `warn`.
            let kind = kind.as_str();
            call!(debug, feature, model, kind, "answered with a clean error");
        }
        Event::Degraded {
            feature,
            model,
            outcome,
            kind,
        } => {
            let (outcome, kind) = (outcome.as_str(), kind.as_str());
            call!(
                warn,
                feature,
                model,
                outcome,
                kind,
                "answered in place of the model"
            );
        }
        Event::UnknownFeature { feature } => {
            let feature = cut(feature.as_str());
            debug!(target: "tower_claude::call", feature, "no compartment of its own, takes the default one");
        }
        _ => ended(event),
    }
}

fn ended(event: &Event<'_>) {
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
    // Worked out only where the line is written.
    macro_rules! line {
        ($level:ident, $message:literal) => {
            call!(
                $level,
                feature,
                model,
                asked = cut(asked),
                outcome = outcome.as_str(),
                kind = failure.map(FailureKind::as_str),
                attempts,
                to_head_ms = millis(to_head),
                total_ms = millis(total),
                $message
            )
        };
    }
    let ours = !matches!(failure, Some(FailureKind::Refused | FailureKind::Cancelled));
    if outcome == Outcome::Error && ours {
        line!(warn, "call failed");
    } else {
        line!(debug, "call ended");
    }
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
