//! Read an answer only as far as it must be read to judge it.
