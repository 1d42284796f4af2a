//! Read the request body once, bounded, so that it can be sent again.
