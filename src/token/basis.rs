//! [`Basis`]: what tokens rest on.

use std::cell::Cell;
use std::sync::Arc;

use crate::identity::IssuerIdentity;
use crate::jose::Standing;
use crate::sync::{Apart, ThreadLocal};

/// Who has issued a token, and the standing of the key that verified it.
///
/// Each token holds one, and is counted there when it is made, when a thread keeps a copy of it, and when it goes. If all
/// threads counted in one place, each would wait for the others. So each has its own for the tokens that it verifies, wherever
/// they go, and its counts lie apart, as with [`Apart`].
#[repr(align(128))]
pub(crate) struct Basis {
    pub(crate) issuer: Arc<IssuerIdentity>,
    pub(crate) standing: Arc<Standing>,
}

/// Those of one issuer.
#[derive(Default)]
pub(crate) struct Bases {
    kept: ThreadLocal<Apart<Cell<Vec<Arc<Basis>>>>>,
}

/// A thread keeps so many: those of the keys that were the last to be new to it. An issuer signs with one or two at a time. (With
/// certificates there may be more. Where more than these take turns, each token has a new one.)
const KEPT: usize = 4;

impl Bases {
    /// This thread's own.
    pub(crate) fn of(&self, issuer: &Arc<IssuerIdentity>, standing: &Arc<Standing>) -> Arc<Basis> {
        let Apart(cell) = self.kept.get_or(Apart::default);
        let mut kept = cell.take();
        let known = kept.iter().find(|basis| Arc::ptr_eq(&basis.standing, standing)).cloned();
        let basis = known.unwrap_or_else(|| {
            let basis = Arc::new(Basis { issuer: issuer.clone(), standing: standing.clone() });
            kept.truncate(KEPT - 1);
            kept.insert(0, basis.clone());
            basis
        });
        cell.set(kept);
        basis
    }
}
