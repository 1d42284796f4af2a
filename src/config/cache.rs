//! `[cache]`

use super::{
    checks::Checks,
    form::{DURATION, SIZE},
    reader::Reader,
    units::Time,
};
use crate::cache::MemoryCache;
use std::{num::NonZeroU64, time::Duration};

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// The answers that are kept for the day no model answers. See [`cache`](crate::cache).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// What they may weigh together, in bytes; 0: none is kept. Default 64 MiB.
    pub max_bytes: u64,
    /// How long one may be given again; zero: none is kept. Default 1 h; at most 30 days.
    pub ttl: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            max_bytes: MemoryCache::DEFAULT_MAX_BYTES.get(),
            ttl: MemoryCache::DEFAULT_TTL,
        }
    }
}

impl CacheSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        reader.read("max_bytes", &mut self.max_bytes, &SIZE);
        reader.read("ttl", &mut self.ttl, &DURATION);
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(
            self.ttl <= MONTH,
            "cache.ttl",
            Time(self.ttl),
            "at most 30d",
        );
    }

    /// `None`: none is kept.
    pub(super) fn store(&self) -> Option<MemoryCache> {
        let max_bytes = NonZeroU64::new(self.max_bytes).filter(|_| !self.ttl.is_zero())?;
        Some(
            MemoryCache::new()
                .with_max_bytes(max_bytes)
                .with_ttl(self.ttl),
        )
    }
}
