//! Keys that are fetched: drives the state machine of `refresh`, one fetch at a time.
//!
//! A request that has its key never waits and takes no lock. A fetch runs in a task of its own, so that a client
//! that disconnects does not end it for those who wait with it.

mod load;
#[cfg(all(test, tower_bearer_model))]
#[path = "../../tests/model/flights.rs"]
mod model;
mod report;
mod restore;
mod timer;
mod told;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use self::load::{Fetched, Source};
pub(crate) use self::report::Report;
use self::timer::Timer;
use super::absent::Absent;
use super::refresh::{BACKOFF_MIN, Miss, Refresh, Roll, Supply};
use super::snapshot::Snapshot;
use crate::event::{Event, Observers, Warnings};
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchError, FetchErrorKind};
use crate::jose::{AlgorithmSet, KeySet};
use crate::sync::{ArcSwapOption, AtomicUsize, Handle, Mutex, MutexGuard, RandomState, watch};
use crate::time::Clock;

/// How long a request waits for a fetch because its key is unknown.
pub const MISS_WAIT: Duration = Duration::from_secs(2);

/// How long a request waits for the first keys: both places of discovery and one key set at their slowest.
pub const COLD_WAIT: Duration = Duration::from_secs(15);

/// So many requests with an unknown key wait for one fetch; the others are answered at once.
pub const MAX_MISS_WAITERS: usize = 256;

/// The place of a key set is looked up again after this time, and after every failed fetch.
pub const REDISCOVER_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How often somebody who demands keys lets others' fetches go first.
const DEMANDS: usize = 5;

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
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

pub(crate) enum Place {
    /// The issuer says where.
    Discovered {
        issuer: Box<str>,
    },
    Fixed(KeyUrl),
}

/// What the keys were wanted for, or what to do without them.
pub(crate) enum Available<T> {
    Ready(T),
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

/// When a fetch began that a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    /// For this request.
    Here,
    /// For another, or by the timer: maybe before the issuer published what this one needs.
    Before,
}

/// A fetch under way that a request may wait for.
pub(crate) struct Flight {
    end: watch::Receiver<Ended>,
    deadline: tokio::time::Instant,
    began: Began,
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
    timer: Mutex<Option<Timer>>,
    /// The last words about keys that were left out.
    last_report: Mutex<String>,
    /// For keys that become stale or expire.
    warnings: Warnings,
}

struct Loaded {
    keys: Arc<KeySet>,
    /// `None` for a set that was not fetched.
    source: Option<Source>,
    /// Until then a request need not ask the state machine.
    ask_again_at: Instant,
    /// Until then a key that is not in the set is unknown, without asking it: a flood of made-up key ids takes no lock.
    unknown_until: Option<Instant>,
}

/// How fetches have ended, for people.
#[derive(Default)]
struct History {
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, FetchErrorKind)>,
}

impl RemoteKeys {
    pub(crate) fn new(remote: Remote) -> Self {
        Self(Arc::new(Shared {
            warnings: Warnings::new(remote.clock.instant()),
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

    /// Whether the keys in use may be used now. Like [`keys`](Self::keys) it starts the fetch that is due.
    pub(crate) fn are_usable(&self, now: Instant) -> bool {
        let asks = |loaded: &Option<Arc<Loaded>>| loaded.as_ref().is_none_or(|l| now >= l.ask_again_at);
        !asks(&self.0.loaded.load()) || matches!(self.keys(|_| ()), Available::Ready(()))
    }

    /// Does this with the keys in use.
    pub(crate) fn keys<T>(&self, with: impl FnOnce(&Arc<KeySet>) -> T) -> Available<T> {
        let now = self.0.remote.clock.instant();
        let loaded = self.0.loaded.load();
        if let Some(loaded) = loaded.as_ref()
            && now < loaded.ask_again_at
        {
            return Available::Ready(with(&loaded.keys));
        }
        self.0.keep_time();
        let mut refresh = lock(&self.0.refresh);
        let supply = refresh.need(now);
        let flight = matches!(supply, Supply::Fetch | Supply::Join)
            .then(|| self.0.flight(COLD_WAIT, Began::Before, None));
        self.0.publish(&refresh);
        let (number, changed) = (refresh.flight(), refresh.has_changed());
        drop(refresh);
        if matches!(supply, Supply::Fetch | Supply::UseAndFetch) {
            self.0.start(number, false);
        }
        if changed {
            self.0.tell_changes();
        }
        match (supply, flight) {
            (_, Some(flight)) => Available::Wait(flight),
            (Supply::Unavailable(pause), _) => Available::Unavailable(pause),
            _ => match self.0.loaded.load().as_ref() {
                Some(loaded) => Available::Ready(with(&loaded.keys)),
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
        let is_settled = |loaded: &Arc<Loaded>| {
            Arc::ptr_eq(&loaded.keys, tried) && loaded.unknown_until.is_some_and(|until| now < until)
        };
        if self.0.loaded.load().as_ref().is_some_and(is_settled) {
            return Missed::Unknown;
        }
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
            Miss::Join => Missed::Wait(self.0.flight(MISS_WAIT, Began::Before, Some(seat))),
            Miss::Fetch => {
                let flight = self.0.flight(MISS_WAIT, Began::Here, Some(seat));
                let number = refresh.flight();
                self.0.publish(&refresh);
                drop(refresh);
                self.0.start(number, false);
                Missed::Wait(flight)
            }
            Miss::Unknown => Missed::Unknown,
            Miss::Unavailable(pause) => Missed::Unavailable(pause),
        }
    }

    /// Fetches now, whatever the schedule.
    pub(crate) async fn demand(&self) -> Ended {
        // One that is under way may have begun before the issuer did what we are to see.
        let under_way = {
            let refresh = lock(&self.0.refresh);
            refresh.flight().map(|_| self.0.flight(COLD_WAIT, Began::Before, None))
        };
        if let Some(flight) = under_way {
            flight.ended().await;
        }
        // Another may begin meanwhile; what it brings is not what was asked for.
        for _ in 0..DEMANDS {
            let (started, flight) = {
                let mut refresh = lock(&self.0.refresh);
                let started = refresh.demand(self.0.remote.clock.instant());
                let flight = self.0.flight(COLD_WAIT, Began::Here, None);
                let number = refresh.flight();
                self.0.publish(&refresh);
                drop(refresh);
                if started {
                    self.0.start(number, true);
                }
                (started, flight)
            };
            let ended = flight.ended().await;
            if started || ended == Ended::TookTooLong {
                return ended;
            }
        }
        Ended::TookTooLong
    }

    /// Never uses the keys of this name again. Says whether there are any now.
    pub(crate) fn block(&self, name: &str) -> bool {
        let mut blocked = lock(&self.0.blocked);
        if !blocked.iter().any(|known| known == name) {
            blocked.push(name.to_owned());
        }
        self.0.loaded.load().as_ref().is_some_and(|loaded| block_in(&loaded.keys, &mut blocked))
    }

    /// Whether the last fetch failed.
    pub(crate) fn is_troubled(&self) -> bool {
        lock(&self.0.refresh).is_troubled()
    }

    /// A fetch that a token waited for has not brought its key.
    pub(crate) fn is_absent(&self, kid: &str) {
        lock(&self.0.absent).insert(kid, self.0.remote.clock.instant());
    }
}

impl Flight {
    pub(crate) fn began(&self) -> Began {
        self.began
    }

    /// Waits for the fetch to end.
    ///
    /// Cancel safety: dropping the future leaves the fetch to the others.
    pub(crate) async fn ended(mut self) -> Ended {
        if Handle::try_current().is_err() {
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
    fn flight(&self, limit: Duration, began: Began, seat: Option<Seat>) -> Flight {
        let now = tokio::time::Instant::now();
        let (end, deadline) = (self.end.subscribe(), now.checked_add(limit).unwrap_or(now));
        Flight { end, deadline, began, _seat: seat }
    }

    /// Starts the fetch that the state machine has just counted as under way.
    ///
    /// `whole` asks for the set itself, and not only for what has changed.
    fn start(self: &Arc<Self>, number: Option<u64>, whole: bool) {
        let since = self.remote.clock.instant();
        let mut guard = InFlight { shared: self.clone(), number, since, ended: false };
        // Without a runtime the guard reports the failure.
        let Ok(runtime) = Handle::try_current() else { return };
        self.keep_time();
        runtime.spawn(async move {
            let result = guard.shared.load(whole).await;
            let restored = if result.is_err() { guard.shared.restore().await } else { None };
            guard.ended = true;
            guard.shared.finish(number, since, result);
            if let Some(restored) = restored {
                guard.shared.tell_restored(&restored);
            }
            guard.shared.tell_changes();
        });
    }

    /// The fetch that began at `since` has ended.
    fn finish(&self, number: Option<u64>, since: Instant, result: Result<Fetched, FetchError>) {
        let now = self.remote.clock.instant();
        let took = now.saturating_duration_since(since);
        let result = match self.take_over(number, now, self.remote.clock.now(), &result) {
            true => result,
            // It was given up, and another one may be under way: an older answer must not replace a newer one.
            false => Err(FetchError::new(FetchErrorKind::Runtime)),
        };
        // Last: whatever a subscriber or an observer does, nobody waits for it.
        let issuer = &*self.remote.label;
        let event = match &result {
            Ok(Fetched { keys, .. }) => {
                self.report_left_out(keys);
                tracing::debug!(
                    target: "tower_bearer::keys",
                    issuer, keys = keys.len(), ?took, "fetched keys"
                );
                Event::KeysFetched { issuer, keys: keys.len(), left_out: keys.left_out_count(), took }
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

    /// Makes the keys those in use, or counts a failure; lets those go on who wait. Says whether the result counts.
    fn take_over(
        &self,
        number: Option<u64>,
        now: Instant,
        time_of_day: SystemTime,
        result: &Result<Fetched, FetchError>,
    ) -> bool {
        // Held until the keys are in use: whoever blocks one finds it in the old set or in the new one.
        let mut blocked = lock(&self.blocked);
        let mut refresh = lock(&self.refresh);
        if refresh.flight() != number {
            return false;
        }
        let end = match result {
            Ok(fetched @ Fetched { keys, source, freshness }) => {
                block_in(keys, &mut blocked);
                refresh.succeeded(now, *freshness, roll());
                let ask_again_at = refresh.ask_again_at().unwrap_or(now);
                let (keys, source) = (keys.clone(), source.clone());
                *lock(&self.discovered) = Some((source.url.clone(), source.found_at));
                if let Some(loaded) = &*self.loaded.load() {
                    loaded.keys.is_replaced_by(&keys);
                }
                let unknown_until = refresh.unknown_until();
                let source = Some(source);
                self.loaded.store(Some(Arc::new(Loaded { keys, source, ask_again_at, unknown_until })));
                lock(&self.history).last_success = Some(time_of_day);
                self.keep(fetched, time_of_day);
                Ended::Loaded
            }
            Err(error) => {
                refresh.failed(now, error.retry_after(), roll());
                self.publish(&refresh);
                *lock(&self.discovered) = None;
                lock(&self.history).last_error = Some((time_of_day, error.kind()));
                Ended::Failed
            }
        };
        // Before the lock is released: the next fetch has other waiters.
        self.end.send_replace(end);
        true
    }

    /// Lets requests know until when they need not ask. Called with the state locked, whenever a fetch starts or ends.
    fn publish(&self, refresh: &Refresh) {
        let loaded = self.loaded.load();
        let unknown_until = refresh.unknown_until();
        if let (Some(loaded), Some(ask_again_at)) = (loaded.as_ref(), refresh.ask_again_at())
            && (loaded.ask_again_at, loaded.unknown_until) != (ask_again_at, unknown_until)
        {
            let (keys, source) = (loaded.keys.clone(), loaded.source.clone());
            self.loaded.store(Some(Arc::new(Loaded { keys, source, ask_again_at, unknown_until })));
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
            let failed = Err(FetchError::new(FetchErrorKind::Runtime));
            self.shared.finish(self.number, self.since, failed);
            self.shared.tell_changes();
        }
    }
}

/// Blocks the keys of these names, and remembers their thumbprints: the same key must not come back under another name.
/// Says whether there are any.
fn block_in(keys: &KeySet, names: &mut Vec<String>) -> bool {
    let found: Vec<_> = names.iter().flat_map(|name| keys.block(name)).collect();
    let any = !found.is_empty();
    for thumbprint in found {
        if !names.contains(&thumbprint) {
            names.push(thumbprint);
        }
    }
    any
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
