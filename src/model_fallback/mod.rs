//! Ask the next model when one is out.
//!
//! An outage of Claude is most often that of one model: its sibling answers while it is overloaded. A
//! [`ModelFallbackLayer`] has chains of models that may stand in for each other, best first, and sends a call that failed
//! at one to the next. Where a model was refused by its open [circuit](crate::circuit_breaker), by a full
//! [compartment](crate::bulkhead) or by a wait that is too long for [backoff](crate::jitter_backoff), the next one is
//! asked at once.
//!
//! # Which chain
//!
//! That of the call's feature, where it has its own
//! ([`with_feature_chain`](ModelFallbackLayer::with_feature_chain)); none, where it is to have none
//! ([`without_fallback`](ModelFallbackLayer::without_fallback)); else the first default chain that has the call's model.
//! A call starts at its own model and falls only to those after it. A model outside every chain is sent as it is, and so
//! is a request that cannot be rewritten: no JSON object, behind a `content-encoding`, or one whose model
//! [cannot be replaced](crate::claude::request::RequestFacts::is_rewritable) for certain.
//!
//! # What each model is sent
//!
//! The original request, with the value of its top-level `model` replaced, and its `max_tokens` lowered where the entry
//! of the chain [allows less](ChainModel::with_max_tokens). Every other byte is kept, nothing that was changed for one
//! model is seen by the next, and a `content-length` says the new length. The first model is sent the caller's own bytes.
//!
//! # What moves on
//!
//! What the [table](crate::classify) says: outages, rate limits, a model that is gone, and the local refusals above. The
//! caller's mistakes, a spend limit and a passed deadline are returned as they are; nor is another model asked once the
//! deadline has passed. An answer that was committed is never moved.
//!
//! A model that has just come up is [spared](crate::circuit_breaker) most of the calls that have another model. Where that
//! other one does not answer, or refuses the call, there was no other model: the call goes back to the one that was spared,
//! once, and what that one says is the call's answer or failure.
//!
//! # Which failure
//!
//! When all fail, the failure of the first is returned: it is the model that was asked for. A 400 or a 404 of a later one
//! never replaces it. One exception: a first failure for which no degraded answer may stand in (a full compartment, a
//! model that is gone) gives way to a later one for which it may, because that is then the outage. Its
//! [`retry_after`](crate::Failure::retry_after) becomes the time until the first of all these models may be asked again,
//! where any of them said so. A 404 for a model that is gone is returned unchanged.
//!
//! # Example
//!
//! ```
//! use tower::ServiceBuilder;
//! use tower_claude::{
//!     model_fallback::{ChainModel, ModelFallbackLayer},
//!     replay::ReplayLayer,
//! };
//!
//! # fn wrap<S: Clone>(client: S) -> impl Clone {
//! let service = ServiceBuilder::new()
//!     .layer(ReplayLayer::new())
//!     .layer(
//!         ModelFallbackLayer::new()
//!             .with_chain(["claude-opus-5", "claude-sonnet-5-5", "claude-haiku-5-5"])
//!             .with_feature_chain(
//!                 "summary",
//!                 [
//!                     ChainModel::new("claude-sonnet-5-5"),
//!                     ChainModel::new("claude-haiku-5-5").with_max_tokens(8192),
//!                 ],
//!             )
//!             .without_fallback("code"),
//!     )
//!     .service(client);
//! # service }
//! ```
//!
//! It needs [`Replay`](crate::replay) further out: that reads the body, so that it can be sent again, and finds where the
//! model stands. A request without its [`Call`](crate::Call) passes through.
//!
//! # Readiness
//!
//! As the inner service. For each further model a clone of the service is made ready and then called.
//!
//! # Clone
//!
//! Services of one layer share its chains. The head of a request is copied once where another model could be asked, its
//! body for the price of a reference count.

mod chain;
mod failed;
mod future;
mod hops;
mod layer;
mod service;

pub use chain::ChainModel;
pub use future::ModelFallbackFuture;
pub use layer::ModelFallbackLayer;
pub use service::ModelFallback;
