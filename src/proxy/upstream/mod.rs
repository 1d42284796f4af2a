//! The way to upstream: a client of hyper's connections with a pool of its own, a body that is held or streamed, and one
//! free attempt more where a kept connection turns out dead.
//!
//! # Who drives a connection
//!
//! hyper's connections are futures that somebody must poll. A task for each, as clients mostly have it, costs a call two
//! switches between tasks and as many wake-ups; at thousands of calls a second that is a fifth of the proxy's time. Here a
//! call drives the HTTP/1.1 connection it has by itself, from the task it runs in: no other call has it meanwhile. Dropped
//! before its answer is whole, it closes the connection with it, and upstream works for nobody.
//!
//! Two kinds have a task all the same: a connection of HTTP/2, which many calls share, and one whose request is streamed,
//! whose upload goes on whoever looks at the answer.
//!
//! # Connections that are kept
//!
//! One whose exchange is over is kept for the next call, at most 100, and for 90 to 120 s; the one of HTTP/2 as long after a
//! call last asked for it. Nobody reads one of HTTP/1.1 meanwhile: that upstream has closed it is seen by the next call, or
//! by a look at all of them every 30 s. Until then it holds the waker of the task that it last served, no more.

mod body;
mod client;
mod error;
mod link;
mod listening;
mod pool;
mod target;
#[cfg(test)]
mod tests;

pub(super) use body::{Outgoing, UpstreamBody};
pub(super) use client::Upstream;
pub(super) use error::SendError;
pub(super) use target::Target;
