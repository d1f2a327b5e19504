//! What good requests notice of made-up key ids, on a machine that has room for both.
//!
//! The client has one processor for itself and the server the others (`split.rs`), so that what is measured is the server,
//! and not how the system shares a processor between the two.
//!
//! Good requests, half of them with one token that is known and half with a new one each, are sent at a constant rate:
//! alone, beside a flood of good requests, and beside one of made-up key ids. The two floods have the same rate, a share
//! of what this machine answers flat out, so that what differs is only what is sent; the known token of the first is the
//! cheapest request there is.
//!
//! A request is sent when it is due, whether those before it have been answered or not, and its latency counts from then:
//! a pause shows in all the requests that fell due in it. The client never sleeps, so that no request is sent late because a
//! processor had to wake up.
//!
//! The loads take turns for several rounds. A figure is the median of the rounds and a ratio is the median of the ratios
//! within each round, so that a machine that gets slower meanwhile spoils neither. A round in which other programs were busy
//! is left out and done again, but not for ever: how busy they were is printed beside the figures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::Error;
use crate::flat_out::{Flood, Kind};
use crate::split::Split;
use crate::tally::{Expected, Tally};
use crate::world::{Way, World};

/// What a flood is, of what the server answers flat out: one that leaves it much room, and one that leaves it less.
const LITTLE: f64 = 0.15;
const MUCH: f64 = 0.4;

/// With more processors than this busy with other programs, a round is left out.
const UNDISTURBED: f64 = 0.1;

pub(crate) struct Size {
    pub(crate) rounds: usize,
    /// Of one load in one round.
    pub(crate) length: Duration,
    /// Of one flood flat out.
    pub(crate) calibration: Duration,
    /// Of each kind.
    pub(crate) good_per_second: u32,
}

/// Good requests of one load in one round: half of them with one token that is known, half with a new one each.
pub(crate) struct Good {
    known: Arc<str>,
    new: Vec<Arc<str>>,
    per_second: f64,
    length: Duration,
}

/// What was seen under one load, a round after the other.
#[derive(Default)]
pub(crate) struct Seen(Vec<Turn>);

/// One load in one round.
pub(crate) struct Turn {
    known: Latencies,
    fresh: Latencies,
    /// `None` where the system does not say.
    busy: Option<Busy>,
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

pub(crate) fn compare(size: Size) -> Result<Vec<String>, Error> {
    let split = Split::new()?;
    println!("{split}");
    let server = split.server.handle().clone();
    split.on_the_client(async move || {
        let mut broken = Vec::new();
        let world = server.spawn(World::start()).await??;
        // The first one fetches the keys.
        Tally::default().send(&world.called(), &world.good()).await;
        let client = Handle::current();
        let called = "the layer called on the server's processors";
        for (name, good, flood, runtime, share) in [
            (called, world.called(), world.called(), &server, LITTLE),
            (called, world.called(), world.called(), &server, MUCH),
            // Two clients, each with its own connections.
            ("HTTP/1.1 on loopback", world.http(), world.http(), &client, MUCH),
        ] {
            println!("good requests beside a paced flood, {name}:");
            Comparison { world: &world, size: &size, good, flood, runtime, share }.run(&mut broken).await?;
        }
        world.check_budget(&mut broken)?;
        Ok(broken)
    })?
}

struct Comparison<'a> {
    world: &'a World,
    size: &'a Size,
    /// The way of the good requests that are measured.
    good: Way,
    flood: Way,
    /// Where requests are made.
    runtime: &'a Handle,
    /// What the floods are, of what is answered flat out.
    share: f64,
}

impl Comparison<'_> {
    async fn run(&self, broken: &mut Vec<String>) -> Result<(), Error> {
        let (known, made_up) = (Kind::Known(self.world.good()), Kind::MadeUp);
        let (flat_known, flat_made_up) =
            (self.flat_out(&known, broken).await?, self.flat_out(&made_up, broken).await?);
        let rate = flat_known.min(flat_made_up) * self.share;
        println!(
            "  flat out: {flat_known:.0} known tokens or {flat_made_up:.0} made-up key ids a second; the floods: {rate:.0} \
             a second, {:.0} % of the fewer; measured: {1} with a known token and {1} with new ones a second",
            self.share * 100.0,
            self.size.good_per_second,
        );
        let loads = [None, Some(known), Some(made_up)];
        let (measured, floods) = (Arc::new(Tally::default()), [(); 3].map(|()| Arc::new(Tally::default())));
        let turn = async |place: usize| {
            let load = loads.get(place).and_then(Option::as_ref).zip(floods.get(place));
            self.turn(load.map(|(kind, flood)| (kind, rate, flood)), &measured).await
        };
        let (seen, left_out) = take_turns(self.size.rounds, turn).await?;
        let [alone, beside_good, beside_made_up] = &seen;
        println!("  {:38}{:^34}{:^34}cores busy", "", "known token", "new token");
        println!("  {:38}{}{}ours + others", "", Latencies::HEADINGS, Latencies::HEADINGS);
        for (name, seen) in [
            ("(a) alone", alone),
            ("(b) beside known tokens", beside_good),
            ("(c) beside made-up key ids", beside_made_up),
        ] {
            println!("  {name:38}{}{}", seen.latencies(), seen.cores());
        }
        beside_made_up.print_ratio("(c)/(b), what the key ids cost", beside_good, 38);
        beside_made_up.print_ratio("(c)/(a), what the flood costs", alone, 38);
        let [_, good, made_up] = &floods;
        println!("  {left_out} rounds left out, because other programs were busy");
        println!("  accounts: measured: {measured}; (b): {good}; (c): {made_up}");
        measured.check(Expected::Ok, broken);
        good.check(Expected::Ok, broken);
        made_up.check(Expected::Refused, broken);
        Ok(())
    }

    /// So many a second are answered if nothing else is done.
    async fn flat_out(&self, kind: &Kind, broken: &mut Vec<String>) -> Result<f64, Error> {
        let start = Instant::now();
        let flood = Flood::begin_on(self.runtime, self.world, &self.flood, kind);
        tokio::time::sleep(self.size.calibration).await;
        let tally = flood.end().await?;
        tally.check(kind.expected(), broken);
        Ok(u32::try_from(tally.sent()).map_or(f64::MAX, f64::from) / start.elapsed().as_secs_f64())
    }

    /// One load in one round.
    async fn turn(
        &self,
        flood: Option<(&Kind, f64, &Arc<Tally>)>,
        measured: &Arc<Tally>,
    ) -> Result<Turn, Error> {
        let length = self.size.length;
        let good = Good::prepare(self.world, self.size.good_per_second, length).await;
        let (turn, ()) =
            tokio::join!(good.send(&self.good, self.runtime, Pause::Awake, measured, measured), async {
                if let Some((kind, rate, tally)) = flood {
                    let stream = Stream::new(&self.flood, self.runtime, Pause::Awake, tally);
                    stream.pace(rate, length, || Some(kind.token(self.world))).await;
                    tally.settle().await;
                }
            });
        turn
    }
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
            disturbed |= turn.busy.as_ref().is_some_and(|busy| busy.others > UNDISTURBED);
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

impl Good {
    /// Everything that is to be done before the flood.
    pub(crate) async fn prepare(world: &World, per_second: u32, length: Duration) -> Self {
        let per_second = f64::from(per_second);
        let new = (0..).map(f64::from).take_while(|n| n / per_second <= length.as_secs_f64());
        let (known, new) = (world.good(), new.map(|_| world.good()).collect());
        Tally::default().send(&world.called(), &known).await;
        Self { known, new, per_second, length }
    }

    /// Waits for the answers too.
    pub(crate) async fn send(
        self,
        way: &Way,
        runtime: &Handle,
        pause: Pause,
        known_tally: &Arc<Tally>,
        fresh_tally: &Arc<Tally>,
    ) -> Result<Turn, Error> {
        let Self { known: token, mut new, per_second, length } = self;
        let known = Stream::new(way, runtime, pause, known_tally);
        let fresh = Stream::new(way, runtime, pause, fresh_tally);
        let (start, used) = (Instant::now(), Processors::now());
        let streams = (known.clone(), fresh.clone());
        let paced = async move {
            tokio::join!(
                streams.0.pace(per_second, length, || Some(token.clone())),
                streams.1.pace(per_second, length, || new.pop()),
            );
        };
        match pause {
            Pause::Awake => paced.await,
            Pause::Asleep => {
                let handle = runtime.clone();
                tokio::task::spawn_blocking(move || handle.block_on(paced)).await?;
            }
        }
        let busy = used.zip(Processors::now()).map(|(before, after)| after.since(&before, start.elapsed()));
        known_tally.settle().await;
        fresh_tally.settle().await;
        let flat_out = FlatOut::default();
        Ok(Turn { known: known.latencies(), fresh: fresh.latencies(), busy, flat_out })
    }
}

/// Requests at a constant rate.
struct Stream {
    way: Way,
    runtime: Handle,
    pause: Pause,
    tally: Arc<Tally>,
    took: Mutex<Vec<Duration>>,
}

/// What is done until the next request is due.
#[derive(Clone, Copy)]
pub(crate) enum Pause {
    /// Other tasks of this thread, over and over.
    Awake,
    /// Nothing. It is for a thread that nobody else needs, and what it sleeps too long is in every figure.
    Asleep,
}

impl Stream {
    fn new(way: &Way, runtime: &Handle, pause: Pause, tally: &Arc<Tally>) -> Arc<Self> {
        let (way, runtime, tally) = (way.clone(), runtime.clone(), tally.clone());
        Arc::new(Self { way, runtime, pause, tally, took: Mutex::default() })
    }

    /// Sends each when it is due. If the pause was too long, several are due at once.
    async fn pace(
        self: &Arc<Self>,
        per_second: f64,
        length: Duration,
        mut token: impl FnMut() -> Option<Arc<str>>,
    ) {
        let start = Instant::now();
        for after in (0_u32..).map(|n| Duration::from_secs_f64(f64::from(n) / per_second)) {
            let (Some(due), Some(token)) = (start.checked_add(after), token()) else { return };
            if after >= length {
                return;
            }
            self.pause.until(due).await;
            self.tally.begin();
            let stream = self.clone();
            self.runtime.spawn(async move {
                let (ok, took) = (stream.tally.finish(&stream.way, &token).await, due.elapsed());
                if ok {
                    stream.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                }
            });
        }
    }

    fn latencies(&self) -> Latencies {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.sort_unstable();
        let at = |percent: usize| {
            let place = took.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
            took.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
        };
        Latencies { p50: at(50), p99: at(99) }
    }
}

impl Pause {
    async fn until(self, due: Instant) {
        match self {
            Self::Awake => {
                while Instant::now() < due {
                    tokio::task::yield_now().await;
                }
            }
            Self::Asleep => std::thread::sleep(due.saturating_duration_since(Instant::now())),
        }
    }
}

impl Latencies {
    pub(crate) const HEADINGS: &str = "     p50      p99 (least-most)     ";
}

impl Seen {
    /// Known tokens first, then new ones.
    const KINDS: [fn(&Turn) -> Latencies; 2] = [|turn| turn.known, |turn| turn.fresh];

    /// Of both kinds, under [`Latencies::HEADINGS`].
    pub(crate) fn latencies(&self) -> String {
        let of = |kind: fn(&Turn) -> Latencies| {
            let p99 = || self.0.iter().map(|turn| kind(turn).p99);
            let (least, most) = (p99().fold(f64::NAN, f64::min), p99().fold(f64::NAN, f64::max));
            let p50 = median(self.0.iter().map(|turn| kind(turn).p50));
            format!("{p50:5.0} us{:6.0} us {:17}", median(p99()), format!("({least:.0}-{most:.0})"))
        };
        Self::KINDS.map(of).concat()
    }

    /// Busy with this process, and with others.
    pub(crate) fn cores(&self) -> String {
        let busy = |whose: fn(&Busy) -> f64| median(self.0.iter().filter_map(|t| t.busy.as_ref()).map(whose));
        format!("{:.2} + {:.2}", busy(|busy| busy.ours), busy(|busy| busy.others))
    }

    pub(crate) fn flat_out(&self, of: impl Fn(FlatOut) -> f64) -> f64 {
        median(self.0.iter().map(|turn| of(turn.flat_out)))
    }

    pub(crate) fn print_ratio(&self, name: &str, other: &Self, width: usize) {
        print!("  {name:width$}");
        for kind in Self::KINDS {
            let ratio = |of: fn(Latencies) -> f64| {
                median(self.0.iter().zip(&other.0).map(|(ours, theirs)| of(kind(ours)) / of(kind(theirs))))
            };
            print!("{:8.2}{:9.2} {:17}", ratio(|of| of.p50), ratio(|of| of.p99), "");
        }
        println!();
    }
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = of.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many processors were busy.
struct Busy {
    /// With this process: servers, clients and senders.
    ours: f64,
    /// With whatever else runs on this machine. It should be next to nothing, or the figures are about that.
    others: f64,
}

/// What they have done so far, where Linux says so: in hundredths of a second (proc(5)).
struct Processors {
    ours: u64,
    all: u64,
}

impl Processors {
    fn now() -> Option<Self> {
        let process = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name, which may hold anything, from the third field on; wanted are the fourteenth and the fifteenth.
        let (_, fields) = process.rsplit_once(')')?;
        let ours = fields.split_whitespace().skip(11).take(2);
        let machine = std::fs::read_to_string("/proc/stat").ok()?;
        // All of the first line but what was idle (the fourth and the fifth), and guests, which are counted twice.
        let all = machine.lines().next()?.split_whitespace().skip(1);
        let all =
            all.take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4)).map(|(_, field)| field);
        Some(Self { ours: sum(ours)?, all: sum(all)? })
    }

    fn since(&self, before: &Self, elapsed: Duration) -> Busy {
        let busy = |now: u64, before: u64| {
            let ticks = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
            f64::from(ticks) / 100.0 / elapsed.as_secs_f64()
        };
        let ours = busy(self.ours, before.ours);
        Busy { ours, others: (busy(self.all, before.all) - ours).max(0.0) }
    }
}

fn sum<'a>(ticks: impl Iterator<Item = &'a str>) -> Option<u64> {
    ticks.map(|field| field.parse::<u64>().ok()).sum()
}
