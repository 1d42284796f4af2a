//! The client against upstreams that are written down byte by byte.
