//! The cache of verified tokens while several threads use one shard of it.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::tests::{check, verdict_on};
use super::{Cache, Limits, MAX_CACHED_FOR, Verdict};
use crate::sync::{Thread, explore, never, thread};

/// Texts that share a shard, whichever it is.
fn neighbours<const N: usize>(cache: &Cache) -> [String; N] {
    let place = |raw: &str| cache.shard(cache.hash(raw.as_bytes())).map(std::ptr::from_ref);
    let mut found = (0..).map(|n: u32| n.to_string()).filter(|raw| place(raw) == place("0"));
    std::array::from_fn(|_| found.next().unwrap())
}

fn look(cache: &Cache, raw: &str) {
    let shard = cache.shard(cache.hash(raw.as_bytes())).unwrap();
    check(&shard.read().unwrap_or_else(PoisonError::into_inner));
}

fn insert(cache: &Cache, verdict: Arc<Verdict>, now: Instant) {
    cache.insert(Arc::into_inner(verdict).unwrap(), now);
}

/// Large tokens are stored, used and forgotten at the same time, of which a shard can hold two.
///
/// Catches room that is made under one lock and taken under another.
#[test]
fn the_bounds_hold_between_threads() {
    explore(3, || {
        let now = Instant::now();
        let cache = Arc::new(Cache::new(Limits::DEFAULT));
        let [one, two, three, four] = neighbours(&cache);
        let large = |raw: &str| {
            verdict_on(raw, vec![0; Limits::DEFAULT.shared().bytes * 2 / 5], now + MAX_CACHED_FOR)
        };
        insert(&cache, large(&one), now);
        insert(&cache, large(&two), now);
        let stores = [three, four].map(|raw| {
            let (cache, verdict) = (cache.clone(), large(&raw));
            thread(move || {
                insert(&cache, verdict, now);
                look(&cache, &raw);
            })
        });
        if let Some(found) = cache.find(one.as_bytes()) {
            found.note_use();
            look(&cache, &one);
            cache.forget(&found);
        }
        look(&cache, &one);
        never(cache.find(one.as_bytes()).is_some(), "a verdict was found after it was forgotten");
        stores.into_iter().for_each(Thread::join);
        look(&cache, &one);
    });
}

/// A verdict is forgotten while a newer one about the same token is stored.
///
/// Catches forgetting by name.
#[test]
fn the_newer_verdict_stays() {
    explore(3, || {
        let now = Instant::now();
        let cache = Arc::new(Cache::new(Limits::DEFAULT));
        let small = || verdict_on("token", Vec::new(), now + MAX_CACHED_FOR);
        insert(&cache, small(), now);
        let old = cache.find(b"token").unwrap();
        let forget = || {
            let (cache, old) = (cache.clone(), old.clone());
            thread(move || cache.forget(&old))
        };
        let forget = [forget(), forget()];
        insert(&cache, small(), now);
        let newer = cache.find(b"token");
        never(newer.is_none_or(|newer| Arc::ptr_eq(&newer, &old)), "a verdict was lost when it was stored");
        forget.into_iter().for_each(Thread::join);
        never(cache.find(b"token").is_none(), "a newer verdict was forgotten");
        look(&cache, "token");
    });
}
