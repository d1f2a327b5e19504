//! What takes the place of `src/sync.rs` in the models: locks and flags are loom's. Four parts are made by others and are
//! modelled here, each by what it promises: `arc_swap`, `thread_local`, tokio's `watch` channel, and a runtime that runs tasks.
//!
//! What is not modelled: time does not pass by itself, so no wait ever takes too long; the locks of the snapshot, of the
//! scopes and of the warnings are the standard library's, because nothing in them waits for anything here.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, DefaultHasher};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool as Flag, AtomicUsize as Count, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use loom::MAX_THREADS;
use loom::sync::Condvar;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock};
use loom::thread::ThreadId;

/// Chance, which must be the same for every order of the same events.
#[derive(Default)]
pub(crate) struct RandomState;

impl RandomState {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl BuildHasher for RandomState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

/// A value that was there when it was looked at.
pub(crate) struct Seen<T>(T);

impl<T> Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// As arc_swap's: who loads gets what was stored last, with all that happened before.
pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn load(&self) -> Seen<Option<Arc<T>>> {
        Seen(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        let old = std::mem::replace(&mut *self.0.lock().unwrap(), value);
        drop(old);
    }
}

/// As thread_local's, of the threads of a model: they are one thread of the machine.
pub(crate) struct ThreadLocal<T: Send>(thread_local::ThreadLocal<[OnceCell<(ThreadId, T)>; MAX_THREADS]>);

impl<T: Send> Default for ThreadLocal<T> {
    fn default() -> Self {
        Self(thread_local::ThreadLocal::new())
    }
}

impl<T: Send> ThreadLocal<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        let current = loom::thread::current().id();
        let mut used = self.0.get()?.iter().map_while(OnceCell::get);
        used.find(|(thread, _)| *thread == current).map(|(_, value)| value)
    }

    pub(crate) fn get_or(&self, create: impl FnOnce() -> T) -> &T {
        self.get().unwrap_or_else(|| {
            let places = self.0.get_or(|| [const { OnceCell::new() }; MAX_THREADS]);
            let free = places.iter().find(|place| place.get().is_none()).unwrap();
            &free.get_or_init(|| (loom::thread::current().id(), create())).1
        })
    }
}

/// As tokio's: a receiver learns of each value that was sent after it subscribed, the last one if there were several.
pub(crate) mod watch {
    use super::*;

    struct Channel<T> {
        value: T,
        version: u64,
        closed: bool,
        waiting: Vec<Waker>,
    }

    pub(crate) struct Sender<T>(Arc<Mutex<Channel<T>>>);

    pub(crate) struct Receiver<T> {
        channel: Arc<Mutex<Channel<T>>>,
        version: u64,
    }

    impl<T: Clone> Sender<T> {
        pub(crate) fn new(value: T) -> Self {
            let channel = Channel { value, version: 0, closed: false, waiting: Vec::new() };
            Self(Arc::new(Mutex::new(channel)))
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            let version = self.0.lock().unwrap().version;
            Receiver { channel: self.0.clone(), version }
        }

        pub(crate) fn send_replace(&self, value: T) {
            let mut channel = self.0.lock().unwrap();
            channel.value = value;
            channel.version += 1;
            let waiting = std::mem::take(&mut channel.waiting);
            drop(channel);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut channel = self.0.lock().unwrap();
            channel.closed = true;
            let waiting = std::mem::take(&mut channel.waiting);
            drop(channel);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    impl<T: Clone> Receiver<T> {
        pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
            std::future::poll_fn(|context| {
                let mut channel = self.channel.lock().unwrap();
                if self.version != channel.version {
                    self.version = channel.version;
                    return Poll::Ready(Ok(()));
                }
                if channel.closed {
                    return Poll::Ready(Err(Closed));
                }
                channel.waiting.push(context.waker().clone());
                Poll::Pending
            })
            .await
        }

        pub(crate) fn borrow(&self) -> Seen<T> {
            Seen(self.channel.lock().unwrap().value.clone())
        }
    }

    /// There will be no further value.
    pub(crate) struct Closed;
}

/// As tokio's, but what is spawned waits until the model takes it from its [`Runtime`], to run or to drop it.
pub(crate) struct Handle(Arc<Tasks>);

/// A runtime that the model itself drives.
pub(crate) struct Runtime(Arc<Tasks>);

struct Tasks {
    waiting: Mutex<VecDeque<Task>>,
    /// Or closed.
    spawned: Condvar,
    closed: Flag,
    /// Apart from the others, because they only end with their keys.
    timers: Mutex<Vec<Task>>,
}

/// A future that was spawned.
pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    state: AbortHandle,
}

#[derive(Clone)]
pub(crate) struct AbortHandle(Arc<Flag>);

thread_local! {
    // All threads of a model are one thread of the machine.
    static RUNTIME: RefCell<Option<Arc<Tasks>>> = const { RefCell::new(None) };
    static FAULTS: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
}

impl Handle {
    pub(crate) fn try_current() -> Result<Self, NoRuntime> {
        RUNTIME.with_borrow(|current| current.clone().map(Self).ok_or(NoRuntime))
    }

    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Spawned {
        let state = AbortHandle(Arc::default());
        let task = Task { future: Box::pin(future), state: state.clone() };
        if std::any::type_name::<F>().contains("keep_time") {
            self.0.timers.lock().unwrap().push(task);
        } else {
            self.0.waiting.lock().unwrap().push_back(task);
            self.0.spawned.notify_all();
        }
        Spawned(state)
    }
}

/// Outside of a runtime.
pub(crate) struct NoRuntime;

pub(crate) struct Spawned(AbortHandle);

impl Spawned {
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.0.clone()
    }
}

impl AbortHandle {
    pub(crate) fn is_finished(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn abort(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Runtime {
    /// From here on there is one.
    pub(crate) fn enter() -> Self {
        let tasks = Arc::new(Tasks {
            waiting: Mutex::default(),
            spawned: Condvar::new(),
            closed: Flag::default(),
            timers: Mutex::default(),
        });
        RUNTIME.set(Some(tasks.clone()));
        Self(tasks)
    }

    /// From here on there is none.
    pub(crate) fn leave() {
        RUNTIME.set(None);
    }

    /// Waits for the next task, which must come.
    pub(crate) fn next(&self) -> Task {
        self.next_until_closed().unwrap()
    }

    /// The same; `None` if there is none, and will not be.
    pub(crate) fn next_until_closed(&self) -> Option<Task> {
        let mut waiting = self.0.waiting.lock().unwrap();
        loop {
            let task = waiting.pop_front();
            if task.is_some() || self.0.closed.load(Ordering::Relaxed) {
                return task;
            }
            waiting = self.0.spawned.wait(waiting).unwrap();
        }
    }

    /// Those who could spawn something have ended.
    pub(crate) fn close(&self) {
        let waiting = self.0.waiting.lock().unwrap();
        self.0.closed.store(true, Ordering::Relaxed);
        drop(waiting);
        self.0.spawned.notify_all();
    }

    /// The next task, if there is one.
    pub(crate) fn try_next(&self) -> Option<Task> {
        self.0.waiting.lock().unwrap().pop_front()
    }

    /// The timer that was started last.
    pub(crate) fn timer(&self) -> Option<Task> {
        self.0.timers.lock().unwrap().pop()
    }

    /// Whether there is nothing to run.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.waiting.lock().unwrap().is_empty()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        RUNTIME.set(None);
        let waiting = std::mem::take(&mut *self.0.waiting.lock().unwrap());
        let timers = std::mem::take(&mut *self.0.timers.lock().unwrap());
        drop((waiting, timers));
    }
}

impl Task {
    pub(crate) fn run(self) {
        if !self.state.is_finished() {
            block_on(self.future);
            self.state.abort();
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<()> {
        self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

/// A thread that can be woken.
struct Parked {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.wake.notify_one();
    }
}

/// loom's own may also wake for no reason, which is nothing that we have to fear and doubles what is to be tried.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Arc::new(Parked { woken: Mutex::new(false), wake: Condvar::new() });
    let waker = Waker::from(parked.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = parked.woken.lock().unwrap();
        while !*woken {
            woken = parked.wake.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// A thread of the model.
pub(crate) struct Thread<T>(Arc<(Mutex<Option<T>>, Condvar)>);

/// Starts one, with room for what verifies a token.
pub(crate) fn thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
    let result = Arc::new((Mutex::new(None), Condvar::new()));
    let ended = result.clone();
    // In words.
    let builder = loom::thread::Builder::new().stack_size(0x1_0000);
    let started = builder.spawn(move || {
        let output = body();
        *ended.0.lock().unwrap() = Some(output);
        ended.1.notify_one();
    });
    drop(started.unwrap());
    Thread(result)
}

impl<T> Thread<T> {
    pub(crate) fn join(self) -> T {
        let mut result = self.0.0.lock().unwrap();
        loop {
            if let Some(output) = result.take() {
                return output;
            }
            result = self.0.1.wait(result).unwrap();
        }
    }
}

/// Notes what must never be. A panic half-way would leave loom with locks that nobody can release.
pub(crate) fn never(fault: bool, what: &'static str) {
    if fault {
        FAULTS.with_borrow_mut(|faults| *faults.entry(what).or_default() += 1);
    }
}

/// Tries every order of what the threads of a scenario do, with at most so many switches that none of them waits for.
///
/// # Panics
/// If there was a fault in one of them, or if all threads waited for one another.
pub(crate) fn explore(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    // For the timers of tokio, which never go off: nobody drives it.
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = tokio.enter();
    let (orders, began) = (Arc::new(Count::new(0)), Instant::now());
    let mut model = loom::model::Builder::new();
    model.max_branches = 20_000;
    model.preemption_bound = Some(preemptions);
    let (scenario, counted) = (Arc::new(scenario), orders.clone());
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let scenario = scenario.clone();
        thread(move || scenario()).join();
    });
    let faults = FAULTS.take();
    let (current, orders) = (std::thread::current(), orders.load(Ordering::Relaxed));
    println!("{}: {orders} orders in {:.1?}", current.name().unwrap_or_default(), began.elapsed());
    assert!(faults.is_empty(), "{faults:?}");
}
