//! Threads that stay, as those of a server do, and none of which is the first of the program: that one may have advantages, such
//! as memory to itself, which none of two workers has.

use std::sync::Barrier;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::measure::seconds;

pub(crate) struct Workers(ThreadPool);

impl Workers {
    pub(crate) fn new(count: usize) -> Self {
        Self(ThreadPoolBuilder::new().num_threads(count).build().expect("threads"))
    }

    /// Has the first so many of them do it at once, each with its number, and says what the slowest took, in seconds.
    pub(crate) fn time(&self, busy: usize, work: &(impl Fn(usize) + Sync + ?Sized)) -> f64 {
        let barrier = Barrier::new(busy);
        let took = self.0.broadcast(|worker| {
            let number = worker.index();
            if number >= busy {
                return 0.0;
            }
            barrier.wait();
            seconds(|| work(number))
        });
        took.into_iter().fold(0.0, f64::max)
    }
}
