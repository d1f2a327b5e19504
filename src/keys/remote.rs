//! Keys that are fetched: drives the state machine of `refresh`, one fetch at a time.
//!
//! A request that has its key never waits and takes no lock. A fetch runs in a task of its own, so that a client
//! that disconnects does not end it for those who wait with it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::sync::watch;

use super::discovery::discover;
use super::refresh::{BACKOFF_MIN, Miss, Refresh, Supply};
use crate::event::{Event, Observers};
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchRequest, bounded};
use crate::jose::{AlgorithmSet, KeySet};
use crate::time::Clock;

/// How long a request waits for a fetch because its key is unknown.
pub const MISS_WAIT: Duration = Duration::from_secs(2);

/// How long a request waits for the first keys: both places of discovery and one key set at their slowest.
pub const COLD_WAIT: Duration = Duration::from_secs(15);

/// So many requests with an unknown key wait for one fetch; the others are answered at once.
pub const MAX_MISS_WAITERS: usize = 256;

/// The place of a key set is looked up again after this time, and after every failed fetch.
pub const REDISCOVER_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// One issuer's keys, fetched when they are first needed.
#[derive(Clone)]
pub(crate) struct RemoteKeys(Arc<Shared>);

/// What is fetched, for whom and how.
pub(crate) struct Remote {
    pub(crate) place: Place,
    pub(crate) allow_http: bool,
    pub(crate) algorithms: AlgorithmSet,
    /// The issuer's name in events.
    pub(crate) label: Box<str>,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observers: Observers,
}

pub(crate) enum Place {
    /// The issuer says where.
    Discovered {
        issuer: Box<str>,
    },
    Fixed(KeyUrl),
}

/// The keys, or what to do without them.
pub(crate) enum Available {
    Ready(Arc<KeySet>),
    Wait(Flight),
    Unavailable(Duration),
}

/// What to do about a key that is not in the set.
pub(crate) enum Missed {
    /// Newer keys came in while these were being tried: try again.
    Newer,
    Wait(Flight),
    /// The set is current: the key does not exist.
    Unknown,
    Unavailable(Duration),
}

/// How the fetch that a request waited for has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Loaded,
    Failed,
    TookTooLong,
}

/// A fetch under way that a request may wait for.
pub(crate) struct Flight {
    end: watch::Receiver<Ended>,
    deadline: tokio::time::Instant,
    /// Held by those who wait for an unknown key; they are counted.
    _seat: Option<Seat>,
}

struct Shared {
    remote: Remote,
    refresh: Mutex<Refresh>,
    loaded: ArcSwapOption<Loaded>,
    discovered: Mutex<Option<(KeyUrl, Instant)>>,
    end: watch::Sender<Ended>,
    miss_waiters: AtomicUsize,
    /// The last words about keys that were left out.
    last_report: Mutex<String>,
}

struct Loaded {
    keys: Arc<KeySet>,
    /// Until then a request need not ask the state machine.
    ask_again_at: Instant,
}

impl RemoteKeys {
    pub(crate) fn new(remote: Remote) -> Self {
        Self(Arc::new(Shared {
            remote,
            refresh: Mutex::default(),
            loaded: ArcSwapOption::empty(),
            discovered: Mutex::default(),
            end: watch::Sender::new(Ended::Failed),
            miss_waiters: AtomicUsize::new(0),
            last_report: Mutex::default(),
        }))
    }

    pub(crate) fn keys(&self) -> Available {
        let now = self.0.remote.clock.instant();
        let loaded = self.0.loaded.load();
        if let Some(loaded) = loaded.as_ref()
            && now < loaded.ask_again_at
        {
            return Available::Ready(loaded.keys.clone());
        }
        let mut refresh = lock(&self.0.refresh);
        let supply = refresh.need(now);
        let flight = matches!(supply, Supply::Fetch | Supply::Join).then(|| self.0.flight(COLD_WAIT, None));
        self.0.publish(&refresh);
        let number = refresh.flight();
        drop(refresh);
        if matches!(supply, Supply::Fetch | Supply::UseAndFetch) {
            self.0.start(number);
        }
        match (supply, flight) {
            (_, Some(flight)) => Available::Wait(flight),
            (Supply::Unavailable(pause), _) => Available::Unavailable(pause),
            _ => match self.0.loaded.load().as_ref() {
                Some(loaded) => Available::Ready(loaded.keys.clone()),
                None => Available::Unavailable(BACKOFF_MIN),
            },
        }
    }

    /// Whether both fetch the same key set.
    pub(crate) fn has_the_place_of(&self, other: &Self) -> bool {
        match (&self.0.remote.place, &other.0.remote.place) {
            (Place::Fixed(ours), Place::Fixed(theirs)) => ours == theirs,
            _ => false,
        }
    }

    /// A token's key is not in `tried`.
    pub(crate) fn miss(&self, tried: &Arc<KeySet>) -> Missed {
        let Some(seat) = Seat::take(&self.0) else { return Missed::Unavailable(MISS_WAIT) };
        let mut refresh = lock(&self.0.refresh);
        if !self.0.loaded.load().as_ref().is_some_and(|loaded| Arc::ptr_eq(&loaded.keys, tried)) {
            return Missed::Newer;
        }
        match refresh.miss(self.0.remote.clock.instant()) {
            Miss::Join => Missed::Wait(self.0.flight(MISS_WAIT, Some(seat))),
            Miss::Fetch => {
                let flight = self.0.flight(MISS_WAIT, Some(seat));
                let number = refresh.flight();
                drop(refresh);
                self.0.start(number);
                Missed::Wait(flight)
            }
            Miss::Unknown => Missed::Unknown,
            Miss::Unavailable(pause) => Missed::Unavailable(pause),
        }
    }
}

impl Flight {
    /// Waits for the fetch to end.
    ///
    /// Cancel safety: dropping the future leaves the fetch to the others.
    pub(crate) async fn ended(mut self) -> Ended {
        if tokio::runtime::Handle::try_current().is_err() {
            // Nothing was started, and a timer would panic.
            return Ended::Failed;
        }
        match tokio::time::timeout_at(self.deadline, self.end.changed()).await {
            Ok(Ok(())) => *self.end.borrow(),
            Ok(Err(_)) => Ended::Failed,
            Err(_) => Ended::TookTooLong,
        }
    }
}

impl Shared {
    /// To be called before the fetch can end: under the lock, or before it is started.
    fn flight(&self, limit: Duration, seat: Option<Seat>) -> Flight {
        let now = tokio::time::Instant::now();
        Flight { end: self.end.subscribe(), deadline: now.checked_add(limit).unwrap_or(now), _seat: seat }
    }

    /// Starts the fetch that the state machine has just counted as under way.
    fn start(self: &Arc<Self>, number: Option<u64>) {
        let since = self.remote.clock.instant();
        let mut guard = InFlight { shared: self.clone(), number, since, ended: false };
        // Without a runtime the guard reports the failure.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let result = guard.shared.load().await;
            guard.ended = true;
            guard.shared.finish(number, since, result);
        });
    }

    async fn load(&self) -> Result<KeySet, FetchError> {
        let url = self.place().await?;
        let fetched = self.load_from(&url).await;
        if fetched.is_err() {
            *lock(&self.discovered) = None;
        }
        fetched
    }

    async fn place(&self) -> Result<KeyUrl, FetchError> {
        let issuer = match &self.remote.place {
            Place::Fixed(url) => return Ok(url.clone()),
            Place::Discovered { issuer } => issuer,
        };
        let now = self.remote.clock.instant();
        if let Some((url, at)) = &*lock(&self.discovered)
            && now.saturating_duration_since(*at) < REDISCOVER_AFTER
        {
            return Ok(url.clone());
        }
        let url = discover(&*self.remote.fetch, issuer, self.remote.allow_http).await?;
        *lock(&self.discovered) = Some((url.clone(), now));
        Ok(url)
    }

    async fn load_from(&self, url: &KeyUrl) -> Result<KeySet, FetchError> {
        let request = FetchRequest::new(url.as_str(), "application/jwk-set+json, application/json");
        let response = bounded(&*self.remote.fetch, request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::new(FetchErrorKind::Status));
        }
        let keys = KeySet::from_jwks(response.body(), self.remote.algorithms)
            .map_err(|_| FetchError::new(FetchErrorKind::Document))?;
        self.report_left_out(&keys);
        // Also after a good set: an issuer that publishes nothing has a fault, and has not withdrawn everything.
        if keys.is_empty() { Err(FetchError::new(FetchErrorKind::NoUsableKey)) } else { Ok(keys) }
    }

    /// Says which published keys are not used and why, when that has changed.
    fn report_left_out(&self, keys: &KeySet) {
        let left_out = keys.left_out();
        let some: Vec<_> =
            left_out.iter().take(5).map(|key| format!("key {}: {}", key.index, key.reason)).collect();
        let report = format!("{} left out; {}", left_out.len(), some.join("; "));
        let changed = {
            let mut last = lock(&self.last_report);
            let changed = *last != report;
            last.clone_from(&report);
            changed
        };
        if changed && !left_out.is_empty() {
            tracing::warn!(
                target: "tower_bearer::keys",
                issuer = &*self.remote.label, "{report}"
            );
        }
    }

    /// The fetch that began at `since` has ended.
    fn finish(&self, number: Option<u64>, since: Instant, result: Result<KeySet, FetchError>) {
        let now = self.remote.clock.instant();
        let took = now.saturating_duration_since(since);
        let result = result.map(Arc::new);
        self.take_over(number, now, result.as_ref().ok());
        // Last: whatever a subscriber or an observer does, nobody waits for it.
        let issuer = &*self.remote.label;
        let event = match &result {
            Ok(keys) => {
                tracing::debug!(
                    target: "tower_bearer::keys",
                    issuer, keys = keys.len(), ?took, "fetched keys"
                );
                Event::KeysFetched { issuer, keys: keys.len(), left_out: keys.left_out().len(), took }
            }
            Err(error) => {
                tracing::warn!(
                    target: "tower_bearer::keys",
                    issuer, error = error as &dyn std::error::Error, ?took, "could not fetch keys"
                );
                Event::FetchFailed { issuer, kind: error.kind(), took }
            }
        };
        self.remote.observers.tell(&event);
    }

    /// Makes the keys those in use, or counts a failure; lets those go on who wait.
    fn take_over(&self, number: Option<u64>, now: Instant, keys: Option<&Arc<KeySet>>) {
        let mut refresh = lock(&self.refresh);
        if refresh.flight() != number {
            // It was given up, and another one may be under way: an older answer must not replace a newer one.
            return;
        }
        let end = match keys {
            Some(keys) => {
                refresh.succeeded(now);
                let ask_again_at = refresh.ask_again_at().unwrap_or(now);
                self.loaded.store(Some(Arc::new(Loaded { keys: keys.clone(), ask_again_at })));
                Ended::Loaded
            }
            None => {
                refresh.failed(now);
                self.publish(&refresh);
                Ended::Failed
            }
        };
        // Before the lock is released: the next fetch has other waiters.
        self.end.send_replace(end);
    }

    /// Lets requests know until when they need not ask. Called with the state locked.
    fn publish(&self, refresh: &Refresh) {
        let loaded = self.loaded.load();
        if let (Some(loaded), Some(ask_again_at)) = (loaded.as_ref(), refresh.ask_again_at())
            && loaded.ask_again_at != ask_again_at
        {
            self.loaded.store(Some(Arc::new(Loaded { keys: loaded.keys.clone(), ask_again_at })));
        }
    }
}

/// A fetch under way. Dropped without an end (its runtime was shut down, or there is none), it is a failed one, so
/// that nobody waits for it for ever.
struct InFlight {
    shared: Arc<Shared>,
    number: Option<u64>,
    since: Instant,
    ended: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.finish(self.number, self.since, Err(FetchError::new(FetchErrorKind::Runtime)));
        }
    }
}

/// One of the places for those who wait for an unknown key.
struct Seat(Arc<Shared>);

impl Seat {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.miss_waiters.fetch_add(1, Ordering::Relaxed);
        let seat = Self(shared.clone());
        (before < MAX_MISS_WAITERS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.miss_waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// None of our critical sections can panic half-way, so a poisoned lock still guards a sound value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("issuer", &self.0.remote.label).finish_non_exhaustive()
    }
}
