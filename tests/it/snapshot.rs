//! The last good key set on the disk: what is written, what is believed, and for how long.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{
    BACKOFF_MAX, MAX_SNAPSHOT_AGE, MAX_SNAPSHOT_LENGTH, MISS_INTERVAL, SNAPSHOT_INTERVAL, STALE_FOR,
};
use tower_bearer::settings::Settings;
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Algorithm, Clock, Event, Fetch, FetchFuture, FetchRequest, FetchResponse, Issuer, KeyState, Keys,
    Rejection, RejectionKind, ResourceServer, Token, TokenError,
};

use crate::leaks::captured;
use crate::settings::Folder;
use crate::support::{API, ISSUER, seconds, server};

/// An issuer, a clock, and a folder for its snapshot. Servers come and go.
struct World {
    clock: ManualClock,
    idp: Idp,
    folder: Folder,
}

impl World {
    fn new(name: &str) -> Self {
        Self::of(name, [Algorithm::ES256])
    }

    fn of(name: &str, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let clock = ManualClock::new();
        let idp = Idp::with_algorithms(ISSUER, algorithms).clock(clock.clone());
        Self { clock, idp, folder: Folder::new(&format!("snapshot-{name}")) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path("keys.json")
    }

    fn issuer(&self) -> Issuer {
        self.idp.issuer().snapshot(self.path())
    }

    /// A process that starts now.
    fn start(&self) -> ResourceServer {
        server(&self.clock, [self.issuer()])
    }

    fn token(&self) -> String {
        self.idp.token(API).expires_in(seconds(1_000_000)).sign()
    }

    /// The file.
    fn content(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    /// A process has fetched the keys, and ended.
    async fn has_run(&self) {
        self.start().warm_up().await.unwrap();
        written().await;
        assert!(self.path().exists());
    }

    fn now(&self) -> u64 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }
}

/// With one thread for blocking work, so that [`written`] is behind whatever was asked for before.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(test)
}

/// Waits for what is to be written.
async fn written() {
    settle().await;
    tokio::task::spawn_blocking(|| ()).await.unwrap();
    settle().await;
}

/// The same where there are more threads: until no task is left but the timer.
async fn tried() {
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..10_000 {
        settle().await;
        if metrics.num_alive_tasks() <= 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it is still being written");
}

/// Lets the tasks in the background run that have something to do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn kind(result: Result<Token, Rejection>) -> RejectionKind {
    result.unwrap_err().kind()
}

fn error(result: Result<Token, Rejection>) -> Option<TokenError> {
    result.unwrap_err().token_error()
}

fn state(api: &ResourceServer) -> KeyState {
    api.health().issuers().next().unwrap().state()
}

#[test]
fn a_fetched_set_is_written_for_us_alone_and_without_what_is_not_public() {
    let world = World::new("written");
    let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let mut published = jwks["keys"][0].clone();
    for (name, value) in [("note", "planted"), ("x5u", "https://planted.example"), ("use", "sig")] {
        jwks["keys"][0][name] = value.into();
    }
    let mut private = published.clone();
    private["kid"] = "private".into();
    private["d"] = "planted".into();
    let secret = json!({"kty": "oct", "k": "planted", "kid": "secret"});
    jwks["keys"].as_array_mut().unwrap().extend([private, secret]);
    jwks["planted"] = 1.into();
    published.as_object_mut().unwrap().remove("use");
    world.idp.publish(jwks.to_string());
    run(world.has_run());
    let expected = json!({
        "version": 1,
        "issuer": ISSUER,
        "iss": ISSUER,
        "key_source": "discovery",
        "jwks_uri": format!("{ISSUER}/jwks"),
        "fetched_at": world.now(),
        "stale_for": STALE_FOR.as_secs(),
        "jwks": {"keys": [published]},
    });
    assert_eq!(world.content(), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(world.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let names: Vec<_> =
        fs::read_dir(world.folder.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["keys.json"], "nothing is left of the writing");
}

#[test]
fn nothing_is_written_for_an_issuer_that_is_not_configured_so() {
    let world = World::new("off");
    let other = Idp::new("https://other.example.com").clock(world.clock.clone());
    run(async {
        let api = server(&world.clock, [world.idp.issuer(), other.issuer()]);
        api.warm_up().await.unwrap();
        written().await;
        assert_eq!(fs::read_dir(world.folder.path("")).unwrap().count(), 0);
        let api = server(&world.clock, [world.idp.issuer(), other.issuer().snapshot(world.path())]);
        api.warm_up().await.unwrap();
        written().await;
        assert_eq!(world.content()["issuer"], "https://other.example.com");
        assert_eq!(fs::read_dir(world.folder.path("")).unwrap().count(), 1);
        // Nor read: there is no set for the one without.
        world.idp.go_down();
        let api = server(&world.clock, [world.idp.issuer(), other.issuer().snapshot(world.path())]);
        assert_eq!(kind(api.verify(&world.token()).await), RejectionKind::Unavailable);
    });
}

#[test]
fn a_start_in_an_outage_verifies_what_it_knows_and_refuses_nobody_else() {
    let world = World::new("outage");
    run(async {
        world.has_run().await;
        let good = world.token();
        let kid = world.content()["jwks"]["keys"][0]["kid"].as_str().unwrap().to_owned();
        world.idp.go_down();
        world.clock.advance(seconds(600));

        let without = server(&world.clock, [world.idp.issuer()]);
        assert_eq!(kind(without.verify(&good).await), RejectionKind::Unavailable);

        let told = Arc::new(Mutex::new(Vec::new()));
        let observed = told.clone();
        let api = ResourceServer::builder(API)
            .clock(world.clock.clone())
            .issuer(world.issuer())
            .observer(move |event: &Event<'_>| match *event {
                Event::KeysRestored { issuer, keys, age, .. } => {
                    observed.lock().unwrap().push(format!("restored {issuer} {keys} {}", age.as_secs()));
                }
                Event::FetchFailed { .. } => observed.lock().unwrap().push("failed".to_owned()),
                Event::KeyStateChanged { from, to, .. } => {
                    observed.lock().unwrap().push(format!("{} {}", from.name(), to.name()));
                }
                _ => {}
            })
            .build()
            .unwrap();
        assert_eq!(state(&api), KeyState::Cold, "it is not read before it is needed");
        api.verify(&good).await.unwrap();
        assert_eq!(
            *told.lock().unwrap(),
            ["failed".to_owned(), format!("restored {ISSUER} 1 600"), "cold stale".to_owned()]
        );
        assert_eq!(state(&api), KeyState::Stale);
        assert!(api.is_ready());
        api.warm_up().await.unwrap();

        let forger = Idp::new(ISSUER).clock(world.clock.clone());
        let forged = forger.token(API).header("kid", kid).sign();
        assert_eq!(error(api.verify(&forged).await), Some(TokenError::Signature));
        world.idp.rotate();
        for round in 0..5 {
            let unknown = api.verify(&world.token()).await;
            assert_eq!(kind(unknown), RejectionKind::Unavailable, "{round}");
            let made_up = forger.token(API).header("kid", format!("made up {round}")).sign();
            assert_eq!(kind(api.verify(&made_up).await), RejectionKind::Unavailable, "{round}");
            world.clock.advance(MISS_INTERVAL);
        }
        api.verify(&good).await.unwrap();
        api.refresh_now(ISSUER).await.unwrap_err();
        api.verify(&good).await.unwrap();
    });
}

/// `warm_up` is content with a snapshot; an operator who asks for new keys is not.
#[test]
fn a_snapshot_warms_up_and_is_no_refresh() {
    let world = World::new("warm");
    run(async {
        world.has_run().await;
        world.idp.answer_with(StatusCode::BAD_GATEWAY);
        world.start().warm_up().await.unwrap();
        let api = world.start();
        api.refresh_now(ISSUER).await.unwrap_err();
        assert_eq!(state(&api), KeyState::Stale);
        fs::remove_file(world.path()).unwrap();
        world.start().warm_up().await.unwrap_err();
    });
}

#[test]
fn recovery_replaces_the_set_and_the_file() {
    let world = World::new("recovery");
    run(async {
        world.has_run().await;
        let old = world.token();
        world.idp.go_down();
        let api = world.start();
        api.verify(&old).await.unwrap();
        let before = world.content();

        world.idp.rotate();
        world.idp.retire();
        world.idp.come_back();
        world.clock.advance(BACKOFF_MAX);
        settle().await;
        assert_eq!(state(&api), KeyState::Fresh, "by the timer");
        api.verify(&world.token()).await.unwrap();
        assert_eq!(error(api.verify(&old).await), Some(TokenError::UnknownKey), "withdrawn");
        written().await;
        let keys = &world.content()["jwks"]["keys"];
        assert_eq!(keys.as_array().unwrap().len(), 1);
        assert_ne!(keys, &before["jwks"]["keys"]);

        // The next outage knows it too.
        world.idp.go_down();
        let api = world.start();
        assert_eq!(kind(api.verify(&old).await), RejectionKind::Unavailable);
        api.verify(&world.token()).await.unwrap();
    });
}

#[test]
fn restored_keys_are_used_for_as_long_as_stale_ones_and_never_past_their_age() {
    for (age, usable_for) in [
        (seconds(0), STALE_FOR),
        (MAX_SNAPSHOT_AGE - STALE_FOR, STALE_FOR),
        (MAX_SNAPSHOT_AGE - seconds(100), seconds(100)),
    ] {
        let world = World::new(&format!("age-{}", age.as_secs()));
        run(async {
            // On a whole second, as the file has it.
            world.clock.set_time_of_day(UNIX_EPOCH + seconds(world.now()));
            world.has_run().await;
            let good = world.token();
            world.idp.go_down();
            world.clock.advance(age);
            let api = world.start();
            api.verify(&good).await.unwrap();
            assert_eq!(api.health().issuers().next().unwrap().stale_for(), Some(usable_for), "{age:?}");
            world.clock.advance(usable_for - Duration::from_millis(1));
            settle().await;
            api.verify(&good).await.unwrap();
            world.clock.advance(Duration::from_millis(1));
            settle().await;
            assert_eq!(kind(api.verify(&good).await), RejectionKind::Unavailable, "{age:?}");
            // It is not read a second time by the same process.
            world.clock.advance(BACKOFF_MAX);
            settle().await;
            assert_eq!(kind(api.verify(&good).await), RejectionKind::Unavailable, "{age:?}");
            assert_eq!(state(&api), KeyState::Expired);
        });
    }
}

/// An issuer whose sets must not be used when they are stale.
#[derive(Clone)]
struct Strict(Idp, &'static str);

impl Fetch for Strict {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let (answer, lines) = (self.0.fetch(request), self.1);
        Box::pin(async move {
            let answer = answer.await?;
            let mut headers = answer.headers().clone();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(lines));
            Ok(FetchResponse::new(answer.status(), headers, answer.body().to_vec()))
        })
    }
}

#[test]
fn rfc5861_stale_if_error_holds_for_a_snapshot_too() {
    for (lines, usable_for) in [("stale-if-error=30", Some(seconds(30))), ("stale-if-error=0", None)] {
        let world = World::new(lines);
        run(async {
            let issuer = || world.issuer().fetch(Strict(world.idp.clone(), lines));
            server(&world.clock, [issuer()]).warm_up().await.unwrap();
            written().await;
            world.idp.go_down();
            let api = server(&world.clock, [issuer()]);
            assert_eq!(api.verify(&world.token()).await.is_ok(), usable_for.is_some(), "{lines}");
            assert_eq!(api.health().issuers().next().unwrap().stale_for(), usable_for, "{lines}");
        });
    }
}

#[test]
fn a_restored_set_is_counted() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let world = World::new("metrics");
    run(world.has_run());
    world.idp.go_down();
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let builder = ResourceServer::builder(API).clock(world.clock.clone()).issuer(world.issuer());
        let api = builder.observer(tower_bearer::Metrics::new()).build().unwrap();
        run(api.warm_up()).unwrap();
    });
    let seen = snapshots.snapshot().into_vec();
    let value = |name: &str| {
        let (_, _, described, value) = seen.iter().find(|(key, ..)| key.key().name() == name).unwrap();
        assert!(described.is_some(), "{name}");
        value
    };
    assert_eq!(value("tower_bearer_keys_restored_total"), &DebugValue::Counter(1));
    assert_eq!(value("tower_bearer_keys"), &DebugValue::Gauge(1.0.into()));
}

/// Each file that is not believed, beside the same one unharmed.
#[test]
fn what_is_wrong_with_a_file_is_said_and_the_answer_stays_503() {
    let world = World::new("refused");
    let log = |expected: Option<&str>, what: &str| {
        let log = captured(async || {
            let api = world.start();
            let verified = api.verify(&world.token()).await;
            assert_eq!(verified.is_ok(), expected.is_none(), "{what}");
            if expected.is_some() {
                assert_eq!(kind(verified), RejectionKind::Unavailable, "{what}");
            }
        });
        let restored = log.contains("using the keys of the snapshot");
        assert_eq!(restored, expected.is_none(), "{what}: {log}");
        if let Some(reason) = expected {
            assert!(log.contains(&format!("the snapshot of keys is not used: {reason}")), "{what}: {log}");
        }
    };
    run(world.has_run());
    world.idp.go_down();
    let good = world.content();
    let put = |content: &str| {
        fs::write(world.path(), content).unwrap();
    };
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document.to_string()
    };
    let fits = |length: usize| {
        let text = good.to_string();
        format!("{text}{}", " ".repeat(length - text.len()))
    };
    let now = world.now();
    let age = MAX_SNAPSHOT_AGE.as_secs();
    for (what, content) in [
        ("unharmed", good.to_string()),
        ("as long as may be", fits(MAX_SNAPSHOT_LENGTH)),
        ("old", with("fetched_at", (now - age + 60).into())),
        ("a little ahead", with("fetched_at", (now + 30).into())),
        ("moved by the issuer", with("jwks_uri", "https://elsewhere.example/".into())),
        ("a member more", with("more", json!([1]))),
    ] {
        put(&content);
        log(None, what);
    }
    let mut private = good["jwks"].clone();
    private["keys"][0]["d"] = "AA".into();
    let text = good.to_string();
    for (what, content, reason) in [
        ("too long", fits(MAX_SNAPSHOT_LENGTH + 1), "it is too long"),
        ("too old", with("fetched_at", (now - age).into()), "it is too old"),
        ("from 1970", with("fetched_at", 0.into()), "it is too old"),
        ("in the future", with("fetched_at", (now + 62).into()), "it is from the future"),
        ("beyond every clock", with("fetched_at", u64::MAX.into()), "it is"),
        ("no time", with("fetched_at", (-1).into()), "it is no snapshot"),
        ("another issuer", with("issuer", "https://other.example.com".into()), "it is of another issuer"),
        ("another iss", with("iss", "https://other.example.com".into()), "it is of another issuer"),
        ("no iss", with("iss", Value::Null), "it is of another issuer"),
        ("another source", with("key_source", format!("{ISSUER}/jwks").into()), "its keys came from another"),
        ("another version", with("version", 2.into()), "it is of another version"),
        ("no version", with("version", Value::Null), "it is no snapshot"),
        ("no JWK Set", with("jwks", json!([])), "it holds no JWK Set"),
        ("no key", with("jwks", json!({"keys": []})), "it holds no usable key"),
        ("a private key", with("jwks", private), "it holds no usable key"),
        ("not JSON", "keys".to_owned(), "it is no snapshot"),
        ("truncated", text[..text.len() / 2].to_owned(), "it is no snapshot"),
        ("without its end", text[..text.len() - 1].to_owned(), "it is no snapshot"),
        ("twice", format!("{text}{text}"), "it is no snapshot"),
        ("empty", String::new(), "it is no snapshot"),
        ("a JWK Set alone", good["jwks"].to_string(), "it is no snapshot"),
    ] {
        put(&content);
        log(Some(reason), what);
        put(&text);
        log(None, what);
    }
    fs::remove_file(world.path()).unwrap();
    log(Some(""), "no file");
    fs::create_dir(world.path()).unwrap();
    log(Some("it is not a regular file"), "a folder");
}

/// A private key beside a public one is left out, and the public one is used.
#[test]
fn a_private_key_in_the_file_is_left_out() {
    let world = World::new("private");
    run(async {
        world.has_run().await;
        world.idp.go_down();
        let mut document = world.content();
        let mut private = document["jwks"]["keys"][0].clone();
        private["kid"] = "private".into();
        private["d"] = "AA".into();
        document["jwks"]["keys"].as_array_mut().unwrap().push(private);
        fs::write(world.path(), document.to_string()).unwrap();
        let api = world.start();
        api.verify(&world.token()).await.unwrap();
        let health = api.health();
        let issuer = health.issuers().next().unwrap();
        assert_eq!(issuer.keys(), 1);
        assert_eq!(issuer.left_out().collect::<Vec<_>>(), [(1, "the private key is published")]);
        let named = world.idp.token(API).header("kid", "private").sign();
        assert_eq!(kind(api.verify(&named).await), RejectionKind::Unavailable);
    });
}

#[test]
#[cfg(unix)]
fn a_file_that_others_can_write_or_lead_elsewhere_is_not_believed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let world = World::new("permissions");
    run(world.has_run());
    world.idp.go_down();
    let log = || {
        let mut accepted = false;
        let log = captured(async || accepted = world.start().verify(&world.token()).await.is_ok());
        (accepted, log)
    };
    for (mode, believed) in
        [(0o600, true), (0o644, true), (0o400, true), (0o620, false), (0o602, false), (0o666, false)]
    {
        fs::set_permissions(world.path(), PermissionsExt::from_mode(mode)).unwrap();
        let (accepted, log) = log();
        assert_eq!(accepted, believed, "{mode:o}: {log}");
        assert_eq!(log.contains("others can write it"), !believed, "{mode:o}: {log}");
    }
    fs::set_permissions(world.path(), PermissionsExt::from_mode(0o600)).unwrap();
    let elsewhere = world.folder.path("elsewhere.json");
    fs::rename(world.path(), &elsewhere).unwrap();
    symlink(&elsewhere, world.path()).unwrap();
    let (accepted, text) = log();
    assert!(!accepted && text.contains("it is not a regular file"), "{text}");
    fs::remove_file(world.path()).unwrap();
    fs::rename(&elsewhere, world.path()).unwrap();
    assert!(log().0, "the same file under its own name");

    // A link is not followed when writing either: it is replaced.
    fs::rename(world.path(), &elsewhere).unwrap();
    symlink(&elsewhere, world.path()).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    world.idp.come_back();
    world.idp.rotate();
    run(async {
        world.start().warm_up().await.unwrap();
        written().await;
    });
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    assert!(fs::symlink_metadata(world.path()).unwrap().is_file());
    assert_eq!(world.content()["jwks"]["keys"].as_array().unwrap().len(), 2);
}

/// Only root can give a file away.
#[test]
#[cfg(unix)]
fn a_file_of_somebody_else_is_not_believed() {
    let world = World::new("owner");
    run(world.has_run());
    world.idp.go_down();
    let accepted = || run(async { world.start().verify(&world.token()).await.is_ok() });
    assert!(accepted());
    if std::os::unix::fs::chown(world.path(), Some(12_345), None).is_err() {
        return crate::support::skip("root", "a file cannot be given away by others");
    }
    assert!(!accepted());
    std::os::unix::fs::chown(world.path(), Some(0), None).unwrap();
    assert!(accepted());
}

#[test]
fn who_reads_the_file_never_sees_half_of_it() {
    let world = World::of("atomic", [Algorithm::ES256, Algorithm::ES512, Algorithm::Ed25519]);
    run(world.has_run());
    let path = world.path();
    let done = Arc::new(Mutex::new(false));
    let over = done.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = std::collections::BTreeSet::new();
        while !*over.lock().unwrap() {
            let content = fs::read(&path).expect("there is always a file");
            let document: Value = serde_json::from_slice(&content).expect("a whole one");
            seen.insert(document["jwks"]["keys"].as_array().unwrap().len());
        }
        seen
    });
    run(async {
        let api = world.start();
        for _ in 0..30 {
            world.idp.rotate();
            api.refresh_now(ISSUER).await.unwrap();
            written().await;
        }
    });
    *done.lock().unwrap() = true;
    assert!(reader.join().unwrap().len() > 1, "it has read while it was written");
    assert_eq!(world.content()["jwks"]["keys"].as_array().unwrap().len(), 93);
}

#[test]
fn a_file_that_cannot_be_written_costs_a_warning_and_no_request() {
    let world = World::new("unwritable");
    let (absent, file) = (world.folder.path("absent/keys.json"), world.folder.path("file/keys.json"));
    world.folder.write("file", "");
    for path in [absent, file] {
        let log = captured(async || {
            let api = server(&world.clock, [world.idp.issuer().snapshot(&path)]);
            for _ in 0..3 {
                api.refresh_now(ISSUER).await.unwrap();
                api.verify(&world.token()).await.unwrap();
                tried().await;
            }
        });
        let warnings = log.matches("the snapshot of keys cannot be written").count();
        assert_eq!(warnings, 1, "{log}");
        assert!(!path.exists());
    }
}

/// The same set is not written at each refresh, and yet often enough for its age to mean something.
#[test]
fn an_unchanged_set_is_written_when_its_file_grows_old() {
    let world = World::new("interval");
    run(async {
        let api = world.start();
        api.warm_up().await.unwrap();
        written().await;
        let first = world.now();
        let fetch_after = async |pause: Duration| {
            world.clock.advance(pause);
            api.refresh_now(ISSUER).await.unwrap();
            written().await;
            world.content()["fetched_at"].as_u64().unwrap() - first
        };
        assert_eq!(fetch_after(seconds(60)).await, 0, "unchanged");
        world.idp.rotate();
        assert_eq!(fetch_after(seconds(60)).await, 120, "another set");
        assert_eq!(fetch_after(SNAPSHOT_INTERVAL - seconds(1)).await, 120);
        assert_eq!(fetch_after(seconds(1)).await, 120 + SNAPSHOT_INTERVAL.as_secs(), "old");
    });
}

#[test]
fn a_blocked_key_is_neither_written_nor_restored() {
    let world = World::new("blocked");
    run(async {
        world.has_run().await;
        let leaked = world.token();
        let kid = world.content()["jwks"]["keys"][0]["kid"].as_str().unwrap().to_owned();
        world.idp.go_down();
        world.start().verify(&leaked).await.unwrap();
        let api = world.start();
        assert!(api.block_key(ISSUER, &kid).is_ok());
        assert!(api.verify(&leaked).await.is_err(), "blocked before it was read");
        world.idp.come_back();
        world.idp.rotate();
        world.clock.advance(BACKOFF_MAX);
        api.refresh_now(ISSUER).await.unwrap();
        written().await;
        let keys = world.content()["jwks"]["keys"].as_array().unwrap().clone();
        assert_eq!(keys.len(), 1);
        assert_ne!(keys[0]["kid"], kid);
    });
}

/// What was imported is written so that the very same is imported again.
#[test]
fn every_kind_of_key_comes_back() {
    let algorithms = [
        Algorithm::RS256,
        Algorithm::PS384,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::Ed25519,
    ];
    let world = World::of("kinds", algorithms);
    run(async {
        world.has_run().await;
        world.idp.go_down();
        let api = world.start();
        for algorithm in algorithms {
            api.verify(&world.idp.token_of(algorithm, API).sign()).await.unwrap();
        }
        let published: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
        let kept = &world.content()["jwks"]["keys"];
        for (index, kept) in kept.as_array().unwrap().iter().enumerate() {
            let published = &published["keys"][index];
            for (name, value) in kept.as_object().unwrap() {
                assert_eq!(value, &published[name], "{name}");
            }
            assert_eq!(kept.get("alg"), published.get("alg"));
        }
    });
}

/// A key that may be used with several algorithms is not narrowed, and one that is published for one not widened.
#[test]
fn the_algorithm_of_a_key_comes_back_as_it_was_published() {
    for named in [true, false] {
        let world = World::of(&format!("alg-{named}"), [Algorithm::RS256]);
        let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
        let key = jwks["keys"][0].as_object_mut().unwrap();
        key.remove("alg");
        key.remove("kid");
        if named {
            key.insert("alg".to_owned(), "PS256".into());
        }
        world.idp.publish(jwks.to_string());
        run(async {
            world.has_run().await;
            world.idp.go_down();
            let verified = world.start().verify(&world.token()).await;
            assert_eq!(verified.is_ok(), !named, "RS256");
            let kept = &world.content()["jwks"]["keys"][0];
            assert_eq!(kept.get("alg").and_then(Value::as_str), named.then_some("PS256"));
            assert!(kept.get("kid").is_none());
        });
    }
}

#[test]
fn a_settings_file_names_it_relative_to_itself() {
    let world = World::new("settings");
    let text = format!(
        "resource = \"{API}\"\n[[issuer]]\nname = \"shop\"\njwks = \"{ISSUER}/jwks\"\nsnapshot_file = \"keys.json\"\n"
    );
    let settings = Settings::read(world.folder.write("settings.toml", text)).unwrap();
    let start = || {
        let builder = settings.builder().unwrap().fetch(world.idp.clone());
        builder.clock(world.clock.clone()).build().unwrap()
    };
    let token = || world.idp.token(API).without_claim("iss").sign();
    run(async {
        start().verify(&token()).await.unwrap();
        written().await;
        let content = world.content();
        assert_eq!((&content["issuer"], &content["iss"]), (&"shop".into(), &Value::Null));
        assert_eq!(content["key_source"], format!("{ISSUER}/jwks"));
        world.idp.go_down();
        start().verify(&token()).await.unwrap();
        // The same issuer, whose keys come from elsewhere by now.
        let moved = Issuer::unnamed("shop").keys(Keys::jwks_url("https://elsewhere.example/jwks"));
        let moved = server(&world.clock, [moved.fetch(world.idp.clone()).snapshot(world.path())]);
        assert_eq!(kind(moved.verify(&token()).await), RejectionKind::Unavailable);
    });
}
