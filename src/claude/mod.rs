//! What Claude says on the wire: pure functions and small parsers that know no tower.
//!
//! The modules here hold the facts of the Messages API that the layers act upon: which header names
//! a wait, what an error body means, where in a request the model stands. They do no I/O, keep no
//! clock and trust no input: whatever a server or a caller sends, they answer with a value, never
//! with a panic, and hold no more of it than they say.

pub mod error;
pub mod headers;
pub(crate) mod outline;
pub mod rate_limits;
pub mod reply;
pub mod request;
pub mod sse;
