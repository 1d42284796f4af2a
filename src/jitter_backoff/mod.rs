//! Try a failed call again, later, and not all calls at the same moment.
//!
//! Most failures of a model are short: an overload, a reset, a server that restarts. A second attempt a second later
//! answers them, where a thousand second attempts at the same instant would bring the fault back. [`JitterBackoffLayer`]
//! waits longer each time and never twice the same, asks no earlier than the answer allows, stops where waiting cannot
//! help, and keeps the retries of an outage within a [budget](#the-budget).
//!
//! | setting | default |
//! |---|---|
//! | [`with_attempts`](JitterBackoffLayer::with_attempts) | 5 at the last model of a chain, or the only one |
//! | [`with_attempts_before_fallback`](JitterBackoffLayer::with_attempts_before_fallback) | 2 where another model could be asked |
//! | [`with_base`](JitterBackoffLayer::with_base), [`with_cap`](JitterBackoffLayer::with_cap) | 1 s · 2ⁿ, at most 30 s |
//! | [`with_jitter`](JitterBackoffLayer::with_jitter) | [`Jitter::Ratio`] of ± 25 % |
//! | [`with_wait_before_fallback`](JitterBackoffLayer::with_wait_before_fallback) | 2 s |
//! | [`with_budget`](JitterBackoffLayer::with_budget) | 20 % of the calls, a reserve of 10, refilled at 1/s |
//!
//! # What is retried
//!
//! What the [table](crate::classify) says: the layer reads the [`Verdict`](crate::Verdict) of a failed answer or of an
//! error, of the inner service's readiness too, and never looks at a status. A failure that may be retried once in a
//! call (408, 409, 504) is followed by at most one more attempt at this model, whatever that one meets. A failure that
//! left the model's circuit open is followed by none, and by no sleep.
//!
//! # How long it waits
//!
//! The delay before the n-th retry is min(cap, base · 2ⁿ), spread by the [`Jitter`] and never above the cap. A
//! [`retry_after`](crate::Failure::retry_after) is a floor: it is spread upward only, by up to a quarter but no more than
//! 2 s, and the longer of the two is the wait. So no attempt precedes what the answer asked for.
//!
//! A wait fits if it is no longer than the cap, or than 2 s where another model could be asked instead, and if it ends
//! before the deadline, or before half of what is left of it where another model needs the other half. One that does not fit is not shortened, for that would only be refused again: the failure goes
//! up at once, to the next model or to a degraded answer. (The spread above a `retry-after` is kept within the limit, so
//! that one of exactly 30 s is still honoured.)
//!
//! While a model [cools down](crate::FailureKind::CoolingDown) nothing is sent, so a wait for its end costs neither an
//! attempt nor budget. There are at most as many such waits in a call as it has attempts. A layer set to a single attempt
//! never waits: it keeps no copy of the request.
//!
//! # The budget
//!
//! Each feature has an account for each model, which earns a fifth of a retry with each call that reached the model and
//! pays for each retry. With a reserve of 10 that refills at 1/s, so for any run of failures over `t` seconds
//!
//! ```text
//! attempts ≤ calls · 1.2 + 10 + t
//! ```
//!
//! holds exactly, and an outage costs the model a fifth more load instead of five times as much. A call that finds the
//! account empty gets its failure at once. Calls whose failure is not retried cost nothing; a retry that succeeds costs
//! as much as one that fails, for else calls that always succeed at the second attempt would double the load for free;
//! a retry that never reached the model, because it was dropped asleep or kept away by a full compartment, is given
//! back. What calls earned lasts for 30 to 60 s.
//!
//! tower's `TpsBudget` does not serve here: it is one account for all features and models, and it counts in whole
//! numbers, so that a ratio of 0.3 allows 333 of 1,000 and one of 0.6 allows all of them.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_claude::jitter_backoff::{Jitter, JitterBackoffLayer, RetryBudget};
//!
//! # fn wrap<S>(client: S) -> impl Clone where S: Clone {
//! let service = ServiceBuilder::new()
//!     .layer(
//!         JitterBackoffLayer::new()
//!             .with_base(Duration::from_millis(500))
//!             .with_jitter(Jitter::Full)
//!             .with_budget(RetryBudget::new().with_percent(10)),
//!     )
//!     .service(client);
//! # service }
//! ```
//!
//! Without a [`Call`](crate::Call) on the request the layer makes its 5 attempts for the default feature, with no
//! deadline and no other model.
//!
//! # Readiness
//!
//! As the inner service. For each further attempt a clone of the service is made ready and then called; nothing of it is
//! held during the sleep before.
//!
//! # Clone
//!
//! Services of one layer, and their clones, share its budget and its random source, so that no two draw the same delays.
//! The head of a request is copied once where more than one attempt is allowed; its body should be one whose clone is cheap, such
//! as the [replayed](crate::replay) one.

mod accounts;
mod budget;
mod future;
mod layer;
mod policy;
mod progress;
mod service;
mod session;

pub use accounts::BudgetSnapshot;
pub use budget::RetryBudget;
pub use future::JitterBackoffFuture;
pub use layer::JitterBackoffLayer;
pub use policy::Jitter;
pub use service::JitterBackoff;
