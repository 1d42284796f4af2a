//! A number that goes up and down and that a test can wait for.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) struct Gauge(Arc<watch::Sender<usize>>);

/// One more, until it is dropped.
#[derive(Debug)]
pub(super) struct Held(Gauge);

impl Default for Gauge {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Gauge {
    pub(super) fn hold(&self) -> Held {
        self.add_one();
        Held(self.clone())
    }

    pub(super) fn add_one(&self) {
        self.0.send_modify(|count| *count = count.saturating_add(1));
    }

    pub(super) fn get(&self) -> usize {
        *self.0.borrow()
    }

    pub(super) fn set(&self, count: usize) {
        self.0.send_replace(count);
    }

    pub(super) async fn wait(&self, enough: impl FnMut(&usize) -> bool) {
        // The error says that the sender is gone: it is not, `self` holds it.
        let _ = self.0.subscribe().wait_for(enough).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0
            .0
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}
