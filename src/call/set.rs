//! What the sender of a call sets.

use super::Call;
use std::{
    cmp::Ordering,
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, OnceLock},
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
#[derive(Clone, Default)]
pub struct Feature(
    /// `None` for the default, which most calls have: one reference count for all of them would be the busiest place in
    /// memory.
    Option<Arc<str>>,
);

impl Feature {
    /// The feature of a call that names none.
    pub const DEFAULT: &'static str = "default";

    /// A feature of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self((&*name != Self::DEFAULT).then_some(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(Self::DEFAULT)
    }

    /// Whether it is that of the calls that name none.
    pub(crate) fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// The feature of a call, where there is one.
    pub(crate) fn of(call: Option<&Call>) -> &Self {
        call.map_or(&Self(None), Call::feature)
    }
}

impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Feature {}

impl Hash for Feature {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Feature {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Feature {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
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
        self.as_str()
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feature").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// What the sender of a call says of it beside its request: as an extension would, without a map being made for it.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Stands in place of the one in the extensions.
    pub(crate) feature: Option<Feature>,
    /// For how long it waits for the answer: shortens the deadline, and never lengthens it.
    pub(crate) patience: Option<Duration>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({:08x})", self.0 >> 96)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    #[test]
    fn a_feature_is_its_name_however_it_came_to_it() {
        for (feature, name) in [
            (Feature::default(), "default"),
            (Feature::new("default"), "default"),
            (Feature::new("chat"), "chat"),
        ] {
            assert_eq!(feature, Feature::new(name));
            assert_eq!(feature.to_string(), name);
            assert_eq!(format!("{feature:?}"), format!("Feature({name:?})"));
            assert!(HashSet::from([feature.clone()]).contains(name));
            assert!(BTreeSet::from([feature]).contains(name));
        }
        assert!(Feature::new("chat") < Feature::default());
        assert!(Feature::default() < Feature::new("e"));
    }

    #[test]
    fn a_tenant_is_the_same_for_the_same_credential_and_never_shows_it() {
        assert_eq!(Tenant::new("sk-ant-secret"), Tenant::new(b"sk-ant-secret"));
        assert_ne!(Tenant::new("sk-ant-secret"), Tenant::new("sk-ant-other"));
        assert!(!format!("{:?}", Tenant::new("sk-ant-secret")).contains("secret"));
    }

    #[test]
    fn a_deadline_past_the_end_of_the_clock_is_far_away() {
        let deadline = Deadline::after(Duration::MAX);
        assert!(deadline.left(Instant::now()) > Duration::from_secs(1_000_000));
    }
}
