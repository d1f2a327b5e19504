//! What operators are told of an issuer's keys.

use std::time::{Duration, SystemTime};

use super::{History, RemoteKeys, lock};
use crate::event::KeyState;
use crate::fetch::FetchErrorKind;
use crate::jose;

/// Where the keys of an issuer are in their life, for people.
pub(crate) struct Report {
    pub(crate) state: KeyState,
    pub(crate) keys: usize,
    pub(crate) left_out: Vec<(usize, &'static str)>,
    pub(crate) last_success: Option<SystemTime>,
    pub(crate) last_error: Option<(SystemTime, FetchErrorKind)>,
    pub(crate) stale_for: Option<Duration>,
    pub(crate) next_refresh: Option<Duration>,
}

impl RemoteKeys {
    pub(crate) fn report(&self) -> Report {
        let now = self.0.remote.clock.instant();
        if lock(&self.0.refresh).flight_number() > 0 {
            self.0.keep_time();
        }
        let mut refresh = lock(&self.0.refresh);
        let state = refresh.state(now);
        let changes_at = refresh.changes_at();
        let wake_at = refresh.wake_at(now);
        let in_flight = refresh.flight().is_some();
        let changed = refresh.has_changed();
        drop(refresh);
        if changed {
            self.0.tell_changes();
        }
        let loaded = self.0.loaded.load_full().filter(|_| state.is_usable());
        let keys = loaded.map(|loaded| jose::Keys::Public(loaded.keys.clone()));
        let History { last_success, last_error } = *lock(&self.0.history);
        Report {
            state,
            keys: keys.as_ref().map_or(0, jose::Keys::usable),
            left_out: keys.as_ref().map(jose::Keys::left_out).unwrap_or_default(),
            last_success,
            last_error,
            stale_for: changes_at
                .filter(|_| state == KeyState::Stale)
                .map(|at| at.saturating_duration_since(now)),
            next_refresh: wake_at
                .map(|at| if in_flight { Duration::ZERO } else { at.saturating_duration_since(now) }),
        }
    }
}
