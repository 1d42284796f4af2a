//! The fake Claude: a scripted Messages API on loopback.
