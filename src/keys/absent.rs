//! Key ids that a fetch has just shown not to exist.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// So many key ids are remembered as unknown.
pub const MAX_ABSENT_KIDS: usize = 1024;

/// How long a key id is remembered as unknown, after a fetch that did not bring it.
pub const ABSENT_FOR: Duration = Duration::from_secs(60);

/// Bounded, and forgetful: what is in here is refused without another fetch. It never speaks for a key that is in the set,
/// because the set is asked first.
#[derive(Debug, Default)]
pub(super) struct Absent {
    /// Of each key id its hash alone: they come from anybody, and are up to 256 bytes long.
    until: HashMap<u64, Instant>,
    hasher: RandomState,
}

impl Absent {
    pub(super) fn contains(&self, kid: &str, now: Instant) -> bool {
        self.until.get(&self.hasher.hash_one(kid)).is_some_and(|until| now < *until)
    }

    pub(super) fn insert(&mut self, kid: &str, now: Instant) {
        if self.until.len() >= MAX_ABSENT_KIDS {
            self.until.retain(|_, until| now < *until);
        }
        // Full of others: this one may cost a fetch again, which has a budget of its own.
        if self.until.len() < MAX_ABSENT_KIDS
            && let Some(until) = now.checked_add(ABSENT_FOR)
        {
            self.until.insert(self.hasher.hash_one(kid), until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_in_time_and_is_bounded() {
        let now = Instant::now();
        let mut absent = Absent::default();
        absent.insert("a", now);
        assert!(absent.contains("a", now) && !absent.contains("b", now));
        assert!(absent.contains("a", now + ABSENT_FOR - Duration::from_millis(1)));
        assert!(!absent.contains("a", now + ABSENT_FOR));
        for n in 0..2 * MAX_ABSENT_KIDS {
            absent.insert(&n.to_string(), now);
        }
        assert_eq!(absent.until.len(), MAX_ABSENT_KIDS);
        assert!(!absent.contains(&(2 * MAX_ABSENT_KIDS - 1).to_string(), now));
        absent.insert("later", now + ABSENT_FOR);
        assert!(absent.contains("later", now + ABSENT_FOR));
        assert_eq!(absent.until.len(), 1, "what is over makes room");
    }
}
