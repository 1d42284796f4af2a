//! The client against upstreams that are written down byte by byte.

mod calls;
mod http2;
mod kept;
mod listening;
mod stand;
mod torture;
mod uploads;
