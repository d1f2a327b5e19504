//! The last good key set of one issuer in a file, for a start while the issuer cannot be reached.
//!
//! It is written after fetches, and read when the first one has failed. Both are done by threads for blocking work, one
//! at a time: a volume that hangs holds one of them and no more.

mod file;

use std::borrow::Cow;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::refresh::STALE_FOR;
use crate::fetch::guard::KeyUrl;
use crate::jose::{AlgorithmSet, KeySet};
use crate::time::Clock;

/// Keys that were fetched longer ago are not taken from a snapshot, and those that were taken are used no longer.
pub const MAX_SNAPSHOT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A set that has not changed is written again after this time, so that the file says how old it is.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// A snapshot of more bytes than this is not read.
pub const MAX_SNAPSHOT_LENGTH: usize = 512 * 1024;

/// The file of one issuer.
pub(crate) struct Snapshot {
    settings: Settings,
    work: Mutex<Work>,
}

/// Which file, and what must be in it.
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) label: Box<str>,
    pub(crate) iss: Option<Box<str>>,
    /// The configured JWKS URL, or [`DISCOVERY`].
    pub(crate) key_source: Box<str>,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) leeway: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The key source of an issuer that says itself where its keys are.
pub(crate) const DISCOVERY: &str = "discovery";

#[derive(Default)]
struct Work {
    /// Somebody reads or writes.
    busy: bool,
    /// What is to be written.
    next: Option<Good>,
    /// What was written last, without its time, and when that was.
    written: Option<(Value, Instant)>,
    last_fault: Option<String>,
}

/// A set that was fetched.
pub(super) struct Good {
    pub(super) keys: Arc<KeySet>,
    pub(super) url: KeyUrl,
    /// For how long the issuer lets it be used past its freshness.
    pub(super) stale_for: Duration,
    pub(super) at: SystemTime,
}

/// A set from the file.
pub(super) struct Restored {
    pub(super) keys: Arc<KeySet>,
    pub(super) age: Duration,
    pub(super) usable_for: Duration,
}

/// The file. Its version comes first, and is read alone first.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    issuer: Cow<'a, str>,
    #[serde(borrow)]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key_source: Cow<'a, str>,
    /// Seconds since 1970.
    fetched_at: u64,
    /// Seconds.
    stale_for: u64,
    #[serde(borrow)]
    jwks: &'a RawValue,
}

/// What can be said of a file in which only the version is understood.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

const VERSION: u64 = 1;

/// Why a file is not used.
type Refused = Cow<'static, str>;

impl Snapshot {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, work: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Writes this set before long, unless it is what is there. Nobody waits for it.
    pub(super) fn keep(self: &Arc<Self>, good: Good) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let busy = {
            let mut work = lock(&self.work);
            work.next = Some(good);
            work.busy
        };
        if !busy {
            runtime.spawn(self.clone().write_what_is_there());
        }
    }

    /// The set in the file, if it may be used.
    pub(super) async fn restore(self: &Arc<Self>) -> Option<Restored> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let turn = Turn::take(&this)?;
            let read = this.read();
            drop(turn);
            // A set may have come in meanwhile, whose writer has gone.
            if lock(&this.work).next.is_some() {
                tokio::runtime::Handle::current().spawn(this.clone().write_what_is_there());
            }
            Some(read)
        });
        let read = read.await.ok()??;
        self.say(read.as_ref().err().map(|why| format!("the snapshot of keys is not used: {why}")));
        read.ok()
    }

    async fn write_what_is_there(self: Arc<Self>) {
        loop {
            // Whoever has the turn looks again after it.
            let Some(turn) = Turn::take(&self) else { return };
            let next = lock(&self.work).next.take();
            if let Some(good) = next {
                let this = self.clone();
                let written = tokio::task::spawn_blocking(move || this.write(&good)).await;
                let fault = written.unwrap_or_else(|ended| Err(ended.into())).err();
                self.say(fault.map(|why| format!("the snapshot of keys cannot be written: {why}")));
            }
            drop(turn);
            if lock(&self.work).next.is_none() {
                return;
            }
        }
    }

    fn write(&self, good: &Good) -> io::Result<()> {
        let now = self.settings.clock.instant();
        let content = self.content(good);
        let is_there = lock(&self.work).written.as_ref().is_some_and(|(written, at)| {
            *written == content && now.saturating_duration_since(*at) < SNAPSHOT_INTERVAL
        });
        if is_there {
            return Ok(());
        }
        let at = good.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut document = content.clone();
        if let Value::Object(members) = &mut document {
            members.insert("fetched_at".to_owned(), at.into());
        }
        file::replace(&self.settings.path, document.to_string().as_bytes())?;
        lock(&self.work).written = Some((content, now));
        Ok(())
    }

    /// All but the time. The set is made of what was imported: nothing private or unknown, whatever was published.
    fn content(&self, good: &Good) -> Value {
        json!({
            "version": VERSION,
            "issuer": self.settings.label,
            "iss": self.settings.iss,
            "key_source": self.settings.key_source,
            "jwks_uri": good.url.as_str(),
            "stale_for": good.stale_for.as_secs(),
            "jwks": good.keys.to_jwks(),
        })
    }

    fn read(&self) -> Result<Restored, Refused> {
        let content = file::read(&self.settings.path, MAX_SNAPSHOT_LENGTH)?;
        let Versioned { version } = serde_json::from_slice(&content).map_err(|_| "it is no snapshot")?;
        if version != VERSION {
            return Err("it is of another version".into());
        }
        let document: Document<'_> = serde_json::from_slice(&content).map_err(|_| "it is no snapshot")?;
        let ours = &self.settings;
        if document.issuer != *ours.label || document.iss.as_deref() != ours.iss.as_deref() {
            return Err("it is of another issuer".into());
        }
        if document.key_source != *ours.key_source {
            return Err("its keys came from another place".into());
        }
        let age = self.age(document.fetched_at)?;
        let rest = MAX_SNAPSHOT_AGE.saturating_sub(age);
        if rest.is_zero() {
            return Err("it is too old".into());
        }
        let stale_for = Duration::from_secs(document.stale_for).min(STALE_FOR);
        if stale_for.is_zero() {
            return Err("the issuer lets nobody use stale keys".into());
        }
        let keys = KeySet::from_jwks(document.jwks.get().as_bytes(), ours.algorithms)
            .map_err(|_| "it holds no JWK Set")?;
        if keys.is_empty() {
            return Err("it holds no usable key".into());
        }
        Ok(Restored { keys: Arc::new(keys), age, usable_for: stale_for.min(rest) })
    }

    /// By the time of day: no other clock goes on while nobody runs.
    fn age(&self, fetched_at: u64) -> Result<Duration, Refused> {
        let now = self.settings.clock.now();
        let fetched_at =
            UNIX_EPOCH.checked_add(Duration::from_secs(fetched_at)).ok_or("it is no snapshot")?;
        match now.duration_since(fetched_at) {
            Ok(age) => Ok(age),
            Err(ahead) if ahead.duration() <= self.settings.leeway => Ok(Duration::ZERO),
            Err(_) => Err("it is from the future".into()),
        }
    }

    /// Says what is wrong, when that has changed.
    fn say(&self, fault: Option<String>) {
        let changed = {
            let mut work = lock(&self.work);
            let changed = work.last_fault != fault;
            work.last_fault.clone_from(&fault);
            changed
        };
        if let Some(fault) = fault.filter(|_| changed) {
            tracing::warn!(
                target: "tower_bearer::keys",
                issuer = &*self.settings.label, path = %self.settings.path.display(), "{fault}"
            );
        }
    }
}

/// The right to read or write.
struct Turn<'a>(&'a Snapshot);

impl<'a> Turn<'a> {
    fn take(snapshot: &'a Snapshot) -> Option<Self> {
        let taken = mem::replace(&mut lock(&snapshot.work).busy, true);
        (!taken).then_some(Self(snapshot))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.work).busy = false;
    }
}

/// None of our critical sections can panic half-way, so a poisoned lock still guards a sound value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
