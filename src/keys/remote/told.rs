//! Tells observers and the log of each change of an issuer's key state.

use super::{Shared, lock};
use crate::event::{Event, KeyState};
use crate::keys::refresh::{Change, Refresh};
use crate::sync::Mutex;

impl Shared {
    /// Tells each change once and in order. To be called with nothing locked: an observer may ask for anything. What changes
    /// while it is being told is told by whoever tells.
    pub(super) fn tell_changes(&self) {
        let mut teller = Teller { refresh: &self.refresh, at_work: false };
        while let Some((change, is_over)) = teller.next() {
            self.tell(change, is_over);
        }
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

/// One at a time tells the changes of an issuer.
struct Teller<'a> {
    refresh: &'a Mutex<Refresh>,
    at_work: bool,
}

impl Teller<'_> {
    /// The next change, and whether there is one after it.
    fn next(&mut self) -> Option<(Change, bool)> {
        let mut refresh = lock(self.refresh);
        let change = refresh.next_change(self.at_work);
        self.at_work = change.is_some();
        change.map(|change| (change, refresh.has_changed()))
    }
}

impl Drop for Teller<'_> {
    /// An observer that panics ends its own telling, and not that of what happens later.
    fn drop(&mut self) {
        if self.at_work {
            lock(self.refresh).stop_telling();
        }
    }
}
