//! Denials that servers share: what each knows, what they do when the list cannot be read, and what they do afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::RETRY_AFTER;
use tower_bearer::manual::defaults::{DENYLIST_INTERVAL, DENYLIST_STALE_AFTER, DENYLIST_TIMEOUT};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    BearerAuthLayer, Changes, Clock, ConfigErrorKind, Denial, DenyErrorKind, Denylist, DenylistError,
    DenylistErrorKind, DenylistFuture, DenylistState, Event, Mark, Rejection, RejectionKind, ResourceServer,
    ResourceServerBuilder, TokenError,
};

use crate::leaks::captured;
use crate::support::{API, ISSUER, app, bearer, block_on, seconds, send, status};

/// How many changes there were, and each denial with the number of its last one.
type Entries = (u64, BTreeMap<String, (u64, Denial)>);

/// A list in memory that a test can break.
#[derive(Default)]
struct Shared {
    entries: Mutex<Entries>,
    down: AtomicBool,
    read_only: AtomicBool,
    hangs: AtomicBool,
    lost: AtomicBool,
    asked: AtomicUsize,
}

impl Shared {
    fn put(&self, denial: Denial) -> DenylistFuture<()> {
        if is(&self.hangs) {
            return Box::pin(std::future::pending());
        }
        if is(&self.down) || is(&self.read_only) {
            return Box::pin(async { Err(DenylistError::new(DenylistErrorKind::Connection)) });
        }
        let mut entries = self.entries.lock().unwrap();
        entries.0 += 1;
        let number = entries.0;
        entries.1.insert(denial.key(), (number, denial));
        Box::pin(async { Ok(()) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn holds(&self, denial: &Denial) -> bool {
        self.entries.lock().unwrap().1.contains_key(&denial.key())
    }
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

fn set(flag: &AtomicBool, to: bool) {
    flag.store(to, Ordering::SeqCst);
}

impl Denylist for Shared {
    fn add(&self, denial: Denial) -> DenylistFuture<()> {
        self.put(denial)
    }

    fn remove(&self, denial: Denial) -> DenylistFuture<()> {
        self.put(denial.until(SystemTime::UNIX_EPOCH))
    }

    /// One after the other, so that there is always more.
    fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if is(&self.hangs) {
            return Box::pin(std::future::pending());
        }
        if is(&self.down) {
            return Box::pin(async { Err(DenylistError::new(DenylistErrorKind::Connection)) });
        }
        let entries = self.entries.lock().unwrap();
        let lost = self.lost.swap(false, Ordering::SeqCst);
        let since = since.filter(|_| !lost).map_or(0, |mark| mark.as_str().parse().unwrap());
        let mut new: Vec<_> = entries.1.values().filter(|(number, _)| *number > since).cloned().collect();
        new.sort_by_key(|(number, _)| *number);
        let more = new.len() > 1;
        let next = new.into_iter().next();
        let mark = Mark::new(next.as_ref().map_or(since, |(number, _)| *number).to_string());
        let mut changes = Changes::new(next.map(|(_, denial)| denial), mark);
        if more {
            changes = changes.and_more();
        }
        if lost {
            changes = changes.after_loss();
        }
        Box::pin(async { Ok(changes) })
    }
}

struct Fleet {
    clock: ManualClock,
    idp: Idp,
    list: Arc<Shared>,
}

impl Fleet {
    fn new() -> Self {
        let clock = ManualClock::new();
        Self { idp: Idp::new(ISSUER).clock(clock.clone()), clock, list: Arc::default() }
    }

    fn builder(&self) -> ResourceServerBuilder {
        let builder = ResourceServer::builder(API).clock(self.clock.clone()).denylist(self.list.clone());
        builder.issuer(self.idp.issuer())
    }

    fn server(&self) -> ResourceServer {
        self.builder().build().unwrap()
    }

    fn token(&self, jti: &str) -> String {
        let token = self.idp.token(API).claim("jti", jti).claim("sub", "alice");
        token.claim("exp", 4_000_000_000_u64).sign()
    }

    /// Lets it be the next time that the list is asked.
    async fn next_reading(&self) {
        let asked = self.list.asked();
        self.clock.advance(DENYLIST_INTERVAL);
        eventually(async || self.list.asked() > asked).await;
        // What was answered is taken over.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

async fn eventually(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}

async fn verdict(api: &ResourceServer, token: &str) -> Result<(), (RejectionKind, Option<TokenError>)> {
    api.verify(token).await.map(drop).map_err(|why: Rejection| (why.kind(), why.token_error()))
}

const REVOKED: Result<(), (RejectionKind, Option<TokenError>)> =
    Err((RejectionKind::InvalidToken, Some(TokenError::Revoked)));
const UNAVAILABLE: Result<(), (RejectionKind, Option<TokenError>)> = Err((RejectionKind::Unavailable, None));

#[tokio::test]
async fn what_one_denies_the_others_deny() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.server(), fleet.server());
    let (token, another) = (fleet.token("1"), fleet.token("2"));
    for api in [&one, &two] {
        assert_eq!(verdict(api, &token).await, Ok(()));
    }
    let denial = Denial::token(ISSUER, "1");
    one.deny(denial.clone()).await.unwrap();
    assert!(fleet.list.holds(&denial), "it is written when deny returns");
    assert_eq!(verdict(&one, &token).await, REVOKED, "here at once");
    fleet.next_reading().await;
    assert_eq!(verdict(&two, &token).await, REVOKED, "there after the next reading");
    assert_eq!(verdict(&fleet.server(), &token).await, REVOKED, "a new server reads all before it answers");
    for api in [&one, &two] {
        assert_eq!(verdict(api, &another).await, Ok(()));
    }
    assert!(two.allow(&denial).await.unwrap());
    assert_eq!(verdict(&two, &token).await, Ok(()));
    fleet.next_reading().await;
    assert_eq!(verdict(&one, &token).await, Ok(()));
    assert_eq!(verdict(&fleet.server(), &token).await, Ok(()));
    // And again, although it was taken back.
    two.deny(denial).await.unwrap();
    fleet.next_reading().await;
    for api in [&one, &two, &fleet.server()] {
        assert_eq!(verdict(api, &token).await, REVOKED);
    }
}

#[tokio::test]
async fn denials_of_issuers_that_others_trust_are_no_concern_of_ours() {
    let fleet = Fleet::new();
    let wider = fleet.builder().issuer(Idp::new("https://other.example.com").issuer()).build().unwrap();
    let api = fleet.server();
    wider.deny(Denial::issuer("https://other.example.com")).await.unwrap();
    wider.deny(Denial::token(ISSUER, "1")).await.unwrap();
    assert_eq!(verdict(&api, &fleet.token("2")).await, Ok(()));
    assert_eq!(verdict(&api, &fleet.token("1")).await, REVOKED);
    assert_eq!(api.health().denylist().unwrap().denials(), 1);
}

/// Nothing is asked before it is needed, the first request waits, and the task ends with the last handle.
#[tokio::test]
async fn reading_begins_with_the_first_request_and_ends_with_the_server() {
    let fleet = Fleet::new();
    let api = fleet.server();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fleet.list.asked(), 0);
    assert_eq!(api.health().denylist().unwrap().state(), DenylistState::Cold);
    assert!(!api.is_ready());
    let auth = app(&BearerAuthLayer::new(api.clone()));
    assert_eq!(status(&auth, bearer(&fleet.token("1"))).await, StatusCode::OK, "no 503 for the first");
    assert_eq!(fleet.list.asked(), 1);
    assert!(api.is_ready());
    fleet.next_reading().await;
    assert_eq!(fleet.list.asked(), 2);
    assert!(Arc::strong_count(&fleet.list) > 1);
    drop((api, auth));
    eventually(async || Arc::strong_count(&fleet.list) == 1).await;
    // Warming up is enough too.
    let api = fleet.server();
    api.warm_up().await.unwrap();
    assert_eq!(api.health().denylist().unwrap().state(), DenylistState::Current);
}

#[tokio::test]
async fn what_was_not_read_for_too_long_is_503_and_never_401() {
    let fleet = Fleet::new();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let teller = told.clone();
    let observer = move |event: &Event<'_>| {
        if let Event::DenylistStateChanged { from, to, .. } = event {
            teller.lock().unwrap().push(format!("{} {}", from.name(), to.name()));
        }
    };
    let api = fleet.builder().observer(observer).build().unwrap();
    let careless = fleet.builder().dangerous_stale_denylist().build().unwrap();
    let (good, bad) = (fleet.token("good"), fleet.token("bad"));
    let auth = app(&BearerAuthLayer::new(api.clone()));
    assert_eq!(status(&auth, bearer(&good)).await, StatusCode::OK);
    api.deny(Denial::token(ISSUER, "bad")).await.unwrap();
    fleet.next_reading().await;
    assert_eq!(verdict(&careless, &good).await, Ok(()));

    set(&fleet.list.down, true);
    let begin = fleet.clock.instant();
    loop {
        fleet.next_reading().await;
        let age = fleet.clock.instant() - begin;
        let is_known = age < DENYLIST_STALE_AFTER;
        assert_eq!(verdict(&api, &good).await.is_ok(), is_known, "{age:?}");
        assert_eq!(verdict(&api, &bad).await, REVOKED, "what is known stays known: {age:?}");
        assert_eq!(api.is_ready(), is_known, "{age:?}");
        if !is_known {
            break;
        }
    }
    let response = send(&auth, bearer(&good)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert!(!response.headers().contains_key("www-authenticate"));
    assert_eq!(verdict(&api, "junk").await, Err((RejectionKind::InvalidToken, Some(TokenError::Structure))));
    assert_eq!(verdict(&careless, &good).await, Ok(()));
    assert_eq!(verdict(&careless, &bad).await, REVOKED);
    assert!(careless.is_ready() && !api.is_ready());
    let health = api.health().to_json();
    assert_eq!(health["denylist"]["state"], "stale");
    assert_eq!(health["denylist"]["denials"], 1);
    assert_eq!(health["denylist"]["last_error"]["kind"], "connection");
    assert_eq!(api.health().denylist().unwrap().last_error().unwrap().1, DenylistErrorKind::Connection);

    set(&fleet.list.down, false);
    fleet.next_reading().await;
    assert_eq!(verdict(&api, &good).await, Ok(()));
    assert_eq!(verdict(&api, &bad).await, REVOKED);
    assert!(api.is_ready());
    assert_eq!(*told.lock().unwrap(), ["cold current", "current stale", "stale current"]);
}

#[tokio::test]
async fn a_start_without_the_list() {
    let fleet = Fleet::new();
    set(&fleet.list.down, true);
    let (api, careless) = (fleet.server(), fleet.builder().dangerous_stale_denylist().build().unwrap());
    let token = fleet.token("1");
    assert_eq!(verdict(&api, &token).await, UNAVAILABLE);
    assert_eq!(verdict(&careless, &token).await, Ok(()));
    let why = api.warm_up().await.unwrap_err();
    assert!(why.lacks_denylist() && why.issuers().next().is_none());
    assert_eq!(why.to_string(), "the shared denylist could not be read yet");
    set(&fleet.list.down, false);
    fleet.next_reading().await;
    assert_eq!(verdict(&api, &token).await, Ok(()));
}

/// Only tokio's timers bound the wait: here they pass by themselves.
#[tokio::test(start_paused = true)]
async fn a_list_that_never_answers_holds_a_request_for_so_long_and_no_longer() {
    let fleet = Fleet::new();
    set(&fleet.list.hangs, true);
    let api = fleet.server();
    let begin = tokio::time::Instant::now();
    assert_eq!(verdict(&api, &fleet.token("1")).await, UNAVAILABLE);
    assert!(begin.elapsed() <= DENYLIST_TIMEOUT + Duration::from_millis(10), "{:?}", begin.elapsed());
    let error = api.deny(Denial::token(ISSUER, "1")).await.unwrap_err();
    assert_eq!(error.kind(), DenyErrorKind::NotShared);
    assert!(begin.elapsed() <= DENYLIST_TIMEOUT * 2 + Duration::from_millis(20), "{:?}", begin.elapsed());
    assert_eq!(verdict(&api, &fleet.token("1")).await, REVOKED);
}

#[tokio::test]
async fn what_could_not_be_written_holds_here_and_is_written_later() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.server(), fleet.server());
    let (token, other) = (fleet.token("1"), fleet.token("2"));
    for api in [&one, &two] {
        assert_eq!(verdict(api, &token).await, Ok(()));
    }
    two.deny(Denial::token(ISSUER, "2")).await.unwrap();
    set(&fleet.list.read_only, true);
    let denial = Denial::token(ISSUER, "1");
    let error = one.deny(denial.clone()).await.unwrap_err();
    assert_eq!(error.kind(), DenyErrorKind::NotShared);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the denylist cannot be reached");
    assert_eq!(verdict(&one, &token).await, REVOKED);
    fleet.next_reading().await;
    assert_eq!(verdict(&two, &token).await, Ok(()), "it could not know");
    assert!(!fleet.list.holds(&denial));
    // What cannot be allowed everywhere is allowed nowhere.
    let error = two.allow(&Denial::token(ISSUER, "2")).await.unwrap_err();
    assert_eq!(error.kind(), DenyErrorKind::NotShared);
    assert_eq!(verdict(&two, &other).await, REVOKED);

    set(&fleet.list.read_only, false);
    fleet.next_reading().await;
    eventually(async || fleet.list.holds(&denial)).await;
    fleet.next_reading().await;
    assert_eq!(verdict(&two, &token).await, REVOKED);
}

#[tokio::test]
async fn a_list_that_was_lost_is_written_again() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.server(), fleet.server());
    let token = fleet.token("1");
    assert_eq!(verdict(&two, &token).await, Ok(()));
    let denials: Vec<_> = (0..10).map(|n: u8| Denial::token(ISSUER, n.to_string())).collect();
    for denial in &denials {
        one.deny(denial.clone()).await.unwrap();
    }
    fleet.next_reading().await;
    fleet.list.entries.lock().unwrap().1.clear();
    set(&fleet.list.lost, true);
    eventually(async || {
        fleet.clock.advance(DENYLIST_INTERVAL / 10);
        denials.iter().all(|denial| fleet.list.holds(denial))
    })
    .await;
    assert_eq!(verdict(&fleet.server(), &token).await, REVOKED);
    for api in [&one, &two] {
        assert_eq!(verdict(api, &token).await, REVOKED);
    }
}

#[test]
fn a_runtime_that_has_ended_is_no_outage() {
    let fleet = Fleet::new();
    let api = fleet.server();
    block_on(async { assert_eq!(verdict(&api, &fleet.token("1")).await, Ok(())) });
    fleet.clock.advance(seconds(3600));
    let later = fleet.idp.token(API).claim("exp", 4_000_000_000_u64).sign();
    block_on(async {
        assert_eq!(verdict(&api, &later).await, Ok(()), "it waits for the list, as the first one did");
    });
    // Without a runtime nothing can be read, and nothing panics.
    fleet.clock.advance(seconds(3600));
    let mut verify = std::pin::pin!(api.verify(&later));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = verify.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_eq!(answer.unwrap_err().kind(), RejectionKind::Unavailable);
    let mut deny = std::pin::pin!(api.deny(Denial::issuer(ISSUER)));
    let std::task::Poll::Ready(answer) = deny.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_eq!(answer.unwrap_err().kind(), DenyErrorKind::NotShared);
}

#[test]
fn an_outage_is_a_warning_now_and_then() {
    let fleet = Fleet::new();
    let lines = captured(async || {
        let api = fleet.server();
        assert_eq!(verdict(&api, &fleet.token("1")).await, Ok(()));
        set(&fleet.list.down, true);
        for _ in 0..9 {
            fleet.next_reading().await;
        }
    });
    let of = |level: &str, text: &str| {
        let ours =
            lines.lines().filter(|line| line.starts_with(level) && line.contains("tower_bearer::deny"));
        ours.filter(|line| line.contains(text)).count()
    };
    assert_eq!((of("WARN", "could not read"), of("DEBUG", "could not read")), (1, 8), "{lines}");
    assert_eq!((of("WARN", "state of the shared"), of("INFO", "state of the shared")), (1, 1), "{lines}");
}

#[test]
fn a_stale_list_that_is_not_there_is_a_mistake() {
    let fleet = Fleet::new();
    assert!(fleet.builder().dangerous_stale_denylist().build().is_ok());
    let builder = ResourceServer::builder(API).issuer(fleet.idp.issuer());
    let error = builder.dangerous_stale_denylist().build().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Denylist);
    assert_eq!(error.path(), "dangerous_stale_denylist");
}

#[test]
fn a_denial_is_a_text_and_back() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_253_078_090_979);
    let denials = [
        Denial::token(ISSUER, "1 \"x\"").until(now),
        Denial::subject(ISSUER, "ä").until(now),
        Denial::client("shop", "robot").until(now).issued_before(now - seconds(1)),
        Denial::issuer(ISSUER).issued_before(SystemTime::UNIX_EPOCH - seconds(1)).until(now),
    ];
    for denial in &denials {
        assert_eq!(&Denial::parse(&denial.key(), &denial.times()).unwrap(), denial);
    }
    let keys: std::collections::BTreeSet<_> = denials.iter().map(Denial::key).collect();
    assert_eq!(keys.len(), denials.len());
    let key = denials[0].key();
    for (key, times) in [
        ("", "1 0"),
        ("{}", "1 0"),
        ("{\"issuer\":\"x\",\"jti\":\"1\",\"sub\":\"1\"}", "1 0"),
        ("{\"issuer\":\"x\",\"jti\":\"\"}", "1 0"),
        ("{\"issuer\":\"x\",\"new\":\"1\"}", "1 0"),
        ("[[[[", "1 0"),
        (key.as_str(), ""),
        (key.as_str(), "1"),
        (key.as_str(), "1 x"),
        (key.as_str(), "99999999999999999999 0"),
    ] {
        assert_eq!(Denial::parse(key, times).unwrap_err().kind(), DenylistErrorKind::Data, "{key} {times}");
    }
}
