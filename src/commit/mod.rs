//! Commit reads an answer only as far as it must be read to judge it, and owns the timeouts of the attempt.
