//! Every fault of the fake Claude, seen by a plain HTTP client over real TCP.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod answers;
mod bodies;
mod client;
mod scripts;
mod server;
mod streams;
