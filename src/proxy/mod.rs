//! The stack as a server, for everything that is not Rust: point an Anthropic SDK's base URL at it and change nothing else.
//!
//! The command `claude-proxy` is a thin one over this module: [`Proxy`] answers requests, [`Server`] listens, [`cli`] reads
//! what it was asked to do. A Rust application can [nest](Proxy::router) the proxy in an axum app instead.
//!
//! ```no_run
//! use tower_claude::{config::Config, proxy::{Proxy, StartError}};
//!
//! # async fn serve() -> Result<(), StartError> {
//! let config = Config::load("proxy.toml")?;
//! let server = Proxy::new(config)?.bind().await?;
//! println!("listening on http://{}", server.address());
//! server.run().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a request gets
//!
//! | request | gets |
//! |---|---|
//! | `POST /v1/messages` | the whole stack |
//! | `POST /v1/messages/count_tokens` | all of it but degrade |
//! | anything else: batches, files, models | passes through, streamed both ways, tried once |
//!
//! What passes through healthy equals a direct call: the status, the bytes of the body, and all end-to-end headers but
//! `tower-claude-*`, which say what served it. (Answers that the stack must read are asked for uncompressed.) Of the headers
//! of a request these are read: `tower-claude-feature` names whose compartment, chain and canned message it has, and
//! `x-stainless-timeout` or `x-stainless-read-timeout`, which the official SDKs send, shortens its deadline to 2 s less, so
//! that its caller gets an answer and not a timeout of its own.
//!
//! What goes wrong is answered in Claude's form: 401 and 403 (no token, a path that tokens do not open), 413 (a body over
//! `max_body`), 408 (a body too slow), 429 with `retry-after: 1` (no room in the proxy), 502 and 504 (a path that passes
//! through, and upstream), 503 (the proxy stops).
//!
//! # Limits
//!
//! | of | limit |
//! |---|---|
//! | calls in flight | `max_in_flight`, from the head of the request to the end of the answer |
//! | bytes held | `max_held`: bodies of calls until their answer is committed, answers held back, and what may yet be cached |
//! | the head of a request | some 64 KiB and 100 headers (431), 30 s |
//! | the body of a request | `max_body`, where it is held; 30 s without a byte, and 30 s over 4 KiB/s |
//! | an answer that nobody reads | `slow_reader` |
//! | connections | four times `max_in_flight` |
//!
//! # Operators
//!
//! A listener of their own answers `GET /healthz`, `/readyz` and `/status.json` and `POST
//! /circuits/{model}/{open|reset|disable}`. On loopback the `Host` must be one of loopback. At any other address, and wherever
//! the environment variable `CLAUDE_PROXY_ADMIN_TOKEN` holds a token, all but health and readiness need it as
//! `authorization: Bearer`. No request may have an `Origin`, and a POST needs the header `tower-claude-admin: 1`.
//!
//! # The end
//!
//! [`shutdown`](Proxy::shutdown), by a signal or a call, stops accepting and lets answers finish for as long as `drain`.
//! Streams that still run then end with `event: error`, so that nobody takes half an answer for a whole one. A second
//! shutdown ends everything at once.

mod admin;
mod answering;
mod auth;
mod bell;
mod body;
pub mod cli;
mod connection;
mod demo;
mod error;
mod forward;
mod gate;
mod hush;
mod io;
mod joined;
mod limits;
mod pace;
mod pass;
mod read;
mod refusal;
mod router;
mod routes;
mod running;
mod seldom;
mod serve;
mod service;
mod settings;
mod shutdown;
mod signals;
mod status;
mod tokens;
mod upstream;
mod waiting;

pub use body::ProxyBody;
pub use demo::Demo;
pub use error::StartError;
pub use serve::Server;
pub use service::Proxy;
pub use signals::follow_signals;
