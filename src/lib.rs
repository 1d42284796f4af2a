//! Tower middleware that keeps applications working when the Claude API does not.
//!
//! Rate limits (429), overload (529), outages of one model, hung and broken streams: each happens weekly, and five minutes
//! of one become hours of outage where callers retry in a herd, wait for ever, or take half an answer for a whole one. This
//! crate puts five resilience patterns between an application and its HTTP client, each a `tower::Layer` of its own, and
//! [one builder](Resilience::builder) that stacks them in the order that works.
//!
//! ```
//! use tower::Layer;
//! use tower_claude::{Feature, Resilience};
//! # use tower_claude::{BoxError, ReplayBody};
//! # use bytes::Bytes; use http_body_util::Full;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = tower::service_fn(|_: http::Request<ReplayBody>| async {
//! #     let message = br#"{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}"#;
//! #     let answer = http::Response::builder().header("content-type", "application/json");
//! #     Ok::<_, BoxError>(answer.body(Full::new(Bytes::from_static(message)))?)
//! # });
//! let stack = Resilience::builder()
//!     .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
//!     .build()?;
//! // Around any `Service<http::Request<ReplayBody>>`: hyper, reqwest, your own.
//! let claude = stack.layer(client);
//!
//! let request = http::Request::post("https://api.anthropic.com/v1/messages")
//!     .header("content-type", "application/json")
//!     .extension(Feature::new("chat"))
//!     .body(String::from(r#"{"model":"claude-sonnet-5-5","max_tokens":64,"messages":[]}"#))?;
//! let answer = claude.send(request).await?;
//! assert_eq!(answer.headers()["tower-claude-outcome"], "direct");
//! # Ok(())
//! # }
//! ```
//!
//! # The stack
//!
//! Outermost first. Requests go down, answers and failures come up.
//!
//! ```text
//! AnswerErrors ▸ Replay ▸ Degrade ▸ ModelFallback
//!   ▸ JitterBackoff ▸ Bulkhead ▸ CircuitBreaker ▸ Commit ▸ your client
//! ```
//!
//! | layer | does | default |
//! |---|---|---|
//! | [`AnswerErrors`](answer_errors) | turns what is still an error into an Anthropic-shaped answer | for servers; not in the builder |
//! | [`Replay`](replay) | reads the request once, opens the call and closes it | 32 MiB, 10 min |
//! | [`Degrade`](degrade) | a cached answer, a canned message, or a clean error | answer; error for calls with tools |
//! | [`ModelFallback`](model_fallback) | asks the next model of a chain | no chain |
//! | [`JitterBackoff`](jitter_backoff) | tries again, later, within a budget | 5 attempts, 2 where another model waits |
//! | [`Bulkhead`](bulkhead) | bounds calls in flight per feature and model | 5 to 64 |
//! | [`CircuitBreaker`](circuit_breaker) | stops calling a model that is out | 5 failures open it for 60 s |
//! | [`Commit`](commit) | reads an answer until it is known good; times the attempt | 15 s to the first event, 30 s idle |
//!
//! Each also works alone in a `tower::ServiceBuilder`. What a layer needs to know of a call travels in one request
//! extension, [`Call`]; what an answer means, in one response extension, [`Verdict`]. All layers ask the same
//! [table](classify).
//!
//! # What you set on a request
//!
//! Extensions, all optional: [`Feature`] (whose compartment, chain and canned message), [`Deadline`] (by when it must be
//! answered), [`Tenant`] (whose limits and cache; by default a keyed hash of the credential).
//!
//! # What comes back
//!
//! The answer as upstream sent it, its body byte for byte, and headers that say what happened:
//! `tower-claude-outcome` ([`Outcome`]), `tower-claude-model`, `tower-claude-attempts`, and on degraded answers
//! `tower-claude-degraded`. In process, the extension [`Served`] says the same. With Degrade on, an `Err` is in practice
//! only [`BodyTooLarge`]; without it, find the [`Failure`] in the error with [`Failure::find`].
//!
//! # What it costs
//!
//! On success each attempt is boxed once, nothing is spawned and no lock is held across a poll. A call
//! through the whole stack allocates 13 times, 15 times with the default cache
//! (`cargo test --test allocations`); `cargo bench --bench stack` measures the time.
//!
//! # See also
//!
//! * [`monitor`]: rolling totals and alerts; [`event`]: everything the layers decide, for your own observer;
//! * `testing` (a feature): a fake Claude on loopback, with scripted faults, to test your own stack against;
//! * [`client`]: a hyper client ready to use, and the adapter for reqwest.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `cache` | on | the in-memory cache of answers, `cache::MemoryCache` |
//! | `tracing` | on | a log of what the layers decide |
//! | `hyper` | off | `client::https_client`: a hyper client with rustls, HTTP/1.1 and HTTP/2 |
//! | `reqwest` | off | `client::ReqwestService`: the adapter for a client of reqwest 0.13 |
//! | `config` | off | `config::Config`: the settings from a TOML file |
//! | `proxy` | off | the stack as a server: `proxy` and the command `claude-proxy` |
//! | `testing` | off | the fake Claude of `testing` |
//!
//! The layers and the builder need none of them.
// Here and not in the manifest: tests, benches and examples may.
#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod answer_errors;
pub mod body;
pub mod builder;
pub mod bulkhead;
pub mod cache;
pub mod call;
pub mod circuit_breaker;
pub mod classify;
pub mod claude;
pub mod client;
pub mod commit;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub mod config;
pub mod degrade;
pub mod error;
pub mod event;
pub mod jitter_backoff;
pub mod model_fallback;
pub mod monitor;
#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
pub mod proxy;
pub mod replay;
pub mod stack;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
pub mod timeouts;

mod answer;
mod clock;
mod kept;
#[cfg(feature = "proxy")]
mod local;
mod pinned;
mod reload;
mod rng;
mod spare;
mod sync;

#[doc(inline)]
pub use self::{
    answer_errors::AnswerErrorsLayer,
    body::ReplayBody,
    builder::ResilienceBuilder,
    bulkhead::BulkheadLayer,
    call::{Call, Deadline, Feature, Outcome, Served, Tenant},
    circuit_breaker::CircuitBreakerLayer,
    classify::{Failure, FailureKind, Verdict},
    commit::CommitLayer,
    degrade::DegradeLayer,
    error::{BodyTooLarge, BoxError, BuildError},
    event::{Event, Observe},
    jitter_backoff::JitterBackoffLayer,
    model_fallback::ModelFallbackLayer,
    monitor::Monitor,
    replay::ReplayLayer,
    stack::{BoxResilient, Resilience, Resilient, ResilientBody},
    timeouts::Timeouts,
};

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "hyper", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
