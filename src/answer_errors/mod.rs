//! Answers instead of errors, for servers: what is still an error becomes an answer in Claude's form.
//!
//! Inside an application an error is a value to act upon. A server has nobody to hand it to: axum takes only services
//! whose error is [`Infallible`](std::convert::Infallible), and a caller with an official SDK reads nothing but
//! statuses, headers and error bodies. Put [`AnswerErrorsLayer`] outermost, around the whole stack.
//!
//! | error | answer |
//! |---|---|
//! | [`BodyTooLarge`](crate::BodyTooLarge) | 413 `request_too_large` |
//! | a [`Failure`](crate::Failure), in any wrapper | its status and `error.type`; `retry-after` of at most 30 s where waiting helps; `x-should-retry: false`, unless the bulkhead was full and nothing was sent |
//! | anything else | 500 `api_error` and not a word about the error, which may hold secrets |
//!
//! Answers that are failures already (a 529 of upstream) pass through as they are. So does a body that breaks off: its
//! head is gone.
//!
//! # Example
//!
//! The stack as the service of a route:
//!
//! ```
//! use axum::Router;
//! use tower::{ServiceBuilder, service_fn};
//! use tower_claude::{BoxError, Failure, FailureKind, answer_errors::AnswerErrorsLayer};
//!
//! # async fn upstream(_: http::Request<axum::body::Body>) -> Result<http::Response<axum::body::Body>, BoxError> {
//! #     Err(Failure::new(FailureKind::CircuitOpen).into())
//! # }
//! let service = ServiceBuilder::new()
//!     .layer(AnswerErrorsLayer::new())
//!     // … the stack …
//!     .service(service_fn(upstream));
//! let app: Router = Router::new().route_service("/v1/messages", service);
//! ```
//!
//! # Readiness
//!
//! Always ready as far as a caller can see. If the inner service says that it never will be, the next call is answered
//! with that error and not sent.

mod future;
mod layer;
mod service;

pub use future::AnswerErrorsFuture;
pub use layer::AnswerErrorsLayer;
pub use service::AnswerErrors;
