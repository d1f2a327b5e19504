//! What good requests notice of made-up key ids, on a machine that has room for both.
//!
//! The client has one processor for itself and the server another (`split.rs`), so that what is measured is the server,
//! and not how the system shares a processor between the two.
//!
//! Good requests, half of them with one token that is known and half with a new one each, are sent at a constant rate:
//! alone, beside a flood of good requests, and beside one of made-up key ids. The two floods have the same rate, a share
//! of what this machine answers flat out, so that what differs is only what is sent; the known token of the first is the
//! cheapest request there is.
//!
//! A request is sent when it is due, whether those before it have been answered or not, and its latency counts from then:
//! a pause shows in all the requests that fell due in it. Neither client nor server ever sleeps: on a virtual machine it can be
//! milliseconds until a processor that slept is back, and the rarer requests are, the more of them wait for that.
//!
//! A machine takes its processors away from busy programs, too: virtual ones for milliseconds, several times a second
//! (seen), and what was due then waits, the longer the more there is to do. No server can undo that. How much of a turn it has
//! taken is what the clock says less what the processors have done, because neither thread ever sleeps; it knows nothing of what
//! was answered when. Turns are short, and those count from which next to nothing was taken.
//!
//! The loads take turns for many rounds, so that a machine that gets slower meanwhile spoils none of them. A p99 is that of
//! all requests of a load in all turns that count, and a ratio is that of two; how far it could have come out otherwise is
//! printed behind it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::Error;
use crate::busy::Processors;
use crate::flat_out::Kind;
use crate::seen::{FlatOut, Latencies, Turn, Wanted, median, take_turns};
use crate::split::Split;
use crate::taken::Had;
use crate::tally::{Expected, Tally};
use crate::world::{Way, World};

/// What a flood is, of what the server answers flat out: one that leaves it much room, and one that leaves it less.
const LITTLE: f64 = 0.15;
const MUCH: f64 = 0.4;

/// Requests that are under way at most while it is found out how many the server answers flat out.
const UNDER_WAY: u64 = 256;

/// How often that is found out; the median counts.
const CALIBRATIONS: usize = 5;

/// So much may be taken of two processors in a turn that counts: a p99 is moved by five times as much.
const TAKEN: f64 = 0.002;

pub(crate) struct Size {
    /// Of each load.
    pub(crate) turns: usize,
    /// Of one.
    pub(crate) length: Duration,
    /// Of one flood flat out.
    pub(crate) calibration: Duration,
    /// Of each kind.
    pub(crate) good_per_second: u32,
}

/// Good requests of one load in one turn: half of them with one token that is known, half with a new one each.
pub(crate) struct Good {
    known: Arc<str>,
    new: Vec<Arc<str>>,
    per_second: f64,
    length: Duration,
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
        for (name, good, flood, runtime, share) in [
            ("called directly", world.called(), world.called(), &server, LITTLE),
            ("called directly", world.called(), world.called(), &server, MUCH),
            // Two clients, each with its own connections.
            ("HTTP/1.1 on loopback", world.http(), world.http(), &client, LITTLE),
            ("HTTP/1.1 on loopback", world.http(), world.http(), &client, MUCH),
        ] {
            println!("good requests beside a paced flood, {name}:");
            let comparison =
                Comparison { world: &world, size: &size, good, flood, server: &server, runtime, share };
            comparison.run(&mut broken).await?;
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
    server: &'a Handle,
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
        let (measured, floods) = (Arc::new(Tally::default()), [(); 2].map(|()| Arc::new(Tally::default())));
        let [beside_known, beside_made_up] = &floods;
        let turn = async |place: usize| match place {
            0 => self.empty_loop().await,
            1 => self.turn(None, &measured).await,
            2 => self.turn(Some((&known, rate, beside_known)), &measured).await,
            _ => self.turn(Some((&made_up, rate, beside_made_up)), &measured).await,
        };
        let (seen, rounds) = take_turns(Wanted { turns: self.size.turns, taken: TAKEN }, turn).await?;
        let [empty_loop, alone, beside_good, beside_made_up] = &seen;
        println!("  {:38}{:^34}{:^34}cores busy      taken", "", "known token", "new token");
        println!("  {0:38}{1}{1}ours + others   at most", "", Latencies::HEADINGS);
        for (name, seen) in [
            ("(-) an empty loop", empty_loop),
            ("(a) alone", alone),
            ("(b) beside known tokens", beside_good),
            ("(c) beside made-up key ids", beside_made_up),
        ] {
            println!("  {name:38}{}{}", seen.latencies(), seen.cores());
        }
        beside_made_up.print_ratio("(c)/(b), what the key ids cost", beside_good, 38);
        beside_made_up.print_ratio("(c)/(a), what the flood costs", alone, 38);
        let [good, made_up] = &floods;
        println!("  the {} turns of each that count are of {rounds}", self.size.turns);
        println!("  accounts: measured: {measured}; (b): {good}; (c): {made_up}");
        measured.check(Expected::Ok, broken);
        good.check(Expected::Ok, broken);
        made_up.check(Expected::Refused, broken);
        Ok(())
    }

    /// So many a second are answered if nothing else is done. They come as those of the paced floods do.
    async fn flat_out(&self, kind: &Kind, broken: &mut Vec<String>) -> Result<f64, Error> {
        let tally = Arc::new(Tally::default());
        let stream = Stream::new(&self.flood, self.runtime, Pause::Awake, &tally);
        let mut per_second = Vec::new();
        for _ in 0..CALIBRATIONS {
            let (start, before) = (Instant::now(), tally.ended());
            while start.elapsed() < self.size.calibration {
                if tally.sent().saturating_sub(tally.ended()) < UNDER_WAY {
                    stream.send(Instant::now(), kind.token(self.world));
                } else {
                    tokio::task::yield_now().await;
                }
                // The tasks of an HTTP client are in this thread.
                if matches!(self.flood, Way::Http(_)) {
                    tokio::task::yield_now().await;
                }
            }
            tally.settle().await;
            let answered = u32::try_from(tally.ended().saturating_sub(before))?;
            per_second.push(f64::from(answered) / start.elapsed().as_secs_f64());
        }
        tally.check(kind.expected(), broken);
        Ok(median(per_second.into_iter()))
    }

    /// What this machine takes from a server that needs no time at all.
    async fn empty_loop(&self) -> Result<Turn, Error> {
        let (length, per_second) = (self.size.length, f64::from(self.size.good_per_second));
        let (used, had) = (Processors::now(), Had::now(self.server).await?);
        let looking = self.server.spawn(async move {
            let (start, mut took) = (Instant::now(), Vec::new());
            for due in (0_u32..).map(|n| Duration::from_secs_f64(f64::from(n) / per_second)) {
                if due >= length {
                    break;
                }
                while start.elapsed() < due {}
                took.push(start.elapsed().saturating_sub(due));
            }
            (start.elapsed(), took)
        });
        while !looking.is_finished() {
            tokio::task::yield_now().await;
        }
        let (elapsed, took) = looking.await?;
        let seen = Latencies::of(took);
        let busy = Processors::now().since(&used, elapsed);
        let taken = Had::now(self.server).await?.since(&had);
        Ok(Turn { known: seen.clone(), fresh: seen, busy, taken, flat_out: FlatOut::default() })
    }

    /// One load in one round.
    async fn turn(
        &self,
        flood: Option<(&Kind, f64, &Arc<Tally>)>,
        measured: &Arc<Tally>,
    ) -> Result<Turn, Error> {
        let length = self.size.length;
        let good = Good::prepare(self.world, self.size.good_per_second, length).await;
        let had = Had::now(self.server).await?;
        let flooded = async {
            if let Some((kind, rate, tally)) = flood {
                let stream = Stream::new(&self.flood, self.runtime, Pause::Awake, tally);
                stream.pace(rate, length, || Some(kind.token(self.world))).await;
                tally.settle().await;
            }
        };
        let good = good.send(&self.good, self.runtime, Pause::Awake, measured, measured);
        let (turn, ()) = tokio::join!(good, flooded);
        let taken = Had::now(self.server).await?.since(&had);
        Ok(Turn { taken, ..turn? })
    }
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
        let busy = Processors::now().since(&used, start.elapsed());
        known_tally.settle().await;
        fresh_tally.settle().await;
        let flat_out = FlatOut::default();
        let taken = busy.others.unwrap_or_default();
        Ok(Turn { known: known.latencies(), fresh: fresh.latencies(), busy, taken, flat_out })
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
            self.send(due, token);
        }
    }

    fn send(self: &Arc<Self>, due: Instant, token: Arc<str>) {
        self.tally.begin();
        let stream = self.clone();
        self.runtime.spawn(async move {
            let (ok, took) = (stream.tally.finish(&stream.way, &token).await, due.elapsed());
            if ok {
                stream.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            }
        });
    }

    fn latencies(&self) -> Latencies {
        Latencies::of(std::mem::take(&mut *self.took.lock().unwrap_or_else(PoisonError::into_inner)))
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
