//! What there is to see of a proxy, as JSON. Names and numbers only: no key, no token, no word of a call.

use super::service::Proxy;
use crate::{
    bulkhead::CompartmentSnapshot,
    circuit_breaker::CircuitSnapshot,
    event::OpenReason,
    jitter_backoff::BudgetSnapshot,
    monitor::{Alert, Snapshot, Totals, Windows},
};
use serde_json::{Map, Value, json};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

/// All of it.
pub(super) fn of(proxy: &Proxy) -> Value {
    let now = Instant::now();
    let shared = &proxy.shared;
    let running = proxy.running();
    let (in_flight, max_in_flight) = shared.limits.in_flight();
    let (held, max_held) = shared.limits.held();
    let circuits = running.stack.circuits();
    let bulkheads = running.stack.bulkheads();
    let monitor = shared.monitor.snapshot();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "upstream": running.config.upstream.to_string(),
        "uptime_seconds": seconds(now.saturating_duration_since(shared.started)),
        "draining": proxy.is_draining(),
        "reloads": {
            "taken": shared.reloads.taken.load(Ordering::Relaxed),
            "refused": shared.reloads.refused.load(Ordering::Relaxed),
        },
        "in_flight": {"now": in_flight, "max": max_in_flight},
        "held_bytes": {"now": held, "max": max_held},
        "circuits": list(&circuits.snapshot(), |circuit| of_circuit(circuit, now)),
        "cooling_down": circuits.cooldowns(),
        "bulkheads": list(&bulkheads.snapshot(), of_compartment),
        "unknown_features": bulkheads.unknown_features(),
        "budgets": list(&running.stack.budgets(), of_budget),
        "totals": of_totals(&monitor),
        "alerts": list(&monitor.alerts, |alert| of_alert(alert, now)),
    })
}

fn list<T>(all: &[T], one: impl Fn(&T) -> Value) -> Value {
    all.iter().map(one).collect()
}

fn of_circuit(circuit: &CircuitSnapshot, now: Instant) -> Value {
    json!({
        "model": &*circuit.model,
        "state": circuit.state.as_str(),
        "for_seconds": seconds(now.saturating_duration_since(circuit.since)),
        "probe_in_seconds": circuit.remaining.map(seconds),
        "successes": circuit.successes,
        "failures": circuit.failures,
        "consecutive": circuit.consecutive,
        "last_reason": circuit.last_reason.map(OpenReason::as_str),
    })
}

fn of_compartment(room: &CompartmentSnapshot) -> Value {
    json!({
        "feature": room.feature.as_str(),
        "model": &*room.model,
        "in_flight": room.in_flight,
        "limit": room.limit,
        "queued": room.queued,
        "queue_limit": room.queue_limit,
        "wait_seconds": seconds(room.wait),
    })
}

fn of_budget(budget: &BudgetSnapshot) -> Value {
    json!({
        "feature": budget.feature.as_str(),
        "model": budget.model.as_deref(),
        "retries_left": rounded(budget.left),
    })
}

fn of_totals(monitor: &Snapshot) -> Value {
    let models = monitor.models.iter();
    let models = models.map(|stats| (stats.model.to_string(), of_windows(&stats.windows)));
    let features = monitor.features.iter();
    let features = features.map(|stats| (stats.feature.to_string(), of_windows(&stats.windows)));
    json!({
        "all": of_windows(&monitor.all),
        "models": models.collect::<Map<_, _>>(),
        "features": features.collect::<Map<_, _>>(),
    })
}

fn of_windows(windows: &Windows) -> Value {
    json!({
        "1m": totals(&windows.minute),
        "5m": totals(&windows.five_minutes),
        "15m": totals(&windows.quarter_hour),
        "1h": totals(&windows.hour),
    })
}

fn totals(totals: &Totals) -> Value {
    json!({
        "calls": totals.calls,
        "failures": totals.failures,
        "failure_share": rounded(totals.failure_share()),
        "refused": totals.refused,
        "cancelled": totals.cancelled,
        "fallbacks": totals.fallbacks,
        "fallback_share": rounded(totals.fallback_share()),
        "cached": totals.cached,
        "similar": totals.similar,
        "canned": totals.canned,
        "errors": totals.errors,
        "broken": totals.broken,
        "attempts": totals.attempts,
        "attempt_failures": totals.attempt_failures,
        "retries": totals.retries,
        "hops": totals.hops,
        "bulkhead_full": totals.bulkhead_full,
        "spared": totals.spared,
        "cool_downs": totals.cool_downs,
        "circuit_openings": totals.circuit_openings,
        "to_head_p50_seconds": totals.to_head_p50.map(seconds),
        "to_head_p99_seconds": totals.to_head_p99.map(seconds),
    })
}

fn of_alert(alert: &Alert, now: Instant) -> Value {
    json!({
        "rule": alert.rule.as_str(),
        "subject": alert.subject.to_string(),
        "value": rounded(alert.value),
        "threshold": alert.threshold,
        "calls": alert.calls,
        "for_seconds": seconds(now.saturating_duration_since(alert.since)),
        "text": alert.to_string(),
    })
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
