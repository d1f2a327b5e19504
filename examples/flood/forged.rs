//! What good requests notice of forged tokens that name a real key, and what a limit on signatures that are checked at the
//! same time changes.
//!
//! Each forged token costs a signature, and they come as fast as they are answered. Beside them good requests are sent at a
//! constant rate as in `paced.rs`, half of them with one token that is known and half with a new one each: to a server
//! without a limit, and to servers with limits. The latency of new tokens is that of those that were accepted; the others
//! were answered 503, and how many is in the table. The faster a server turns forged ones away, the more of them it is sent.
//!
//! No signature is checked by a thread that does something else meanwhile. So a limit that is not below the number of threads
//! must turn nobody away, and on a machine with two processors a limit of 2 should look like none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::Error;
use crate::flat_out::{Flood, Kind};
use crate::paced::{Good, Pause};
use crate::seen::{FlatOut, Latencies, Seen, Turn, Wanted, take_turns};
use crate::tally::{Expected, Tally};
use crate::world::{Way, World};

/// With more processors than this busy with other programs, a turn does not count if there are better ones.
const TAKEN: f64 = 0.1;

pub(crate) struct Size {
    pub(crate) turns: usize,
    /// Of one load in one round.
    pub(crate) length: Duration,
    /// Of each kind.
    pub(crate) good_per_second: u32,
}

/// One server, with or without a flood.
struct Load {
    name: &'static str,
    limit: Option<usize>,
    world: World,
    flood: Option<Kind>,
    known: Arc<Tally>,
    fresh: Arc<Tally>,
    forged: Tally,
}

/// How requests come to it, those that are measured and those of the flood.
type Ways = fn(&World) -> Way;

pub(crate) async fn compare(size: &Size, broken: &mut Vec<String>) -> Result<(), Error> {
    let ways: [(&str, Ways); 2] = [
        ("the layer called in this process", World::called),
        ("HTTP/1.1 on loopback, client and server on the same cores", World::http),
    ];
    for (name, way) in ways {
        println!(
            "good requests beside forged tokens flat out, {name}; measured: {0} with a known token and {0} with new ones a \
             second",
            size.good_per_second,
        );
        let loads = [
            Load::new("(a) alone", None, false).await?,
            Load::new("(b) no limit", None, true).await?,
            Load::new("(c) at most 1 at the same time", Some(1), true).await?,
            Load::new("(d) at most 2 at the same time", Some(2), true).await?,
        ];
        run(size, &loads, way, broken).await?;
    }
    Ok(())
}

async fn run(size: &Size, loads: &[Load; 4], way: Ways, broken: &mut Vec<String>) -> Result<(), Error> {
    // A client for each server and each of the two, with its own connections.
    let ways = loads.each_ref().map(|load| (load, way(&load.world), way(&load.world)));
    let turn = async |place: usize| {
        let (load, good, flood) = ways.get(place).ok_or("a load too many")?;
        load.turn(size, good, flood).await
    };
    let wanted = Wanted { turns: size.turns, taken: TAKEN };
    let (seen, rounds): ([Seen; 4], _) = take_turns(wanted, turn).await?;
    println!("  {:32}{:^34}{:^41}{:^19}  cores busy      taken", "", "known token", "new token", "forged");
    println!("  {0:32}{1}{1}    503    a second   503  ours + others   at most", "", Latencies::HEADINGS);
    for (load, seen) in loads.iter().zip(&seen) {
        println!(
            "  {:32}{}{:5.1} %{:12.0}{:4.0} %  {}",
            load.name,
            seen.latencies(),
            seen.flat_out(|flat_out| flat_out.new_unavailable),
            seen.flat_out(|flat_out| flat_out.per_second),
            seen.flat_out(|flat_out| flat_out.unavailable),
            seen.cores(),
        );
    }
    let [alone, no_limit, one, two] = &seen;
    no_limit.print_ratio("(b)/(a), what the flood costs", alone, 32);
    one.print_ratio("(c)/(b), what the limit spares", no_limit, 32);
    two.print_ratio("(d)/(b)", no_limit, 32);
    println!("  the {} turns of each that count are of {rounds}", size.turns);
    for load in loads {
        println!(
            "  accounts: {}: known: {}; new: {}; forged: {}",
            load.name, load.known, load.fresh, load.forged
        );
        load.known.check(Expected::Ok, broken);
        load.fresh.check(load.limit.map_or(Expected::Ok, |_| Expected::OkOrUnavailable), broken);
        load.forged.check(Expected::Refused, broken);
        if load.limit.is_none() && load.forged.unavailable() > 0 {
            broken.push(format!("503 without a limit: {}", load.forged));
        }
    }
    Ok(())
}

impl Load {
    async fn new(name: &'static str, limit: Option<usize>, flood: bool) -> Result<Self, Error> {
        let world = World::limited(limit).await?;
        Ok(Self {
            name,
            limit,
            flood: flood.then(|| Kind::Forged(world.forged())),
            world,
            known: Arc::default(),
            fresh: Arc::default(),
            forged: Tally::default(),
        })
    }

    async fn turn(&self, size: &Size, way: &Way, flood_way: &Way) -> Result<Turn, Error> {
        let good = Good::prepare(&self.world, size.good_per_second, size.length).await;
        let before = (self.fresh.sent(), self.fresh.unavailable());
        let start = Instant::now();
        let flood = self.flood.as_ref().map(|kind| Flood::begin(&self.world, flood_way, kind));
        let mut turn = good.send(way, &Handle::current(), Pause::Asleep, &self.known, &self.fresh).await?;
        let sent = self.fresh.sent().saturating_sub(before.0);
        let new_unavailable = percent(self.fresh.unavailable().saturating_sub(before.1), sent);
        turn.flat_out = FlatOut { new_unavailable, ..FlatOut::default() };
        if let Some(flood) = flood {
            let forged = flood.end().await?;
            turn.flat_out.per_second = float(forged.sent()) / start.elapsed().as_secs_f64();
            turn.flat_out.unavailable = percent(forged.unavailable(), forged.sent());
            self.forged.add(&forged);
        }
        Ok(turn)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) * 100.0 }
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
