//! Other settings for a stack that is running.

use crate::{
    builder::{Code, ResilienceBuilder},
    error::BuildError,
    event::Observe,
    stack::Resilience,
};
use std::{ptr, sync::Arc};

impl Resilience {
    /// A stack with other settings that goes on where this one is: an outage does not start afresh because somebody
    /// changed a message.
    ///
    /// | stays | and |
    /// |---|---|
    /// | circuits, with what they counted | go by the new rules; one that is open stays open as long as it was told |
    /// | cool-downs of tenants | as they were |
    /// | compartments, with the calls in them | are resized as by [`Bulkheads::resize`](crate::bulkhead::Bulkheads::resize) |
    /// | retry budgets, with what was earned and spent | go by the new numbers |
    /// | answers kept in memory | are copied where the bounds of the cache change |
    /// | observers, and the classifier | are joined by the builder's, and replaced by the builder's |
    ///
    /// Calls under way end in the old stack, by its attempts, timeouts and chains, and hold their seats; layer the new one
    /// around the client for those to come. What both share goes by the new settings from now on, so the old stack is for
    /// calls that have begun. A feature that is gone falls to the default compartment. A slot that is switched off keeps
    /// nothing; nor does a cache that is not in memory (`DegradeLayer::with_memory_cache`): give the same
    /// one again.
    ///
    /// Handles of the old stack show what it knew of: take those of the new one.
    ///
    /// # Errors
    ///
    /// As [`ResilienceBuilder::build`]; nothing has changed then.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_claude::{Resilience, bulkhead::{BulkheadLayer, Compartment}};
    ///
    /// # fn main() -> Result<(), tower_claude::BuildError> {
    /// let stack = Resilience::builder().build()?;
    /// stack.circuits().force_open("claude-opus-4-1");
    ///
    /// let wider = BulkheadLayer::new().with_feature("chat", Compartment::new(40));
    /// let stack = stack.reloaded(Resilience::builder().bulkhead(wider))?;
    /// assert_eq!(stack.circuits().state("claude-opus-4-1").as_str(), "forced_open");
    /// # Ok(())
    /// # }
    /// ```
    pub fn reloaded(&self, mut builder: ResilienceBuilder) -> Result<Self, BuildError> {
        builder.code = builder.code.over(&self.code);
        let new = builder.build()?;
        Ok(Self {
            degrade: new.degrade.adopt(&self.degrade),
            backoff: new.backoff.adopt(&self.backoff),
            bulkhead: new.bulkhead.adopt(&self.bulkhead),
            breaker: new.breaker.adopt(&self.breaker),
            ..new
        })
    }
}

impl Code {
    fn over(self, old: &Self) -> Self {
        let is = |one: &Arc<dyn Observe>, other: &Arc<dyn Observe>| {
            ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
        };
        let new = self.observers.into_iter();
        let new = new.filter(|new| !old.observers.iter().any(|old| is(old, new)));
        Self {
            observers: old.observers.iter().cloned().chain(new).collect(),
            classifier: self.classifier.or_else(|| old.classifier.clone()),
        }
    }
}
