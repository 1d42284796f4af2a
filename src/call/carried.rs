//! What the layers know of the call they carry.

use super::{Deadline, Feature, Tenant};
use crate::{
    body::ReplayBody,
    claude::request::RequestFacts,
    kept::{KeptBy, Original},
    sync::lock,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering},
};

/// What the layers know of the call they carry. See the [module docs](super).
///
/// A clone is an attempt of the same call: it shares what is counted, not what is left.
#[derive(Debug, Clone)]
pub struct Call {
    facts: Arc<Facts>,
    /// The model this attempt asks in place of the one that was asked for.
    stand_in: Option<Arc<str>>,
    hop: u8,
    models_left: u8,
    attempts_left: u8,
    in_chain: bool,
    degrade: bool,
    renders: bool,
    /// Who may send its request again holds a copy.
    kept_by: KeptBy,
}

/// What does not change between attempts, and what is counted over all of them.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) feature: Feature,
    pub(crate) tenant: Tenant,
    pub(crate) deadline: Option<Deadline>,
    model: Option<Arc<str>>,
    pub(crate) stream: bool,
    max_tokens: Option<u64>,
    pub(crate) body_bytes: u64,
    pub(crate) exact_output: bool,
    /// What the scan of the body found, which a rewrite for another model needs.
    request: Option<RequestFacts>,
    /// Whether any clone went on to another model, so that `last` is worth a look.
    moved: AtomicBool,
    /// The model that was asked last, where that is another one.
    last: Mutex<Option<Arc<str>>>,
    /// Attempts that reached the client.
    sent: AtomicU32,
    /// Failures towards a consecutive run, of the hop in the high byte.
    run: AtomicU16,
}

impl Facts {
    /// Of a Messages call, as its body says.
    pub(crate) fn of(request: RequestFacts) -> Self {
        Self {
            model: request.model.clone(),
            stream: request.stream,
            max_tokens: request.max_tokens,
            body_bytes: request.body_bytes,
            exact_output: request.exact_output(),
            request: Some(request),
            ..Self::default()
        }
    }
}

impl From<Facts> for Call {
    fn from(facts: Facts) -> Self {
        Self {
            facts: Arc::new(facts),
            stand_in: None,
            hop: 0,
            models_left: 0,
            attempts_left: 0,
            in_chain: false,
            degrade: false,
            renders: false,
            kept_by: KeptBy::default(),
        }
    }
}

impl Call {
    /// A call to `model`, for a stack without [`Replay`](crate::replay). `None`: not a Messages call.
    pub fn new(model: Option<Arc<str>>) -> Self {
        Self::from(Facts {
            model,
            ..Facts::default()
        })
    }

    /// A Messages call as its body says.
    pub fn of(request: RequestFacts) -> Self {
        Self::from(Facts::of(request))
    }

    /// Changes a fact; only while this is the sole clone.
    fn fact(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        if let Some(facts) = Arc::get_mut(&mut self.facts) {
            change(facts);
        }
        self
    }

    /// With the feature that makes it. Like all `with_*`: before the first clone.
    #[must_use]
    pub fn with_feature(self, feature: Feature) -> Self {
        self.fact(|facts| facts.feature = feature)
    }

    /// With the tenant it is made for.
    #[must_use]
    pub fn with_tenant(self, tenant: Tenant) -> Self {
        self.fact(|facts| facts.tenant = tenant)
    }

    /// With the time by which it must be answered.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Deadline>) -> Self {
        self.fact(|facts| facts.deadline = deadline)
    }

    /// With whether it asks for a stream.
    #[must_use]
    pub fn with_stream(self, stream: bool) -> Self {
        self.fact(|facts| facts.stream = stream)
    }

    /// With the `max_tokens` it allows.
    #[must_use]
    pub fn with_max_tokens(self, max_tokens: Option<u64>) -> Self {
        self.fact(|facts| facts.max_tokens = max_tokens)
    }

    /// With the size of its body.
    #[must_use]
    pub fn with_body_bytes(self, body_bytes: u64) -> Self {
        self.fact(|facts| facts.body_bytes = body_bytes)
    }

    /// With whether its answer is read by a program: `tools` or a structured output format.
    #[must_use]
    pub fn with_exact_output(self, exact_output: bool) -> Self {
        self.fact(|facts| facts.exact_output = exact_output)
    }

    /// The feature that makes it.
    pub fn feature(&self) -> &Feature {
        &self.facts.feature
    }

    /// The tenant it is made for.
    pub fn tenant(&self) -> Tenant {
        self.facts.tenant
    }

    /// When it must be answered.
    pub fn deadline(&self) -> Option<Deadline> {
        self.facts.deadline
    }

    /// The model this attempt asks; `None` where the body is not that of a Messages call.
    pub fn model(&self) -> Option<&Arc<str>> {
        self.stand_in.as_ref().or(self.facts.model.as_ref())
    }

    /// The model the caller asked for.
    pub fn asked_model(&self) -> Option<&Arc<str>> {
        self.facts.model.as_ref()
    }

    /// Whether it asks for a stream.
    pub fn stream(&self) -> bool {
        self.facts.stream
    }

    /// The `max_tokens` it allows.
    pub fn max_tokens(&self) -> Option<u64> {
        self.facts.max_tokens
    }

    /// The size of its body as the caller sent it.
    pub fn body_bytes(&self) -> u64 {
        self.facts.body_bytes
    }

    /// Whether its answer is read by a program: `tools` or a structured output format. A sentence of apology would be
    /// taken for a result.
    pub fn exact_output(&self) -> bool {
        self.facts.exact_output
    }

    /// What the scan of its body found: where the model stands, so that it can be rewritten. `None` where nothing was
    /// scanned, or the body is not that of a Messages call.
    pub fn request(&self) -> Option<&RequestFacts> {
        self.facts.request.as_ref()
    }

    /// The model that any clone of this call asked last.
    pub fn last_model(&self) -> Option<Arc<str>> {
        let moved = self.facts.moved.load(Ordering::Relaxed);
        let last = moved.then(|| lock(&self.facts.last).clone()).flatten();
        last.or_else(|| self.facts.model.clone())
    }

    /// Attempts so far that were sent to the client, over all models.
    pub fn sent(&self) -> u32 {
        self.facts.sent.load(Ordering::Relaxed)
    }

    /// Models of the chain that could still be asked after this one.
    pub fn models_left(&self) -> u8 {
        self.models_left
    }

    /// Attempts at this model that could still be made after this one.
    pub fn attempts_left(&self) -> u8 {
        self.attempts_left
    }

    /// Whether its model is in a chain of models.
    pub fn in_chain(&self) -> bool {
        self.in_chain
    }

    /// Whether a degraded answer could stand in for a failure.
    pub fn degrade(&self) -> bool {
        self.degrade
    }

    /// Whether a layer further out writes the end of a broken stream, so that inner ones hand the failure up.
    pub fn renders(&self) -> bool {
        self.renders
    }

    /// Whether anything could act on a failure of this attempt. Where not, nothing of an answer needs holding back.
    pub fn can_act(&self) -> bool {
        self.models_left > 0 || self.attempts_left > 0 || self.degrade
    }

    /// Counts an attempt that is sent now.
    pub(crate) fn count_sent(&self) {
        self.facts.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether another failure of this call at this model may count towards a consecutive run: at most `limit` may, so
    /// that one poisonous call does not close a model for all.
    pub(crate) fn claim_run(&self, limit: u8) -> bool {
        let [hop, count] = self.facts.run.load(Ordering::Relaxed).to_be_bytes();
        let count = if hop == self.hop { count } else { 0 };
        if count >= limit {
            return false;
        }
        // Attempts of one call never overlap, so no other writer races with this.
        self.facts
            .run
            .store(u16::from_be_bytes([self.hop, count + 1]), Ordering::Relaxed);
        true
    }

    /// Moves on to a model of a chain. Hop 0: the one that was asked for.
    pub(crate) fn set_hop(&mut self, hop: u8, model: &Arc<str>, models_left: u8) {
        self.hop = hop;
        self.stand_in = (hop > 0).then(|| model.clone());
        // Most calls stay where they are, and need not wait for a lock to say so.
        if hop > 0 || self.facts.moved.load(Ordering::Relaxed) {
            lock(&self.facts.last).clone_from(&self.stand_in);
            self.facts.moved.store(true, Ordering::Relaxed);
        }
        self.models_left = models_left;
        self.in_chain = true;
    }

    pub(crate) fn set_attempts_left(&mut self, attempts_left: u8) {
        self.attempts_left = attempts_left;
    }

    pub(crate) fn set_degrade(&mut self, degrade: bool) {
        self.degrade = degrade;
    }

    pub(crate) fn set_renders(&mut self, renders: bool) {
        self.renders = renders;
    }

    /// The copy of its request, while somebody keeps one.
    pub(crate) fn kept_by(&self) -> Option<Arc<Original<ReplayBody>>> {
        self.kept_by.get()
    }

    pub(crate) fn set_kept_by(&mut self, kept_by: KeptBy) {
        self.kept_by = kept_by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_at_most_so_many_failures_per_model_towards_a_run() {
        let mut call = Call::new(Some("sonnet".into()));
        let later = call.clone();
        assert!(call.claim_run(2));
        assert!(later.claim_run(2), "a clone is an attempt of the same call");
        assert!(!call.claim_run(2));
        call.set_hop(1, &"haiku".into(), 0);
        assert!(call.claim_run(2), "another model has a run of its own");
    }

    #[test]
    fn the_model_asked_last_is_known_to_every_clone() {
        let call = Call::new(Some("sonnet".into()));
        assert_eq!(call.last_model().as_deref(), Some("sonnet"));
        call.clone().set_hop(1, &"haiku".into(), 0);
        assert_eq!(call.last_model().as_deref(), Some("haiku"));
        assert_eq!(call.model().unwrap().as_ref(), "sonnet");
        // Back to the one that was only spared.
        call.clone().set_hop(0, &"sonnet".into(), 0);
        assert_eq!(call.last_model().as_deref(), Some("sonnet"));
    }
}
