//! [`Turns`]: how many tokens have their signatures checked at the same time.

use std::sync::atomic::Ordering;

use crate::sync::AtomicUsize;

/// Turns to check the signature of a token: so many can be taken at the same time or, without a limit, any number.
#[derive(Default)]
pub(crate) struct Turns {
    limit: Option<usize>,
    taken: AtomicUsize,
}

/// One of them. It is given back when it is dropped, also by a panic.
#[must_use]
pub(crate) struct Turn<'a>(Option<&'a AtomicUsize>);

impl Turns {
    pub(crate) fn of(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// `None` while all are taken, and never while one is free: who gets none takes none away for a moment either.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        let Some(limit) = self.limit else { return Some(Turn(None)) };
        let one_more = |taken: usize| (taken < limit).then(|| taken.saturating_add(1));
        // It guards no data.
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Turn(Some(&self.taken)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.0 {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
