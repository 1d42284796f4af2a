//! What `BulkheadLayer` promises, as its callers and the service behind it see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod compartments;
mod house;
mod line;
mod permits;
mod property;
