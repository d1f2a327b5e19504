//! Where a set is in its life, and each change of that, kept in order for those who are told.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use super::{Lifetime, Refresh};
use crate::event::KeyState;

/// The state that was noted last, and what was not told yet.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Life {
    state: KeyState,
    untold: VecDeque<Change>,
    /// Somebody is telling.
    telling: bool,
}

/// From one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: KeyState,
    pub(crate) to: KeyState,
    /// When the new state ends by the mere passing of time.
    pub(crate) ends: Option<Instant>,
}

impl Default for Life {
    fn default() -> Self {
        Self { state: KeyState::Cold, untold: VecDeque::new(), telling: false }
    }
}

impl Refresh {
    /// Where the set is in its life.
    pub(crate) fn state(&mut self, now: Instant) -> KeyState {
        self.pass(now);
        self.life.state
    }

    /// When the state changes by the mere passing of time.
    pub(crate) fn changes_at(&self) -> Option<Instant> {
        let loaded = self.loaded?;
        match self.life.state {
            KeyState::Fresh => Some(loaded.fresh_until),
            KeyState::Stale => Some(loaded.stale_until),
            KeyState::Fixed | KeyState::Cold | KeyState::LookedUp | KeyState::Expired => None,
        }
    }

    /// Whether there is a change to tell.
    pub(crate) fn has_changed(&self) -> bool {
        !self.life.untold.is_empty()
    }

    /// The next change to tell; `None` while somebody else is telling, who tells this one too. Whoever has got one is at
    /// work until there is none left, and must ask until then.
    pub(crate) fn next_change(&mut self, at_work: bool) -> Option<Change> {
        if self.life.telling && !at_work {
            return None;
        }
        let change = self.life.untold.pop_front();
        self.life.telling = change.is_some();
        change
    }

    /// Notes what the time has made of the set. It never makes it younger: callers read the clock before they take the lock,
    /// so theirs may be the older time.
    pub(super) fn pass(&mut self, now: Instant) {
        let Some(Lifetime { fresh_until, stale_until, .. }) = self.loaded else { return };
        if self.life.state == KeyState::Fresh && now >= fresh_until {
            // Some issuers forbid stale use.
            self.enter(if fresh_until < stale_until { KeyState::Stale } else { KeyState::Expired });
        }
        if self.life.state == KeyState::Stale && now >= stale_until {
            self.enter(KeyState::Expired);
        }
    }

    pub(super) fn enter(&mut self, to: KeyState) {
        let from = mem::replace(&mut self.life.state, to);
        if from != to {
            let ends = self.changes_at();
            self.life.untold.push_back(Change { from, to, ends });
        }
    }
}
