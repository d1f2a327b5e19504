//! [`Fleet`]: keeps the denials of this server in step with those of a shared list.
//!
//! A task asks the list every second for what is new. It is started when it is first needed, holds the fleet weakly, and
//! ends with its last owner or with its runtime; then the next request that finds the memory stale starts another.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use super::denial::Denial;
use super::list::{Changes, Denylist, DenylistError, DenylistErrorKind, DenylistFuture, Mark};
use super::table::Table;
use crate::event::{DenylistState, Event, Observers, Warnings};
use crate::sync::{AbortHandle, AtomicBool, Handle, Mutex, MutexGuard, watch};
use crate::time::Clock;

/// How often a shared denylist is asked for what is new.
pub const DENYLIST_INTERVAL: Duration = Duration::from_secs(1);

/// How long one answer of a shared denylist may take.
pub const DENYLIST_TIMEOUT: Duration = Duration::from_secs(2);

/// What was read of a shared denylist is good for so long.
pub const DENYLIST_STALE_AFTER: Duration = Duration::from_secs(5);

/// A list that always has more is none.
const MAX_PAGES: usize = 10_000;

/// A task that was not seen for so long lives in a runtime that nobody drives: it is seen between any two waits. Less than
/// [`DENYLIST_STALE_AFTER`], so that another has begun when the first request needs it.
const LATE: Duration = Duration::from_secs(3);

pub(crate) struct Fleet {
    list: Arc<dyn Denylist>,
    table: Arc<Table>,
    issuers: Arc<[Box<str>]>,
    clock: Arc<dyn Clock>,
    observers: Observers,
    /// For a list that cannot be read or written.
    warnings: Warnings,
    start: Instant,
    /// When what we know was still all that there was: milliseconds after `start`, and one more; 0 for never.
    current_at: AtomicU64,
    /// The last try has failed.
    troubled: AtomicBool,
    /// Something may not be in the list that should be.
    owes: AtomicBool,
    ended: watch::Sender<()>,
    mark: Mutex<Option<Mark>>,
    task: Mutex<Option<Task>>,
    history: Mutex<History>,
}

struct Task {
    handle: AbortHandle,
    /// When it was last seen awake.
    seen: Instant,
}

struct History {
    told: DenylistState,
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, DenylistErrorKind)>,
}

/// Whether the memory is all that there is to know.
pub(crate) enum Asked {
    InStep,
    Wait(Flight),
    Lost,
}

/// A reading of the list that a request may wait for.
pub(crate) struct Flight(watch::Receiver<()>);

/// Where a shared list is in its life, for people.
pub(crate) struct Report {
    pub(crate) state: DenylistState,
    pub(crate) last_success: Option<SystemTime>,
    pub(crate) last_error: Option<(SystemTime, DenylistErrorKind)>,
}

impl Fleet {
    pub(super) fn new(
        list: Arc<dyn Denylist>,
        table: Arc<Table>,
        issuers: Arc<[Box<str>]>,
        clock: Arc<dyn Clock>,
        observers: Observers,
    ) -> Self {
        let start = clock.instant();
        let history = History { told: DenylistState::Cold, last_success: None, last_error: None };
        Self {
            list,
            table,
            issuers,
            clock,
            observers,
            warnings: Warnings::new(start),
            start,
            current_at: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            owes: AtomicBool::new(false),
            ended: watch::Sender::new(()),
            mark: Mutex::new(None),
            task: Mutex::new(None),
            history: Mutex::new(history),
        }
    }

    /// On the path of every request: while all is well, two loads and a look at the clock.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        if self.state() == DenylistState::Current {
            return Asked::InStep;
        }
        self.keep_reading();
        // Before looking again: whatever ends from here on is not missed.
        let flight = Flight(self.ended.subscribe());
        match self.state() {
            DenylistState::Current => Asked::InStep,
            _ if self.troubled.load(Ordering::SeqCst) => Asked::Lost,
            _ => Asked::Wait(flight),
        }
    }

    fn state(&self) -> DenylistState {
        let current_at = self.current_at.load(Ordering::SeqCst);
        let Some(at) = current_at.checked_sub(1) else { return DenylistState::Cold };
        let age = self.clock.instant().saturating_duration_since(self.start);
        if age.saturating_sub(Duration::from_millis(at)) < DENYLIST_STALE_AFTER {
            DenylistState::Current
        } else {
            DenylistState::Stale
        }
    }

    /// Writes a denial, which holds here already.
    pub(super) async fn add(self: &Arc<Self>, denial: Denial, written: u64) -> Result<(), DenylistError> {
        // Before anything can be dropped: what is not written now is written by the task.
        self.owes.store(true, Ordering::SeqCst);
        self.keep_reading();
        let added = within(|| self.list.add(denial.clone())).await;
        match &added {
            Ok(()) => self.table.is_shared(&denial, written),
            Err(error) => self.warn(error, "could not write the shared denylist"),
        }
        added
    }

    pub(super) async fn remove(self: &Arc<Self>, denial: Denial) -> Result<(), DenylistError> {
        self.keep_reading();
        let removed = within(|| self.list.remove(denial)).await;
        if let Err(error) = &removed {
            self.warn(error, "could not write the shared denylist");
        }
        removed
    }

    /// Starts the task if none runs.
    fn keep_reading(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let now = self.clock.instant();
        let mut task = lock(&self.task);
        let runs =
            |task: &Task| !task.handle.is_finished() && now.saturating_duration_since(task.seen) < LATE;
        if task.as_ref().is_some_and(runs) {
            return;
        }
        self.troubled.store(false, Ordering::SeqCst);
        // The one before may have ended while it wrote.
        self.owes.store(true, Ordering::SeqCst);
        let handle = runtime.spawn(keep_time(Arc::downgrade(self))).abort_handle();
        if let Some(Task { handle: lost, .. }) = task.replace(Task { handle, seen: now }) {
            lost.abort();
        }
    }

    fn is_awake(&self) {
        if let Some(task) = &mut *lock(&self.task) {
            task.seen = self.clock.instant();
        }
    }

    /// Takes over one answer.
    fn take_over(&self, changes: Changes, asked: &Question) -> Page {
        let Changes { denials, mark, more, lost } = changes;
        if lost && asked.mark.is_some() {
            self.table.none_is_shared();
            self.owes.store(true, Ordering::SeqCst);
        }
        // Servers of a fleet may trust others than we do.
        let ours = denials.into_iter().filter(|denial| {
            denial.fault().is_none() && self.issuers.iter().any(|name| **name == *denial.issuer_name())
        });
        let timed = ours.filter_map(|denial| Some((denial.ends_at()?.into(), denial)));
        let timed = timed.map(|(until, denial)| (denial, until));
        let taken = self.table.take_over(timed, asked.written, self.clock.now().into());
        // Also if there is no room: what comes later may make some.
        *lock(&self.mark) = Some(mark);
        Page { more, fits: taken.is_ok() }
    }

    /// The list was read to its end. What is known is all that there was when the last question was asked.
    fn is_current(&self, asked_at: Instant) {
        let after = asked_at.saturating_duration_since(self.start);
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.current_at.store(millis.saturating_add(1), Ordering::SeqCst);
        self.troubled.store(false, Ordering::SeqCst);
        lock(&self.history).last_success = Some(self.clock.now());
        self.ended.send_replace(());
        self.tell();
    }

    fn has_failed(&self, error: &DenylistError) {
        self.troubled.store(true, Ordering::SeqCst);
        lock(&self.history).last_error = Some((self.clock.now(), error.kind()));
        self.ended.send_replace(());
        self.warn(error, "could not read the shared denylist");
        self.tell();
    }

    /// Tells a change of state once. Nothing is locked meanwhile.
    fn tell(&self) {
        let to = self.state();
        let from = std::mem::replace(&mut lock(&self.history).told, to);
        if from == to {
            return;
        }
        let (from_name, to_name) = (from.name(), to.name());
        match to {
            DenylistState::Stale => tracing::warn!(
                target: "tower_bearer::deny",
                from = from_name, to = to_name, "the state of the shared denylist changed"
            ),
            _ => tracing::info!(
                target: "tower_bearer::deny",
                from = from_name, to = to_name, "the state of the shared denylist changed"
            ),
        }
        self.observers.tell(&Event::DenylistStateChanged { from, to });
    }

    fn warn(&self, error: &DenylistError, what: &'static str) {
        let error = error as &dyn std::error::Error;
        match self.warnings.pass(self.clock.instant()) {
            Some(held_back) => {
                tracing::warn!(target: "tower_bearer::deny", error, held_back, "{what}");
            }
            None => tracing::debug!(target: "tower_bearer::deny", error, "{what}"),
        }
    }

    /// Whoever asks keeps the reading alive that was begun: a server that is not ready may get no requests.
    pub(super) fn report(self: &Arc<Self>) -> Report {
        let was_begun = lock(&self.task).is_some();
        if was_begun {
            self.keep_reading();
        }
        let state = self.state();
        let History { last_success, last_error, .. } = *lock(&self.history);
        Report { state, last_success, last_error }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(task) = &*lock(&self.task) {
            task.handle.abort();
        }
    }
}

impl Flight {
    /// Waits until the list was read or could not be.
    ///
    /// Cancel safety: dropping the future leaves the reading to the others.
    pub(crate) async fn ended(mut self) {
        if Handle::try_current().is_ok() {
            // In vain or not: whoever waited looks again.
            let _ = tokio::time::timeout(DENYLIST_TIMEOUT, self.0.changed()).await;
        }
    }
}

/// What the list is asked next, and what is known when it is.
struct Question {
    mark: Option<Mark>,
    written: u64,
    at: Instant,
}

/// Keeps in step until nobody needs it any more. The fleet is held only between waits.
async fn keep_time(fleet: Weak<Fleet>) {
    loop {
        // Whatever a clock's sleep does, others have their turn.
        tokio::task::yield_now().await;
        let Some(began) = fleet.upgrade().map(|alive| alive.clock.instant()) else { return };
        let result = read(&fleet).await;
        let Some(alive) = fleet.upgrade() else { return };
        alive.is_awake();
        match result {
            Ok(at) => alive.is_current(at),
            Err(error) => alive.has_failed(&error),
        }
        let clock = alive.clock.clone();
        drop(alive);
        if let Some(written) = write(&fleet).await
            && let (Err(error), Some(alive)) = (written, fleet.upgrade())
        {
            alive.warn(&error, "could not write the shared denylist");
        }
        clock.sleep_until(began.checked_add(DENYLIST_INTERVAL).unwrap_or(began)).await;
    }
}

/// What came of one answer.
struct Page {
    more: bool,
    /// There was room for all of it.
    fits: bool,
}

/// Reads the list to its end. Returns when the last question was asked. If something has found no room, the next reading
/// begins anew: what was left out is read again.
async fn read(fleet: &Weak<Fleet>) -> Result<Instant, DenylistError> {
    let mut fits = true;
    for _ in 0..MAX_PAGES {
        let gone = || DenylistError::new(DenylistErrorKind::Runtime);
        let (list, question) = {
            let alive = fleet.upgrade().ok_or_else(gone)?;
            alive.is_awake();
            let mark = lock(&alive.mark).clone();
            let question = Question { mark, written: alive.table.written(), at: alive.clock.instant() };
            (alive.list.clone(), question)
        };
        let changes = within(|| list.changes(question.mark.clone())).await?;
        let alive = fleet.upgrade().ok_or_else(gone)?;
        let page = alive.take_over(changes, &question);
        fits &= page.fits;
        if !page.more && fits {
            return Ok(question.at);
        }
        if !page.more {
            *lock(&alive.mark) = None;
            return Err(DenylistError::new(DenylistErrorKind::Full));
        }
    }
    Err(DenylistError::data())
}

/// Writes what should be in the list and may not be. `None` if there is nothing to do.
async fn write(fleet: &Weak<Fleet>) -> Option<Result<(), DenylistError>> {
    let (list, owed) = {
        let alive = fleet.upgrade()?;
        if !alive.owes.swap(false, Ordering::SeqCst) {
            return None;
        }
        (alive.list.clone(), alive.table.not_shared(alive.clock.now().into()))
    };
    let began = tokio::time::Instant::now();
    let mut failed = None;
    for (denial, written) in owed {
        // The next reading must not wait for long.
        if began.elapsed() > DENYLIST_INTERVAL {
            fleet.upgrade()?.owes.store(true, Ordering::SeqCst);
            break;
        }
        let added = within(|| list.add(denial.clone())).await;
        let alive = fleet.upgrade()?;
        alive.is_awake();
        match added {
            Ok(()) => alive.table.is_shared(&denial, written),
            Err(error) => {
                alive.owes.store(true, Ordering::SeqCst);
                let is_about_this_one = matches!(
                    error.kind(),
                    DenylistErrorKind::Refused | DenylistErrorKind::Data | DenylistErrorKind::Full
                );
                failed = Some(error);
                if !is_about_this_one {
                    break;
                }
            }
        }
    }
    Some(failed.map_or(Ok(()), Err))
}

/// An answer within its time. Nothing is asked where no runtime would drive it.
async fn within<T>(ask: impl FnOnce() -> DenylistFuture<T>) -> Result<T, DenylistError> {
    if Handle::try_current().is_err() {
        return Err(DenylistError::new(DenylistErrorKind::Runtime));
    }
    let answer = tokio::time::timeout(DENYLIST_TIMEOUT, caught(ask)).await;
    answer.unwrap_or_else(|_| Err(DenylistError::new(DenylistErrorKind::Timeout)))
}

/// A list that panics has failed once, and is asked again: nobody else would do so.
async fn caught<T>(ask: impl FnOnce() -> DenylistFuture<T>) -> Result<T, DenylistError> {
    let failed = || DenylistError::new(DenylistErrorKind::Refused);
    // What it was about to do is dropped with it, and nothing of ours is.
    let mut answer = catch_unwind(AssertUnwindSafe(ask)).map_err(|_| failed())?;
    let poll = |context: &mut Context<'_>| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(failed())))
    };
    poll_fn(poll).await
}

/// None of our critical sections can panic half-way, so a poisoned lock still guards a sound value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
