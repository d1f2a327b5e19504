//! Tells observers and the log of each change of an issuer's key state.

#[cfg(all(test, tower_bearer_model))]
#[path = "../../../tests/model/told.rs"]
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Shared, lock};
use crate::event::{Event, KeyState};
use crate::keys::refresh::Change;

impl Shared {
    /// Tells each change once and in order. To be called with nothing locked: an observer may ask for anything. What changes
    /// while it is being told is told by whoever tells, also when an observer panics: its panic goes on afterwards.
    pub(super) fn tell_changes(&self) {
        let (mut at_work, mut panicked) = (false, None);
        while let Some((change, is_over)) = self.next_change(at_work) {
            at_work = true;
            let told = catch_unwind(AssertUnwindSafe(|| self.tell(change, is_over)));
            panicked = panicked.or_else(|| told.err());
        }
        if let Some(why) = panicked {
            resume_unwind(why);
        }
    }

    /// The next change to tell, and whether there is one after it.
    fn next_change(&self, at_work: bool) -> Option<(Change, bool)> {
        let mut refresh = lock(&self.refresh);
        let change = refresh.next_change(at_work)?;
        Some((change, refresh.has_changed()))
    }

    /// `is_over` says that the new state has ended already.
    fn tell(&self, change: Change, is_over: bool) {
        let issuer = &*self.remote.label;
        let Change { from, to, ends } = change;
        let now = self.remote.clock.instant();
        let usable_for = ends.filter(|_| to == KeyState::Stale).map(|at| at.saturating_duration_since(now));
        macro_rules! tell {
            ($level:expr $(, $field:ident = $value:expr)?) => {
                tracing::event!(
                    target: "tower_bearer::keys", $level,
                    issuer,
                    from = from.name(),
                    to = to.name(),
                    usable_for = usable_for.map(tracing::field::debug),
                    $($field = $value,)?
                    "the state of the keys changed"
                )
            };
        }
        if to == KeyState::Fresh {
            // Needs no limit: for MIN_FRESH_FOR it cannot happen again.
            tell!(tracing::Level::INFO);
        } else if is_over {
            // What came after it is worth a warning.
            tell!(tracing::Level::DEBUG);
        } else {
            match self.warnings.pass(now) {
                Some(held_back) => tell!(tracing::Level::WARN, held_back = held_back),
                None => tell!(tracing::Level::DEBUG),
            }
        }
        self.remote.observers.tell(&Event::KeyStateChanged { issuer, from, to });
    }
}
