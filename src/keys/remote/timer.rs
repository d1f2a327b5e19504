//! Refreshes ahead: a task that starts what is due, and tells what the time has changed, whether requests come or not.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Ended, Shared, lock};
use crate::keys::refresh::FLIGHT_LIMIT;
use crate::sync::{AbortHandle, Handle, watch};

/// The task that refreshes keys when it is time.
pub(super) struct Timer {
    task: AbortHandle,
    /// When it will look again.
    due: Instant,
}

impl Shared {
    /// Starts the timer, if none runs: from the first fetch on, keys are refreshed whether requests come or not. One that
    /// is long overdue lives in a runtime that nobody drives.
    pub(super) fn keep_time(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let now = self.remote.clock.instant();
        let mut timer = lock(&self.timer);
        let runs = |timer: &Timer| {
            !timer.task.is_finished() && now.saturating_duration_since(timer.due) < FLIGHT_LIMIT
        };
        if timer.as_ref().is_some_and(runs) {
            return;
        }
        let task = runtime.spawn(keep_time(Arc::downgrade(self), self.end.subscribe())).abort_handle();
        if let Some(Timer { task: lost, .. }) = timer.replace(Timer { task, due: now }) {
            lost.abort();
        }
    }

    /// Starts what is due, tells what has changed, and says when to look again: never, before the first fetch.
    fn on_time(self: &Arc<Self>) -> Option<Instant> {
        let now = self.remote.clock.instant();
        let mut refresh = lock(&self.refresh);
        // The first fetch belongs to a request.
        let due = refresh.wake_at(now).is_some() && refresh.tick(now);
        self.publish(&refresh);
        let (number, changed) = (refresh.flight(), refresh.has_changed());
        let wake_at = [refresh.wake_at(now), refresh.changes_at()].into_iter().flatten().min();
        drop(refresh);
        if let Some(timer) = &mut *lock(&self.timer) {
            timer.due = wake_at.unwrap_or(now);
        }
        if due {
            self.start(number, false);
        }
        if changed && let Ok(runtime) = Handle::try_current() {
            // In a task of its own: whatever a subscriber or an observer does, time is kept.
            let shared = self.clone();
            runtime.spawn(async move { shared.tell_changes() });
        }
        wake_at
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(timer) = &*lock(&self.timer) {
            timer.task.abort();
        }
    }
}

/// Refreshes keys when it is time, until nobody uses them any more. It holds them only while it is awake.
async fn keep_time(shared: Weak<Shared>, mut ended: watch::Receiver<Ended>) {
    loop {
        // Whatever a clock's sleep does, others have their turn.
        tokio::task::yield_now().await;
        let Some(alive) = shared.upgrade() else { return };
        let clock = alive.remote.clock.clone();
        let wake_at = alive.on_time();
        drop(alive);
        let sleep = async {
            match wake_at {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            // Somebody's fetch has changed what there is to wait for.
            changed = ended.changed() => if changed.is_err() { return },
        }
    }
}
