//! What a call is: set by its sender, read by the layers, and what served it in the end.
//!
//! The sender may put [`Feature`], [`Deadline`] and [`Tenant`] into the extensions of the request. [`Replay`](crate::replay)
//! takes them, scans the body and puts one [`Call`] there instead, which all other layers read and write. The answer
//! carries a [`Served`].
//!
//! One extension, because each costs allocations every time the head is cloned for another attempt.

mod carried;
mod served;
mod set;

pub use carried::Call;
pub(crate) use carried::Facts;
pub use served::{Outcome, Served};
pub(crate) use set::Wishes;
pub use set::{Deadline, Feature, Tenant};
