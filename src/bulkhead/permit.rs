//! A seat that travels with the answer.

use crate::body::guarded::{Ending, Guard};

use super::queue::Seat;

/// A call's seat in its compartment, until the body of its answer has ended or was dropped. See the
/// [module docs](super).
#[derive(Debug)]
pub struct Permit {
    _seat: Seat,
}

impl Permit {
    pub(super) fn new(seat: Seat) -> Self {
        Self { _seat: seat }
    }
}

/// However the answer ends, the seat is free.
impl Guard for Permit {
    fn end(self, _ending: Ending) {}
}
