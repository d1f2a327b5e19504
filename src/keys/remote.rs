//! Keys that are fetched: drives the state machine of `refresh`, one fetch at a time.
//!
//! A request that has its key never waits and takes no lock. A fetch runs in a task of its own, so that a client
//! that disconnects does not end it for those who wait with it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use http::header::ETAG;
use http::{HeaderValue, StatusCode};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::absent::Absent;
use super::caching::{freshness, retry_after};
use super::discovery::discover;
use super::refresh::{BACKOFF_MIN, Freshness, Miss, Phase, Refresh, Roll, Supply};
use crate::event::{Event, Observers};
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchRequest, bounded};
use crate::jose::{self, AlgorithmSet, KeySet};
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
    absent: Mutex<Absent>,
    /// Names of keys that must not be used.
    blocked: Mutex<Vec<String>>,
    history: Mutex<History>,
    timer: Mutex<Option<AbortHandle>>,
    /// The last words about keys that were left out.
    last_report: Mutex<String>,
}

struct Loaded {
    keys: Arc<KeySet>,
    version: Option<Version>,
    /// Until then a request need not ask the state machine.
    ask_again_at: Instant,
}

/// How fetches have ended, for people.
#[derive(Default)]
struct History {
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, FetchErrorKind)>,
}

/// Where the keys of an issuer are in their life, for people.
pub(crate) struct Report {
    pub(crate) phase: Phase,
    pub(crate) keys: usize,
    pub(crate) left_out: Vec<(usize, &'static str)>,
    pub(crate) last_success: Option<SystemTime>,
    pub(crate) last_error: Option<(SystemTime, FetchErrorKind)>,
    pub(crate) stale_for: Option<Duration>,
    pub(crate) next_refresh: Option<Duration>,
}

/// Which version of which document a set was read from.
#[derive(Clone)]
struct Version {
    url: KeyUrl,
    etag: HeaderValue,
}

/// What a fetch has brought.
struct Fetched {
    keys: Arc<KeySet>,
    version: Option<Version>,
    freshness: Freshness,
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
            absent: Mutex::default(),
            blocked: Mutex::default(),
            history: Mutex::default(),
            timer: Mutex::default(),
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
    pub(crate) fn miss(&self, tried: &Arc<KeySet>, kid: Option<&str>) -> Missed {
        let now = self.0.remote.clock.instant();
        if kid.is_some_and(|kid| lock(&self.0.absent).contains(kid, now))
            && !lock(&self.0.refresh).is_troubled()
        {
            return Missed::Unknown;
        }
        let Some(seat) = Seat::take(&self.0) else { return Missed::Unavailable(MISS_WAIT) };
        let mut refresh = lock(&self.0.refresh);
        if !self.0.loaded.load().as_ref().is_some_and(|loaded| Arc::ptr_eq(&loaded.keys, tried)) {
            return Missed::Newer;
        }
        match refresh.miss(now) {
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

impl RemoteKeys {
    /// Fetches now, whatever the schedule.
    pub(crate) fn demand(&self) -> Flight {
        let mut refresh = lock(&self.0.refresh);
        let start = refresh.demand(self.0.remote.clock.instant());
        let flight = self.0.flight(COLD_WAIT, None);
        let number = refresh.flight();
        drop(refresh);
        if start {
            self.0.start(number);
        }
        flight
    }

    /// Never uses the keys of this name again. Says whether there are any now.
    pub(crate) fn block(&self, name: &str) -> bool {
        // Remembered first, so that a set that comes in now is not missed.
        lock(&self.0.blocked).push(name.to_owned());
        self.0.loaded.load().as_ref().is_some_and(|loaded| loaded.keys.block(name))
    }

    pub(crate) fn report(&self) -> Report {
        let now = self.0.remote.clock.instant();
        let refresh = lock(&self.0.refresh);
        let phase = refresh.phase(now);
        let wake_at = refresh.wake_at(now);
        let in_flight = refresh.flight().is_some();
        drop(refresh);
        let loaded =
            self.0.loaded.load_full().filter(|_| matches!(phase, Phase::Fresh | Phase::Stale { .. }));
        let keys = loaded.map(|loaded| jose::Keys::Public(loaded.keys.clone()));
        let History { last_success, last_error } = *lock(&self.0.history);
        Report {
            phase,
            keys: keys.as_ref().map_or(0, jose::Keys::len),
            left_out: keys.as_ref().map(jose::Keys::left_out).unwrap_or_default(),
            last_success,
            last_error,
            stale_for: match phase {
                Phase::Stale { until } => Some(until.saturating_duration_since(now)),
                _ => None,
            },
            next_refresh: wake_at
                .map(|at| if in_flight { Duration::ZERO } else { at.saturating_duration_since(now) }),
        }
    }

    /// A fetch that a token waited for has not brought its key.
    pub(crate) fn is_absent(&self, kid: &str) {
        lock(&self.0.absent).insert(kid, self.0.remote.clock.instant());
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
        self.keep_time(&runtime);
        runtime.spawn(async move {
            let result = guard.shared.load().await;
            guard.ended = true;
            guard.shared.finish(number, since, &result);
        });
    }

    /// Starts the timer, if none runs: from the first fetch on, keys are refreshed whether requests come or not.
    fn keep_time(self: &Arc<Self>, runtime: &tokio::runtime::Handle) {
        let mut timer = lock(&self.timer);
        if timer.as_ref().is_none_or(AbortHandle::is_finished) {
            let task = runtime.spawn(keep_time(Arc::downgrade(self), self.end.subscribe()));
            *timer = Some(task.abort_handle());
        }
    }

    /// Starts what is due, and says for how long nothing will be.
    fn on_time(self: &Arc<Self>, now: Instant) -> Duration {
        let mut refresh = lock(&self.refresh);
        let due = refresh.tick(now);
        if due {
            self.publish(&refresh);
        }
        let number = refresh.flight();
        let wake_at = refresh.wake_at(now);
        drop(refresh);
        if due {
            self.start(number);
        }
        wake_at.map_or(Duration::MAX, |at| at.saturating_duration_since(now))
    }

    async fn load(&self) -> Result<Fetched, FetchError> {
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

    async fn load_from(&self, url: &KeyUrl) -> Result<Fetched, FetchError> {
        let request = FetchRequest::new(url.as_str(), "application/jwk-set+json, application/json");
        let ours = self.loaded.load_full().and_then(|loaded| {
            let version = loaded.version.clone().filter(|version| version.url == *url)?;
            Some((loaded.keys.clone(), version))
        });
        let request = match &ours {
            Some((_, version)) => request.if_none_match(version.etag.clone()),
            None => request,
        };
        let response = bounded(&*self.remote.fetch, request).await?;
        let freshness = freshness(response.headers());
        match (response.status(), ours) {
            (StatusCode::OK, _) => {}
            // RFC 9110 §15.4.5: ours is the current one. The headers are those of the new answer.
            (StatusCode::NOT_MODIFIED, Some((keys, version))) => {
                return Ok(Fetched { keys, version: Some(version), freshness });
            }
            _ => {
                let pause = retry_after(response.headers());
                return Err(FetchError::new(FetchErrorKind::Status).after(pause));
            }
        }
        let keys = KeySet::from_jwks(response.body(), self.remote.algorithms)
            .map_err(|_| FetchError::new(FetchErrorKind::Document))?;
        self.report_left_out(&keys);
        // Also after a good set: an issuer that publishes nothing has a fault, and has not withdrawn everything.
        if keys.is_empty() {
            return Err(FetchError::new(FetchErrorKind::NoUsableKey));
        }
        let etag = response.headers().get(ETAG).cloned();
        let version = etag.map(|etag| Version { url: url.clone(), etag });
        Ok(Fetched { keys: Arc::new(keys), version, freshness })
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
    fn finish(&self, number: Option<u64>, since: Instant, result: &Result<Fetched, FetchError>) {
        let now = self.remote.clock.instant();
        let took = now.saturating_duration_since(since);
        self.block_in(result);
        self.take_over(number, now, result);
        // Again, for a name that came in between: whoever names one looks at the set in use afterwards.
        self.block_in(result);
        self.remember(result);
        // Last: whatever a subscriber or an observer does, nobody waits for it.
        let issuer = &*self.remote.label;
        let event = match result {
            Ok(Fetched { keys, .. }) => {
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

    fn block_in(&self, result: &Result<Fetched, FetchError>) {
        if let Ok(fetched) = result {
            for name in &*lock(&self.blocked) {
                fetched.keys.block(name);
            }
        }
    }

    fn remember(&self, result: &Result<Fetched, FetchError>) {
        let now = self.remote.clock.now();
        let mut history = lock(&self.history);
        match result {
            Ok(_) => history.last_success = Some(now),
            Err(error) => history.last_error = Some((now, error.kind())),
        }
    }

    /// Makes the keys those in use, or counts a failure; lets those go on who wait.
    fn take_over(&self, number: Option<u64>, now: Instant, result: &Result<Fetched, FetchError>) {
        let mut refresh = lock(&self.refresh);
        if refresh.flight() != number {
            // It was given up, and another one may be under way: an older answer must not replace a newer one.
            return;
        }
        let end = match result {
            Ok(Fetched { keys, version, freshness }) => {
                refresh.succeeded(now, *freshness, roll());
                let ask_again_at = refresh.ask_again_at().unwrap_or(now);
                let (keys, version) = (keys.clone(), version.clone());
                self.loaded.store(Some(Arc::new(Loaded { keys, version, ask_again_at })));
                Ended::Loaded
            }
            Err(error) => {
                refresh.failed(now, error.retry_after(), roll());
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
            let (keys, version) = (loaded.keys.clone(), loaded.version.clone());
            self.loaded.store(Some(Arc::new(Loaded { keys, version, ask_again_at })));
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
            self.shared.finish(self.number, self.since, &Err(FetchError::new(FetchErrorKind::Runtime)));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(timer) = &*lock(&self.timer) {
            timer.abort();
        }
    }
}

/// Refreshes keys when it is time, until nobody uses them any more. It holds them only while it is awake.
async fn keep_time(shared: Weak<Shared>, mut ended: watch::Receiver<Ended>) {
    while let Some(alive) = shared.upgrade() {
        let clock = alive.remote.clock.clone();
        let pause = alive.on_time(clock.instant());
        drop(alive);
        tokio::select! {
            () = clock.sleep(pause) => {}
            // Somebody's fetch has changed what there is to wait for.
            changed = ended.changed() => if changed.is_err() { return },
        }
    }
}

/// From the operating system, by way of the standard library's hash seeds.
fn roll() -> Roll {
    let random = RandomState::new().hash_one(());
    Roll(u32::try_from(random >> 32).unwrap_or_default())
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
