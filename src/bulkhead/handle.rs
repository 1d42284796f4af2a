//! The operator's view of the compartments, and the hand that resizes them.

use std::sync::Arc;

use super::{admission::Shared, floor::CompartmentSnapshot};

/// Reads and resizes the compartments of a layer at run time.
///
/// From [`BulkheadLayer::handle`](super::BulkheadLayer::handle); cheap to clone.
///
/// ```
/// use tower_claude::bulkhead::BulkheadLayer;
///
/// let layer = BulkheadLayer::new();
/// let bulkheads = layer.handle();
/// assert!(bulkheads.resize("chat", 40));
/// assert!(!bulkheads.resize("no such feature", 40));
/// ```
#[derive(Debug, Clone)]
pub struct Bulkheads {
    shared: Option<Arc<Shared>>,
}

impl Bulkheads {
    pub(super) fn new(shared: Option<Arc<Shared>>) -> Self {
        Self { shared }
    }

    /// Sets how many calls of a feature may be in flight per model, at most 1,000,000. `default` is the compartment of
    /// calls without a feature and with an unknown one. False: there is no such compartment, and nothing has changed.
    ///
    /// Never blocks. Growing lets as many of the line in as there are new seats. Shrinking ends no call: newcomers wait
    /// until enough of them are over. 0 rejects every call from now on, those in the line too.
    pub fn resize(&self, feature: &str, limit: usize) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.rooms.resize(feature, limit))
    }

    /// Every compartment that has been asked for a seat so far, in order of feature and model, `default` last.
    ///
    /// Each is exact in itself; calls go on while the list is made.
    pub fn snapshot(&self) -> Vec<CompartmentSnapshot> {
        self.shared
            .as_ref()
            .map_or_else(Vec::new, |shared| shared.rooms.snapshot())
    }

    /// Attempts so far that named a feature without a compartment.
    pub fn unknown_features(&self) -> u64 {
        self.shared
            .as_ref()
            .map_or(0, |shared| shared.rooms.unknown())
    }
}
