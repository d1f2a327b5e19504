//! What good requests noticed: latencies under several loads that take turns.

use std::time::Duration;

use crate::Error;
use crate::busy::Busy;

/// With more processors than this busy with other programs, a round is left out.
const UNDISTURBED: f64 = 0.1;

/// What was seen under one load, a round after the other.
#[derive(Default)]
pub(crate) struct Seen(Vec<Turn>);

/// One load in one round.
pub(crate) struct Turn {
    pub(crate) known: Latencies,
    pub(crate) fresh: Latencies,
    pub(crate) busy: Busy,
    /// Of a flood without a pace.
    pub(crate) flat_out: FlatOut,
}

/// What became of a flood without a pace, and of new tokens beside it.
#[derive(Clone, Copy, Default)]
pub(crate) struct FlatOut {
    pub(crate) per_second: f64,
    /// So many in a hundred were answered 503.
    pub(crate) unavailable: f64,
    /// Of the new tokens.
    pub(crate) new_unavailable: f64,
}

/// In microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Latencies {
    p50: f64,
    p99: f64,
}

/// Each of so many loads in turn, until it has been seen in enough rounds. Also says how many were left out.
pub(crate) async fn take_turns<const LOADS: usize>(
    rounds: usize,
    turn: impl AsyncFn(usize) -> Result<Turn, Error>,
) -> Result<([Seen; LOADS], usize), Error> {
    let (mut seen, mut left_out) = ([(); LOADS].map(|()| Seen::default()), 0_usize);
    let mut order: [usize; LOADS] = std::array::from_fn(|place| place);
    while seen.iter().any(|seen| seen.0.len() < rounds) {
        order.rotate_left(1);
        let mut disturbed = false;
        for place in order {
            let turn = turn(place).await?;
            disturbed |= turn.busy.others.is_some_and(|others| others > UNDISTURBED);
            if let Some(Seen(turns)) = seen.get_mut(place) {
                turns.push(turn);
            }
        }
        if disturbed && left_out < rounds {
            left_out = left_out.saturating_add(1);
            for Seen(turns) in &mut seen {
                turns.pop();
            }
        }
    }
    Ok((seen, left_out))
}

impl Latencies {
    pub(crate) const HEADINGS: &str = "     p50      p99 (least-most)     ";

    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            let place = took.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
            took.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
        };
        Self { p50: at(50), p99: at(99) }
    }
}

impl Seen {
    /// Known tokens first, then new ones.
    const KINDS: [fn(&Turn) -> Latencies; 2] = [|turn| turn.known, |turn| turn.fresh];

    /// Of both kinds, under [`Latencies::HEADINGS`].
    pub(crate) fn latencies(&self) -> String {
        let of = |kind: fn(&Turn) -> Latencies| {
            let p99 = || self.0.iter().map(|turn| kind(turn).p99);
            let (least, most) = (p99().fold(f64::NAN, f64::min), p99().fold(f64::NAN, f64::max));
            let p50 = calm(self.0.iter().map(|turn| kind(turn).p50));
            format!("{p50:5.0} us{:6.0} us {:17}", calm(p99()), format!("({least:.0}-{most:.0})"))
        };
        Self::KINDS.map(of).concat()
    }

    /// Busy with this process, and with others.
    pub(crate) fn cores(&self) -> String {
        let busy =
            |whose: fn(&Busy) -> Option<f64>| median(self.0.iter().filter_map(|turn| whose(&turn.busy)));
        format!("{:.2} + {:.2}", busy(|busy| Some(busy.our_cores())), busy(|busy| busy.others))
    }

    pub(crate) fn flat_out(&self, of: impl Fn(FlatOut) -> f64) -> f64 {
        median(self.0.iter().map(|turn| of(turn.flat_out)))
    }

    pub(crate) fn print_ratio(&self, name: &str, other: &Self, width: usize) {
        print!("  {name:width$}");
        for kind in Self::KINDS {
            let ratio = |of: fn(Latencies) -> f64| {
                let calm = |seen: &Self| calm(seen.0.iter().map(|turn| of(kind(turn))));
                calm(self) / calm(other)
            };
            print!("{:8.2}{:9.2} {:17}", ratio(|of| of.p50), ratio(|of| of.p99), "");
        }
        println!();
    }
}

/// What a machine takes from its programs only adds to a latency, and in some rounds it takes much: the lower quartile is that of
/// rounds in which it took little.
fn calm(of: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(of);
    sorted.get(sorted.len() / 4).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(of: impl Iterator<Item = f64>) -> f64 {
    let sorted = sorted(of);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn sorted(of: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<_> = of.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}
