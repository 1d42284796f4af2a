//! Replay reads the request body once, so that it can be sent again, and is the edge of the stack: it opens the call and
//! closes it.
//!
//! On the way in it
//!
//! * reads the body, bounded ([`BodyTooLarge`](crate::BodyTooLarge) past 32 MiB by default, nothing sent; a
//!   `content-length` past the bound is refused before reading) and within the deadline, into a `ReplayBody`: segments as
//!   received, never copied together;
//! * scans its top level, each segment once, and puts one [`Call`](crate::Call) into the extensions, in place of the
//!   sender's [`Feature`](crate::Feature), [`Deadline`](crate::Deadline) (default 10 min) and [`Tenant`](crate::Tenant)
//!   (default: a keyed hash of all credentials). What is [no Messages call](#what-is-a-messages-call), or has a
//!   `content-encoding`, has no model and passes through untouched;
//! * drops `tower-claude-*` request headers, so that none is sent upstream, and makes `content-length` true;
//! * drops the `accept-encoding` of a Messages call, and of one that is encoded itself, which official SDKs send: of an
//!   encoded answer nobody could tell whether it is whole, or an error. A client that decodes by itself asks for what it
//!   can.
//!
//! On the way out it
//!
//! * drops upstream's `tower-claude-*` headers and writes ours from [`Served`](crate::Served): the one that an inner
//!   layer (Degrade) left, or else what the call counted; a final failure gets `x-should-retry: false` where an SDK would
//!   retry it, so that the caller's SDK does not multiply our retries (not a full bulkhead: nothing was sent);
//! * renders a failure after commit, which inner layers hand up as the error of the body, as one well-formed
//!   `event: error` and the end of an SSE answer; a JSON answer keeps the error;
//! * tells [`Event::CallEnded`](crate::Event::CallEnded) once, when the body ended, broke off or was dropped.
//!
//! # What is a Messages call
//!
//! A JSON object that names a `model` and has `messages`, wherever it is sent: an application's own route (`/chat`), a
//! gateway's prefix and the platforms' addresses are all fine. The end of the path counts only where it says more:
//!
//! | path | is |
//! |---|---|
//! | `…/messages`, `…/count_tokens`, `…/count-tokens:rawPredict` | a Messages call if it names a `model`; that the rest is missing is for the API to say |
//! | `…/chat/completions`, `…/complete` | none: these answer in another form |
//! | any other | one if there are `messages`: agents, sessions and embeddings name a `model`, and a batch has many |
//!
//! A model that only the address names (Bedrock's `/model/{id}/invoke`, Vertex' `…/{model}:streamRawPredict`) cannot be
//! replaced in the body, so that such a call has none.
//!
//! # Bounds
//!
//! The body is the only thing held, and never more than the limit of it. Of a body in very many small pieces the pieces
//! are put together, because each costs a few dozen bytes beside its own; such a body is the only one that is copied.
//!
//! `count_tokens` has the body of a Messages call, but an answer of another shape: its call asks for exact output, so
//! that no canned message stands in for a number, and for no stream, whatever its body says.
//!
//! # Readiness
//!
//! The inner service is ready before the body is read and called after it. Every layer of this crate is always ready;
//! alone over a service that reserves a place when it is ready, such as tower's `ConcurrencyLimit`, that place is held
//! while the body arrives.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_claude::{BoxError, Call, Feature, ReplayBody, Served, replay::ReplayLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let client = tower::service_fn(|request: Request<ReplayBody>| async move {
//!     let call = request.extensions().get::<Call>().unwrap();
//!     assert_eq!(call.feature().as_str(), "chat");
//!     assert_eq!(call.model().unwrap().as_ref(), "claude-sonnet-5-5");
//!     Ok::<_, Infallible>(Response::new(Full::from("{}")))
//! });
//! let service = ServiceBuilder::new().layer(ReplayLayer::new()).service(client);
//!
//! let mut request = Request::new(Full::new(Bytes::from(
//!     r#"{"model":"claude-sonnet-5-5","messages":[]}"#,
//! )));
//! request.extensions_mut().insert(Feature::new("chat"));
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.headers()["tower-claude-outcome"], "direct");
//! assert!(response.extensions().get::<Served>().is_some());
//! # Ok(())
//! # }
//! ```

mod body;
mod future;
mod gather;
mod head;
mod layer;
mod record;
mod service;

pub use body::CallBody;
pub use future::ReplayFuture;
pub use layer::ReplayLayer;
pub use service::Replay;
