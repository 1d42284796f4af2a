//! Commit over scripted bodies, on a paused clock: faults × stream or JSON × chunking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod other;
mod script;
mod stream;
