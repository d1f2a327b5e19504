//! What a flood costs: first requests all at once, made-up key ids, and a rotation in the middle of them.
//!
//! `cargo run --release --example flood` measures with the clocks of this machine and ends; it takes about a minute.
//! With `-- --quick` it does less, and leaves the rotation out. Keys are fetched over a real socket on loopback; requests
//! go through the layer in this process, so that the figures are its own and not those of a client.
//!
//! It ends with code 1 if a bound is broken that does not depend on how fast the machine is: a fetch beyond the budget, a
//! good token refused, a made-up one accepted.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::manual::defaults::{
    FETCH_TIMEOUT, FRESH_FOR, MISS_BURST, MISS_INTERVAL, REFRESH_AT, REFRESH_JITTER,
};
use tower_bearer::testing::{AuthorizationServer, Idp, Loopback, Serving};
use tower_bearer::{BearerAuthLayer, Issuer, ResourceServer};

const API: &str = "https://api.example.com";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much of each.
struct Size {
    first_requests: u32,
    made_up: u64,
    /// Good requests, measured alone and beside the flood.
    measured: u32,
    rotation: bool,
}

const FULL: Size = Size { first_requests: 10_000, made_up: 1_000_000, measured: 3_000, rotation: true };
const QUICK: Size = Size { first_requests: 500, made_up: 20_000, measured: 200, rotation: false };

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let size = match arguments.as_slice() {
        [] => FULL,
        [quick] if quick == "--quick" => QUICK,
        _ => return Err("usage: flood [--quick]".into()),
    };
    let mut broken = Vec::new();
    let world = World::start().await?;
    world.first_requests(&size, &mut broken).await?;
    let flood = world.made_up_key_ids(&size, &mut broken).await?;
    if size.rotation {
        world.rotation(&flood, &mut broken).await?;
    }
    flood.end(&mut broken).await?;
    for what in &broken {
        println!("BROKEN: {what}");
    }
    println!("{}", if broken.is_empty() { "every bound held" } else { "bounds were broken" });
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An issuer on a socket, and a layer that trusts it.
#[derive(Clone)]
struct World {
    idp: Idp,
    auth: BearerAuthLayer,
    start: Instant,
    _serving: Arc<Serving>,
}

impl World {
    async fn start() -> Result<Self, Error> {
        let loopback = Loopback::bind().await?;
        let idp = Idp::new(loopback.url());
        let api = ResourceServer::builder(API)
            .issuer(Issuer::new(loopback.url()).dangerous_allow_http())
            .build()?;
        let _serving = Arc::new(loopback.serve(AuthorizationServer::new(idp.clone(), API)));
        Ok(Self { idp, auth: BearerAuthLayer::new(api), start: Instant::now(), _serving })
    }

    fn good(&self) -> String {
        self.idp.token(API).expires_in(Duration::from_secs(3600)).sign()
    }

    async fn status(&self, token: &str) -> Result<StatusCode, Error> {
        let service = self.auth.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        Ok(service.oneshot(request.body(Empty::new())?).await?.status())
    }

    fn fetches(&self) -> (usize, usize) {
        let jwks = self.idp.jwks_fetches();
        (self.idp.fetched().len().saturating_sub(jwks), jwks)
    }

    /// So many fetches of the keys there may have been by now: the first, those of the schedule, and the misses.
    fn budget(&self) -> u64 {
        let elapsed = self.start.elapsed().as_secs();
        let earliest =
            FRESH_FOR.as_secs().saturating_mul(u64::from(REFRESH_AT.saturating_sub(REFRESH_JITTER)));
        let scheduled = elapsed.saturating_mul(100).checked_div(earliest).unwrap_or(0);
        let misses = elapsed.checked_div(MISS_INTERVAL.as_secs()).unwrap_or(0);
        scheduled.saturating_add(misses).saturating_add(u64::from(MISS_BURST)).saturating_add(1)
    }

    /// All at once, before there is a key.
    async fn first_requests(&self, size: &Size, broken: &mut Vec<String>) -> Result<(), Error> {
        let token: Arc<str> = self.good().into();
        let start = Instant::now();
        let mut requests = JoinSet::new();
        for _ in 0..size.first_requests {
            let (world, token) = (self.clone(), token.clone());
            requests.spawn(async move { world.status(&token).await });
        }
        let mut good = 0_u32;
        let mut others = Vec::new();
        while let Some(status) = requests.join_next().await {
            match status?? {
                StatusCode::OK => good = good.saturating_add(1),
                other => others.push(other),
            }
        }
        let (discovery, jwks) = self.fetches();
        println!(
            "{} first requests at once: {good} answered 200, {} others, in {:?}; {discovery} fetch of discovery, \
             {jwks} of keys",
            size.first_requests,
            others.len(),
            start.elapsed(),
        );
        if !others.is_empty() {
            broken.push(format!("first requests answered {:?}", others.first()));
        }
        if (discovery, jwks) != (1, 1) {
            broken.push("more than one fetch for the first requests".to_owned());
        }
        Ok(())
    }

    /// Made-up key ids as fast as they go, and good requests beside them. The flood goes on.
    async fn made_up_key_ids(&self, size: &Size, broken: &mut Vec<String>) -> Result<Flood, Error> {
        let alone = self.latencies(size.measured, broken).await?;
        let (start, before) = (Instant::now(), self.fetches().1);
        let flood = Flood::begin(self);
        let beside = self.latencies(size.measured, broken).await?;
        while flood.counts.sent.load(Ordering::Relaxed) < size.made_up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (elapsed, fetched, budget) = (start.elapsed(), self.fetches().1, self.budget());
        let sent = flood.counts.sent.load(Ordering::Relaxed);
        println!(
            "{sent} distinct made-up key ids (each with junk for a signature) in {elapsed:?}: {} answered 401, {} 503; \
             {} fetches of keys, {fetched} since the start, of {budget} that the budget allows",
            flood.counts.refused.load(Ordering::Relaxed),
            flood.counts.unavailable.load(Ordering::Relaxed),
            fetched.saturating_sub(before),
        );
        println!("good requests alone:            p50 {:?}, p99 {:?}", alone.p50, alone.p99);
        println!("good requests beside the flood: p50 {:?}, p99 {:?}", beside.p50, beside.p99);
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        println!(
            "ratio:                          p50 {:.1}, p99 {:.1} (from the start of a task to the answer; every core is busy \
             with the flood)",
            ratio(beside.p50, alone.p50),
            ratio(beside.p99, alone.p99),
        );
        if u64::try_from(fetched)? > budget {
            broken.push(format!("{fetched} fetches, and the budget allows {budget}"));
        }
        Ok(flood)
    }

    /// One good request each millisecond, as a task of its own.
    async fn latencies(&self, count: u32, broken: &mut Vec<String>) -> Result<Latencies, Error> {
        let token: Arc<str> = self.good().into();
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let (world, token, start) = (self.clone(), token.clone(), Instant::now());
            requests.spawn(async move { Ok::<_, Error>((world.status(&token).await?, start.elapsed())) });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut took = Vec::new();
        while let Some(done) = requests.join_next().await {
            let (status, time) = done??;
            if status != StatusCode::OK {
                broken.push(format!("a good token was answered {status}"));
            }
            took.push(time);
        }
        took.sort();
        let at = |percent: usize| {
            let place = took.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
            took.get(place).copied().unwrap_or_default()
        };
        Ok(Latencies { p50: at(50), p99: at(99) })
    }

    /// How long a new key waits for a fetch while made-up ones have spent the budget.
    async fn rotation(&self, flood: &Flood, broken: &mut Vec<String>) -> Result<(), Error> {
        let old = self.good();
        self.idp.rotate();
        let (new, start) = (self.good(), Instant::now());
        let bound = MISS_INTERVAL.saturating_add(FETCH_TIMEOUT);
        let (mut refused, mut unavailable) = (0_u32, 0_u32);
        let sent = flood.counts.sent.load(Ordering::Relaxed);
        loop {
            match self.status(&new).await? {
                StatusCode::OK => break,
                StatusCode::SERVICE_UNAVAILABLE => unavailable = unavailable.saturating_add(1),
                _ => refused = refused.saturating_add(1),
            }
            if self.status(&old).await? != StatusCode::OK {
                broken.push("a token of the old key, which is still published, was refused".to_owned());
            }
            if start.elapsed() > bound {
                broken.push(format!("the new key was not accepted within {bound:?}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!(
            "a rotation under the flood: the new key was accepted after {:?} (bound {bound:?}), {refused} times 401 and \
             {unavailable} times 503 before; {} made-up key ids meanwhile",
            start.elapsed(),
            flood.counts.sent.load(Ordering::Relaxed).saturating_sub(sent),
        );
        Ok(())
    }
}

struct Latencies {
    p50: Duration,
    p99: Duration,
}

/// As many senders as there are workers, until it is ended.
struct Flood {
    senders: JoinSet<Result<(), Error>>,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    world: World,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    accepted: AtomicU64,
}

impl Flood {
    fn begin(world: &World) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        // All but the key id and the signature is that of a good token, so that nothing cheaper refuses it.
        let claims: Arc<str> = URL_SAFE_NO_PAD.encode(world.idp.token(API).claims_json()).into();
        let mut senders = JoinSet::new();
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (world, stop, counts) = (world.clone(), stop.clone(), counts.clone());
            let claims = claims.clone();
            senders.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = counts.sent.fetch_add(1, Ordering::Relaxed);
                    let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"made up {number}"}}"#);
                    let signature = URL_SAFE_NO_PAD.encode([7; 64]);
                    let token = format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode(header));
                    match world.status(&token).await? {
                        StatusCode::UNAUTHORIZED => &counts.refused,
                        StatusCode::SERVICE_UNAVAILABLE => &counts.unavailable,
                        _ => &counts.accepted,
                    }
                    .fetch_add(1, Ordering::Relaxed);
                    // As it would be if each came from a socket.
                    tokio::task::yield_now().await;
                }
                Ok(())
            });
        }
        Self { senders, stop, counts, world: world.clone() }
    }

    async fn end(mut self, broken: &mut Vec<String>) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(sender) = self.senders.join_next().await {
            sender??;
        }
        let accepted = self.counts.accepted.load(Ordering::Relaxed);
        if accepted > 0 {
            broken.push(format!("{accepted} tokens of made-up keys were neither 401 nor 503"));
        }
        let (fetched, budget) = (self.world.fetches().1, self.world.budget());
        println!("in the end: {fetched} fetches of keys since the start, of {budget} that the budget allows");
        if u64::try_from(fetched)? > budget {
            broken.push(format!("{fetched} fetches, and the budget allows {budget}"));
        }
        Ok(())
    }
}
