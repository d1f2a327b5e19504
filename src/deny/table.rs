//! [`Table`]: the denials in memory. Who looks takes no lock: each change is published as a whole.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::denial::{Claim, Denial};
use crate::sync::{ArcSwapOption, AtomicUsize, Mutex, MutexGuard, RandomState};
use crate::time::Timestamp;

#[cfg(all(test, tower_bearer_model))]
#[path = "../../tests/model/deny.rs"]
mod model;

/// So many denials are held at most. The last tenth of the room is not for single tokens, so that there is some for a denial
/// that covers more.
pub const MAX_DENIALS: usize = 100_000;

/// So many may be held for another one of this kind to be made.
pub(super) fn room_for(claim: Claim) -> usize {
    match claim {
        Claim::Token => MAX_DENIALS / 10 * 9,
        Claim::Subject | Claim::Client | Claim::Any => MAX_DENIALS,
    }
}

/// A change copies one bucket and a pointer to each: with so many of both, a full table costs the least.
const BUCKETS: usize = 256;

/// What is denied.
pub(super) struct Table {
    /// A bit for each kind of claim that some denial is about. 0 is an empty table, which costs whoever looks this load.
    claims: AtomicUsize,
    /// None until something is denied.
    index: ArcSwapOption<Index>,
    writer: Mutex<Writer>,
    /// Seeded at random, so that nobody can choose who shares a bucket.
    hasher: RandomState,
}

/// A denial in memory. Never changed, only replaced.
pub(super) struct Entry {
    denial: Denial,
    before: Option<Timestamp>,
    until: Timestamp,
    /// After how many denials by this very server it was last denied here; 0 if it comes from the shared list.
    written: u64,
    /// Whether it is in the shared list.
    shared: bool,
}

/// Each bucket is in the order of the hashes.
struct Index(Vec<Bucket>);

type Bucket = Arc<[(u64, Arc<Entry>)]>;

/// What only those need to know who change the table, one after the other.
#[derive(Default)]
struct Writer {
    held: [usize; Claim::COUNT],
    /// No denial ends before this.
    earliest: Option<Timestamp>,
    written: u64,
}

/// What a token says that could be denied.
pub(super) struct Said<'a> {
    pub(super) issuer: &'a str,
    pub(super) token_id: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
    pub(super) issued_at: Option<Timestamp>,
}

/// There is no room.
pub(super) struct Full;

impl Table {
    pub(super) fn new() -> Self {
        Self {
            claims: AtomicUsize::new(0),
            index: ArcSwapOption::empty(),
            writer: Mutex::new(Writer::default()),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.claims.load(Ordering::SeqCst) == 0
    }

    /// How many are held, with those that have ended and were not cleared away yet.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether one of them is about this token.
    pub(super) fn denies(&self, said: &Said<'_>, now: Timestamp) -> bool {
        let claims = self.claims.load(Ordering::SeqCst);
        let index = self.index.load();
        let Some(index) = index.as_ref() else { return false };
        let all = [
            (Claim::Token, said.token_id),
            (Claim::Subject, said.subject),
            (Claim::Client, said.client_id),
            (Claim::Any, Some("")),
        ];
        all.into_iter().any(|(claim, value)| {
            let Some(value) = value.filter(|_| claims & bit(claim) != 0) else { return false };
            let mut found = index.find(self.hash(said.issuer, claim, value));
            found.any(|entry| entry.is(said.issuer, claim, value) && entry.holds(said.issued_at, now))
        })
    }

    /// Denies, from the moment that this returns. Together with one of the same key the later times count. Returns what holds
    /// now, and how many times this server has denied so far.
    pub(super) fn deny(
        &self,
        denial: Denial,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(Denial, u64), Full> {
        self.change(|edit, writer| {
            edit.clear_ended(writer, now);
            let written = writer.written.saturating_add(1);
            let entry = Entry { before: denial.before(), denial, until, written, shared: false };
            let known = edit.find(&entry.denial).filter(|known| now < known.until).cloned();
            let entry = entry.with(known.as_deref());
            let denial = entry.whole();
            let room = room_for(denial.claim());
            edit.put(writer, entry, room)?;
            writer.written = written;
            Ok((denial, written))
        })
    }

    /// How many times this server has denied so far.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Takes over what the shared list says. It counts more than what is known here, but for what is not in the list yet, and
    /// for what was denied here since it was asked: `written` is what [`written`](Self::written) was then. Without room for one
    /// of them the others are taken over all the same.
    pub(super) fn take_over(
        &self,
        denials: impl Iterator<Item = (Denial, Timestamp)>,
        written: u64,
        now: Timestamp,
    ) -> Result<(), Full> {
        self.change(|edit, writer| {
            edit.clear_ended(writer, now);
            let mut taken = Ok(());
            for (denial, until) in denials {
                let known = edit.find(&denial).cloned();
                let entry = Entry { before: denial.before(), denial, until, written: 0, shared: true };
                match known {
                    // The list does not know of it yet, or may hold what it is to replace.
                    Some(newer) if !newer.shared || newer.written > written => {
                        if now < until {
                            edit.put_in_place(entry.with(Some(&newer)));
                        }
                    }
                    _ if until <= now => edit.remove(writer, &entry.denial),
                    _ => {
                        if edit.put(writer, entry, MAX_DENIALS).is_err() {
                            taken = Err(Full);
                        }
                    }
                }
            }
            taken
        })
    }

    /// The one with the same key.
    pub(super) fn known(&self, denial: &Denial) -> Option<Arc<Entry>> {
        let index = self.index.load();
        let mut found = index.as_ref()?.find(self.hash_of(denial));
        found.find(|entry| entry.denial.has_the_key_of(denial)).cloned()
    }

    /// Takes back this one, and none that has come in its place.
    pub(super) fn allow(&self, known: &Arc<Entry>) {
        self.change(|edit, writer| {
            if edit.find(&known.denial).is_some_and(|now| Arc::ptr_eq(now, known)) {
                edit.remove(writer, &known.denial);
            }
        });
    }

    /// It is in the shared list now, unless it was denied again meanwhile.
    pub(super) fn is_shared(&self, denial: &Denial, written: u64) {
        self.change(|edit, _| {
            let known = edit.find(denial).filter(|known| known.written == written).cloned();
            if let Some(known) = known {
                edit.put_in_place(Entry { shared: true, ..known.copy() });
            }
        });
    }

    /// The shared list has lost what it held.
    pub(super) fn none_is_shared(&self) {
        self.change(|edit, _| {
            for known in edit.all() {
                edit.put_in_place(Entry { shared: false, ..known.copy() });
            }
        });
    }

    /// What is not in the shared list, as far as is known, each with what [`is_shared`](Self::is_shared) needs to know.
    pub(super) fn not_shared(&self, now: Timestamp) -> Vec<(Denial, u64)> {
        let index = self.index.load();
        let all = index.iter().flat_map(|index| index.0.iter()).flat_map(|bucket| bucket.iter());
        all.filter(|(_, entry)| !entry.shared && now < entry.until)
            .map(|(_, entry)| (entry.whole(), entry.written))
            .collect()
    }

    /// One change after the other; each is seen as a whole.
    fn change<T>(&self, change: impl FnOnce(&mut Edit<'_>, &mut Writer) -> T) -> T {
        let mut writer = self.lock();
        let mut edit = Edit::begin(self);
        let result = change(&mut edit, &mut writer);
        edit.publish(&writer);
        result
    }

    fn hash(&self, issuer: &str, claim: Claim, value: &str) -> u64 {
        self.hasher.hash_one((claim, issuer, value))
    }

    fn hash_of(&self, denial: &Denial) -> u64 {
        self.hash(denial.issuer_name(), denial.claim(), denial.value())
    }

    /// None of our critical sections can panic half-way, so a poisoned lock still guards a sound value.
    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is(&self, issuer: &str, claim: Claim, value: &str) -> bool {
        self.denial.claim() == claim && self.denial.value() == value && self.denial.issuer_name() == issuer
    }

    fn holds(&self, issued_at: Option<Timestamp>, now: Timestamp) -> bool {
        let is_old = |before| issued_at.is_none_or(|iat| iat < before);
        now < self.until && self.before.is_none_or(is_old)
    }

    /// With the later of the times of both.
    fn with(self, other: Option<&Self>) -> Self {
        let Some(other) = other else { return self };
        let later = if self.before < other.before { &other.denial } else { &self.denial };
        Self {
            denial: later.clone(),
            before: self.before.max(other.before),
            until: self.until.max(other.until),
            written: self.written.max(other.written),
            shared: self.shared && other.shared,
        }
    }

    /// As it is to be written.
    fn whole(&self) -> Denial {
        self.denial.clone().until(self.until.into())
    }

    fn copy(&self) -> Self {
        Self { denial: self.denial.clone(), ..*self }
    }
}

impl Index {
    fn find(&self, hash: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let bucket = self.0.get(bucket_of(hash)).map(AsRef::as_ref).unwrap_or_default();
        run(bucket, hash)
    }
}

/// Those with this hash.
fn run(bucket: &[(u64, Arc<Entry>)], hash: u64) -> impl Iterator<Item = &Arc<Entry>> {
    let start = bucket.partition_point(|(other, _)| *other < hash);
    let rest = bucket.get(start..).unwrap_or_default();
    rest.iter().take_while(move |(other, _)| *other == hash).map(|(_, entry)| entry)
}

fn bucket_of(hash: u64) -> usize {
    usize::from(hash.to_be_bytes()[7])
}

fn bit(claim: Claim) -> usize {
    1 << claim.place()
}

/// The next state of a table, made by whoever holds the lock.
struct Edit<'a> {
    table: &'a Table,
    buckets: Vec<Bucket>,
    /// Those that were changed.
    open: HashMap<usize, Vec<(u64, Arc<Entry>)>>,
}

impl<'a> Edit<'a> {
    fn begin(table: &'a Table) -> Self {
        let now = table.index.load();
        let buckets = now.as_ref().map_or_else(|| vec![Bucket::default(); BUCKETS], |index| index.0.clone());
        Self { table, buckets, open: HashMap::new() }
    }

    /// The one with the same key.
    fn find(&self, denial: &Denial) -> Option<&Arc<Entry>> {
        let hash = self.table.hash_of(denial);
        let bucket = match self.open.get(&bucket_of(hash)) {
            Some(open) => open,
            None => self.buckets.get(bucket_of(hash)).map(AsRef::as_ref).unwrap_or_default(),
        };
        run(bucket, hash).find(|entry| entry.denial.has_the_key_of(denial))
    }

    fn open(&mut self, hash: u64) -> &mut Vec<(u64, Arc<Entry>)> {
        let bucket = self.buckets.get(bucket_of(hash)).map(AsRef::as_ref).unwrap_or_default();
        self.open.entry(bucket_of(hash)).or_insert_with(|| bucket.to_vec())
    }

    /// Takes it in, in place of one with the same key, or if there are less than so many.
    fn put(&mut self, writer: &mut Writer, entry: Entry, room: usize) -> Result<(), Full> {
        writer.earliest = Some(writer.earliest.map_or(entry.until, |earliest| earliest.min(entry.until)));
        if self.find(&entry.denial).is_some() {
            self.put_in_place(entry);
            return Ok(());
        }
        if writer.len() >= room {
            return Err(Full);
        }
        let held = writer.held.get_mut(entry.denial.claim().place());
        held.into_iter().for_each(|held| *held = held.saturating_add(1));
        let hash = self.table.hash_of(&entry.denial);
        let bucket = self.open(hash);
        let place = bucket.partition_point(|(other, _)| *other < hash);
        bucket.insert(place, (hash, Arc::new(entry)));
        Ok(())
    }

    fn put_in_place(&mut self, entry: Entry) {
        let hash = self.table.hash_of(&entry.denial);
        let mut bucket = self.open(hash).iter_mut();
        let known =
            bucket.find(|(other, known)| *other == hash && known.denial.has_the_key_of(&entry.denial));
        if let Some((_, known)) = known {
            *known = Arc::new(entry);
        }
    }

    fn remove(&mut self, writer: &mut Writer, denial: &Denial) {
        if self.find(denial).is_none() {
            return;
        }
        let held = writer.held.get_mut(denial.claim().place());
        held.into_iter().for_each(|held| *held = held.saturating_sub(1));
        let hash = self.table.hash_of(denial);
        self.open(hash).retain(|(other, known)| *other != hash || !known.denial.has_the_key_of(denial));
    }

    /// Forgets those that have ended, if it is worth looking for them.
    fn clear_ended(&mut self, writer: &mut Writer, now: Timestamp) {
        let is_full = writer.len() >= room_for(Claim::Token);
        let Some(earliest) = writer.earliest.filter(|earliest| *earliest <= now) else { return };
        // Each look is at all of them.
        if !is_full && now < earliest.plus(CLEAR_AFTER) {
            return;
        }
        for entry in self.all() {
            if entry.until <= now {
                self.remove(writer, &entry.denial);
            }
        }
        writer.earliest = self.all().iter().map(|entry| entry.until).min();
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        let buckets = self.buckets.iter().enumerate();
        let latest = buckets.map(|(place, bucket)| self.open.get(&place).map_or(&**bucket, Vec::as_slice));
        latest.flatten().map(|(_, entry)| entry.clone()).collect()
    }

    /// From here on everybody sees it.
    fn publish(mut self, writer: &Writer) {
        if self.open.is_empty() {
            return;
        }
        for (place, open) in self.open.drain() {
            if let Some(bucket) = self.buckets.get_mut(place) {
                *bucket = open.into();
            }
        }
        let places = writer.held.iter().enumerate().filter(|(_, held)| **held > 0);
        let claims = places.fold(0, |claims, (place, _)| claims | 1 << place);
        let index = (claims != 0).then(|| Arc::new(Index(self.buckets)));
        // The index first: whoever sees a bit finds what it stands for.
        self.table.index.store(index);
        self.table.claims.store(claims, Ordering::SeqCst);
    }
}

impl Writer {
    fn len(&self) -> usize {
        self.held.iter().copied().fold(0, usize::saturating_add)
    }
}

/// Ended denials are cleared away this long after the first of them has ended, or when their room is needed.
const CLEAR_AFTER: std::time::Duration = std::time::Duration::from_secs(60);
