//! The fake Claude: a scripted Messages API on loopback.

mod api;
mod body;
mod fake;
mod fault;
mod gauge;
mod message;
mod reply;
mod script;
mod seen;
mod server;
mod wire;

pub use fake::{Builder, FakeClaude, StartError};
pub use fault::{At, Chunks, Fault, RetryAfter};
pub use reply::Reply;
pub use script::{Script, ScriptError};
pub use seen::Seen;
