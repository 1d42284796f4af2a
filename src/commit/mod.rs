//! Reads each answer only as far as it must be read to know what it is, and keeps an eye on the rest.
//!
//! Much of what breaks at Claude breaks after the status line: an `error` event inside a 200, a stream that is cut, that
//! stalls or that never begins. Passed on as it comes, such an answer can no longer be retried nor sent to another model;
//! read to its end first, it is no stream any more. [`Commit`] stands right before the client and draws the line between
//! the two: until an answer is *committed*, a fault is an ordinary failure of the attempt, for the layers further out to
//! act upon. From then on it goes to the caller, and nothing is ever resent.
//!
//! Every answer leaves with a [`Verdict`](crate::classify::Verdict) in its extensions, which is what the other layers read.
//!
//! # Before the commit
//!
//! | answer | is read | then |
//! |---|---|---|
//! | failed (by its status) | 64 KiB of it, for 5 s at most; the rest is let go | `Ok`, judged, with what was read as its body |
//! | a stream | until the first `content_block_delta` of any kind, or a complete end without one (a refusal) | committed |
//! | JSON | whole, if it is no longer than 1 MiB | complete, or committed at the bound |
//! | a stream where JSON was asked for, or the other way | 64 KiB of it | a failure |
//! | not of a Messages call, or with a `content-encoding` | not at all | committed by its head |
//!
//! * A stream is held for 64 KiB or for 15 s from its `message_start`, whichever is first; then it is committed as it is.
//!   What was held goes out in order and byte for byte. Where its chunks end decides nothing: a fault that came in one chunk
//!   with the content that commits it is one after the commit.
//! * A stream fails by an `error` event, an end without `message_stop`, a `message_stop` without an answer before it, a
//!   second `message_start`, an event of a known name whose data is not a whole JSON object, and an event longer than
//!   1 MiB. JSON fails by an error object, and by an end before it is whole.
//! * A failure under a status of success is an `Err`: there is no honest answer to pass on. One of any other status stays
//!   the answer it is.
//! * An answer is judged by the [`Classify`](crate::classify::Classify) of the layer.
//! * Where [nothing could act](crate::Call::can_act) on a failure, nothing is held back: a stream is committed by its head, a
//!   JSON answer by its first chunk, unless that begins an error object: of such a one 64 KiB are awaited.
//!
//! # After it
//!
//! * Events are passed on whole: what is left of one when a stream breaks off is dropped. Data is not copied, except very
//!   many small chunks, which are put together.
//! * A stream that breaks off ends with one well-formed `event: error`. Where a layer further out
//!   [renders](crate::Call::renders) that, it ends with a [`Failure`](crate::Failure) as the error of its body instead,
//!   and so does every answer that is no stream. It never just ends: official SDKs take that for a complete answer.
//! * A stream ends with its `message_stop`, whatever follows. The end of the body is awaited for 1 s, so that the
//!   connection can be used again.
//! * A silence of 30 s breaks it off. It is measured from the moment a read finds nothing, so that a slow caller is not taken
//!   for it. Pings count as life, unless [`Timeouts`](crate::Timeouts) says otherwise. The event stream of another service
//!   may be silent for as long as any JSON answer may take.
//! * [`End`](crate::classify::End) is told once: when the last of a complete answer is handed out, or when it breaks off.
//!
//! # Time
//!
//! An attempt may stay uncommitted as long as [`Timeouts::to_commit`](crate::Timeouts::to_commit) says, the client's
//! readiness included. The deadline of the call cuts that ([`DeadlineExceeded`](crate::FailureKind::DeadlineExceeded));
//! while another model waits, half of what is left of it does ([`Timeout`](crate::FailureKind::Timeout)). With no time left
//! nothing is sent.
//!
//! # Without a `Call`
//!
//! Where nobody scanned the request, the answer says by its `content-type` what it is, it is held as if something could
//! act, and the timeout is that of an empty request. So it is read, too, where nobody could scan the request because its
//! body has a `content-encoding`. That one, and a `POST` that is no Messages call, may take as long as any JSON answer.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_claude::{BoxError, Failure, FailureKind, commit::CommitLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let overloaded = concat!(
//!     "event: error\n",
//!     r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
//!     "\n\n",
//! );
//! let client = service_fn(move |_: Request<()>| async move {
//!     let response = Response::builder().header("content-type", "text/event-stream");
//!     Ok::<_, BoxError>(response.body(Full::new(Bytes::from(overloaded))).unwrap())
//! });
//!
//! let service = CommitLayer::new().layer(client);
//! let error = service.oneshot(Request::new(())).await.unwrap_err();
//! assert_eq!(Failure::find(&*error).unwrap().kind, FailureKind::Overloaded);
//! # }
//! ```
//!
//! # Readiness
//!
//! Always ready. The client's own readiness is awaited inside the attempt, under its timer: a client that never gets ready is
//! a failed attempt and not a hung call.
//!
//! # Clone
//!
//! Clones share their settings and nothing else. Each call clones the client.
//!
//! # Panics
//!
//! A call that has to wait for its client panics when it is polled outside of a tokio runtime with time enabled.

mod attempt;
mod body;
mod events;
mod expect;
mod fault;
mod frames;
mod future;
mod hold;
mod idle;
mod layer;
mod limits;
mod reading;
mod service;
mod source;
#[cfg(test)]
mod tests;
mod timer;

pub use body::CommitBody;
pub use future::CommitFuture;
pub use layer::CommitLayer;
pub use service::Commit;
#[cfg(feature = "proxy")]
pub(crate) use timer::keep_timer;
#[cfg(all(test, feature = "proxy"))]
pub(crate) use timer::keeps_timer;
