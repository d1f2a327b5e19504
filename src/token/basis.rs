//! [`Basis`]: what tokens rest on.

use std::cell::RefCell;
use std::sync::Arc;

use crate::identity::IssuerIdentity;
use crate::jose::Standing;
use crate::sync::ThreadLocal;

/// Who has issued a token, and the standing of the key that verified it.
///
/// Each token holds one, and is counted there when it is made and when it goes. If all threads counted in one place, each
/// would wait for the others, however little they do there. So each thread has its own for the tokens that it verifies.
///
/// The counts of an `Arc` stand in front of the value, so that its alignment keeps them apart from it and from all else: 128
/// bytes, because processors fetch lines of 64 in pairs, or have lines of 128.
#[repr(align(128))]
pub(crate) struct Basis {
    pub(crate) issuer: Arc<IssuerIdentity>,
    pub(crate) standing: Arc<Standing>,
}

/// Those of one issuer.
#[derive(Default)]
pub(crate) struct Bases {
    kept: ThreadLocal<RefCell<Vec<Arc<Basis>>>>,
}

/// A thread keeps so many, of the keys that it has seen last. An issuer signs with one or two at a time.
const KEPT: usize = 4;

impl Bases {
    /// This thread's own.
    pub(crate) fn of(&self, issuer: &Arc<IssuerIdentity>, standing: &Arc<Standing>) -> Arc<Basis> {
        let make = || Arc::new(Basis { issuer: issuer.clone(), standing: standing.clone() });
        let Ok(mut kept) = self.kept.get_or(RefCell::default).try_borrow_mut() else { return make() };
        if let Some(basis) = kept.iter().find(|basis| Arc::ptr_eq(&basis.standing, standing)) {
            return basis.clone();
        }
        let basis = make();
        kept.truncate(KEPT - 1);
        kept.insert(0, basis.clone());
        basis
    }
}
