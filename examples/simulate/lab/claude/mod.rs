//! A Claude in memory: a tower service with capacity, latency, limits and a script of faults.
//!
//! Each attempt draws its luck by call, model and number, so that all arms meet the same Claude.

mod body;
mod line;
mod service;

pub(crate) use service::Claude;
