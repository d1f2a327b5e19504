//! Threads that stay, as those of a server do, and none of which is the first of the program: that one may have advantages, such
//! as memory to itself, which none of two workers has.

use std::hint::spin_loop;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

pub(crate) struct Workers(ThreadPool);

impl Workers {
    pub(crate) fn new(count: usize) -> Self {
        Self(ThreadPoolBuilder::new().num_threads(count).build().expect("threads"))
    }

    /// Has these of them do it at once, each with its number: how long it takes from when the first begins until the last ends.
    pub(crate) fn time(&self, busy: Range<usize>, work: &(impl Fn(usize) + Sync + ?Sized)) -> Duration {
        let ready = AtomicUsize::new(0);
        let times = self.0.broadcast(|worker| {
            let number = worker.index();
            if !busy.contains(&number) {
                return None;
            }
            // Whoever sleeps here would begin later, because it takes time to be woken.
            ready.fetch_add(1, Ordering::AcqRel);
            while ready.load(Ordering::Acquire) < busy.len() {
                spin_loop();
            }
            let start = Instant::now();
            work(number);
            Some((start, Instant::now()))
        });
        let (starts, ends): (Vec<_>, Vec<_>) = times.into_iter().flatten().unzip();
        let (first, last) = (starts.into_iter().min(), ends.into_iter().max());
        first.zip(last).map(|(first, last)| last - first).expect("a worker")
    }
}
