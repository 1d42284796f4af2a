//! The settings as a connection knows them.

use super::running::Running;
use std::sync::Arc;
use tokio::sync::watch;

/// Looks for other settings before each call, and mostly finds none: a look costs no lock, and no count that all
/// connections share.
pub(super) struct Settings {
    newest: watch::Receiver<Arc<Running>>,
    known: Arc<Running>,
}

impl Settings {
    pub(super) fn new(newest: watch::Receiver<Arc<Running>>) -> Self {
        let known = newest.borrow().clone();
        Self { newest, known }
    }

    /// Those that hold now.
    pub(super) fn now(&mut self) -> &Running {
        // Without a proxy there are none to come.
        if self.newest.has_changed().unwrap_or(false) {
            // What was known is dropped once the lock is let go of: it may be the last of its kind, with all its connections.
            let newest = self.newest.borrow_and_update().clone();
            self.known = newest;
        }
        &self.known
    }
}
