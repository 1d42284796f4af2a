//! Streams over real connections: every fault after a 200, handled as well as one before it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod faults;
mod large;
mod pace;
mod rig;
