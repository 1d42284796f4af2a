//! The laboratory: the real layers, a Claude in memory, a paused clock, and a seed.

pub(crate) mod arms;
pub(crate) mod chance;
pub(crate) mod claude;
pub(crate) mod clients;
pub(crate) mod engine;
pub(crate) mod figure;
pub(crate) mod figures;
pub(crate) mod must;
pub(crate) mod scenario;
pub(crate) mod settings;
pub(crate) mod span;
pub(crate) mod study;
pub(crate) mod sweep;
pub(crate) mod trace;
