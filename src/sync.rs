//! What threads share, and chance, in one place: in the models of `tests/model` it is loom's, which tries every order of what
//! threads do. No feature turns that on.

#[cfg(not(tower_bearer_model))]
pub(crate) use std::hash::RandomState;
#[cfg(not(tower_bearer_model))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
#[cfg(not(tower_bearer_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock};

#[cfg(not(tower_bearer_model))]
pub(crate) use arc_swap::ArcSwapOption;
#[cfg(not(tower_bearer_model))]
pub(crate) use thread_local::ThreadLocal;
#[cfg(not(tower_bearer_model))]
pub(crate) use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

#[cfg(tower_bearer_model)]
#[path = "../tests/model/sync.rs"]
mod model;
#[cfg(tower_bearer_model)]
pub(crate) use self::model::*;

/// Lies apart from all else in memory, so that who writes it takes nothing from those who read what lies beside it: 128 bytes,
/// because processors fetch lines of 64 in pairs, or have lines of 128. What is in an `Arc` is apart from its counts, too.
///
/// The crate `thread_local` keeps what several threads have for themselves side by side.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);
