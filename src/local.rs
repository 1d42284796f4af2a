//! Values of a thread that are others for a while.

use std::{cell::Cell, thread::LocalKey};

/// Runs something while a value of this thread is another one. Then, also after a panic, it is what it was.
#[inline]
pub(crate) fn within<T: Copy + 'static, R>(
    key: &'static LocalKey<Cell<T>>,
    value: T,
    run: impl FnOnce() -> R,
) -> R {
    struct Back<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy + 'static> Drop for Back<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _back = Back(key, key.replace(value));
    run()
}
