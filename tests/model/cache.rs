//! The cache of verified tokens while several threads use one shard of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::tests::{check, token_on};
use super::{Cache, Limits, MAX_CACHED_FOR, Memory, Token, Trusted};
use crate::sync::{AtomicBool, Thread, explore, never, thread};

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

fn insert(cache: &Cache, token: Token, now: Instant) {
    cache.insert(cache.place(token.raw()), token, None, now + MAX_CACHED_FOR, now);
}

fn find(cache: &Cache, raw: &str, now: Instant) -> Option<Token> {
    cache.find(cache.place(raw.as_bytes()), raw.as_bytes(), &Trusted::All, now)
}

/// Large tokens are stored, used and forgotten at the same time, of which a shard can hold two.
///
/// Catches room that is made under one lock and taken under another.
#[test]
fn the_bounds_hold_between_threads() {
    explore(3, || {
        let now = Instant::now();
        let cache = Arc::new(Cache::new(Limits::DEFAULT, now));
        let [one, two, three, four] = neighbours(&cache);
        let large = |raw: &str| token_on(raw, " ".repeat(Limits::DEFAULT.shared().bytes * 2 / 5));
        insert(&cache, large(&one), now);
        insert(&cache, large(&two), now);
        let stores = [three, four].map(|raw| {
            let (cache, verdict) = (cache.clone(), large(&raw));
            thread(move || {
                insert(&cache, verdict, now);
                look(&cache, &raw);
            })
        });
        if let Some(found) = find(&cache, &one, now) {
            look(&cache, &one);
            cache.forget(&found);
        }
        look(&cache, &one);
        never(find(&cache, &one, now).is_some(), "a verdict was found after it was forgotten");
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
        let cache = Arc::new(Cache::new(Limits::DEFAULT, now));
        let small = || token_on("token", String::new());
        insert(&cache, small(), now);
        let old = find(&cache, "token", now).unwrap();
        let forget = || {
            let (cache, old) = (cache.clone(), old.clone());
            thread(move || cache.forget(&old))
        };
        let forget = [forget(), forget()];
        insert(&cache, small(), now);
        let newer = find(&cache, "token", now);
        never(newer.is_none_or(|newer| newer.is_same(&old)), "a verdict was lost when it was stored");
        forget.into_iter().for_each(Thread::join);
        never(find(&cache, "token", now).is_none(), "a newer verdict was forgotten");
        look(&cache, "token");
    });
}

/// Two threads make copies of a token of their own while it is taken back.
///
/// Catches copies that do not learn that what they were made of is gone.
#[test]
fn what_was_taken_back_is_kept_by_no_thread() {
    const RAW: &str = "a token that comes often";
    explore(2, || {
        let now = Instant::now();
        let cache = Arc::new(Cache::new(Limits::DEFAULT, now));
        insert(&cache, token_on(RAW, String::new()), now);
        let gone = Arc::new(AtomicBool::new(false));
        let reads = || {
            let (cache, gone) = (cache.clone(), gone.clone());
            move || {
                // The first time it is kept, the second time it is found.
                for _ in 0..3 {
                    let is_gone = gone.load(Ordering::Acquire);
                    let near = cache.find_near(RAW.as_bytes(), &Trusted::All, now);
                    let found = near.or_else(|| find(&cache, RAW, now));
                    never(is_gone && found.is_some(), "a token was found after it was taken back");
                }
            }
        };
        let other = thread(reads());
        let forgets = thread({
            let (cache, gone) = (cache.clone(), gone.clone());
            move || {
                cache.forget_text(RAW.as_bytes());
                gone.store(true, Ordering::Release);
            }
        });
        reads()();
        forgets.join();
        other.join();
        reads()();
    });
}

/// Two threads make copies of a token of their own while something newer is stored about it.
///
/// Catches copies of what was found before, that are told of the end of what has taken its place.
#[test]
fn what_was_replaced_is_kept_by_no_thread() {
    const RAW: &str = "a token that comes often";
    explore(2, || {
        let now = Instant::now();
        let cache = Arc::new(Cache::new(Limits::DEFAULT, now));
        insert(&cache, token_on(RAW, "older".into()), now);
        let replaced = Arc::new(AtomicBool::new(false));
        let reads = || {
            let (cache, replaced) = (cache.clone(), replaced.clone());
            move || {
                for _ in 0..3 {
                    let is_replaced = replaced.load(Ordering::Acquire);
                    let near = cache.find_near(RAW.as_bytes(), &Trusted::All, now);
                    let found = near.or_else(|| find(&cache, RAW, now));
                    never(found.is_none(), "a token was lost when something newer was stored about it");
                    let is_older = found.is_some_and(|found| found.claims_json() == "older");
                    never(is_replaced && is_older, "an older verdict was found after a newer one was stored");
                }
            }
        };
        let other = thread(reads());
        let stores = thread({
            let (cache, replaced) = (cache.clone(), replaced.clone());
            move || {
                insert(&cache, token_on(RAW, "newer".into()), now);
                replaced.store(true, Ordering::Release);
            }
        });
        reads()();
        stores.join();
        other.join();
        reads()();
    });
}
