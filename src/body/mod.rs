//! The bodies that travel through the stack.

pub mod guarded;
mod scan;

pub use guarded::{Ending, Guard, GuardedBody};
