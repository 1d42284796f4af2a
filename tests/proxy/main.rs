//! The proxy over real connections, in front of the fake Claude.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_imports,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod admin;
mod auth;
mod command;
mod house;
mod limits;
mod operating;
mod passing;
mod process;
mod reload;
mod secrets;
mod shutdown;
mod stack;
mod stale;
mod transfers;
