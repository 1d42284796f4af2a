//! The fake Claude: a Messages API on loopback that answers, and fails, as a script tells it to.
//!
//! What a program does in an outage of Claude is decided by details: a 529 or a 429, a
//! `retry-after` or none, a connection that is cut before or after the first words of a stream. No
//! real API produces them on demand. The fake does, over real TCP and HTTP/1.1, for any client in
//! any language: this crate's own tests and examples run against it, and so can yours.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_claude::testing::{At, FakeClaude, Fault, Reply, RetryAfter, Script};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let claude = FakeClaude::builder()
//!     .on("claude-sonnet-5-5", Script::new()
//!         .calls(0..1, Reply::rate_limited(RetryAfter::Seconds(1)))
//!         .calls(1..2, Reply::ok().deltas(4).fail(At::Deltas(2), Fault::Cut))
//!         .always(Reply::ok().text("All is well.")))
//!     .on("claude-haiku-5-5", Reply::overloaded())
//!     .start()
//!     .await?;
//!
//! // Your client and your stack around it go here.
//! let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! let ask = |model: &str| {
//!     let body = format!(r#"{{"model":"{model}","max_tokens":64,"messages":[],"stream":true}}"#);
//!     client.request(Request::post(claude.messages_url()).body(body.into()).unwrap())
//! };
//!
//! assert_eq!(ask("claude-haiku-5-5").await?.status(), 529);
//! let limited = ask("claude-sonnet-5-5").await?;
//! assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"1".parse()?));
//! let cut = ask("claude-sonnet-5-5").await?;
//! assert!(cut.status().is_success());
//! assert!(cut.into_body().collect().await.is_err());
//! let whole = ask("claude-sonnet-5-5").await?.into_body().collect().await?.to_bytes();
//! assert!(whole.ends_with(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
//!
//! assert_eq!(claude.calls_to("claude-sonnet-5-5"), 3);
//! assert_eq!(claude.seen()[0].json().unwrap()["model"], "claude-haiku-5-5");
//! # Ok(())
//! # }
//! ```
//!
//! In your own crate, enable the feature where you test:
//!
//! ```toml
//! [dev-dependencies]
//! tower-claude = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A client that is not Rust takes [`FakeClaude::url`] as its base URL.
//!
//! # What it answers
//!
//! * `POST /v1/messages`: as the script says; without one a short, whole answer, as JSON or as a
//!   stream, with the `model` of the request, ids that are never used twice, and `usage`.
//! * `POST /v1/messages/count_tokens`, `GET /v1/models` and `GET /v1/models/{id}`: well, unless
//!   their path has a script.
//! * Anything else: an error in the API's shape, with the `request_id` that is also in its
//!   `request-id` header. So are bodies that are not JSON, have no `model`, or are too large.
//!
//! The rest of a request is not checked. Keys are asked for only with
//! [`FakeClaudeBuilder::require_key`], and models must be known only with
//! [`FakeClaudeBuilder::models`]. A body with a `content-encoding` is not read: the default script
//! answers it, as JSON.
//!
//! # Scripts
//!
//! A [`Script`] belongs to a model, to a path, or to all models without one; it chooses a [`Reply`]
//! by the number of the call or by the time since the start, and can be changed while the server
//! runs ([`FakeClaude::set`]).
//!
//! | failure | reply |
//! |---|---|
//! | no connection | [`FakeClaude::stop`] |
//! | reset before the head | [`Reply::reset`] |
//! | no answer | [`Reply::hang`] |
//! | an answer that takes its time | [`after`](Reply::after), [`first_event_after`](Reply::first_event_after), [`first_delta_after`](Reply::first_delta_after), [`every`](Reply::every) |
//! | an error of the API | [`overloaded`](Reply::overloaded), [`rate_limited`](Reply::rate_limited), [`spend_limit`](Reply::spend_limit), [`unknown_model`](Reply::unknown_model), [`server_error`](Reply::server_error) …; any by [`error`](Reply::error) |
//! | any other answer | [`unavailable`](Reply::unavailable) (503 of HTML); [`Reply::status`] with [`body`](Reply::body), [`html`](Reply::html), [`json`](Reply::json), [`sse`](Reply::sse) |
//! | an answer that breaks | [`Reply::ok`] with [`fail`](Reply::fail): a [`Fault`] at a point of it ([`At`]) |
//! | the wrong kind of answer | [`as_json`](Reply::as_json), [`as_sse`](Reply::as_sse) |
//! | bytes that come as no parser likes them | [`chunks`](Reply::chunks), [`crlf`](Reply::crlf) |
//!
//! A script that cannot be played, such as an empty range of calls or a status of 99, is refused
//! with its place.
//!
//! # Time
//!
//! All pauses are tokio's, and so a paused clock (`tokio::time::pause`) works: pauses of hours pass
//! at once. But such a clock jumps to the next timer when every task waits, and it does not know of
//! bytes that the kernel still carries. On the loopback of Linux bytes arrive as they are sent;
//! where a test must never depend on that, or where client and fake do not share one current-thread
//! runtime, use real pauses of milliseconds, and assert that something took at least as long as it
//! should, never at most.
//!
//! # Limits
//!
//! HTTP/1.1 without TLS, on 127.0.0.1 only. The server lives on the runtime it was started on and
//! ends with its last handle, connections and all. What it remembers is bounded: see
//! [`FakeClaudeBuilder::keep`] and [`FakeClaudeBuilder::max_body`].

mod api;
mod body;
mod builder;
mod fake;
mod fault;
mod gauge;
mod message;
mod reply;
mod schedule;
mod script;
mod seen;
mod server;
mod wire;

pub use builder::{FakeClaudeBuilder, StartError};
pub use fake::FakeClaude;
pub use fault::{At, Chunks, Fault, RetryAfter};
pub use reply::Reply;
pub use script::{Script, ScriptError};
pub use seen::Seen;
