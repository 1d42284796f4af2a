//! Answers in the memory of this process.

use super::{CacheKey, CacheQuery, CachedAnswer, Lookup, ResponseCache};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{fmt, num::NonZeroU64, time::Duration};
use tokio::time::Instant;

/// What an entry costs beside its answer: the key, and what the cache needs to find and order it.
const OVERHEAD: usize = 256;

/// The longest TTL that is told to the cache itself, which refuses far longer ones.
const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// A [`ResponseCache`] in memory, bounded in bytes and time; the least recently used answers go first.
///
/// | setting | default |
/// |---|---|
/// | [`with_max_bytes`](Self::with_max_bytes) | 64 MiB in all |
/// | [`with_max_entry_bytes`](Self::with_max_entry_bytes) | 256 KiB for one answer |
/// | [`with_ttl`](Self::with_ttl) | 1 h |
///
/// # Clone
///
/// A clone shares the answers. Settings are made before: each `with_*` starts with an empty store.
#[derive(Clone)]
pub struct MemoryCache {
    entries: Cache<CacheKey, Entry>,
    max_bytes: NonZeroU64,
    max_entry_bytes: u32,
    ttl: Duration,
}

#[derive(Clone)]
struct Entry {
    answer: CachedAnswer,
    stored_at: Instant,
}

impl MemoryCache {
    /// The default of [`with_max_bytes`](Self::with_max_bytes): 64 MiB.
    pub const DEFAULT_MAX_BYTES: NonZeroU64 = NonZeroU64::new(64 << 20).unwrap();
    /// The default of [`with_max_entry_bytes`](Self::with_max_entry_bytes): 256 KiB.
    pub const DEFAULT_MAX_ENTRY_BYTES: u32 = 256 << 10;
    /// The default of [`with_ttl`](Self::with_ttl): 1 h.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

    /// An empty store with the defaults.
    pub fn new() -> Self {
        let (max_bytes, ttl) = (Self::DEFAULT_MAX_BYTES, Self::DEFAULT_TTL);
        Self {
            entries: entries(max_bytes, ttl),
            max_bytes,
            max_entry_bytes: Self::DEFAULT_MAX_ENTRY_BYTES,
            ttl,
        }
    }

    /// The most that all answers may weigh together, in bytes, 256 for each counted on top. Default 64 MiB.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: NonZeroU64) -> Self {
        self.max_bytes = max_bytes;
        self.entries = entries(self.max_bytes, self.ttl);
        self
    }

    /// The most that one answer may weigh, in bytes; larger ones are not kept. Default 256 KiB, which is also the most
    /// that [`DegradeLayer`](crate::degrade::DegradeLayer) offers.
    #[must_use]
    pub fn with_max_entry_bytes(mut self, max_entry_bytes: u32) -> Self {
        self.max_entry_bytes = max_entry_bytes;
        self
    }

    /// How long an answer may be given again. Default 1 h. Zero keeps nothing.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self.entries = entries(self.max_bytes, self.ttl);
        self
    }

    /// With the answers of another store: the same store, where its bounds are the same, else a copy of what they let in.
    /// An answer is as old as it was.
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        if (self.max_bytes, self.ttl) == (old.max_bytes, old.ttl) {
            self.entries = old.entries.clone();
            return self;
        }
        let now = Instant::now();
        for (key, entry) in &old.entries {
            let age = now.saturating_duration_since(entry.stored_at);
            if self.takes(&entry.answer) && age < self.ttl {
                self.entries.insert(*key, entry);
            }
        }
        self.entries.run_pending_tasks();
        self
    }

    fn takes(&self, answer: &CachedAnswer) -> bool {
        u32::try_from(answer.body.len()).is_ok_and(|len| len <= self.max_entry_bytes)
    }

    /// How many answers are kept now.
    pub fn len(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }

    /// Whether none is kept now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all answers weigh together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.weighted_size()
    }

    /// Forgets all answers, say because they were wrong.
    pub fn clear(&self) {
        self.entries.invalidate_all();
    }
}

fn entries(max_bytes: NonZeroU64, ttl: Duration) -> Cache<CacheKey, Entry> {
    Cache::builder()
        .max_capacity(max_bytes.get())
        .weigher(|_, entry: &Entry| {
            let bytes = entry.answer.body.len().saturating_add(OVERHEAD);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
        // Frees memory. What may be given is decided in `get`, by a clock that tests can pause.
        .time_to_live(ttl.min(LONG))
        // Answers are read in an outage only, so how often one was read says nothing of its worth.
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseCache for MemoryCache {
    /// Ready at once.
    fn get(&self, query: &CacheQuery) -> Lookup {
        let found = self.entries.get(&query.key).and_then(|entry| {
            let age = Instant::now().saturating_duration_since(entry.stored_at);
            (age < self.ttl).then(|| entry.answer.with_age(age))
        });
        Lookup::Ready(found)
    }

    fn put(&self, query: &CacheQuery, answer: CachedAnswer) {
        if !self.takes(&answer) || self.ttl.is_zero() {
            return;
        }
        let stored_at = Instant::now();
        self.entries.insert(query.key, Entry { answer, stored_at });
        // Evicts now: left to itself the cache may hold some hundred entries too many for a while.
        self.entries.run_pending_tasks();
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("max_bytes", &self.max_bytes)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
