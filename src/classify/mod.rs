//! What an answer means: the one table of judgement.
//!
//! [`Commit`](crate::commit) asks a [`Classify`] about every answer and puts the [`Verdict`] on it; all other layers read
//! that verdict with [`Verdict::of`] and none looks at a status code. A [`Failure`] is one type for what Claude said
//! (overloaded, rate limited …) and for what this crate decided itself (circuit open, bulkhead full …): it is the error
//! of every layer and the content of a failed verdict.
//!
//! | kind | from | retry same model | breaker | next model | degrade |
//! |---|---|---|---|---|---|
//! | [`Overloaded`](FailureKind::Overloaded) | 529, `overloaded_error` (status or SSE event), 503 | yes | failure | yes | yes |
//! | [`ServerError`](FailureKind::ServerError) | 500, 502, 520–524, `api_error`, 424; other 5xx without retry | yes | failure | yes | yes |
//! | [`Timeout`](FailureKind::Timeout) | our timeouts, a time limit of the client; 408; 504 | not for those two, once for 408 and 504 | failure | yes | yes |
//! | [`Transport`](FailureKind::Transport) | connect error, reset, cut before commit: see [`TransportKind`] | yes | failure | yes | yes |
//! | [`Truncated`](FailureKind::Truncated) | end without `message_stop`, cut or stall after commit | no | failure | no | no |
//! | [`RateLimited`](FailureKind::RateLimited) | 429 | after the wait, if it fits | neutral; the model cools down | yes | yes |
//! | [`SpendLimit`](FailureKind::SpendLimit) | 429 with a spend-limit code, 402, 400 "credit balance is too low" | no | neutral | no | yes |
//! | [`ModelGone`](FailureKind::ModelGone) | 404 `model: …`, in a chain | no | opens (tenant, model) for 10 min | yes | no |
//! | [`Refused`](FailureKind::Refused) | 3xx, other 4xx (409 retried once) | no | neutral | no | no |
//! | [`CoolingDown`](FailureKind::CoolingDown) | local: a cool-down after a 429 | after the wait, if it fits | neutral | yes | yes |
//! | [`CircuitOpen`](FailureKind::CircuitOpen) | local | no | – | yes | yes |
//! | [`BulkheadFull`](FailureKind::BulkheadFull) | local | no | neutral | yes | no: a 429 the caller may retry |
//! | [`DeadlineExceeded`](FailureKind::DeadlineExceeded) | local | no | see below | no | yes |
//! | [`Cancelled`](FailureKind::Cancelled) | the caller dropped the call | no | see below | no | no |
//!
//! `Cancelled` and `DeadlineExceeded` are failures of the model when the attempt they end had used more than half of its
//! timeout without an answer; otherwise they count neither way. `x-should-retry: true|false` overrides the
//! retry column, except that `true` does not for a spend limit: it is on 429s of all sorts, and money is not back within
//! seconds.

mod classifier;
mod failure;
mod kind;
mod transport;
mod verdict;

pub use classifier::{Classify, ClaudeClassifier};
pub use failure::Failure;
pub use kind::FailureKind;
pub use transport::TransportKind;
#[cfg(feature = "proxy")]
pub(crate) use transport::Unconnected;
pub use verdict::{End, Ended, Verdict};

pub(crate) use kind::Retry;
