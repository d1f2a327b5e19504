//! A shard and a plain list are told the same, in any order, and remember the same.

#![expect(clippy::arithmetic_side_effects, reason = "a test whose sums cannot overflow")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::shard::{Evicted, Shard};
use super::tests::{check, token_on};
use super::{Limits, Moment, More, USED, Verdict};

/// The oldest first.
struct Plain {
    limits: Limits,
    known: Vec<Known>,
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    hash: u64,
    raw: String,
    size: usize,
    until: u64,
    used: bool,
}

impl Plain {
    fn insert(&mut self, new: Known, now: u64) -> Vec<Known> {
        let mut gone = self.remove(new.hash);
        while !self.known.is_empty() && self.known[0].until <= now {
            gone.push(self.evict(now));
        }
        if new.size > self.limits.bytes {
            return gone;
        }
        while self.known.len() >= self.limits.tokens || self.bytes() + new.size > self.limits.bytes {
            gone.push(self.evict(now));
        }
        self.known.push(new);
        gone
    }

    fn bytes(&self) -> usize {
        self.known.iter().map(|one| one.size).sum()
    }

    fn evict(&mut self, now: u64) -> Known {
        for _ in 0..self.known.len() {
            if self.known[0].until > now && self.known[0].used {
                self.known[0].used = false;
                self.known.rotate_left(1);
            }
        }
        self.known.remove(0)
    }

    fn remove(&mut self, hash: u64) -> Vec<Known> {
        self.known.extract_if(.., |one| one.hash == hash).collect()
    }
}

fn verdict(raw: &str, until: u64) -> Verdict {
    let mut new = Verdict::new(token_on(raw, String::new()), None, Moment(until));
    new.more = Some(Box::new(More { asked: None, gone: Some(Arc::default()) }));
    new
}

fn known((hash, verdict): (u64, &Verdict)) -> Known {
    let raw = String::from_utf8(verdict.token.raw().to_vec()).unwrap();
    let used = verdict.state.load(Ordering::Relaxed) & USED != 0;
    Known { hash, raw, size: verdict.size(), until: verdict.until().0, used }
}

fn is_gone(verdict: &Verdict) -> bool {
    verdict.gone().unwrap().load(Ordering::Acquire)
}

/// What is done, to which hash, with a token of which length that lives how long, and after what time.
fn step() -> impl Strategy<Value = (u8, u64, usize, u64, u64)> {
    let length = prop::sample::select(vec![1, 50, 300, 1000, 5000]);
    // They differ where the table does not look.
    let hash = (0..12_u64).prop_map(|number| number << 32);
    (0..8_u8, hash, length, 0..30_u64, 0..3_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_remembers_what_a_plain_list_would(steps in prop::collection::vec(step(), 1..100)) {
        // Eight of the smallest, or four of another length to the byte.
        let limits = Limits { tokens: 8, bytes: 4 * verdict(&format!("{:300}", 0), 0).size() };
        let (mut shard, mut plain) = (Shard::new(limits), Plain { limits, known: Vec::new() });
        let mut now = 0;
        for (number, (what, hash, length, lives, passes)) in steps.into_iter().enumerate() {
            now += passes;
            let (gone, expected) = match what {
                0 => (shard.remove(hash).into_iter().collect(), plain.remove(hash)),
                1..=3 => {
                    shard.get(hash).into_iter().for_each(Verdict::note_use);
                    plain.known.iter_mut().filter(|one| one.hash == hash).for_each(|one| one.used = true);
                    (Evicted::new(), Vec::new())
                }
                _ => {
                    let new = verdict(&format!("{number:length$}"), now + lives);
                    let known = known((hash, &new));
                    (shard.insert(hash, new, Moment(now)), plain.insert(known, now))
                }
            };
            check(&shard);
            prop_assert_eq!(shard.in_order().map(known).collect::<Vec<_>>(), &*plain.known);
            let expected = expected.iter().map(|one| one.raw.as_bytes());
            prop_assert!(gone.iter().map(|one| one.token.raw()).eq(expected));
            prop_assert!(gone.iter().all(is_gone) && !shard.in_order().any(|(_, one)| is_gone(one)));
        }
    }
}
