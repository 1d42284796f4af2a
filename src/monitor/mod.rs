//! Rolling totals and alerts from what the layers decide: how many calls failed, fell back or were spared in the last
//! minute, 5 minutes, 15 minutes and hour, per model and feature, and when somebody should be told.
//!
//! A [`Monitor`] is an [`Observe`](crate::Observe): give a clone of it to the builder, or to each layer that tells events.
//! All-time counters hide an outage behind a good week, so it counts in windows; a share of few calls means little, so its
//! rules ask for a number of calls as well, and a rule of its own watches services that make few.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use tower_claude::{Observe, monitor::Monitor};
//!
//! let monitor = Monitor::builder()
//!     .with_models(["claude-sonnet-4-5", "claude-haiku-4-5"])
//!     .with_alert(|alert| println!("{alert}"))
//!     .build()?;
//!
//! // For `observe` of the builder, or `with_observer` of a layer.
//! let observer: Arc<dyn Observe> = Arc::new(monitor.clone());
//!
//! // On the status page.
//! let snapshot = monitor.snapshot();
//! let hour = snapshot.all.hour;
//! println!("{} calls, {:.1} % failed", hour.calls, hour.failure_share() * 100.0);
//! for model in &snapshot.models {
//!     println!("{}: {} attempts spared", model.model, model.windows.hour.spared);
//! }
//! # drop(observer);
//! # Ok::<(), tower_claude::BuildError>(())
//! ```
//!
//! # Alerts
//!
//! | rule | raised | means | look at |
//! |---|---|---|---|
//! | [`FailureBurn`](Rule::FailureBurn) | > 50 % of > 20 calls failed in 5 min | an outage now: most callers get a degraded answer or an error | which circuits are open; the status page of your provider; whether the chain has a model on other capacity |
//! | [`AllFailed`](Rule::AllFailed) | ≥ 5 calls in 15 min, none succeeded | the same at low traffic, or a feature that is broken for itself | the failure kinds in the log: `spend_limit` and `model_gone` do not heal by waiting |
//! | [`FailureShare`](Rule::FailureShare) | > 5 % of > 100 calls failed in 1 h | some callers suffer, for longer than a hiccup | which feature; `bulkhead_full` (too small a compartment), `timeout`, `broken` answers |
//! | [`FallbackBurn`](Rule::FallbackBurn) | > 50 % of > 20 calls fell back in 5 min | the first model of a chain is out; callers are served, by another model | the circuit of the first model; what the other model costs, and its rate limit |
//! | [`FallbackShare`](Rule::FallbackShare) | > 5 % of > 100 calls fell back in 1 h | the first model is unwell, or short of quota | `cool_downs` (rate limits) against `attempt_failures` |
//! | [`ModelGone`](Rule::ModelGone) | at once, at a 404 for a model of a chain | retired, misspelt, or not allowed for a tenant; waiting does not help | the chain's configuration |
//! | [`CircuitOpen`](Rule::CircuitOpen) | a circuit not closed for > 10 min | a long outage of one model: probes still fail, or no call came to probe it, or an operator forgot it | the circuit's `reason`; upstream's answers in the log at `debug` |
//!
//! The first five are judged for each feature and for all calls together (page on `all`, route by feature); the last two
//! for each model. Thresholds are settings of the [`MonitorBuilder`]; any rule can be switched off.
//!
//! Each alert is told once when it is raised and once when it is cleared: to the callbacks of
//! [`with_alert`](MonitorBuilder::with_alert), as [`Event::Alert`](crate::Event::Alert) to observers, and in the log (raised
//! at `warn`, cleared at `info`). What clears lies below what raises, so that a value about its threshold does not flap:
//!
//! * shares: when the share, or the number of calls, has fallen to 80 % of its threshold;
//! * all failed: at the first call that succeeds, or after 15 min without any;
//! * a model gone: a minute after its cool-down (11 min after the last 404), since nothing asks the model before; an answer
//!   to one tenant does not clear what is gone for another;
//! * a circuit open: when it closes or an operator sets it closed.
//!
//! The rules are looked at with each call that ends, once a second while there are events, and at each
//! [`check`](Monitor::check) and [`snapshot`](Monitor::snapshot). Where calls may stop altogether, spawn
//! [`watch`](Monitor::watch): otherwise nobody notices that time alone has raised or cleared an alert.
//!
//! # What is counted
//!
//! A call counts when it ends ([`Event::CallEnded`](crate::Event::CallEnded), which [`Replay`](crate::replay) tells), under
//! the model that its caller asked for. It **failed** if it got an error, a degraded answer, or an answer that broke off. It
//! did not if upstream **refused** it (the caller's mistake) or its caller **cancelled** it: those two say nothing of the
//! service and are left out of both sides of a share. A caller with too short a patience thus raises no alert by itself; that
//! the model kept it waiting is seen by the circuit breaker, whose alert follows.
//!
//! Attempts, retries, hops, circuits and full compartments count when they are told, under the model that was tried. Without
//! the layer that tells an event its numbers stay 0. An outage is one circuit opening, however many probes fail in it.
//!
//! # Resolution and bounds
//!
//! The windows of 1 and 5 min move in steps of 5 s, those of 15 min and 1 h in steps of 1 min. A window holds the bucket that
//! runs now and the whole ones before, so it is exact at the edge of a bucket and short by at most one. Times to the answer's
//! head are kept in 31 logarithmic buckets (5 ms to 10 min); a percentile is off by less than half.
//!
//! Models, features and pairs of them are counted by name up to 256 of each; the rest is counted as [`OTHER`], and so are
//! names longer than 128 bytes. A name without an event for an hour gives its place up, so that a flood of invented models
//! passes; those you list with [`with_models`](MonitorBuilder::with_models) and
//! [`with_features`](MonitorBuilder::with_features) cannot be flooded out. A model or feature takes 24 KiB, a pair 9 KiB: 4
//! models and 5 features 0.4 MiB, all places full 15 MiB. The circuits of models in [`OTHER`] are not told apart, and so not
//! watched.
//!
//! An event takes one short lock and reads the clock once; it allocates only for a new name and when an alert changes.
//! Counters saturate.

mod alert;
mod builder;
mod circuit;
mod handle;
mod latency;
mod ledger;
mod rolling;
mod rows;
mod rules;
mod snapshot;
mod table;
mod tally;

pub use alert::{Alert, Rule, Subject};
pub use builder::MonitorBuilder;
pub use circuit::CircuitStatus;
pub use handle::Monitor;
pub use rolling::Window;
pub use snapshot::{FeatureStats, ModelStats, PairStats, Snapshot, Totals, Windows};
pub use table::{NONE, OTHER};
