//! The bodies that travel through the stack.

pub mod guarded;
pub mod replay;
mod scan;

pub use guarded::{Ending, Guard, GuardedBody};
pub use replay::ReplayBody;
