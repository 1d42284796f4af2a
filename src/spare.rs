//! A service for the attempts after the first, kept by the layer and not by each call.
//!
//! The service that was polled ready makes the first attempt of a call, and stays for the next one. A later attempt needs
//! one of its own. A clone per call would copy all that lies further in, and almost every call would only drop it; so
//! there is one per layer, and those calls clone it that go on.

use crate::sync::{Mutex, lock};

/// Behind a lock, so that services share it that are `Send` and no more, as a boxed client is.
#[derive(Debug)]
pub(crate) struct Spare<S>(Mutex<S>);

impl<S: Clone> Spare<S> {
    /// As good as this one.
    pub(crate) fn of(service: &S) -> Self {
        Self(Mutex::new(service.clone()))
    }

    /// A service that nobody has polled ready yet.
    pub(crate) fn fresh(&self) -> S {
        lock(&self.0).clone()
    }
}
