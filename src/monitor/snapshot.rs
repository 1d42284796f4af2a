//! What a monitor knows at one moment, as plain numbers.

use super::{
    alert::Alert,
    circuit::CircuitStatus,
    latency::{BUCKETS, quantile},
    rolling::{Rolling, Window},
    tally::COUNTED,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What a monitor knows at one moment. See the [module docs](super).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken.
    pub at: Instant,
    /// All calls together.
    pub all: Windows,
    /// Per model that was asked for or tried, by name.
    pub models: Vec<ModelStats>,
    /// Per feature, by name.
    pub features: Vec<FeatureStats>,
    /// Per model and feature, by name. Without latencies.
    pub pairs: Vec<PairStats>,
    /// The alerts that stand, the oldest first.
    pub alerts: Vec<Alert>,
}

impl Snapshot {
    /// The numbers of a model.
    pub fn model(&self, name: &str) -> Option<&ModelStats> {
        self.models.iter().find(|stats| &*stats.model == name)
    }

    /// The numbers of a feature.
    pub fn feature(&self, name: &str) -> Option<&FeatureStats> {
        self.features.iter().find(|stats| &*stats.feature == name)
    }

    /// The numbers of a model for a feature.
    pub fn pair(&self, model: &str, feature: &str) -> Option<&PairStats> {
        self.pairs
            .iter()
            .find(|stats| &*stats.model == model && &*stats.feature == feature)
    }
}

/// The numbers of a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModelStats {
    /// Its name; [`OTHER`](super::OTHER) for all that found no place of their own, [`NONE`](super::NONE) where there was no
    /// model.
    pub model: Arc<str>,
    /// What was counted.
    pub windows: Windows,
    /// What was last heard of its circuit; None where nothing was.
    pub circuit: Option<CircuitStatus>,
}

/// The numbers of a feature.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FeatureStats {
    /// Its name; [`OTHER`](super::OTHER) for all that found no place of their own.
    pub feature: Arc<str>,
    /// What was counted.
    pub windows: Windows,
}

/// The numbers of a model for a feature.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PairStats {
    /// The model.
    pub model: Arc<str>,
    /// The feature.
    pub feature: Arc<str>,
    /// What was counted.
    pub windows: Windows,
}

/// Totals over each window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Windows {
    /// Over the last minute.
    pub minute: Totals,
    /// Over the last 5 minutes.
    pub five_minutes: Totals,
    /// Over the last 15 minutes.
    pub quarter_hour: Totals,
    /// Over the last hour.
    pub hour: Totals,
}

impl Windows {
    pub(super) fn of(counts: &Rolling<COUNTED>, to_head: Option<&Rolling<BUCKETS>>) -> Self {
        let totals = |window| {
            let totals = Totals::of(&counts.sums(window));
            let Some(times) = to_head.map(|to_head| to_head.sums(window)) else {
                return totals;
            };
            Totals {
                to_head_p50: quantile(&times, 500),
                to_head_p99: quantile(&times, 990),
                ..totals
            }
        };
        Self {
            minute: totals(Window::Minute),
            five_minutes: totals(Window::FiveMinutes),
            quarter_hour: totals(Window::QuarterHour),
            hour: totals(Window::Hour),
        }
    }

    /// Whether nothing was counted for an hour.
    pub fn is_empty(&self) -> bool {
        self.hour == Totals::default()
    }

    /// The totals over one window.
    pub fn over(&self, window: Window) -> &Totals {
        match window {
            Window::Minute => &self.minute,
            Window::FiveMinutes => &self.five_minutes,
            Window::QuarterHour => &self.quarter_hour,
            Window::Hour => &self.hour,
        }
    }
}

/// What was counted in one window.
///
/// The numbers of calls belong to the model that the caller asked for; those of attempts, retries, circuits and places to
/// the model that was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls that ended.
    pub calls: u64,
    /// Calls that failed: with an error, with a degraded answer, or with an answer that broke off.
    pub failures: u64,
    /// Calls refused by upstream: the caller's mistake, no failure.
    pub refused: u64,
    /// Calls that their caller dropped: no failure.
    pub cancelled: u64,
    /// Calls that another model than the one asked for served.
    pub fallbacks: u64,
    /// Failed calls answered with an answer given before to the same request.
    pub cached: u64,
    /// Failed calls answered with an answer given before to a similar request.
    pub similar: u64,
    /// Failed calls answered with a canned message.
    pub canned: u64,
    /// Failed calls that got an error.
    pub errors: u64,
    /// Committed answers that broke off.
    pub broken: u64,
    /// Attempts upstream that were committed or failed.
    pub attempts: u64,
    /// Attempts upstream that failed before they were committed.
    pub attempt_failures: u64,
    /// Further attempts at the same model.
    pub retries: u64,
    /// Moves away from the model to the next one of its chain.
    pub hops: u64,
    /// Calls that found no place in a compartment.
    pub bulkhead_full: u64,
    /// Attempts that an open circuit or a cool-down spared upstream.
    pub spared: u64,
    /// Times that a model began to cool down for a tenant, or was found gone.
    pub cool_downs: u64,
    /// Times that the model's circuit opened; a failed probe does not count again.
    pub circuit_openings: u64,
    /// The time to an answer's head that half of the calls did not exceed; those that were dropped left out. Off by at most
    /// half. None without calls.
    pub to_head_p50: Option<Duration>,
    /// The same for 99 of 100 calls.
    pub to_head_p99: Option<Duration>,
}

impl Totals {
    pub(super) fn of(counts: &[u64; COUNTED]) -> Self {
        // In the order of `Metric`.
        let [
            calls,
            failures,
            refused,
            cancelled,
            fallbacks,
            cached,
            similar,
            canned,
            errors,
            broken,
            attempts,
            attempt_failures,
            retries,
            hops,
            bulkhead_full,
            spared,
            cool_downs,
            circuit_openings,
        ] = *counts;
        Self {
            calls,
            failures,
            refused,
            cancelled,
            fallbacks,
            cached,
            similar,
            canned,
            errors,
            broken,
            attempts,
            attempt_failures,
            retries,
            hops,
            bulkhead_full,
            spared,
            cool_downs,
            circuit_openings,
            to_head_p50: None,
            to_head_p99: None,
        }
    }

    /// Calls that say something of the service: all but the refused and the cancelled ones. Shares are shares of these.
    pub fn judged(&self) -> u64 {
        self.calls
            .saturating_sub(self.refused)
            .saturating_sub(self.cancelled)
    }

    /// Failed calls whose caller got an answer all the same: cached, similar or canned.
    pub fn degraded(&self) -> u64 {
        self.cached + self.similar + self.canned
    }

    /// The share of failed calls, from 0 to 1; 0 without calls.
    pub fn failure_share(&self) -> f64 {
        share(self.failures, self.judged())
    }

    /// The share of calls that another model served, from 0 to 1; 0 without calls.
    pub fn fallback_share(&self) -> f64 {
        share(self.fallbacks, self.judged())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls are far below 2⁵²"
)]
pub(super) fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        part as f64 / of as f64
    }
}
