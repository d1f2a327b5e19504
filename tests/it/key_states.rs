//! Each change of an issuer's key state is told: once, in order, at its moment, and to nobody who would be flooded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use tower_bearer::manual::defaults::{
    BACKOFF_MAX, FRESH_FOR, MAX_FRESH_FOR, MIN_FRESH_FOR, STALE_FOR, WARN_INTERVAL,
};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Clock, Event, Fetch, FetchFuture, FetchRequest, FetchResponse, Issuer, Keys, ResourceServer,
};

use crate::leaks::captured;
use crate::support::{API, ISSUER, block_on, seconds};

/// What was told of keys, one line each, with the time since the start.
#[derive(Clone)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    clock: ManualClock,
    start: Instant,
}

impl Told {
    fn new(clock: &ManualClock) -> Self {
        Self { lines: Arc::default(), clock: clock.clone(), start: clock.instant() }
    }

    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |event: &Event<'_>| {
            let what = match *event {
                Event::KeyStateChanged { issuer, from, to, .. } => {
                    format!("{issuer} {} {}", from.name(), to.name())
                }
                Event::KeysFetched { issuer, .. } => format!("{issuer} fetched"),
                Event::FetchFailed { issuer, kind, .. } => format!("{issuer} failed {}", kind.name()),
                _ => return,
            };
            let line = format!("{:?} {what}", told.clock.instant() - told.start);
            told.lines.lock().unwrap().push(line);
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    /// Without fetches and times.
    fn changes(&self) -> Vec<String> {
        let changes =
            self.take().into_iter().filter(|line| !line.contains("fetched") && !line.contains("failed"));
        changes.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Waits for so many lines, and takes them: there may be a socket between.
    #[cfg(feature = "reqwest")]
    async fn wait(&self, count: usize) -> Vec<String> {
        let come = async {
            while self.lines.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let came = tokio::time::timeout(seconds(10), come).await;
        settle().await;
        let lines = self.take();
        assert!(came.is_ok(), "{count} were expected: {lines:?}");
        lines
    }
}

/// Lets the tasks in the background run that have something to do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn api(told: &Told, issuers: impl IntoIterator<Item = Issuer>) -> ResourceServer {
    let builder = ResourceServer::builder(API).clock(told.clock.clone()).observer(told.observer());
    issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build().unwrap()
}

fn world() -> (ManualClock, Idp, Told, ResourceServer) {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let told = Told::new(&clock);
    let api = api(&told, [idp.issuer().name("ours")]);
    (clock, idp, told, api)
}

fn token(idp: &Idp) -> String {
    idp.token(API).expires_in(seconds(1_000_000)).sign()
}

const MOMENT: Duration = Duration::from_millis(1);

/// Over a socket, and without any request: by the timer.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn the_whole_life_is_told_at_its_moments_while_no_request_comes() {
    use std::sync::atomic::{AtomicU16, Ordering};

    use http::StatusCode;

    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let status = Arc::new(AtomicU16::new(200));
    let (published, answers) = (idp.jwks(), status.clone());
    let jwks = axum::routing::get(async move || {
        (StatusCode::from_u16(answers.load(Ordering::Relaxed)).unwrap(), published)
    });
    let url = crate::loopback::serve(axum::Router::new().route("/jwks", jwks)).await;
    let told = Told::new(&clock);
    let keys = Keys::jwks_url(format!("{url}/jwks"));
    let api = api(&told, [Issuer::new(ISSUER).name("ours").keys(keys).dangerous_allow_http()]);

    assert_eq!(told.take(), Vec::<String>::new());
    api.verify(&token(&idp)).await.unwrap();
    assert_eq!(told.wait(2).await, ["0ns ours fetched", "0ns ours cold fresh"]);

    status.store(503, Ordering::Relaxed);
    clock.advance(FRESH_FOR - MOMENT);
    assert_eq!(told.wait(1).await, ["599.999s ours failed status"]);
    clock.advance(MOMENT);
    assert_eq!(told.wait(1).await, ["600s ours fresh stale"]);

    clock.advance(STALE_FOR - MOMENT);
    assert_eq!(told.wait(1).await, ["4199.999s ours failed status"]);
    clock.advance(MOMENT);
    assert_eq!(told.wait(1).await, ["4200s ours stale expired"]);

    status.store(200, Ordering::Relaxed);
    clock.advance(BACKOFF_MAX);
    assert_eq!(told.wait(2).await, ["4260s ours fetched", "4260s ours expired fresh"]);
    // A refresh in time changes nothing.
    clock.advance(FRESH_FOR - MOMENT);
    assert_eq!(told.wait(1).await, ["4859.999s ours fetched"]);
    clock.advance(MOMENT);
    settle().await;
    assert_eq!(told.take(), Vec::<String>::new());
    drop(api);
}

/// Where no timer runs, whoever comes next hears of it: not before, and once.
#[test]
fn without_a_timer_a_change_is_told_at_the_next_use() {
    type Look = fn(&ResourceServer, &Idp, &str);
    let look: [(&str, Look); 3] = [
        ("a token that is known", |api, _, known| poll(api, known)),
        ("a token that is new", |api, idp, _| poll(api, &token(idp))),
        ("health", |api, _, _| drop(api.health())),
    ];
    for (name, look) in look {
        let (clock, idp, told, api) = world();
        let known = token(&idp);
        // Its timer ends with the runtime.
        block_on(async { api.verify(&known).await.unwrap() });
        assert_eq!(told.changes(), ["ours cold fresh"], "{name}");
        clock.advance(FRESH_FOR - MOMENT);
        look(&api, &idp, &known);
        assert_eq!(told.changes(), Vec::<String>::new(), "{name}: fresh");
        clock.advance(MOMENT);
        assert_eq!(told.changes(), Vec::<String>::new(), "{name}: nobody has looked");
        look(&api, &idp, &known);
        assert_eq!(told.changes(), ["ours fresh stale"], "{name}");
        look(&api, &idp, &known);
        clock.advance(STALE_FOR - MOMENT);
        look(&api, &idp, &known);
        assert_eq!(told.changes(), Vec::<String>::new(), "{name}: stale");
        clock.advance(MOMENT);
        look(&api, &idp, &known);
        look(&api, &idp, &known);
        assert_eq!(told.changes(), ["ours stale expired"], "{name}");
        clock.advance(BACKOFF_MAX);
        block_on(api.refresh_now("ours")).unwrap();
        assert_eq!(told.changes(), ["ours expired fresh"], "{name}");
        // Both at one time, if nobody looks between.
        clock.advance(FRESH_FOR + STALE_FOR);
        look(&api, &idp, &known);
        assert_eq!(told.changes(), ["ours fresh stale", "ours stale expired"], "{name}");
    }
}

/// Verifies outside of any runtime.
fn poll(api: &ResourceServer, token: &str) {
    let mut future = std::pin::pin!(async { api.verify(token).await.map(drop) });
    let _ = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
}

/// An issuer with rules of its own for how long its keys are used.
#[derive(Clone)]
struct Strict(Idp, &'static str);

impl Fetch for Strict {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let (answer, rules) = (self.0.fetch(request), self.1);
        Box::pin(async move {
            let answer = answer.await?;
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(rules))]);
            Ok(FetchResponse::new(answer.status(), headers, answer.body().to_vec()))
        })
    }
}

fn strict(rules: &'static str) -> (ManualClock, Idp, Told, ResourceServer) {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let told = Told::new(&clock);
    let api = api(&told, [Issuer::new(ISSUER).name("ours").fetch(Strict(idp.clone(), rules))]);
    (clock, idp, told, api)
}

#[tokio::test]
async fn rfc5861_where_stale_use_is_forbidden_fresh_keys_expire() {
    let (clock, idp, told, api) = strict("max-age=3600, stale-if-error=0");
    api.warm_up().await.unwrap();
    idp.go_down();
    clock.advance(MAX_FRESH_FOR - MOMENT);
    settle().await;
    assert_eq!(told.changes(), ["ours cold fresh"]);
    clock.advance(MOMENT);
    settle().await;
    assert_eq!(told.changes(), ["ours fresh expired"]);
    drop(api);
}

/// Observers hear of each change; the log warns once in an interval, and says how much more there was.
#[test]
fn a_flapping_issuer_does_not_flood_the_log() {
    const ROUNDS: usize = 5;
    let stale_for = seconds(5);
    assert!(stale_for < WARN_INTERVAL);
    let (clock, idp, told, api) = strict("max-age=60, stale-if-error=5");
    let log = captured(async || {
        api.warm_up().await.unwrap();
        for _ in 0..ROUNDS {
            idp.go_down();
            clock.advance(MIN_FRESH_FOR);
            settle().await;
            clock.advance(stale_for);
            settle().await;
            idp.come_back();
            clock.advance(BACKOFF_MAX);
            settle().await;
        }
    });
    let round = ["ours fresh stale", "ours stale expired", "ours expired fresh"];
    let expected: Vec<_> = ["ours cold fresh"].into_iter().chain([round; ROUNDS].concat()).collect();
    assert_eq!(told.changes(), expected);

    let lines: Vec<_> = log.lines().filter(|line| line.contains("the state of the keys changed")).collect();
    let of = |to: &str| -> Vec<&str> {
        lines.iter().filter(|line| line.contains(&format!("to=\"{to}\""))).copied().collect()
    };
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (to, level, count) in
        [("fresh", "INFO", ROUNDS + 1), ("stale", "WARN", ROUNDS), ("expired", "DEBUG", ROUNDS)]
    {
        let lines = of(to);
        assert_eq!(lines.len(), count, "{to}");
        for line in lines {
            assert!(
                line.starts_with(&format!("{level} tower_bearer::keys")) && line.contains("issuer=\"ours\""),
                "{line}"
            );
        }
    }
    for (index, line) in of("stale").iter().enumerate() {
        assert!(line.contains(&format!("held_back={}", usize::from(index > 0))), "{line}");
        assert!(line.contains("usable_for=5s"), "{line}");
    }
}

/// With time between them both are warnings; of two at one moment the one that holds is.
#[test]
fn the_log_warns_of_the_state_that_holds() {
    let of_changes = |log: String| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains("the state of the keys changed"));
        let noise = " tower_bearer::keys message=the state of the keys changed issuer=\"ours\"";
        lines.map(|line| line.replace(noise, ":")).collect()
    };
    let (clock, idp, _, api) = world();
    block_on(api.warm_up()).unwrap();
    idp.go_down();
    let lines = of_changes(captured(async || {
        for pause in [FRESH_FOR, STALE_FOR] {
            clock.advance(pause);
            drop(api.health());
        }
    }));
    let [stale, expired] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(stale.starts_with("WARN: from=\"fresh\" to=\"stale\" usable_for=3600s"), "{stale}");
    assert!(expired.starts_with("WARN: from=\"stale\" to=\"expired\" held_back=0"), "{expired}");

    let (clock, _, _, api) = world();
    block_on(api.warm_up()).unwrap();
    let lines = of_changes(captured(async || {
        clock.advance(FRESH_FOR + STALE_FOR);
        drop(api.health());
    }));
    let [stale, expired] = &lines[..2] else { panic!("{lines:?}") };
    assert!(stale.starts_with("DEBUG: from=\"fresh\" to=\"stale\""), "{stale}");
    assert!(expired.starts_with("WARN: from=\"stale\" to=\"expired\""), "{expired}");
}

#[tokio::test]
async fn the_changes_of_one_issuer_never_name_another() {
    let clock = ManualClock::new();
    let told = Told::new(&clock);
    let [one, other] =
        ["https://one.example", "https://other.example"].map(|name| Idp::new(name).clock(clock.clone()));
    let api = api(&told, [one.issuer().name("one"), other.issuer().name("other")]);
    api.verify(&token(&one)).await.unwrap();
    settle().await;
    assert_eq!(told.changes(), ["one cold fresh"], "nobody has asked for the other");
    api.verify(&token(&other)).await.unwrap();
    settle().await;
    assert_eq!(told.changes(), ["other cold fresh"]);
    one.go_down();
    for (pause, expected) in [(FRESH_FOR, "one fresh stale"), (STALE_FOR, "one stale expired")] {
        // In steps: the other one is refreshed meanwhile.
        for _ in 0..pause.as_secs() / 60 {
            assert_eq!(told.changes(), Vec::<String>::new());
            clock.advance(seconds(60));
            settle().await;
        }
        assert_eq!(told.changes(), [expected]);
    }
    one.come_back();
    other.go_down();
    clock.advance(BACKOFF_MAX);
    settle().await;
    assert_eq!(told.changes(), ["one expired fresh"]);
    drop(api);
}

#[tokio::test]
async fn what_does_not_age_is_told_of_nothing_and_nor_are_keys_that_never_came() {
    let clock = ManualClock::new();
    let told = Told::new(&clock);
    let (fixed, down) = (Idp::new(ISSUER).clock(clock.clone()), Idp::new("https://down.example"));
    down.go_down();
    let keys = Keys::jwks(fixed.jwks());
    let api = api(&told, [Issuer::new(ISSUER).name("ours").keys(keys), down.issuer().name("down")]);
    api.verify(&token(&fixed)).await.unwrap();
    api.warm_up().await.unwrap_err();
    clock.advance(FRESH_FOR + STALE_FOR);
    settle().await;
    api.verify(&token(&fixed)).await.unwrap();
    let lines = told.take();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("down failed")), "{lines:?}");
    drop(api);
}

/// An observer may ask for anything, as nothing is locked while it is told.
#[tokio::test]
async fn an_observer_may_look_at_the_keys() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let (place, seen) = (Arc::new(OnceLock::<ResourceServer>::new()), Arc::new(Mutex::new(Vec::new())));
    let (server, states) = (place.clone(), seen.clone());
    let late = clock.clone();
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer())
        .clock(clock.clone())
        .observer(move |event: &Event<'_>| {
            if let (Event::KeyStateChanged { to, .. }, Some(server)) = (event, server.get()) {
                if to.name() == "stale" {
                    // The next change comes while this one is being told.
                    late.advance(STALE_FOR);
                }
                let now = server.health().issuers().next().unwrap().state();
                let _ = server.block_key(ISSUER, "another");
                states.lock().unwrap().push(format!("told {} while {}", to.name(), now.name()));
            }
        })
        .build()
        .unwrap();
    place.set(api.clone()).unwrap();
    api.warm_up().await.unwrap();
    settle().await;
    idp.go_down();
    clock.advance(FRESH_FOR);
    settle().await;
    assert_eq!(
        *seen.lock().unwrap(),
        ["told fresh while fresh", "told stale while expired", "told expired while expired"],
        "one after the other"
    );
}

#[test]
fn an_observer_that_panics_misses_no_later_change() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let told = Told::new(&clock);
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer().name("ours"))
        .clock(clock.clone())
        .observer(told.observer())
        .observer(|event: &Event<'_>| {
            let stale = matches!(event, Event::KeyStateChanged { to, .. } if to.name() == "stale");
            assert!(!stale, "on purpose");
        })
        .build()
        .unwrap();
    block_on(api.warm_up()).unwrap();
    clock.advance(FRESH_FOR);
    catch_unwind(AssertUnwindSafe(|| api.health())).unwrap_err();
    assert_eq!(told.changes(), ["ours cold fresh", "ours fresh stale"]);
    clock.advance(STALE_FOR);
    drop(api.health());
    assert_eq!(told.changes(), ["ours stale expired"]);

    // Nor one that has come already.
    clock.advance(BACKOFF_MAX);
    block_on(api.refresh_now("ours")).unwrap();
    assert_eq!(told.changes(), ["ours expired fresh"]);
    clock.advance(FRESH_FOR + STALE_FOR);
    catch_unwind(AssertUnwindSafe(|| api.health())).unwrap_err();
    assert_eq!(told.changes(), ["ours fresh stale", "ours stale expired"]);

    // Nor does the timer stop.
    block_on(async {
        clock.advance(BACKOFF_MAX);
        api.refresh_now("ours").await.unwrap();
        settle().await;
        idp.go_down();
        for (pause, expected) in
            [(Duration::ZERO, "expired fresh"), (FRESH_FOR, "fresh stale"), (STALE_FOR, "stale expired")]
        {
            clock.advance(pause);
            settle().await;
            assert_eq!(told.changes(), [format!("ours {expected}")]);
        }
    });
}

#[test]
fn many_who_look_at_one_time_are_told_once() {
    let (clock, _, told, api) = world();
    block_on(api.warm_up()).unwrap();
    assert_eq!(told.changes(), ["ours cold fresh"]);
    for round in 0..50 {
        clock.advance(FRESH_FOR + STALE_FOR);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| api.health());
            }
        });
        assert_eq!(told.changes(), ["ours fresh stale", "ours stale expired"], "round {round}");
        block_on(api.refresh_now("ours")).unwrap();
        assert_eq!(told.changes(), ["ours expired fresh"], "round {round}");
    }
}
