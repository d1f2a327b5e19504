//! One fetch at a time, its guard, and the locks around it: `RemoteKeys` as it is, driven by the models' own runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode};

use super::{Available, Ended, Missed, Place, Remote, RemoteKeys, lock};
use crate::event::Observers;
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchFuture, FetchRequest, FetchResponse};
use crate::jose::{Algorithm, KeySet};
use crate::keys::refresh::{BACKOFF_MIN, FLIGHT_LIMIT, FRESH_FOR};
use crate::keys::snapshot::Restored;
use crate::sync::{Runtime, Task, Thread, block_on, explore, never, thread};
use crate::time::Clock;

/// Each document has one key more than the one before. Which one it will be is settled when it is asked for; it comes
/// when the task is polled once more.
#[derive(Default)]
pub(super) struct Publishes(AtomicUsize);

impl Publishes {
    fn fetches(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Fetch for Publishes {
    fn fetch(&self, _: FetchRequest) -> FetchFuture {
        let mut document = Some(jwks(1 + self.0.fetch_add(1, Ordering::Relaxed)));
        let mut asked = false;
        Box::pin(std::future::poll_fn(move |context| {
            if !std::mem::replace(&mut asked, true) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let document = document.take().unwrap_or_default();
            Poll::Ready(Ok(FetchResponse::new(StatusCode::OK, HeaderMap::new(), document)))
        }))
    }
}

fn jwks(keys: usize) -> String {
    let keys = ["UVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVE", "UlJSUlJSUlJSUlJSUlJSUlJSUlJSUlJSUlJSUlJSUlI"]
        .into_iter()
        .cycle()
        .take(keys)
        .enumerate()
        .map(|(kid, x)| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}"#));
    format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","))
}

/// A time that passes when the model says so.
pub(super) struct Told(Instant, AtomicU64);

impl Told {
    pub(super) fn passes(&self, time: Duration) {
        self.1.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for Told {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn instant(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, at: Instant) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        if at <= self.instant() { Box::pin(std::future::ready(())) } else { Box::pin(std::future::pending()) }
    }
}

fn remote() -> (RemoteKeys, Arc<Publishes>, Arc<Told>) {
    observed(Observers::default())
}

pub(super) fn observed(observers: Observers) -> (RemoteKeys, Arc<Publishes>, Arc<Told>) {
    let (fetch, clock) = (Arc::<Publishes>::default(), Arc::new(Told(Instant::now(), AtomicU64::new(0))));
    let keys = RemoteKeys::new(Remote {
        place: Place::Fixed(KeyUrl::parse("https://issuer.example/jwks", false).unwrap()),
        allow_http: false,
        algorithms: [Algorithm::Ed25519].into_iter().collect(),
        label: "issuer".into(),
        fetch: fetch.clone(),
        clock: clock.clone(),
        observers,
        snapshot: None,
    });
    (keys, fetch, clock)
}

/// The same, after the first fetch.
fn loaded(runtime: &Runtime) -> (RemoteKeys, Arc<Publishes>, Arc<Told>) {
    let (keys, fetch, clock) = remote();
    assert!(matches!(keys.keys(Arc::clone), Available::Wait(_)));
    runtime.next().run();
    (keys, fetch, clock)
}

/// In a thread of its own, with what it needs.
pub(super) fn with<T: Send + 'static>(
    keys: &RemoteKeys,
    body: impl FnOnce(&RemoteKeys) -> T + Send + 'static,
) -> Thread<T> {
    let keys = keys.clone();
    thread(move || body(&keys))
}

/// A request that needs keys and waits for them: how many there are in the end.
fn request(keys: &RemoteKeys) -> Option<usize> {
    match keys.keys(Arc::clone) {
        Available::Ready(set) => Some(set.len()),
        Available::Unavailable(_) => None,
        Available::Wait(flight) => {
            let ended = block_on(flight.ended());
            match keys.keys(Arc::clone) {
                Available::Ready(set) => Some(set.len()),
                _ => {
                    never(
                        ended == Ended::Loaded,
                        "a fetch was said to have brought keys, and there were none",
                    );
                    None
                }
            }
        }
    }
}

/// A fetch that was just started, whatever the schedule.
pub(super) fn demand(keys: &RemoteKeys, runtime: &Runtime) -> Task {
    let mut demand = std::pin::pin!(keys.demand());
    assert!(demand.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    runtime.next()
}

/// A timer that runs, in place of the first one, which nobody has run. When it has ended, nothing more is spawned.
pub(super) fn timer(keys: &RemoteKeys, runtime: &Arc<Runtime>) -> Thread<()> {
    keys.0.keep_time();
    let (timer, runtime) = (runtime.timer(), runtime.clone());
    thread(move || {
        timer.map(Task::run);
        runtime.close();
    })
}

fn idle(keys: &RemoteKeys) -> bool {
    lock(&keys.0.refresh).flight().is_none() && keys.0.miss_waiters.load(Ordering::Relaxed) == 0
}

/// Requests come at once, and there are no keys yet.
///
/// Catches a second fetch where one is under way; waiters that subscribe after the lock is released.
#[test]
fn all_wait_for_one_fetch() {
    explore(2, || {
        let runtime = Runtime::enter();
        let (keys, fetch, _) = remote();
        let requests = [with(&keys, request), with(&keys, request)];
        runtime.next().run();
        for request in requests {
            never(request.join() != Some(1), "a request did not get the keys that it waited for");
        }
        never(fetch.fetches() != 1 || !runtime.is_idle(), "there was a second fetch");
        never(!idle(&keys), "a fetch that has ended was still under way");
    });
}

/// The runtime ends when a fetch has just been started, or is half-way.
///
/// Catches a guard that reports nothing when it is dropped: then everybody hangs.
#[test]
fn nobody_waits_for_a_fetch_that_was_dropped() {
    for half_way in [false, true] {
        explore(2, move || {
            let runtime = Runtime::enter();
            let (keys, fetch, clock) = remote();
            let requests = [with(&keys, request), with(&keys, request)];
            let mut task = runtime.next();
            if half_way {
                never(task.poll().is_ready(), "a fetch did not wait for its answer");
            }
            drop(task);
            for request in requests {
                never(request.join().is_some(), "there were keys from nowhere");
            }
            never(!idle(&keys) || !runtime.is_idle(), "a fetch that was dropped was still under way");
            clock.passes(BACKOFF_MIN);
            let again = with(&keys, request);
            runtime.next().run();
            never(again.join() != Some(fetch.fetches()), "there was no fetch after one that was dropped");
        });
    }
}

/// Requests wait for keys that are unknown, and their fetches are dropped.
///
/// Catches the same, and seats that are not given back.
#[test]
fn nobody_waits_for_an_unknown_key_when_its_fetch_was_dropped() {
    explore(2, || {
        let runtime = Arc::new(Runtime::enter());
        let (keys, ..) = loaded(&runtime);
        let miss = |runtime: &Arc<Runtime>| {
            let runtime = runtime.clone();
            with(&keys, move |keys| {
                let Available::Ready(tried) = keys.keys(Arc::clone) else {
                    return never(true, "there were no keys");
                };
                match keys.miss(&tried, Some("x")) {
                    Missed::Wait(flight) => {
                        drop(runtime.try_next());
                        never(block_on(flight.ended()) == Ended::Loaded, "what was dropped has brought keys");
                    }
                    Missed::Newer => never(true, "there were newer keys"),
                    Missed::Unknown | Missed::Unavailable(_) => {}
                }
            })
        };
        for miss in [miss(&runtime), miss(&runtime)] {
            miss.join();
        }
        never(!idle(&keys) || !runtime.is_idle(), "a fetch that was dropped was still under way");
    });
}

/// A fetch is dropped while somebody demands another one, which is good.
///
/// Catches an end that is told when the next fetch may have begun.
#[test]
fn nobody_is_told_the_end_of_another_fetch() {
    explore(3, || {
        let runtime = Runtime::enter();
        let (keys, fetch, _) = loaded(&runtime);
        let first = demand(&keys, &runtime);
        let demands = with(&keys, |keys| block_on(keys.demand()));
        let drops = thread(move || drop(first));
        runtime.next().run();
        never(demands.join() != Ended::Loaded, "a good fetch was said to have failed");
        drops.join();
        never(request(&keys) != Some(fetch.fetches()), "what was demanded is not in use");
        never(!idle(&keys) || !runtime.is_idle(), "a fetch that has ended was still under way");
    });
}

/// A fetch is given up because it takes for ever, another is started, and then both end; the first one with keys, or dropped.
///
/// Catches an end that counts whichever fetch it is of.
#[test]
fn a_fetch_that_was_given_up_changes_nothing() {
    for dropped in [false, true] {
        explore(3, move || {
            let runtime = Runtime::enter();
            let (keys, _, clock) = loaded(&runtime);
            let mut lost = demand(&keys, &runtime);
            never(lost.poll().is_ready(), "a fetch did not wait for its answer");
            clock.passes(FLIGHT_LIMIT.max(FRESH_FOR));
            never(request(&keys) != Some(1), "keys were not used that may be");
            let mut later = runtime.next();
            never(later.poll().is_ready(), "a fetch did not wait for its answer");
            let lost = thread(move || if dropped { drop(lost) } else { lost.run() });
            let looks = with(&keys, request);
            later.run();
            never(request(&keys) != Some(3), "an older answer replaced a newer one");
            never(!matches!(looks.join(), Some(1 | 3)), "keys were used that came too late");
            lost.join();
            never(request(&keys) != Some(3) || !idle(&keys), "an older end undid a newer one");
        });
    }
}

/// The keys are due: the timer goes off while a request notices it. When nobody uses the keys any more, the timer ends, after
/// whatever it had told in tasks of their own.
///
/// Catches a second fetch where one is under way; a timer that keeps what it refreshes.
#[test]
fn the_timer_and_a_request_start_one_fetch() {
    explore(2, || {
        let runtime = Arc::new(Runtime::enter());
        let (keys, fetch, clock) = loaded(&runtime);
        clock.passes(FRESH_FOR);
        let timer = timer(&keys, &runtime);
        let asks = with(&keys, request);
        while fetch.fetches() < 2 {
            runtime.next().run();
        }
        never(!matches!(asks.join(), Some(1 | 2)), "a request did not get the keys that were there");
        never(request(&keys) != Some(2) || !idle(&keys), "the keys were not refreshed");
        drop(keys);
        while let Some(task) = runtime.next_until_closed() {
            task.run();
        }
        timer.join();
        never(fetch.fetches() != 2, "there was a second fetch");
    });
}

/// A fetch ends while a key is blocked, and somebody looks at the state.
///
/// Catches two locks that are taken in two orders.
#[test]
fn no_two_wait_for_each_other() {
    explore(3, || {
        let runtime = Runtime::enter();
        let (keys, _, clock) = loaded(&runtime);
        let task = demand(&keys, &runtime);
        clock.passes(BACKOFF_MIN);
        let blocks = with(&keys, |keys| never(!keys.block("0"), "a key was not found"));
        let asks = with(&keys, |keys| {
            never(keys.report().keys == 0 && !keys.block("0"), "there were no keys");
            if let Available::Ready(tried) = keys.keys(Arc::clone) {
                drop(keys.miss(&tried, Some("x")));
                keys.is_absent("x");
            }
        });
        task.run();
        blocks.join();
        asks.join();
        let Available::Ready(set) = keys.keys(Arc::clone) else { return never(true, "there were no keys") };
        never(set.usable() != set.len() - 1, "a blocked key was usable");
    });
}

/// The keys of a snapshot come into use while one of them is blocked, and a request asks.
///
/// Catches a lock on the blocked names that is released before the keys are in use.
#[test]
fn a_key_that_is_blocked_while_it_is_restored_is_blocked() {
    explore(3, || {
        let runtime = Runtime::enter();
        let (keys, _, clock) = remote();
        let set = KeySet::from_jwks(jwks(2).as_bytes(), keys.0.remote.algorithms).unwrap();
        let restored = Restored { keys: Arc::new(set), age: FRESH_FOR, usable_for: FRESH_FOR };
        let restores = with(&keys, move |keys| keys.0.take_restored(&restored, clock.instant()));
        let blocks = with(&keys, |keys| {
            keys.block("0");
            if let Available::Ready(set) = keys.keys(Arc::clone) {
                never(set.usable() != 1, "a key was usable after it was blocked");
            }
        });
        never(!restores.join(), "the keys of the snapshot were not taken");
        blocks.join();
        let Available::Ready(set) = keys.keys(Arc::clone) else { return never(true, "there were no keys") };
        never(set.usable() != 1, "a blocked key was usable");
        drop(runtime);
    });
}
