//! HTTP clients, adapted.
