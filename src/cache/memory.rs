//! Answers in the memory of this process.

use super::{
    CacheQuery, CachedAnswer, Lookup, ResponseCache,
    rate::Rate,
    shards::{Entry, Shards},
};
use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A [`ResponseCache`] in memory, bounded in bytes and time; the least recently used answers go first.
///
/// | setting | default |
/// |---|---|
/// | [`with_max_bytes`](Self::with_max_bytes) | 64 MiB in all |
/// | [`with_max_entry_bytes`](Self::with_max_entry_bytes) | 256 KiB for one answer |
/// | [`with_ttl`](Self::with_ttl) | 1 h |
/// | [`with_max_rate`](Self::with_max_rate) | 1,000 answers a second |
///
/// # How many answers are kept
///
/// To keep an answer costs a call some microseconds: a key over its whole request and a copy of its answer. Where more come
/// in a second than the store [takes](Self::with_max_rate), it keeps a part of them, whichever come at the right time, and
/// the others cost it nothing. At the default rate answers of 1 KiB fill the default store within a minute, so that more
/// would only drive each other out; what is asked often is kept all the same, since it comes often.
///
/// # What a put costs
///
/// Well under a microsecond, and as much again for each answer that no longer fits and is freed on the task that puts: one,
/// where answers are alike. Now and then some microseconds more, when the table of a shard grows. The bound is true at any
/// time. An answer whose time is up is never given again, but makes room
/// only when its place is needed or it is asked for: thousands that expire at once would otherwise be freed at once, in a
/// put that stops its thread for as long as that takes.
///
/// A large store is made of shards, each with its part of the bytes and an order of its own: one shard for every 16 of the
/// largest answers that fit in, which is 16 with the defaults.
///
/// # Clone
///
/// A clone shares the answers. Settings are made before: each `with_*` starts with an empty store.
#[derive(Clone)]
pub struct MemoryCache {
    entries: Arc<Shards>,
    rate: Arc<Rate>,
    max_bytes: NonZeroU64,
    max_entry_bytes: u32,
    ttl: Duration,
}

impl MemoryCache {
    /// The default of [`with_max_bytes`](Self::with_max_bytes): 64 MiB.
    pub const DEFAULT_MAX_BYTES: NonZeroU64 = NonZeroU64::new(64 << 20).unwrap();
    /// The default of [`with_max_entry_bytes`](Self::with_max_entry_bytes): 256 KiB.
    pub const DEFAULT_MAX_ENTRY_BYTES: u32 = 256 << 10;
    /// The default of [`with_ttl`](Self::with_ttl): 1 h.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
    /// The default of [`with_max_rate`](Self::with_max_rate): 1,000 answers a second.
    pub const DEFAULT_MAX_RATE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

    /// An empty store with the defaults.
    pub fn new() -> Self {
        Self::of(
            Self::DEFAULT_MAX_BYTES,
            Self::DEFAULT_MAX_ENTRY_BYTES,
            Self::DEFAULT_TTL,
            Self::DEFAULT_MAX_RATE,
        )
    }

    fn of(
        max_bytes: NonZeroU64,
        max_entry_bytes: u32,
        ttl: Duration,
        max_rate: NonZeroU32,
    ) -> Self {
        Self {
            entries: Arc::new(Shards::new(max_bytes.get(), max_entry_bytes.into())),
            rate: Arc::new(Rate::new(max_rate)),
            max_bytes,
            max_entry_bytes,
            ttl,
        }
    }

    /// The most that all answers may weigh together, in bytes, 256 for each counted on top. Default 64 MiB.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: NonZeroU64) -> Self {
        Self::of(
            max_bytes,
            self.max_entry_bytes,
            self.ttl,
            self.rate.per_second(),
        )
    }

    /// The most that one answer may weigh, in bytes; larger ones are not kept. Default 256 KiB, which is also the most
    /// that [`DegradeLayer`](crate::degrade::DegradeLayer) offers.
    #[must_use]
    pub fn with_max_entry_bytes(self, max_entry_bytes: u32) -> Self {
        Self::of(
            self.max_bytes,
            max_entry_bytes,
            self.ttl,
            self.rate.per_second(),
        )
    }

    /// How long an answer may be given again. Default 1 h. Zero keeps nothing.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self::of(
            self.max_bytes,
            self.max_entry_bytes,
            ttl,
            self.rate.per_second(),
        )
    }

    /// The most answers it takes in a second; after a pause as many at once. Default 1,000. What is
    /// [put](ResponseCache::put) by hand is not counted.
    #[must_use]
    pub fn with_max_rate(self, answers_per_second: NonZeroU32) -> Self {
        let Self {
            max_bytes,
            max_entry_bytes,
            ttl,
            ..
        } = self;
        Self::of(max_bytes, max_entry_bytes, ttl, answers_per_second)
    }

    /// With the answers of another store: the same store, where its bounds are the same, else a copy of what they let in.
    /// An answer is as old as it was.
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        let bounds = |of: &Self| (of.max_bytes, of.max_entry_bytes, of.ttl);
        if bounds(&self) == bounds(old) {
            self.entries = old.entries.clone();
            return self;
        }
        let now = Instant::now();
        old.entries.for_each(|key, entry| {
            let age = now.saturating_duration_since(entry.stored_at);
            if self.takes(&entry.answer) && age < self.ttl {
                self.entries.put(key, entry);
            }
        });
        self
    }

    /// Whether it has taken as many answers as it may for now.
    pub(crate) fn is_sated(&self) -> bool {
        self.rate.is_spent(Instant::now())
    }

    fn takes(&self, answer: &CachedAnswer) -> bool {
        u32::try_from(answer.body.len()).is_ok_and(|len| len <= self.max_entry_bytes)
    }

    /// How many answers are kept now, those included whose time is up and whose place was not needed yet.
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// Whether none is kept now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What these answers weigh together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.bytes()
    }

    /// Forgets all answers, say because they were wrong. Frees them here, which takes some microseconds for each, and not in
    /// the next put.
    pub fn clear(&self) {
        self.entries.clear();
    }
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
            let lives = age < self.ttl;
            if !lives {
                self.entries.remove(&query.key, entry.stored_at);
            }
            lives.then(|| entry.answer.with_age(age))
        });
        Lookup::Ready(found)
    }

    fn wants(&self) -> bool {
        self.rate.take(Instant::now())
    }

    fn put(&self, query: &CacheQuery, answer: CachedAnswer) {
        if !self.takes(&answer) || self.ttl.is_zero() {
            return;
        }
        let stored_at = Instant::now();
        self.entries.put(query.key, Entry { answer, stored_at });
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache")
            .field("max_bytes", &self.max_bytes)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .field("ttl", &self.ttl)
            .field("max_rate", &self.rate.per_second())
            .finish_non_exhaustive()
    }
}
