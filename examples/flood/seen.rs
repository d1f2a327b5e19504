//! What good requests noticed: latencies under several loads that take turns.

use std::iter;
use std::time::Duration;

use crate::Error;
use crate::busy::Busy;

/// How much may be taken from a load in one turn, of a processor, for the turn to count.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) turns: usize,
    pub(crate) taken: f64,
}

/// What was seen under one load, a turn after the other.
#[derive(Default)]
pub(crate) struct Seen(Vec<Turn>);

/// One load in one round.
pub(crate) struct Turn {
    pub(crate) known: Latencies,
    pub(crate) fresh: Latencies,
    pub(crate) busy: Busy,
    /// How much of a processor this machine took for others while all of it was wanted.
    pub(crate) taken: f64,
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

/// Of some requests, in microseconds.
#[derive(Clone)]
pub(crate) struct Latencies(Vec<f64>);

/// How often turns are drawn anew to see how far a ratio could have come out otherwise.
const DRAWS: u64 = 300;

/// The places between which nine of ten of them are.
const NINE_OF_TEN: [usize; 2] = [15, 284];

/// Each of so many loads in turn, until there are enough turns of each from which little was taken, or for four times as many
/// rounds; of these the turns count from which the least was. Also says how many rounds there were.
pub(crate) async fn take_turns<const LOADS: usize>(
    wanted: Wanted,
    turn: impl AsyncFn(usize) -> Result<Turn, Error>,
) -> Result<([Seen; LOADS], usize), Error> {
    let (mut seen, mut rounds) = ([(); LOADS].map(|()| Seen::default()), 0_usize);
    let mut order: [usize; LOADS] = std::array::from_fn(|place| place);
    let quiet = |Seen(turns): &Seen| turns.iter().filter(|turn| turn.taken <= wanted.taken).count();
    while rounds < wanted.turns.saturating_mul(4) && seen.iter().any(|seen| quiet(seen) < wanted.turns) {
        rounds = rounds.saturating_add(1);
        order.rotate_left(1);
        for place in order {
            let turn = turn(place).await?;
            if let Some(Seen(turns)) = seen.get_mut(place) {
                turns.push(turn);
            }
        }
    }
    for Seen(turns) in &mut seen {
        turns.sort_by(|one, other| one.taken.total_cmp(&other.taken));
        turns.truncate(wanted.turns);
    }
    Ok((seen, rounds))
}

impl Latencies {
    pub(crate) const HEADINGS: &str = "     p50      p99 (least-most)     ";

    pub(crate) fn of(took: Vec<Duration>) -> Self {
        Self(took.into_iter().map(|took| took.as_secs_f64() * 1e6).collect())
    }

    /// Of all of them together.
    fn percentile<'a>(all: impl Iterator<Item = &'a Self>, percent: usize) -> f64 {
        let mut took: Vec<f64> = all.flat_map(|Self(took)| took).copied().collect();
        let place = took.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
        if place >= took.len() {
            return f64::NAN;
        }
        *took.select_nth_unstable_by(place, f64::total_cmp).1
    }
}

impl Seen {
    /// Known tokens first, then new ones.
    const KINDS: [fn(&Turn) -> &Latencies; 2] = [|turn| &turn.known, |turn| &turn.fresh];

    /// Of both kinds, under [`Latencies::HEADINGS`]: of all requests in all turns, and between which bounds single turns were.
    pub(crate) fn latencies(&self) -> String {
        let of = |kind: fn(&Turn) -> &Latencies| {
            let [p50, p99] = [50, 99].map(|percent| Latencies::percentile(self.0.iter().map(kind), percent));
            let rounds = || self.0.iter().map(|turn| Latencies::percentile(iter::once(kind(turn)), 99));
            let (least, most) = (rounds().fold(f64::NAN, f64::min), rounds().fold(f64::NAN, f64::max));
            format!("{p50:5.0} us{p99:6.0} us {:17}", format!("({least:.0}-{most:.0})"))
        };
        Self::KINDS.map(of).concat()
    }

    /// Busy with this process, and with others.
    pub(crate) fn cores(&self) -> String {
        let busy =
            |whose: fn(&Busy) -> Option<f64>| median(self.0.iter().filter_map(|turn| whose(&turn.busy)));
        let taken = self.0.iter().fold(0.0, |most: f64, turn| most.max(turn.taken));
        format!("{:.2} + {:.2}   {taken:.4}", busy(|busy| Some(busy.our_cores())), busy(|busy| busy.others))
    }

    pub(crate) fn flat_out(&self, of: impl Fn(FlatOut) -> f64) -> f64 {
        median(self.0.iter().map(|turn| of(turn.flat_out)))
    }

    /// Of the percentiles of all turns together. In brackets what nine of ten draws of so many turns, with repetition, lie
    /// between.
    pub(crate) fn print_ratio(&self, name: &str, other: &Self, width: usize) {
        print!("  {name:width$}");
        for kind in Self::KINDS {
            let ratio = |percent| {
                let of = |seen: &Self| Latencies::percentile(seen.0.iter().map(kind), percent);
                of(self) / of(other)
            };
            let drawn = |draw| {
                let of = |seen: &Self, draw| Latencies::percentile(seen.drawn(draw).map(kind), 99);
                of(self, draw) / of(other, !draw)
            };
            let draws = sorted((0..DRAWS).map(drawn));
            let [low, high] = NINE_OF_TEN.map(|place| draws.get(place).copied().unwrap_or(f64::NAN));
            print!("{:8.2}{:9.2} {:17}", ratio(50), ratio(99), format!("({low:.2}-{high:.2})"));
        }
        println!();
    }

    /// As many turns, by chance.
    fn drawn(&self, draw: u64) -> impl Iterator<Item = &Turn> {
        let mut random = draw.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0.iter().filter_map(move |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = usize::try_from(random >> 33).ok()?.checked_rem(self.0.len())?;
            self.0.get(place)
        })
    }
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
