//! The stack as a server: `claude-proxy`.

pub mod cli;
