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
