//! The locks and atomics of the sans-io cores, in one place so that loom can stand in for them: its tests include the cores
//! with a `sync` module of their own.

#[cfg(feature = "proxy")]
pub(crate) use futures_util::task::AtomicWaker;
#[cfg(feature = "proxy")]
pub(crate) use std::sync::atomic::AtomicU8;
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, also after a panic elsewhere: the cores only do arithmetic under their locks, so no state is ever half
/// written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
