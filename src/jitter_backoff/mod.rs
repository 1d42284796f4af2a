//! Try again, later, and not all at the same moment.
