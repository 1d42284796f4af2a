//! What Claude says on the wire: pure, sans-io, knows no tower.
