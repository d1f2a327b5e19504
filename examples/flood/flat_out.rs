//! As many requests as the machine can answer: what holds then does not depend on how fast it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower_bearer::manual::defaults::{FETCH_TIMEOUT, MISS_INTERVAL};

use crate::Error;
use crate::tally::{Expected, Tally};
use crate::world::{CONNECTIONS, Way, World};

/// All at once, before there is a key.
pub(crate) async fn first_requests(world: &World, count: u32, broken: &mut Vec<String>) -> Result<(), Error> {
    let (way, token, tally) = (world.called(), world.good(), Arc::new(Tally::default()));
    let start = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let (way, token, tally) = (way.clone(), token.clone(), tally.clone());
        requests.spawn(async move { tally.send(&way, &token).await });
    }
    while let Some(done) = requests.join_next().await {
        done?;
    }
    let (discovery, jwks) = world.fetches();
    println!(
        "first requests at once: {tally}, in {:?}; {discovery} fetch of discovery, {jwks} of keys",
        start.elapsed(),
    );
    tally.check(Expected::Ok, broken);
    if (discovery, jwks) != (1, 1) {
        broken.push("more than one fetch for the first requests".to_owned());
    }
    Ok(())
}

/// Made-up key ids as fast as they go, and good requests beside them.
pub(crate) async fn made_up_key_ids(
    world: &World,
    count: u64,
    good_count: u32,
    broken: &mut Vec<String>,
) -> Result<(), Error> {
    let (start, before) = (Instant::now(), world.fetches().1);
    let (way, token, good) = (world.called(), world.good(), Tally::default());
    let flood = Flood::begin(world, &way, &Kind::MadeUp);
    for _ in 0..good_count {
        good.send(&way, &token).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while flood.tally.sent() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let made_up = flood.end().await?;
    println!(
        "distinct made-up key ids (each with junk for a signature): {made_up}, in {:?}; {} fetches of keys meanwhile",
        start.elapsed(),
        world.fetches().1.saturating_sub(before),
    );
    println!("good requests beside them: {good}");
    good.check(Expected::Ok, broken);
    made_up.check(Expected::Refused, broken);
    world.check_budget(broken)
}

/// How long a new key waits for a fetch while made-up ones have spent the budget.
pub(crate) async fn rotation(world: &World, broken: &mut Vec<String>) -> Result<(), Error> {
    let (way, before, after) = (world.called(), Tally::default(), Tally::default());
    let flood = Flood::begin(world, &way, &Kind::MadeUp);
    let old = world.good();
    world.idp.rotate();
    let (new, start) = (world.good(), Instant::now());
    let bound = MISS_INTERVAL.saturating_add(FETCH_TIMEOUT);
    while !after.send(&way, &new).await {
        before.send(&way, &old).await;
        if start.elapsed() > bound {
            broken.push(format!("the new key was not accepted within {bound:?}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = start.elapsed();
    let made_up = flood.end().await?;
    println!("a rotation under the flood: the new key was accepted after {took:?} (bound {bound:?})");
    println!(
        "  its tokens: {after}; those of the old key, which is still published: {before}; made up: {made_up}"
    );
    before.check(Expected::Ok, broken);
    made_up.check(Expected::Refused, broken);
    Ok(())
}

/// What a flood sends.
#[derive(Clone)]
pub(crate) enum Kind {
    /// Always the same good token.
    Known(Arc<str>),
    /// Each with a key id of its own.
    MadeUp,
    /// Always the same one, which names a good key and is not signed with it.
    Forged(Arc<str>),
}

/// As many senders as keep every core busy, each with one request at a time, until it is ended.
pub(crate) struct Flood {
    senders: JoinSet<()>,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
}

impl Flood {
    pub(crate) fn begin(world: &World, way: &Way, kind: &Kind) -> Self {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let senders = match way {
            Way::Called(_) => Handle::current().metrics().num_workers(),
            Way::Http(_) => CONNECTIONS,
        };
        let sender = || {
            let (world, way, kind) = (world.clone(), way.clone(), kind.clone());
            let (stop, tally) = (stop.clone(), tally.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    tally.send(&way, &kind.token(&world)).await;
                    // As it would be if each came from a socket.
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut running = JoinSet::new();
        for _ in 0..senders {
            running.spawn(sender());
        }
        Self { senders: running, stop, tally }
    }

    /// Sends no more, and waits for the answers that are under way: a request is counted when it is sent.
    pub(crate) async fn end(mut self) -> Result<Arc<Tally>, Error> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(sender) = self.senders.join_next().await {
            sender?;
        }
        Ok(self.tally)
    }
}

impl Kind {
    /// The work for a made-up token is done for a known one too, so that two floods differ in what they send only.
    pub(crate) fn token(&self, world: &World) -> Arc<str> {
        match self {
            Self::Known(token) => {
                world.made_up();
                token.clone()
            }
            Self::MadeUp => world.made_up(),
            Self::Forged(token) => token.clone(),
        }
    }

    pub(crate) fn expected(&self) -> Expected {
        match self {
            Self::Known(_) => Expected::Ok,
            Self::MadeUp | Self::Forged(_) => Expected::Refused,
        }
    }
}
