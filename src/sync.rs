//! The lock of the sans-io cores, in one place so that loom can stand in for it: `tests/loom.rs` includes the cores with
//! a `sync` module of its own.

pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, also after a panic elsewhere: the cores only do arithmetic under their locks, so no state is ever half
/// written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
