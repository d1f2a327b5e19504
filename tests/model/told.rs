//! What observers are told of an issuer's key state, by whoever notices or makes a change: each change once, in order, by one
//! at a time. `Shared::tell_changes` and those who call it, as they are.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::super::model::{Publishes, Told, demand, observed, timer, with};
use super::super::{RemoteKeys, Shared, lock};
use crate::event::{Event, KeyState, Observers};
use crate::keys::refresh::{FRESH_FOR, STALE_FOR};
use crate::sync::{Runtime, explore, never, thread};

/// An observer who asks for the health of what it is told of, and may panic then.
#[derive(Default)]
struct Hears {
    keys: OnceLock<Weak<Shared>>,
    panics_at: Option<KeyState>,
    listens: AtomicBool,
    changes: Mutex<Vec<(KeyState, KeyState)>>,
}

impl Hears {
    fn hear(&self, event: &Event<'_>) {
        let Event::KeyStateChanged { from, to, .. } = *event else { return };
        never(self.listens.swap(true, Ordering::Relaxed), "two told at one time");
        if let Some(keys) = self.keys.get().and_then(Weak::upgrade) {
            drop(RemoteKeys(keys).report());
        }
        self.changes.lock().unwrap().push((from, to));
        self.listens.store(false, Ordering::Relaxed);
        if self.panics_at == Some(to) {
            // Says nothing, as it happens in each order of events.
            resume_unwind(Box::new(()));
        }
    }

    /// All who could tell something have ended.
    fn has_heard_all(&self, keys: &RemoteKeys) {
        never(lock(&keys.0.refresh).has_changed(), "a change was told by nobody");
        let state = survives(|| keys.report().state).unwrap_or(KeyState::Stale);
        let mut was = KeyState::Cold;
        for (from, to) in &*self.changes.lock().unwrap() {
            never(*from != was, "a change was left out, told twice, or told too early or too late");
            was = *to;
        }
        never(was != state, "the last change was not told");
    }
}

/// Keys after the first fetch, and who is told of them.
fn heard(
    runtime: &Runtime,
    panics_at: Option<KeyState>,
) -> (RemoteKeys, Arc<Publishes>, Arc<Told>, Arc<Hears>) {
    let hears = Arc::new(Hears { panics_at, ..Hears::default() });
    let hear = hears.clone();
    let (keys, fetch, clock) =
        observed(Observers::new(vec![Box::new(move |event: &Event<'_>| hear.hear(event))]));
    hears.keys.set(Arc::downgrade(&keys.0)).unwrap();
    drop(keys.keys(Arc::clone));
    runtime.next().run();
    (keys, fetch, clock, hears)
}

/// `None` if an observer has panicked.
fn survives<T>(body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(body)).ok()
}

/// Somebody looks at keys that have become stale, somebody else later, when their end has come, and a fetch brings new ones.
/// The observer looks too, and panics or not.
///
/// Catches two who tell; one who stops telling when another has already left a change to it; a change that is told with
/// the state locked; an observer's panic that ends the telling of other changes.
#[test]
fn each_change_is_told_once_and_in_order() {
    for panics_at in [None, Some(KeyState::Stale)] {
        explore(2, move || {
            let runtime = Runtime::enter();
            let (keys, _, clock, hears) = heard(&runtime, panics_at);
            let task = demand(&keys, &runtime);
            clock.passes(FRESH_FOR);
            let looks = with(&keys, |keys| drop(survives(|| keys.report())));
            let waits = with(&keys, move |keys| {
                clock.passes(STALE_FOR);
                drop(survives(|| keys.report()));
            });
            let _ = survives(|| task.run());
            looks.join();
            waits.join();
            hears.has_heard_all(&keys);
        });
    }
}

/// The timer goes off and leaves its telling to a task. That runs while somebody looks, and the fetch that was due ends after it.
///
/// Catches a timer that leaves the telling to the end of the fetch; one that asks whether there is something to tell before it
/// looks at the time.
#[test]
fn the_timer_tells_what_nobody_has_asked_for() {
    explore(3, || {
        let runtime = Arc::new(Runtime::enter());
        let (keys, _, clock, hears) = heard(&runtime, None);
        clock.passes(FRESH_FOR);
        let timer = timer(&keys, &runtime);
        let (fetches, tells) = (runtime.next(), runtime.next());
        let looks = with(&keys, |keys| drop(keys.report()));
        tells.run();
        looks.join();
        hears.has_heard_all(&keys);
        fetches.run();
        hears.has_heard_all(&keys);
        drop(keys);
        while let Some(task) = runtime.next_until_closed() {
            task.run();
        }
        timer.join();
    });
}

/// The timer has left its telling to a task, and the runtime ends before that or the fetch has run, while others look.
///
/// Catches one who is to tell and is counted as telling already.
#[test]
fn what_a_dropped_task_was_to_tell_is_told() {
    explore(2, || {
        let runtime = Runtime::enter();
        let (keys, _, clock, hears) = heard(&runtime, None);
        clock.passes(FRESH_FOR);
        let timer = runtime.timer().map(|mut timer| {
            // It gives way to others first.
            while runtime.is_idle() {
                never(timer.poll().is_ready(), "a timer has ended before its keys");
            }
            timer
        });
        let ends = thread(move || drop((timer, runtime)));
        let looks = [with(&keys, RemoteKeys::report), with(&keys, RemoteKeys::report)];
        looks.into_iter().for_each(|looks| drop(looks.join()));
        ends.join();
        hears.has_heard_all(&keys);
    });
}
