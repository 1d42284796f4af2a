//! The store of answers in memory: bounded in bytes and in time.

use std::{num::NonZeroU64, time::Duration};
use tokio::time::advance;
use tower_claude::{
    Feature, Tenant,
    cache::{CacheKey, CacheQuery, CachedAnswer, Lookup, MemoryCache, ResponseCache},
};

fn query(n: u8) -> CacheQuery {
    let key = CacheKey::from_bytes([n; 32]);
    CacheQuery::new(key, Tenant::new("t"), Feature::new("chat"))
}

fn get(cache: &dyn ResponseCache, n: u8) -> Option<CachedAnswer> {
    match cache.get(&query(n)) {
        Lookup::Ready(answer) => answer,
        Lookup::Pending(_) => panic!("a store in memory is ready at once"),
    }
}

fn answer(bytes: usize) -> CachedAnswer {
    CachedAnswer::new(vec![b'x'; bytes])
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_with_its_age_until_its_ttl_and_not_at_it() {
    let cache = MemoryCache::new().with_ttl(Duration::from_secs(60));
    cache.put(&query(1), answer(10));
    assert_eq!(get(&cache, 1), Some(answer(10)));

    advance(Duration::from_secs(59)).await;
    assert_eq!(get(&cache, 1).unwrap().age, Duration::from_secs(59));
    assert_eq!(get(&cache, 2), None);

    advance(Duration::from_secs(1)).await;
    assert_eq!(get(&cache, 1), None);
    assert!(cache.is_empty(), "what was asked for too late makes room");
}

#[tokio::test(start_paused = true)]
async fn a_newer_answer_takes_the_place_and_the_time_of_an_older_one() {
    let cache = MemoryCache::new();
    cache.put(&query(1), answer(10));
    advance(Duration::from_secs(3000)).await;
    cache.put(&query(1), answer(20));
    advance(Duration::from_secs(3000)).await;
    let found = get(&cache, 1).unwrap();
    assert_eq!((found.body.len(), found.age.as_secs()), (20, 3000));
    assert_eq!(cache.len(), 1);
}

#[tokio::test]
async fn all_answers_together_never_weigh_more_than_the_bound() {
    let max = NonZeroU64::new(10_000).unwrap();
    let cache = MemoryCache::new().with_max_bytes(max);
    for n in 0..200 {
        cache.put(&query(n), answer(700));
        assert!(cache.bytes() <= max.get(), "{} after {n}", cache.bytes());
    }
    // Each weighs 700 and the 256 of its entry.
    assert_eq!(cache.len(), 10);
}

#[tokio::test]
async fn the_answer_that_was_not_used_for_longest_goes_first() {
    let cache = MemoryCache::new().with_max_bytes(NonZeroU64::new(3 * 356).unwrap());
    for n in [1, 2, 3] {
        cache.put(&query(n), answer(100));
    }
    assert!(get(&cache, 1).is_some());
    cache.put(&query(4), answer(100));
    let left: Vec<u8> = (1..=4).filter(|&n| get(&cache, n).is_some()).collect();
    assert_eq!(left, [1, 3, 4]);
}

#[tokio::test]
async fn an_answer_over_the_bound_of_one_is_not_kept() {
    let cache = MemoryCache::new();
    cache.put(&query(1), answer(256 << 10));
    cache.put(&query(2), answer((256 << 10) + 1));
    assert!(get(&cache, 1).is_some());
    assert!(get(&cache, 2).is_none());

    let small = MemoryCache::new().with_max_entry_bytes(10);
    small.put(&query(1), answer(11));
    assert!(small.is_empty());
}

#[tokio::test]
async fn clones_share_the_answers_and_clear_forgets_them() {
    let cache = MemoryCache::new();
    let clone = cache.clone();
    cache.put(&query(1), answer(10));
    assert!(get(&clone, 1).is_some());
    clone.clear();
    assert!(get(&cache, 1).is_none());
    assert!(cache.is_empty());
}

#[tokio::test]
async fn the_shortest_and_the_longest_ttl_are_no_trouble() {
    let never = MemoryCache::new().with_ttl(Duration::ZERO);
    never.put(&query(1), answer(10));
    assert!(get(&never, 1).is_none());

    let forever = MemoryCache::new().with_ttl(Duration::MAX);
    forever.put(&query(1), answer(10));
    assert!(get(&forever, 1).is_some());
}

#[test]
fn no_answer_is_printed() {
    let shown = format!(
        "{:?} {:?}",
        CachedAnswer::new("a secret"),
        MemoryCache::new()
    );
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("bytes: 8"), "{shown}");
}
