//! [`Remembered`]: what was found out about some tokens, for a while.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ledger::Digest;

/// Bounded, and forgetful: the oldest make room. Of a token it knows the digest.
pub(super) struct Remembered<V> {
    known: HashMap<Digest, (Instant, V)>,
    /// In the order in which they came; each that is known is in here with its own time, and maybe with earlier ones.
    order: VecDeque<(Digest, Instant)>,
    most: usize,
}

impl<V: Clone> Remembered<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), most }
    }

    pub(super) fn find(&self, token: &Digest, now: Instant) -> Option<V> {
        self.known.get(token).filter(|(until, _)| now < *until).map(|(_, value)| value.clone())
    }

    /// Unless something is known about this token already: that lasts as long as it was to last.
    pub(super) fn remember(&mut self, token: Digest, value: V, now: Instant, lasts: Duration) {
        let Some(until) = now.checked_add(lasts).filter(|_| self.find(&token, now).is_none()) else { return };
        let is_over = |oldest: &(Digest, Instant)| oldest.1 <= now;
        while self.order.len() >= self.most || self.order.front().is_some_and(is_over) {
            let Some((oldest, ends)) = self.order.pop_front() else { return };
            if self.known.get(&oldest).is_some_and(|(until, _)| *until == ends) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(token, (until, value));
        self.order.push_back((token, until));
    }

    /// Also behind its end, as long as it is there.
    pub(super) fn value_mut(&mut self, token: &Digest) -> Option<&mut V> {
        self.known.get_mut(token).map(|(_, value)| value)
    }

    pub(super) fn forget(&mut self, token: &Digest) {
        self.known.remove(token);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "a test whose times cannot overflow")]

    use proptest::prelude::*;

    use super::*;

    const LASTS: Duration = Duration::from_secs(10);

    #[test]
    fn it_forgets_in_time_and_is_bounded() {
        let now = Instant::now();
        let mut some = Remembered::new(2);
        some.remember([1; 32], 'a', now, LASTS);
        some.remember([1; 32], 'b', now, LASTS);
        assert_eq!(some.find(&[1; 32], now + LASTS - Duration::from_millis(1)), Some('a'));
        assert_eq!(some.find(&[1; 32], now + LASTS), None);
        some.remember([2; 32], 'c', now, LASTS);
        some.remember([3; 32], 'd', now, LASTS);
        assert_eq!([1, 2, 3].map(|n| some.find(&[n; 32], now)), [None, Some('c'), Some('d')]);
        some.forget(&[2; 32]);
        assert_eq!(some.find(&[2; 32], now), None);
    }

    proptest! {
        #[test]
        fn in_any_order_it_is_bounded(steps in prop::collection::vec((0..20_u8, 0..3_u8, 0..5_000_u64), 1..300)) {
            let (mut some, mut now) = (Remembered::new(8), Instant::now());
            for (token, what, millis) in steps {
                match what {
                    0 => {
                        some.remember([token; 32], now, now, LASTS);
                        prop_assert!(some.find(&[token; 32], now).is_some());
                    }
                    1 => some.forget(&[token; 32]),
                    _ => now += Duration::from_millis(millis),
                }
                prop_assert!(some.order.len() <= 8 && some.known.len() <= some.order.len());
                for token in 0..20 {
                    let since = some.find(&[token; 32], now);
                    prop_assert!(since.is_none_or(|since| now < since + LASTS));
                }
            }
        }
    }
}
