//! The way to upstream: a pooled client, a body that is held or streamed, and one free attempt more where a kept
//! connection turns out dead.

mod body;
mod client;
mod connector;
mod target;

pub(super) use body::{Outgoing, UpstreamBody};
pub(super) use client::{SendError, Upstream};
pub(super) use target::Target;
