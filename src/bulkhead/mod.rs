//! Compartments: at most so many calls in flight per feature and model, so that one hung feature or model cannot take
//! every seat.
//!
//! A model that hangs holds each call until its timeout. Without compartments the calls that wait for it are soon all the
//! calls there are: every connection and every task of the process stands behind the one feature that happens to use it.
//! [`BulkheadLayer`] counts what is in flight per feature **and** model. A feature that is full delays no other, and a
//! first model that hangs leaves the seats of the second one free, to which the call then falls back.
//!
//! # What is counted
//!
//! An attempt takes a permit before the inner service is called, and holds it until the *body* of the answer has ended
//! or was dropped: a stream is in flight long after its 200. The permit of a failed answer is free at once, so an answer
//! kept while the next attempt waits holds no seat. Place the layer inside retries, as the builder does, and no permit is
//! held across a backoff sleep. Success, error, panic, a call dropped in the line, in flight or half-way through its
//! body: each gives the permit back, once.
//!
//! # The line
//!
//! A call that finds no seat waits in a line, first come first served, if it is not full: by default twice as many calls
//! as there are seats, for at most 2 s. It waits no longer than its [`Deadline`](crate::Deadline), and no longer than
//! half of what is left of it while another model could be asked. What becomes of it:
//!
//! | | failure | event |
//! |---|---|---|
//! | no place in the line, or no wait | [`BulkheadFull`](crate::FailureKind::BulkheadFull), at once | `BulkheadFull` |
//! | no seat within the wait | [`BulkheadFull`](crate::FailureKind::BulkheadFull) | `Queued`, then `BulkheadFull` with `waited` |
//! | the deadline passes first | [`DeadlineExceeded`](crate::FailureKind::DeadlineExceeded) | `Queued` |
//! | a seat is free at the instant the wait ends | none: the call takes it | `Queued` |
//!
//! Full is local: the failure is neither retried nor a failure of the model, the next model of the chain is asked, and
//! the last one's answer is a 429 with `retry-after: 1`, for nothing was sent.
//!
//! # Which compartment
//!
//! The one of the call's [`Feature`](crate::Feature), for its model. A feature without a compartment of its own takes
//! the one named `default`, shared by all such features; it is told as
//! [`UnknownFeature`](crate::Event::UnknownFeature) and counted ([`Bulkheads::unknown_features`]) at every attempt, since
//! it is most often a typing error. A request without a [`Call`](crate::Call) belongs to `default` and to no model.
//!
//! Model names come from outside, so their number is bounded: 256 per feature, beyond those pinned by
//! [`with_pinned_models`](BulkheadLayer::with_pinned_models). An idle one makes room for a new one; where all are busy,
//! the rest share one compartment (`*` in the snapshot), and a call that is in flight there is not counted in the one its
//! model may get later.
//!
//! # How large
//!
//! Calls in flight = rate × duration (Little's law). A chat that starts 2 calls per second whose answers stream for 8 s
//! has 16 of them in flight on average; 20 leaves a quarter of headroom for the unevenness of arrivals. When the model
//! slows to 12 s per answer the same rate needs 24: 20 are in flight, the line of 40 fills, and what it would have to
//! wait longer than 2 s for goes to the next model instead. The limit is also the most that the feature can lose to a
//! model that hangs. A line absorbs bursts, not load: it empties at the rate of the answers, here 20 / 8 s = 2.5 calls per
//! second, so of 40 waiting calls a wait of 2 s serves the first 5. Make it long only for work that nobody looks at, as
//! `background_jobs` is: 5 in flight of 6 s each let 50 of its line of 500 pass within its wait of 60 s.
//!
//! # At run time
//!
//! [`BulkheadLayer::handle`] gives [`Bulkheads`], which resizes and lists the compartments. Shrinking ends no call and
//! does not block; newcomers wait until enough calls are over. Growing lets in as many as there are new seats. A limit
//! of 0 rejects every call at once, those in the line too: an operator who closes a feature wants no one to wait for it.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_claude::{Call, Feature, bulkhead::{BulkheadLayer, Compartment}};
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use bytes::Bytes;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_claude::BoxError> {
//! # let client = tower::service_fn(|_: Request<Full<Bytes>>| async {
//! #     Ok::<_, tower_claude::BoxError>(Response::new(Full::new(Bytes::from("{}"))))
//! # });
//! let layer = BulkheadLayer::new()
//!     .with_feature("search", Compartment::new(8).with_wait(Duration::from_millis(500)))
//!     .with_default(Compartment::new(32));
//! let bulkheads = layer.handle();
//! let service = ServiceBuilder::new().layer(layer).service(client);
//!
//! let mut request = Request::new(Full::default());
//! let call = Call::new(Some("claude-haiku-4-5".into())).with_feature(Feature::new("search"));
//! request.extensions_mut().insert(call); // The stack's `Replay` layer does this.
//! let answer = service.oneshot(request).await?;
//!
//! let search = &bulkheads.snapshot()[0];
//! assert_eq!((search.feature.as_str(), search.in_flight, search.limit), ("search", 1, 8));
//! drop(answer);
//! assert_eq!(bulkheads.snapshot()[0].in_flight, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Readiness
//!
//! That of the inner service: a permit belongs to a call, so none is taken before there is one, and a service that was
//! ready and is never called holds none. A call that waits takes the inner service that was ready with it; whatever that
//! service reserved while it became ready is reserved meanwhile.
//!
//! # Clone
//!
//! Clones share their compartments, as do all services of one layer.

mod admission;
mod floor;
mod future;
mod handle;
mod layer;
mod permit;
mod queue;
mod rooms;
mod service;
mod settings;

pub use floor::CompartmentSnapshot;
pub use future::BulkheadFuture;
pub use handle::Bulkheads;
pub use layer::BulkheadLayer;
pub use permit::Permit;
pub use service::Bulkhead;
pub use settings::Compartment;
