//! Ask the next model when this one is out.
