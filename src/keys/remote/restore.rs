//! Keys from and for the snapshot of an issuer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{Fetched, Loaded, RemoteKeys, Shared, block_in, lock};
use crate::event::Event;
use crate::fetch::FETCH_TIMEOUT;
use crate::keys::snapshot::{Good, Restored, Snapshot};

impl RemoteKeys {
    /// The file with the last good set.
    pub(crate) fn snapshot(&self) -> Option<&Path> {
        self.0.remote.snapshot.as_deref().map(Snapshot::path)
    }
}

impl Shared {
    /// Without any keys, makes those of the snapshot the ones in use. To be called before a failed fetch is told to
    /// those who wait.
    pub(super) async fn restore(&self) -> Option<Restored> {
        let snapshot = self.remote.snapshot.as_ref()?;
        if self.loaded.load().is_some() {
            return None;
        }
        // A volume may hang; those who wait shall not.
        let restored = tokio::time::timeout(FETCH_TIMEOUT, snapshot.restore()).await.ok()??;
        let now = self.remote.clock.instant();
        self.take_restored(&restored, now).then_some(restored)
    }

    pub(super) fn take_restored(&self, restored: &Restored, now: Instant) -> bool {
        // Held until the keys are in use: whoever blocks one finds it in them.
        let mut blocked = lock(&self.blocked);
        block_in(&restored.keys, &mut blocked);
        let mut refresh = lock(&self.refresh);
        let taken = refresh.restored(now, restored.usable_for);
        if taken {
            let ask_again_at = refresh.ask_again_at().unwrap_or(now);
            let keys = restored.keys.clone();
            let unknown_until = refresh.unknown_until();
            self.loaded.store(Some(Arc::new(Loaded { keys, source: None, ask_again_at, unknown_until })));
        }
        taken
    }

    pub(super) fn tell_restored(&self, restored: &Restored) {
        let Restored { keys, age, usable_for } = restored;
        let (issuer, keys) = (&*self.remote.label, keys.len());
        tracing::warn!(
            target: "tower_bearer::keys",
            issuer, keys, ?age, ?usable_for, "using the keys of the snapshot"
        );
        self.remote.observers.tell(&Event::KeysRestored { issuer, keys, age: *age });
    }

    /// Has a set written that is in use from now on.
    pub(super) fn keep(&self, fetched: &Fetched, at: SystemTime) {
        if let Some(snapshot) = &self.remote.snapshot {
            snapshot.keep(Good {
                keys: fetched.keys.clone(),
                url: fetched.source.url.clone(),
                stale_for: fetched.freshness.stale_for,
                at,
            });
        }
    }
}
