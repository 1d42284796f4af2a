//! The last word on every failure: an answer given before, a canned one, or a clean error.
//!
//! When retries and other models have not helped, the caller still gets something to work with: an application shows a
//! sentence instead of a stack trace, a job gets an error that its SDK understands. With [`DegradeLayer`] in the stack
//! its error is, in practice, never seen.
//!
//! # What stands in
//!
//! For a failure that [warrants it](crate::Failure::warrants_degrade), which is an outage or a limit and never the
//! caller's mistake:
//!
//! 1. an answer to exactly this request from the [cache](crate::cache);
//! 2. an answer to a similar one, if the cache knows such;
//! 3. the canned message of the feature, or, where its [`DegradePolicy`] says so, an error.
//!
//! Calls with tools or a structured output format always get the error, for a sentence of apology would be taken for a
//! result; so do `count_tokens` and calls that are no Messages calls. The feature `background_jobs` has
//! [`DegradePolicy::error`] unless it is set otherwise.
//!
//! # The answer
//!
//! A degraded answer is a `200`, as JSON or as a stream as the call asked, valid in the eyes of the official SDKs. A
//! canned message names the model that was asked for, a cached one the model that gave it.
//!
//! An error has the envelope and status of Claude's errors. Upstream's own error is kept with its `request-id`, if it
//! is one of these; a page of HTML is replaced. It says `x-should-retry: false`, so that the caller's SDK does not
//! multiply the retries of this stack.
//!
//! | mark | value |
//! |---|---|
//! | header `tower-claude-outcome` | `cached`, `similar`, `canned` or `error` |
//! | header `tower-claude-degraded` | what failed: `overloaded`, `circuit_open` … |
//! | headers `tower-claude-model`, `tower-claude-attempts` | who was asked last (or gave the cached answer), and how often upstream was asked |
//! | header `retry-after` | the earliest probe or reset in whole seconds, 1 to 30; 30 where none is known |
//! | header `age` | how old a cached answer is, in seconds |
//! | body field `_degraded` | `true`, on answers; see [`with_body_mark`](DegradeLayer::with_body_mark) |
//! | extension [`Served`](crate::Served) | the same facts, in process |
//!
//! # What passes
//!
//! Good answers, which the cache may keep a copy of; failed answers that do not warrant more, untouched; a call that its
//! sender cancelled, and a [`BodyTooLarge`](crate::BodyTooLarge). What is an error without an answer though nothing is
//! degraded (a full bulkhead) becomes its answer: 429 with `retry-after: 1`, which the caller may try again, since
//! nothing was sent. A stream that breaks off after its commit is no longer this layer's: its caller has read half of it.
//!
//! A cache that fails, panics or is slow is as good as an empty one: the caller hears of the call's failure and never of
//! that.
//!
//! # Alone
//!
//! Without a [`Call`](crate::Call) on the request the policy is that of the feature `default`, the answer a stream if
//! the request says `accept: text/event-stream`, and nothing is cached. Whether the call has tools is not known then.
//! Keys are made of a [`ReplayBody`](crate::ReplayBody); with another body nothing is cached either.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_claude::{BoxError, DegradeLayer, Failure, FailureKind, degrade::DegradePolicy};
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Empty};
//! # use bytes::Bytes;
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//!
//! let degrade = DegradeLayer::new()
//!     .with_feature("summary", DegradePolicy::answer("No summary right now."))
//!     .with_feature("nightly", DegradePolicy::error());
//! let broken = service_fn(|_: Request<String>| async {
//!     let failure = Failure::new(FailureKind::CircuitOpen);
//!     Err::<Response<Empty<Bytes>>, BoxError>(failure.into())
//! });
//! let service = ServiceBuilder::new().layer(degrade).service(broken);
//!
//! let response = service.oneshot(Request::new("{}".to_owned())).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.headers()["tower-claude-degraded"], "circuit_open");
//! let body = response.into_body().collect().await?.to_bytes();
//! assert!(String::from_utf8_lossy(&body).contains("Please try again in a minute."));
//! # Ok::<_, BoxError>(()) }).unwrap();
//! ```
//!
//! # Readiness
//!
//! That of the inner service, and its error as it is: there is no call yet that could be answered.
//!
//! # Clone
//!
//! Clones of the layer and of its services share the cache.

mod body;
mod future;
mod layer;
mod plan;
mod policy;
mod service;
mod stand_in;
mod tee;
#[cfg(all(test, feature = "cache"))]
mod tests;

pub use body::DegradeBody;
pub use future::DegradeFuture;
pub use layer::DegradeLayer;
pub use policy::DegradePolicy;
pub use service::Degrade;
