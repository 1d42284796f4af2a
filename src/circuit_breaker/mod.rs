//! Stop calling a model that does not answer, and find out soon when it does again.
//!
//! Calls to a model that is down cost their callers a wait and the model a chance to recover. [`CircuitBreakerLayer`] keeps a
//! circuit per model: while it is closed, attempts pass and are counted; when they fail in a row, or in too large a share,
//! it opens, and calls are turned away at once, so that [`ModelFallback`](crate::model_fallback) takes the next model
//! without a wait. When its time is up, one call probes whether the model answers.
//!
//! # What is counted
//!
//! Attempts, not calls, each once, as the [table of judgement](crate::classify) says. An answer counts when its body ends:
//! a stream that dies after its 200 is one failure. Its commit (of a stream the first content, see
//! [`Commit`](crate::commit); the head, where this layer stands alone) settles a probe and ends a row of failures, because
//! it proves that the model answers; only the window waits for the end.
//!
//! | attempt ends in | counts as |
//! |---|---|
//! | a whole answer | success |
//! | overload, server error, timeout, transport error, a panic of the inner service | failure |
//! | an answer that breaks off | failure, in a row of its own: the next commit says nothing against it, a whole answer does |
//! | a cancel by the caller, or by the deadline (by half of it while another model waits), after more than half of the attempt's [`Timeouts`](crate::Timeouts) | failure, and a timeout of ours |
//! | the same, earlier; a committed answer that its caller drops | nothing |
//! | 400, 401, 413, 422 …: the caller's mistake | nothing; it neither ends a row nor settles a probe |
//! | 429, spend limit, a model that is gone | nothing |
//!
//! # When a circuit opens
//!
//! | trigger | default | set by |
//! |---|---|---|
//! | failures in a row | 5 within 60 s, in a row that is at least 2 s old; at most 2 of one call count | [`with_consecutive`](CircuitBreakerLayer::with_consecutive) |
//! | share of failures | ≥ 50 % of ≥ 20 outcomes in the last 60 s, looked at when one fails | [`with_failure_rate`](CircuitBreakerLayer::with_failure_rate) |
//! | timeouts of ours, for low traffic | 3 within 10 min, in a row | [`with_own_timeouts`](CircuitBreakerLayer::with_own_timeouts) |
//! | share of slow commits | off | [`with_slow_calls`](CircuitBreakerLayer::with_slow_calls) |
//!
//! What is in a row is judged by when calls *started*: the failures of those that started after the last-started call that
//! was answered, in whatever order they end. So a late answer from before an outage ends no row, and a timeout starts none
//! where a call that started after it has long been answered: in a brown-out that lets one attempt in sixteen run into its
//! timeout, the others speak for the model. Both still count in their share. Any number of earlier successes makes no
//! difference to a row.
//!
//! # Open, half-open, closed
//!
//! An open circuit stays so for 60 s and up to a fifth more, fixed when it opens. Then one call passes as a probe
//! ([`with_probes`](CircuitBreakerLayer::with_probes)); the others are turned away as before. A good probe closes the
//! circuit with nothing counted, a bad one (or a slow one, where slow calls open it) opens it for 1.5 times as long, up to
//! 5 min (and its fifth). A probe that was
//! dropped early, or that ended in nothing, returns its permit, and the next call probes. One without a verdict after 30 s
//! (or after the time its call may take to commit, where that is longer) opens the circuit again. After closing, the load
//! comes back in steps over 30 s, but only calls that have another model are held back (and come back, if that one fails). Results of calls admitted before
//! the circuit last opened are ignored. No timer runs: what is due happens when the next call comes.
//!
//! # One tenant's limits
//!
//! A 429 with a wait keeps its tenant from that model until then (at most 1 h at a time): further calls fail at once as
//! [`CoolingDown`](crate::FailureKind::CoolingDown) with what is left of the wait and a little more, each told a
//! different time. A 404 for a model in a chain keeps its tenant from it for 10 min; calls fail as
//! [`ModelGone`](crate::FailureKind::ModelGone) without having been sent. Other tenants are not touched, and the circuit
//! counts neither.
//!
//! # Failures
//!
//! A call that is turned away fails with a [`Failure`](crate::Failure) whose source is a [`Rejection`] that names the
//! model: [`CircuitOpen`](crate::FailureKind::CircuitOpen) with the time to the next probe as `retry_after` (1 s while a
//! probe is under way and on the way back, none while forced open), or one of the two above. A failure that leaves the
//! circuit open says so by [`circuit_open_for`](crate::Failure::circuit_open_for), so that nobody sleeps before another
//! attempt.
//!
//! # Bounds
//!
//! Models named by [`with_pinned_models`](CircuitBreakerLayer::with_pinned_models) always keep their circuit; 256 others
//! have one each, the rest share one. A request without a [`Call`](crate::Call) uses the circuit `default`; one whose call
//! has no model passes through unrecorded.
//!
//! # Readiness
//!
//! That of the inner service, also while a circuit is open: which circuit a call needs is not known before it comes. A
//! call that is turned away does not touch the inner service, which stays ready for the next.
//!
//! # Example
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use tower::ServiceBuilder;
//! use tower_claude::circuit_breaker::{CircuitBreakerLayer, CircuitState};
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # let client = tower::service_fn(|_: Request<Full<bytes::Bytes>>| async {
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::default()))
//! # });
//!
//! let breaker = CircuitBreakerLayer::new()
//!     .with_consecutive(NonZeroU32::new(3).unwrap())
//!     .with_cooldown(Duration::from_secs(20));
//! let circuits = breaker.handle();
//! let service = ServiceBuilder::new().layer(breaker).service(client);
//! # fn is_service<B, S: tower::Service<Request<B>>>(_: S) {}
//! # is_service(service);
//! assert_eq!(circuits.state("claude-sonnet-5"), CircuitState::Closed);
//! ```

mod circuit;
mod circuits;
mod cooldown;
mod evidence;
mod future;
mod guard;
mod handle;
mod layer;
mod machine;
mod policy;
mod probes;
mod ramp;
mod rejection;
mod rules;
mod run;
mod service;
mod shared;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use future::BreakerFuture;
pub use guard::AttemptGuard;
pub use handle::{CircuitHandle, CircuitSnapshot};
pub use layer::CircuitBreakerLayer;
pub use rejection::Rejection;
pub use service::CircuitBreaker;
pub use state::CircuitState;
