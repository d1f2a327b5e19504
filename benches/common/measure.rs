//! Rounds in which every subject has its turn, so that a machine that changes its speed changes it for all; and quiet ones,
//! so that it is the machine's own speed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// What is timed: it does so many of something, and says how long they took.
pub(crate) type Subject<'a> = (&'static str, Box<dyn FnMut() -> PerOne + 'a>);

/// Nanoseconds of this thread's processor time for one.
#[derive(Clone, Copy)]
pub(crate) struct PerOne(pub(crate) f64);

/// For each subject what it took in each round.
pub(crate) struct Rounds(BTreeMap<&'static str, Vec<f64>>);

/// How many rounds are wanted, and how long quiet ones are waited for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) rounds: usize,
    pub(crate) patience: Duration,
}

/// How fast this machine is when nobody disturbs it, and whether it is so now.
///
/// A virtual machine shares the cores of its host. While a neighbour uses the other half of one, arithmetic such as a signature
/// takes up to 1.4 times as long, and everything else up to 3 times (seen), so ratios are others too; that comes and goes
/// within tenths of a second. A yardstick that is none of the subjects tells: rounds count in which it was within 5 % of its
/// best, before and after. If patience ends first, the rounds that come closest to it count.
pub(crate) struct Machine<'a> {
    yardstick: Box<dyn Fn() + Sync + 'a>,
    /// On one thread, and on two.
    best: [Cell<f64>; 2],
    counted: Cell<usize>,
    quiet: Cell<usize>,
}

/// Where it must be quiet.
#[derive(Clone, Copy)]
pub(crate) enum On {
    ThisThread,
    TwoThreads,
}

const QUIET: f64 = 1.05;

impl<'a> Machine<'a> {
    /// Looks for its best for so long.
    pub(crate) fn new(yardstick: impl Fn() + Sync + 'a, patience: Duration) -> Self {
        let (best, none) = ([const { Cell::new(f64::INFINITY) }; 2], Cell::default());
        let machine = Self { yardstick: Box::new(yardstick), best, counted: none.clone(), quiet: none };
        machine.look_for_best(On::ThisThread, patience);
        machine
    }

    /// To be called before [`rounds`](Self::rounds) of this kind, for so long.
    pub(crate) fn look_for_best(&self, on: On, patience: Duration) {
        let start = Instant::now();
        loop {
            self.pace(on);
            if start.elapsed() >= patience {
                return;
            }
        }
    }

    /// How much longer the yardstick takes at best where two threads use it at once, each for itself: 1 on two processors that
    /// nobody else uses. If it is more, a neighbour was there all the time.
    pub(crate) fn together(&self) -> f64 {
        self.best(On::TwoThreads).get() / self.best(On::ThisThread).get()
    }

    /// The first round warms up and is not kept.
    pub(crate) fn rounds<T>(&self, wanted: Wanted, on: On, mut round: impl FnMut() -> T) -> Vec<T> {
        round();
        let (start, mut all, mut quiet) = (Instant::now(), Vec::new(), 0);
        while quiet < wanted.rounds {
            let is_waiting = start.elapsed() < wanted.patience;
            if !is_waiting && all.len() >= wanted.rounds {
                break;
            }
            let before = self.pace(on);
            if is_waiting && !self.is_quiet(on, before) {
                continue;
            }
            let found = round();
            let pace = before.max(self.pace(on));
            quiet += usize::from(self.is_quiet(on, pace));
            all.push((pace, found));
        }
        all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        all.truncate(wanted.rounds);
        self.counted.set(self.counted.get() + all.len());
        self.quiet.set(self.quiet.get() + all.iter().filter(|(pace, _)| self.is_quiet(on, *pace)).count());
        all.into_iter().map(|(_, found)| found).collect()
    }

    /// Which part of all rounds that count was quiet.
    pub(crate) fn quiet(&self) -> f64 {
        as_f64(self.quiet.get()) / as_f64(self.counted.get())
    }

    /// Seconds, of the slower thread.
    fn pace(&self, on: On) -> f64 {
        let yardstick = &self.yardstick;
        let some = || (0..20).for_each(|_| yardstick());
        let pace = match on {
            On::ThisThread => seconds(some),
            On::TwoThreads => together(&some),
        };
        let best = self.best(on);
        best.set(best.get().min(pace));
        pace
    }

    fn is_quiet(&self, on: On, pace: f64) -> bool {
        pace <= QUIET * self.best(on).get()
    }

    fn best(&self, on: On) -> &Cell<f64> {
        match on {
            On::ThisThread => &self.best[0],
            On::TwoThreads => &self.best[1],
        }
    }
}

/// What the slower one of two threads takes that do the same.
fn together(work: &(impl Fn() + Sync)) -> f64 {
    let barrier = Barrier::new(2);
    let one = || {
        barrier.wait();
        seconds(work)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(one);
        let ours = one();
        ours.max(other.join().expect("a thread"))
    })
}

pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Runs them in turn, in quiet rounds.
pub(crate) fn rounds(machine: &Machine<'_>, wanted: Wanted, mut subjects: Vec<Subject<'_>>) -> Rounds {
    let names: Vec<_> = subjects.iter().map(|(name, _)| *name).collect();
    let found = machine
        .rounds(wanted, On::ThisThread, || subjects.iter_mut().map(|(_, run)| run().0).collect::<Vec<_>>());
    let of = |place: usize| found.iter().map(|took| took[place]).collect();
    Rounds(names.into_iter().enumerate().map(|(place, name)| (name, of(place))).collect())
}

/// Few enough requests that they are still near the processor when their turn comes, as those of a server are.
const AT_ONCE: usize = 50;

/// Times one call after the other; what they are called with is made before, and what they return is dropped within the
/// time.
pub(crate) fn time<T>(work: impl IntoIterator<Item = T>, mut call: impl FnMut(T)) -> PerOne {
    let mut work = work.into_iter();
    let (mut took, mut count) = (Duration::ZERO, 0);
    let mut some = Vec::with_capacity(AT_ONCE);
    loop {
        some.extend(work.by_ref().take(AT_ONCE));
        if some.is_empty() {
            return PerOne(nanoseconds(took) / as_f64(count));
        }
        count += some.len();
        let start = ThreadTime::now();
        some.drain(..).for_each(&mut call);
        took += start.elapsed();
    }
}

impl Rounds {
    /// Of one subject.
    pub(crate) fn median(&self, name: &str) -> f64 {
        median(self.of(name).to_vec())
    }

    /// Of `a` − `without`, each taken within its round.
    pub(crate) fn net(&self, a: &str, without: &str) -> f64 {
        median(self.of(a).iter().zip(self.of(without)).map(|(a, without)| a - without).collect())
    }

    /// Of (`a` − `without`) ÷ `raw`, each taken within its round.
    pub(crate) fn net_ratio(&self, a: &str, without: &str, raw: &str) -> f64 {
        let rounds = self.of(a).iter().zip(self.of(without)).zip(self.of(raw));
        median(rounds.map(|((a, without), raw)| (a - without) / raw).collect())
    }

    /// Of `a` ÷ `raw`, each taken within its round.
    pub(crate) fn ratio(&self, a: &str, raw: &str) -> f64 {
        median(self.of(a).iter().zip(self.of(raw)).map(|(a, raw)| a / raw).collect())
    }

    fn of(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("no subject {name:?}"))
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

pub(crate) fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

pub(crate) fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a count"))
}
