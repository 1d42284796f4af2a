//! The entries of a store in memory, in parts that each have a lock, a bound and an order of their own.
//!
//! Answers are put at the end of every good call and read in an outage only, so what counts is what a put costs: it finds
//! one place in one table, and moves one entry to the end of one list. Parts keep threads out of each other's way, and a
//! table that grows short: all of it moves then, on the task that puts.

use super::{CacheKey, CachedAnswer};
use crate::sync::{Mutex, lock};
use hashlink::LinkedHashMap;
use std::{
    hash::{BuildHasherDefault, Hasher},
    mem,
};
use tokio::time::Instant;

/// What an entry costs beside its answer: the key, and what is needed to find and order it.
const OVERHEAD: usize = 256;

/// How many of the largest answers a shard has room for at least, so that one of them does not empty it.
const LARGEST_PER_SHARD: u64 = 16;

/// The most shards: more make no table much shorter and no lock much freer.
const MAX_SHARDS: u64 = 1024;

/// The places a shard may keep without entries, some KiB.
const MIN_PLACES: usize = 32;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) answer: CachedAnswer,
    pub(super) stored_at: Instant,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.answer.body.len().saturating_add(OVERHEAD) as u64
    }
}

/// All entries. Of each shard, the least recently used go first.
pub(super) struct Shards {
    /// A power of two of them.
    shards: Box<[Mutex<Shard>]>,
    /// The most that the entries of one shard weigh.
    max_bytes: u64,
}

impl Shards {
    /// With so many bytes for all entries, and for the largest of them.
    pub(super) fn new(max_bytes: u64, max_entry_bytes: u64) -> Self {
        let shard = max_entry_bytes.saturating_mul(LARGEST_PER_SHARD).max(1);
        let shards = 1_u64 << (max_bytes / shard).clamp(1, MAX_SHARDS).ilog2();
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            max_bytes: max_bytes / shards,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there is a power of two of them")]
    fn shard(&self, key: &CacheKey) -> &Mutex<Shard> {
        // Of the bits that the table of a shard leaves alone: it goes by the lowest and the highest.
        let [_, _, _, _, low, high, _, _] = key.digest().to_le_bytes();
        let at = usize::from(u16::from_le_bytes([low, high]));
        &self.shards[at & (self.shards.len() - 1)]
    }

    /// An entry, which is used now.
    pub(super) fn get(&self, key: &CacheKey) -> Option<Entry> {
        lock(self.shard(key)).entries.to_back(key).cloned()
    }

    /// Puts an entry in the place of another or of the least recently used. One that no shard could hold is left out.
    pub(super) fn put(&self, key: CacheKey, entry: Entry) {
        if entry.bytes() > self.max_bytes {
            return;
        }
        // Freed when the lock is.
        let _gone = lock(self.shard(&key)).put(key, entry, self.max_bytes);
    }

    /// Removes what was stored then, and not what has come in its place since.
    pub(super) fn remove(&self, key: &CacheKey, stored_at: Instant) {
        let _gone = lock(self.shard(key)).remove(key, stored_at);
    }

    pub(super) fn len(&self) -> u64 {
        self.sum(|shard| shard.entries.len() as u64)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sum(|shard| shard.bytes)
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| of(&lock(shard))).sum()
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let _gone = mem::take(&mut *lock(shard));
        }
    }

    /// Tells of every entry, in each shard the least recently used first.
    pub(super) fn for_each(&self, mut tell: impl FnMut(CacheKey, Entry)) {
        for shard in &self.shards {
            // Copied first, which is quick: nobody is told anything under a lock.
            let entries = lock(shard).entries.iter().map(copied).collect::<Vec<_>>();
            for (key, entry) in entries {
                tell(key, entry);
            }
        }
    }
}

fn copied((key, entry): (&CacheKey, &Entry)) -> (CacheKey, Entry) {
    (*key, entry.clone())
}

#[derive(Default)]
struct Shard {
    /// In the order of their use.
    entries: LinkedHashMap<CacheKey, Entry, BuildHasherDefault<Digest>>,
    /// What they weigh.
    bytes: u64,
}

impl Shard {
    /// What had to go is handed back, to be freed elsewhere.
    fn put(&mut self, key: CacheKey, entry: Entry, max_bytes: u64) -> (Option<Entry>, Vec<Entry>) {
        self.bytes += entry.bytes();
        let replaced = self.entries.insert(key, entry);
        self.bytes -= replaced.as_ref().map_or(0, Entry::bytes);
        let mut evicted = Vec::new();
        while self.bytes > max_bytes {
            let Some((_, entry)) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= entry.bytes();
            evicted.push(entry);
        }
        self.shrink();
        (replaced, evicted)
    }

    /// Gives back the places of many small answers that a few large ones have taken the room of.
    fn shrink(&mut self) {
        if self.entries.capacity() / 4 > self.entries.len().max(MIN_PLACES) {
            self.entries.shrink_to_fit();
        }
    }

    fn remove(&mut self, key: &CacheKey, stored_at: Instant) -> Option<Entry> {
        self.entries
            .get(key)
            .filter(|entry| entry.stored_at == stored_at)?;
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }
}

/// What a key hashes to: part of itself, for it is a hash already.
#[derive(Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        // Keys write one number and nothing else.
        debug_assert!(bytes.is_empty());
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> CacheKey {
        let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
        CacheKey::from_bytes(bytes)
    }

    fn entry(bytes: usize) -> Entry {
        Entry {
            answer: CachedAnswer::new(vec![b'x'; bytes]),
            stored_at: Instant::now(),
        }
    }

    #[test]
    fn there_is_a_shard_for_every_sixteen_of_the_largest_answers() {
        let shards = |max, largest| Shards::new(max, largest).shards.len();
        assert_eq!(shards(64 << 20, 256 << 10), 16);
        assert_eq!(shards(63 << 20, 256 << 10), 8);
        assert_eq!(shards(100, 256 << 10), 1);
        assert_eq!(shards(64 << 20, u32::MAX.into()), 1);
        assert_eq!(shards(u64::MAX, 0), 1024);
    }

    #[test]
    fn a_store_of_many_shards_fills_to_its_bound_and_stays_there() {
        let max = 8 << 20;
        let all = Shards::new(max, 32 << 10);
        assert_eq!(all.shards.len(), 16);
        for n in 0..20_000 {
            all.put(key(n), entry(1000));
            assert!(all.bytes() <= max);
        }
        assert!(all.bytes() > max / 100 * 98, "{}", all.bytes());
        assert_eq!(all.len(), all.bytes() / 1256);
        let newest = (19_000..20_000).filter(|&n| all.get(&key(n)).is_some());
        assert_eq!(newest.count(), 1000);
        let mut told = 0;
        all.for_each(|_, _| told += 1);
        assert_eq!(told, all.len());
        all.clear();
        assert_eq!((all.len(), all.bytes()), (0, 0));
    }

    #[test]
    fn an_answer_that_no_shard_could_hold_costs_no_other_its_place() {
        let all = Shards::new(4096, 1 << 20);
        all.put(key(1), entry(100));
        all.put(key(2), entry(4096 - OVERHEAD + 1));
        assert!(all.get(&key(1)).is_some());
        all.put(key(2), entry(4096 - OVERHEAD));
        assert!(all.get(&key(2)).is_some());
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn a_few_large_answers_in_the_place_of_many_small_ones_give_back_what_ordered_those() {
        let all = Shards::new(1 << 20, 256 << 10);
        for n in 0..4000 {
            all.put(key(n), entry(0));
        }
        assert_eq!(all.len(), 4000);
        for n in 5000..5003 {
            all.put(key(n), entry(256 << 10));
        }
        assert!(lock(&all.shards[0]).entries.capacity() < 1000 * 4);
        assert!(all.get(&key(5002)).is_some());
        assert!(all.get(&key(3999)).is_some());
    }

    #[test]
    fn an_entry_that_is_removed_or_replaced_weighs_nothing() {
        let all = Shards::new(1 << 20, 256 << 10);
        all.put(key(1), entry(100));
        all.put(key(1), entry(50));
        assert_eq!(all.bytes(), (50 + OVERHEAD) as u64);
        let stored_at = all.get(&key(1)).unwrap().stored_at;
        all.remove(&key(1), stored_at);
        all.remove(&key(1), stored_at);
        assert_eq!((all.len(), all.bytes()), (0, 0));
    }
    // Between a look at an answer whose time is up and its removal somebody else may put a new one.
    #[test]
    fn an_answer_that_came_in_the_place_of_an_old_one_is_not_removed_for_it() {
        let all = Shards::new(1 << 20, 256 << 10);
        let new = entry(50);
        let before = new.stored_at - std::time::Duration::from_secs(3600);
        all.put(key(1), new);
        all.remove(&key(1), before);
        assert_eq!(all.len(), 1);
    }
}
