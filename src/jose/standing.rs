//! [`Standing`]: whether what a key has verified is still to be believed.

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::sync::AtomicBool;
use crate::time::{Now, Timestamp};

/// Shared by a key and the verdicts that rest on it, which die with it. It gets worse, and never better: a key that is
/// published again after it was withdrawn starts with a new one. The counts of its `Arc` lie apart from it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Standing {
    /// Somebody has said that it must not be used any more.
    blocked: AtomicBool,
    /// Its issuer has published a set without it. Who is verifying with the older set right now may finish.
    withdrawn: AtomicBool,
    /// When the key may be used, if its certificates say so. By the wall clock, as they do.
    valid: Option<Range<Timestamp>>,
}

impl Standing {
    /// Of a key that may be used at these times only.
    #[cfg(feature = "x5c")]
    pub(crate) fn within(valid: Range<Timestamp>) -> Self {
        Self { valid: Some(valid), ..Self::default() }
    }

    pub(crate) fn is_good(&self, now: Now<'_>) -> bool {
        !self.is_blocked()
            && !self.withdrawn.load(Ordering::Acquire)
            && self.valid.as_ref().is_none_or(|valid| now.is_within(valid))
    }

    /// Whether its time has come and is not over.
    #[cfg(feature = "x5c")]
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.contains(&now))
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    pub(super) fn block(&self) {
        self.blocked.store(true, Ordering::Release);
    }

    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }
}
