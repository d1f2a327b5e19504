//! [`Standing`]: whether what a key has verified is still to be believed.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by a key and the verdicts that rest on it, which die with it. It gets worse, and never better: a key that is
/// published again after it was withdrawn starts with a new one.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Somebody has said that it must not be used any more.
    blocked: AtomicBool,
    /// Its issuer has published a set without it. Who is verifying with the older set right now may finish.
    withdrawn: AtomicBool,
}

impl Standing {
    pub(crate) fn is_good(&self) -> bool {
        !self.is_blocked() && !self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    pub(super) fn block(&self) {
        self.blocked.store(true, Ordering::Release);
    }

    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }
}
