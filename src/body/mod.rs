//! The bodies that travel through the stack.

pub mod answer;
pub mod guarded;
pub mod replay;
mod scan;
mod whole;

pub use answer::AnswerBody;
pub use guarded::{Ending, Guard, GuardedBody};
pub use replay::ReplayBody;
pub(crate) use whole::TakeWhole;
