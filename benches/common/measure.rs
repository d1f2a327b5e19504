//! Rounds in which every subject has its turn, so that a machine that changes its speed changes it for all.

use std::collections::BTreeMap;
use std::time::Duration;

use cpu_time::ThreadTime;

/// What is timed: it does so many of something, and says how long they took.
pub(crate) type Subject<'a> = (&'static str, Box<dyn FnMut() -> PerOne + 'a>);

/// Nanoseconds of this thread's processor time for one.
#[derive(Clone, Copy)]
pub(crate) struct PerOne(pub(crate) f64);

/// For each subject what it took in each round.
pub(crate) struct Rounds(BTreeMap<&'static str, Vec<f64>>);

/// Runs them in turn. The first round warms up and is not kept.
pub(crate) fn rounds(count: usize, mut subjects: Vec<Subject<'_>>) -> Rounds {
    let mut took: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for round in 0..=count {
        for (name, run) in &mut subjects {
            let PerOne(nanoseconds) = run();
            if round > 0 {
                took.entry(name).or_default().push(nanoseconds);
            }
        }
    }
    Rounds(took)
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
