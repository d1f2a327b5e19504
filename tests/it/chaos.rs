//! The life of keys under load, against an issuer that rotates, fails and lies at random.
//!
//! A seed makes a schedule of steps. Each step moves the clock (token times, ages of keys and pauses; sockets and the
//! limits of a fetch are in real time), lets clients send good, expired and forged tokens through the layer all at once,
//! and in the middle of it may change the issuer: it rotates, with the old keys kept or gone in the same instant; signs
//! with a key that it has not published yet; withdraws keys; changes its `Cache-Control`; or begins or ends one [`Fault`].
//! The issuer is a real server on loopback, and writes down what it served when.
//!
//! The model ([`model`]) has nothing but that history and the constants of `manual::defaults`:
//!
//! - *in use* is the set that was served last. In the step in which a newer one is served it may be either. A set that was
//!   held back for [`FLIGHT_LIMIT`] or longer (or for half of `FETCH_TIMEOUT` in real time, on a busy machine) may be used
//!   or not. Each ends after its fresh time and [`STALE_FOR`].
//! - **accepted** is only what the issuer has signed, has not expired, and has its key in a set in use. A withdrawn key
//!   thereby ends with the next fetch that brings keys, or with the set.
//! - **200**, and nothing else, is the answer to a good token whose key is in use, whatever happens to the issuer.
//! - **401** for a good token is allowed if its key is not published, or if a key set without it was served in the last
//!   [`ABSENT_FOR`].
//! - **503** is allowed if the key is not in use and the issuer is in trouble, was up to [`BACKOFF_MAX`] ago, or has asked
//!   for a pause that is not over; and for who has waited for [`MISS_WAIT`] in vain. Never for an expired token.
//! - **fetches** are each explained by the schedule (not before 70 % of the fresh time, or half the pause after a failure)
//!   or by the bucket for misses ([`MISS_BURST`], one more each [`MISS_INTERVAL`]).
//! - **refreshes** are not late: with an issuer that is well, the set in use is younger than 90 % of its fresh time.
//!
//! The same driver must find what is wrong with four verifiers that are made wrong on purpose.
//!
//! `TOWER_BEARER_SEED=… cargo test --test it chaos::` repeats a schedule; what runs at the same time within a step does so
//! in another order.
//!
//! [`FLIGHT_LIMIT`]: tower_bearer::manual::defaults::FLIGHT_LIMIT
//! [`STALE_FOR`]: tower_bearer::manual::defaults::STALE_FOR
//! [`ABSENT_FOR`]: tower_bearer::manual::defaults::ABSENT_FOR
//! [`BACKOFF_MAX`]: tower_bearer::manual::defaults::BACKOFF_MAX
//! [`MISS_WAIT`]: tower_bearer::manual::defaults::MISS_WAIT
//! [`MISS_BURST`]: tower_bearer::manual::defaults::MISS_BURST
//! [`MISS_INTERVAL`]: tower_bearer::manual::defaults::MISS_INTERVAL

mod issuer;
mod model;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::Router;
use tokio::task::JoinSet;
use tower_bearer::manual::defaults::{BACKOFF_MAX, DEFAULT_LEEWAY, FETCH_TIMEOUT, MAX_RETRY_AFTER};
use tower_bearer::testing::{ManualClock, TokenBuilder, random_hex};
use tower_bearer::{
    BearerAuthLayer, Clock, Fetch, FetchFuture, FetchRequest, FetchResponse, ReqwestFetch, ResourceServer,
};

use self::issuer::{Fault, Issuer};
use self::model::{History, Rule, Shot, Violation};
use crate::support::{API, app, bearer, seconds, status};

const STEPS: u32 = 250;

/// The time of day at the start: in whole seconds, as in claims.
const START: Duration = seconds(2_000_000_000);

/// Of tokens that are refused whatever their times are.
const LIFE: Duration = seconds(1_000_000);

/// What is made wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// One forged token is accepted.
    OneForged,
    /// The keys are fetched and then not used.
    FirstSetForEver,
    /// Keys are fetched ten times as often.
    TenFetches,
    /// Now and then a good token is called bad.
    SomeRefused,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_an_issuer_does_breaks_a_promise() {
    let seed = seed();
    let (found, summary) = run(seed, Plant::Nothing, &[]).await;
    assert!(found.is_empty(), "TOWER_BEARER_SEED={seed}: {found:#?}\n{summary:?}");
    // What was to be shown did happen.
    for answer in
        ["newest 200", "forged 401", "resent 200", "resent 401", "long expired 401", "unknown kid 401"]
    {
        assert!(summary.answers.contains_key(answer), "TOWER_BEARER_SEED={seed}: {summary:?}");
    }
    println!("TOWER_BEARER_SEED={seed}: {summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_planted_fault_is_found() {
    let seed = seed();
    for (plant, rules) in [
        (Plant::OneForged, &[Rule::Accepted][..]),
        (Plant::FirstSetForEver, &[Rule::Accepted, Rule::Refused]),
        (Plant::TenFetches, &[Rule::Fetches]),
        (Plant::SomeRefused, &[Rule::Refused]),
    ] {
        let (found, _) = run(seed, plant, rules).await;
        let some = &found[found.len().saturating_sub(5)..];
        assert!(breaks_all(&found, rules), "TOWER_BEARER_SEED={seed}: {plant:?} is not found: {some:#?}");
    }
}

fn breaks_all(found: &[Violation], rules: &[Rule]) -> bool {
    rules.iter().all(|rule| found.iter().any(|violation| violation.rule == *rule))
}

/// Another one each time, unless one is to be repeated.
fn seed() -> u64 {
    match std::env::var("TOWER_BEARER_SEED") {
        Ok(seed) => seed.parse().expect("TOWER_BEARER_SEED is a number"),
        Err(_) => u64::from_str_radix(&random_hex(8), 16).unwrap(),
    }
}

/// Since the start, by the clock that the driver moves.
#[derive(Clone)]
struct Times(ManualClock, Instant);

impl Times {
    fn now(&self) -> Duration {
        self.0.instant() - self.1
    }
}

/// What happened, to see that it was not nothing.
#[derive(Debug, Default)]
struct Summary {
    simulated: Duration,
    took: Duration,
    fetches: usize,
    keys: usize,
    faults: usize,
    /// How often each kind of token had which answer.
    answers: BTreeMap<String, usize>,
}

struct Driver {
    dice: Dice,
    clock: ManualClock,
    times: Times,
    issuer: Issuer,
    api: ResourceServer,
    app: Router,
    shots: JoinSet<Shot>,
    /// The good tokens so far: their keys, themselves, and their ends.
    sent: Vec<(String, String, Duration)>,
    long_outage: bool,
    plant: Plant,
    planted: bool,
    found: Vec<Violation>,
    summary: Summary,
}

/// Until all these rules are broken, if there are any, or to the end of the schedule.
async fn run(seed: u64, plant: Plant, rules: &[Rule]) -> (Vec<Violation>, Summary) {
    let clock = ManualClock::at(UNIX_EPOCH + START);
    let times = Times(clock.clone(), clock.instant());
    let (issuer, _serving) = Issuer::start(times.clone(), clock.clone()).await;
    let trusted = tower_bearer::Issuer::new(issuer.url()).dangerous_allow_http();
    let trusted = match plant {
        Plant::FirstSetForEver | Plant::TenFetches => trusted.fetch(Wrong::new(plant)),
        _ => trusted,
    };
    let api = ResourceServer::builder(API).issuer(trusted).clock(clock.clone()).build().unwrap();
    let app = app(&BearerAuthLayer::new(api.clone()));
    let mut driver = Driver {
        dice: Dice(seed),
        clock,
        times,
        issuer,
        api,
        app,
        shots: JoinSet::new(),
        sent: Vec::new(),
        long_outage: false,
        plant,
        planted: false,
        found: Vec::new(),
        summary: Summary::default(),
    };
    if plant == Plant::FirstSetForEver {
        // Else the first one may be no set at all: the issuer may fail from the first step on.
        driver.api.warm_up().await.unwrap();
    }
    let start = Instant::now();
    for _ in 0..STEPS {
        driver.step().await;
        // Of those that nobody planted the first are the ones to look at.
        let enough = if rules.is_empty() { driver.found.len() > 5 } else { breaks_all(&driver.found, rules) };
        if enough {
            break;
        }
    }
    driver.finish().await;
    driver.summary.took = start.elapsed();
    (driver.found, driver.summary)
}

impl Driver {
    async fn step(&mut self) {
        let pause = match self.dice.below(20) {
            _ if self.long_outage => 300 + self.dice.below(900),
            0 => 60 + self.dice.below(600),
            _ => 1 + self.dice.below(12),
        };
        self.clock.advance(seconds(pause));
        for _ in 0..8 + self.dice.below(12) {
            self.shoot();
        }
        // Before, among or after the answers.
        tokio::time::sleep(Duration::from_micros(self.dice.below(3000))).await;
        self.change_the_issuer();
        self.collect().await;
        self.settle().await;
        let now = self.times.now();
        if !self.issuer.holds_any() {
            self.found.extend(self.issuer.history(|history| history.check_schedule(now)));
            self.found.extend(self.issuer.history(History::check_fetches));
        }
    }

    /// One request, on its way at once.
    fn shoot(&mut self) {
        let newest = self.issuer.keys() - 1;
        let (what, kid, token, expires) = match self.dice.below(100) {
            0..40 => self.good("newest", newest),
            40..50 => {
                let key = newest.saturating_sub(self.dice.index(4));
                self.good("one of the last", key)
            }
            50..60 => {
                let key = self.dice.index(newest + 1);
                self.good("any key", key)
            }
            60..70 if !self.sent.is_empty() => {
                let place = self.sent.len() - 1 - self.dice.index(self.sent.len().min(100));
                let (kid, token, expires) = self.sent[place].clone();
                ("resent", Some(kid), token, expires)
            }
            60..75 => {
                let (kid, token) = self.issuer.token(newest);
                ("long expired", Some(kid), token.claim("exp", START.as_secs() - 1000).sign(), Duration::ZERO)
            }
            75..88 => ("forged", None, self.forged(), Duration::MAX),
            _ => {
                // It does not come to the signature.
                let (_, own) = self.issuer.token(newest);
                let own = own.header("kid", format!("made up {}", self.dice.next()));
                let (head, claims) = (own.header_json(), self.ending(own, LIFE).claims_json());
                ("unknown kid", None, [head, claims].map(encode).join(".") + ".c2lnbmF0dXJl", Duration::MAX)
            }
        };
        let now = self.times.now();
        let lie = match self.plant {
            Plant::OneForged if what == "forged" && !self.planted => Some(200),
            Plant::SomeRefused if what == "newest" && self.dice.below(10) == 0 => Some(401),
            _ => None,
        };
        self.planted |= lie.is_some();
        let (app, times) = (self.app.clone(), self.times.clone());
        self.shots.spawn(async move {
            let start = Instant::now();
            let answer = status(&app, bearer(&token)).await.as_u16();
            let status = lie.unwrap_or(answer);
            Shot { what, kid, expires, sent: now, answered: times.now(), waited: start.elapsed(), status }
        });
    }

    /// A token that was sent before, if there is one that lasts, because signatures take time.
    fn good(&mut self, what: &'static str, key: usize) -> (&'static str, Option<String>, String, Duration) {
        let (kid, token) = self.issuer.token(key);
        let now = self.times.now();
        let lasts = |(of, _, expires): &&(String, String, Duration)| *of == kid && *expires > now;
        if self.dice.below(8) > 0
            && let Some((_, token, expires)) = self.sent.iter().rev().find(lasts).cloned()
        {
            return (what, Some(kid), token, expires);
        }
        let life = seconds(30 + self.dice.below(300));
        let (token, expires) = (self.ending(token, life).sign(), now + life + DEFAULT_LEEWAY);
        self.sent.push((kid.clone(), token.clone(), expires));
        (what, Some(kid), token, expires)
    }

    fn forged(&mut self) -> String {
        let (kid, own) = self.issuer.token(self.issuer.keys() - 1);
        let forged = self.ending(self.issuer.forger().token(API), LIFE);
        match self.dice.below(3) {
            0 => forged.sign(),
            1 => forged.header("kid", kid).sign(),
            _ => {
                // The issuer's own, for somebody else: the signature is of other claims.
                let good = self.ending(own, LIFE);
                let other = good.clone().client("admin");
                let signed = good.sign();
                let signature = signed.rsplit_once('.').unwrap().1;
                [encode(other.header_json()), encode(other.claims_json()), signature.to_owned()].join(".")
            }
        }
    }

    fn ending(&self, token: TokenBuilder, life: Duration) -> TokenBuilder {
        token.claim("exp", (START + self.times.now() + life).as_secs())
    }

    fn change_the_issuer(&mut self) {
        let faulty = self.issuer.fault() != Fault::Nothing;
        let odds = match self.issuer.fault() {
            Fault::Nothing => 7,
            // Long enough for it to be given up, for another fetch, and for other keys.
            Fault::HangOne => 20,
            _ => 5,
        };
        match self.dice.below(odds) {
            0 if faulty => {
                self.issuer.set_fault(Fault::Nothing);
                self.long_outage = false;
            }
            0 => {
                let fault = Fault::ALL[self.dice.index(Fault::ALL.len())];
                self.issuer.set_fault(fault);
                self.long_outage = self.dice.below(4) == 0;
                self.summary.faults += 1;
            }
            _ => {}
        }
        match self.dice.below(100) {
            0..6 => self.issuer.rotate(true),
            6..10 => {
                self.issuer.rotate(true);
                self.issuer.retire();
            }
            10..15 => self.issuer.retire(),
            15..19 => self.issuer.rotate(false),
            19..39 => self.issuer.publish(),
            39..42 => self.issuer.max_age(Some(self.dice.below(400))),
            42..44 => self.issuer.max_age(None),
            _ => {}
        }
    }

    /// Judges the answers. Who waits for an answer that is held back may come later.
    async fn collect(&mut self) {
        let start = Instant::now();
        loop {
            match tokio::time::timeout(Duration::from_millis(5), self.shots.join_next()).await {
                Ok(Some(shot)) => {
                    let shot = shot.unwrap();
                    *self.summary.answers.entry(format!("{} {}", shot.what, shot.status)).or_default() += 1;
                    self.found.extend(self.issuer.history(|history| history.judge(&shot)));
                }
                Ok(None) => return,
                Err(_) if self.issuer.holds_any() => return,
                Err(_) if start.elapsed() < 4 * FETCH_TIMEOUT => {}
                Err(_) => return self.stuck("requests that nobody answers"),
            }
        }
    }

    /// Until no fetch is under way, nor about to be: the clock does not move in the middle of one, unless it is held back.
    async fn settle(&mut self) {
        let start = Instant::now();
        loop {
            let health = self.api.health();
            let idle = health.issuers().all(|issuer| issuer.next_refresh() != Some(Duration::ZERO));
            let held = self.issuer.holds_the_last() && start.elapsed() > Duration::from_millis(5);
            if idle || held {
                return;
            }
            if start.elapsed() > 4 * FETCH_TIMEOUT {
                return self.stuck("a fetch that does not end");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn stuck(&mut self, text: &str) {
        self.found.push(Violation { rule: Rule::Stuck, text: text.to_owned() });
    }

    /// When the issuer is well again, so is everything.
    async fn finish(&mut self) {
        self.issuer.set_fault(Fault::Nothing);
        self.issuer.publish();
        self.collect().await;
        self.settle().await;
        self.clock.advance(MAX_RETRY_AFTER.max(BACKOFF_MAX) + seconds(1));
        for _ in 0..100 {
            self.shoot();
        }
        self.collect().await;
        self.settle().await;
        self.found.extend(self.issuer.history(History::check_fetches));
        self.summary.simulated = self.times.now();
        self.summary.keys = self.issuer.keys();
        self.summary.fetches = self.issuer.history(|history| history.flights().len());
    }
}

/// Fetches over the socket, and makes something wrong of it.
struct Wrong {
    fetch: Arc<ReqwestFetch>,
    plant: Plant,
    first: Arc<Mutex<HashMap<String, FetchResponse>>>,
}

impl Wrong {
    fn new(plant: Plant) -> Self {
        Self { fetch: Arc::new(ReqwestFetch::builder().build().unwrap()), plant, first: Arc::default() }
    }
}

impl Fetch for Wrong {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let (fetch, plant, first) = (self.fetch.clone(), self.plant, self.first.clone());
        Box::pin(async move {
            if plant == Plant::TenFetches {
                for _ in 1..10 {
                    let _ = fetch.fetch(request.clone()).await;
                }
                return fetch.fetch(request).await;
            }
            let url = request.url().to_owned();
            let answer = fetch.fetch(request).await?;
            if !answer.status().is_success() {
                return Ok(answer);
            }
            Ok(first.lock().unwrap().entry(url).or_insert(answer).clone())
        })
    }
}

fn encode(text: String) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// Random numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}
