//! What a call is: set by its sender, read by the layers, and what served it in the end.
//!
//! The sender may put [`Feature`], [`Deadline`] and [`Tenant`] into the extensions of the request. [`Replay`](crate::replay)
//! takes them, scans the body and puts one [`Call`] there instead, which all other layers read and write. The answer
//! carries a [`Served`].
//!
//! One extension, because each costs allocations every time the head is cloned for another attempt.

use crate::{
    classify::{End, FailureKind},
    claude::{headers, request::RequestFacts},
    sync::lock,
};
use http::{HeaderMap, HeaderValue};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The part of an application that makes a call: `chat`, `summary`, `background_jobs` …
///
/// Compartments, chains and degrade policies are per feature. Set it as a request extension; keep one and clone it. A
/// call without one belongs to `default`.
///
/// ```
/// use tower_claude::Feature;
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Feature::new("chat"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature(Arc<str>);

impl Feature {
    /// The feature of a call that names none.
    pub const DEFAULT: &'static str = "default";

    /// A feature of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Feature {
    fn default() -> Self {
        static DEFAULT: OnceLock<Feature> = OnceLock::new();
        DEFAULT.get_or_init(|| Self::new(Self::DEFAULT)).clone()
    }
}

impl From<&str> for Feature {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Feature {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// So that a map keyed by feature can be asked with a `&str`.
impl std::borrow::Borrow<str> for Feature {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a call must have an answer: bounds waits, sleeps, attempts and fallbacks together until the answer is committed.
/// From then on only idle timeouts act, so that no healthy stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// At this instant.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// So long from now. A duration past the end of the clock means in 30 years.
    pub fn after(duration: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        let now = Instant::now();
        Self(now.checked_add(duration).unwrap_or(now + FAR))
    }

    /// The instant.
    pub fn instant(&self) -> Instant {
        self.0
    }

    /// What is left of it at `now`; zero once it has passed.
    pub fn left(&self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

/// Whose call this is: cool-downs, caches and quotas of one tenant are nothing to another.
///
/// A 128-bit keyed hash; the key is drawn once per process, so that neither the value nor its `Debug` form tells the
/// credential. [`Replay`](crate::replay) derives it from the credential of the request where the sender sets none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tenant(u128);

impl Tenant {
    /// The tenant of this name or credential.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
        let [high, low] = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
        let name = name.as_ref();
        Self(u128::from(high.hash_one(name)) << 64 | u128::from(low.hash_one(name)))
    }

    /// The hash, to key maps and caches by.
    pub fn as_bytes(&self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({:08x})", self.0 >> 96)
    }
}

/// What the layers know of the call they carry. See the [module docs](self).
///
/// A clone is an attempt of the same call: it shares what is counted, not what is left.
#[derive(Debug, Clone)]
pub struct Call {
    facts: Arc<Facts>,
    model: Option<Arc<str>>,
    hop: u8,
    models_left: u8,
    attempts_left: u8,
    in_chain: bool,
    degrade: bool,
    renders: bool,
}

/// What does not change between attempts, and what is counted over all of them.
#[derive(Debug)]
struct Facts {
    feature: Feature,
    tenant: Tenant,
    deadline: Option<Deadline>,
    model: Option<Arc<str>>,
    stream: bool,
    max_tokens: Option<u64>,
    body_bytes: u64,
    exact_output: bool,
    /// What the scan of the body found, which a rewrite for another model needs.
    request: Option<RequestFacts>,
    /// The model of the last hop, where there was one.
    last: Mutex<Option<Arc<str>>>,
    /// Attempts that reached the client.
    sent: AtomicU32,
    /// Failures towards a consecutive run, of the hop in the high byte.
    run: AtomicU16,
}

impl Call {
    /// A call to `model`, for a stack without [`Replay`](crate::replay). `None`: not a Messages call.
    pub fn new(model: Option<Arc<str>>) -> Self {
        Self {
            facts: Arc::new(Facts {
                feature: Feature::default(),
                tenant: Tenant::default(),
                deadline: None,
                model: model.clone(),
                stream: false,
                max_tokens: None,
                body_bytes: 0,
                exact_output: false,
                request: None,
                last: Mutex::new(None),
                sent: AtomicU32::new(0),
                run: AtomicU16::new(0),
            }),
            model,
            hop: 0,
            models_left: 0,
            attempts_left: 0,
            in_chain: false,
            degrade: false,
            renders: false,
        }
    }

    /// A Messages call as its body says.
    pub fn of(request: RequestFacts) -> Self {
        Self::new(request.model.clone()).fact(|facts| {
            facts.stream = request.stream;
            facts.max_tokens = request.max_tokens;
            facts.body_bytes = request.body_bytes;
            facts.exact_output = request.exact_output();
            facts.request = Some(request);
        })
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
        self.model.as_ref()
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
        lock(&self.facts.last)
            .clone()
            .or_else(|| self.facts.model.clone())
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

    /// Moves on to the next model of a chain.
    pub(crate) fn set_hop(&mut self, hop: u8, model: Arc<str>, models_left: u8) {
        self.hop = hop;
        *lock(&self.facts.last) = Some(model.clone());
        self.model = Some(model);
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
}

/// Where an answer came from. The value of the header `tower-claude-outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// From the model that was asked, at the first attempt.
    Direct,
    /// From the model that was asked, at a later attempt.
    Retried,
    /// From another model of the chain.
    Fallback,
    /// An answer given before to the same request.
    Cached,
    /// An answer given before to a similar request.
    Similar,
    /// The canned message of the feature.
    Canned,
    /// No answer: an error.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Direct,
        Self::Retried,
        Self::Fallback,
        Self::Cached,
        Self::Similar,
        Self::Canned,
        Self::Error,
    ];

    /// The value of the header: `direct`, `retried` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Retried => "retried",
            Self::Fallback => "fallback",
            Self::Cached => "cached",
            Self::Similar => "similar",
            Self::Canned => "canned",
            Self::Error => "error",
        }
    }

    /// Whether it stands in for a model's answer.
    pub fn is_degraded(self) -> bool {
        matches!(self, Self::Cached | Self::Similar | Self::Canned)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What served a call: an extension of the response, with the same facts as the `tower-claude-*` headers.
///
/// Live: [`end`](Self::end) tells how the body ended, once it has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Served {
    /// Where the answer came from.
    pub outcome: Outcome,
    /// The model that served it, or that was asked last. `None` where the call was not a Messages call.
    pub model: Option<Arc<str>>,
    /// Attempts that were sent upstream, over all models.
    pub attempts: u32,
    /// Why the answer is a degraded one; `None` where it is not.
    pub degraded: Option<FailureKind>,
    /// How the body ended.
    pub end: End,
}

impl Served {
    /// Writes these facts as the `tower-claude-*` headers of the answer, in place of any that are there. A name that is
    /// no header value (a model is outside input) is left out.
    pub(crate) fn write_headers(&self, map: &mut HeaderMap) {
        headers::strip_ours(map);
        map.insert(
            headers::OUTCOME,
            HeaderValue::from_static(self.outcome.as_str()),
        );
        map.insert(headers::ATTEMPTS, number(self.attempts));
        if let Some(kind) = self.degraded {
            map.insert(headers::DEGRADED, HeaderValue::from_static(kind.as_str()));
        }
        let model = self.model.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(model)) = model {
            map.insert(headers::MODEL, model);
        }
    }
}

/// The usual numbers cost no allocation.
fn number(attempts: u32) -> HeaderValue {
    match attempts {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        2 => HeaderValue::from_static("2"),
        more => more.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_the_same_for_the_same_credential_and_never_shows_it() {
        assert_eq!(Tenant::new("sk-ant-secret"), Tenant::new(b"sk-ant-secret"));
        assert_ne!(Tenant::new("sk-ant-secret"), Tenant::new("sk-ant-other"));
        assert!(!format!("{:?}", Tenant::new("sk-ant-secret")).contains("secret"));
    }

    #[test]
    fn a_call_counts_at_most_so_many_failures_per_model_towards_a_run() {
        let mut call = Call::new(Some("sonnet".into()));
        let later = call.clone();
        assert!(call.claim_run(2));
        assert!(later.claim_run(2), "a clone is an attempt of the same call");
        assert!(!call.claim_run(2));
        call.set_hop(1, "haiku".into(), 0);
        assert!(call.claim_run(2), "another model has a run of its own");
    }

    #[test]
    fn the_model_asked_last_is_known_to_every_clone() {
        let call = Call::new(Some("sonnet".into()));
        assert_eq!(call.last_model().as_deref(), Some("sonnet"));
        call.clone().set_hop(1, "haiku".into(), 0);
        assert_eq!(call.last_model().as_deref(), Some("haiku"));
        assert_eq!(call.model().unwrap().as_ref(), "sonnet");
    }

    #[test]
    fn what_served_is_written_in_place_of_what_upstream_claimed() {
        let mut map = HeaderMap::new();
        map.insert(
            "tower-claude-degraded",
            HeaderValue::from_static("upstream"),
        );
        let mut served = Served {
            outcome: Outcome::Fallback,
            model: Some("haiku\n".into()),
            attempts: 3,
            degraded: None,
            end: End::new(),
        };
        served.write_headers(&mut map);
        assert_eq!(map["tower-claude-outcome"], "fallback");
        assert_eq!(map["tower-claude-attempts"], "3");
        assert_eq!(
            map.len(),
            2,
            "no kind, and no model that is no header value"
        );

        served.model = Some("haiku".into());
        served.degraded = Some(FailureKind::CircuitOpen);
        served.write_headers(&mut map);
        assert_eq!(map["tower-claude-model"], "haiku");
        assert_eq!(map["tower-claude-degraded"], "circuit_open");
    }

    #[test]
    fn a_deadline_past_the_end_of_the_clock_is_far_away() {
        let deadline = Deadline::after(Duration::MAX);
        assert!(deadline.left(Instant::now()) > Duration::from_secs(1_000_000));
    }
}
