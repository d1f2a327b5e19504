//! Denials in a real Redis.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tower_bearer::manual::defaults::{DENYLIST_STALE_AFTER, DENYLIST_TIMEOUT, MAX_DENIALS};
use tower_bearer::settings::Settings;
use tower_bearer::testing::Idp;
use tower_bearer::{
    ConfigErrorKind, Denial, DenyErrorKind, Denylist, DenylistErrorKind, DenylistState, RedisDenylist,
    RejectionKind, ResourceServer, ResourceServerBuilder, TokenError,
};

use crate::leaks::captured;
use crate::redis_server::{PASSWORD, Redis};
use crate::settings::Folder;
use crate::support::{API, ISSUER, seconds};

struct Fleet {
    idp: Idp,
}

impl Fleet {
    fn new() -> Self {
        Self { idp: Idp::new(ISSUER) }
    }

    fn builder(&self, url: &str) -> ResourceServerBuilder {
        let list = RedisDenylist::new(url).unwrap();
        ResourceServer::builder(API).issuer(self.idp.issuer()).denylist(list)
    }

    fn server(&self, redis: &Redis) -> ResourceServer {
        self.builder(&redis.url()).build().unwrap()
    }

    fn token(&self, jti: &str) -> String {
        self.idp.token(API).claim("jti", jti).claim("sub", "alice").sign()
    }
}

async fn fault(api: &ResourceServer, token: &str) -> Option<(RejectionKind, Option<TokenError>)> {
    api.verify(token).await.err().map(|why| (why.kind(), why.token_error()))
}

const REVOKED: Option<(RejectionKind, Option<TokenError>)> =
    Some((RejectionKind::InvalidToken, Some(TokenError::Revoked)));
const UNAVAILABLE: Option<(RejectionKind, Option<TokenError>)> = Some((RejectionKind::Unavailable, None));

/// Real time passes here: Redis has no clock of ours.
pub(crate) async fn within(limit: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + limit;
    while !so().await {
        assert!(Instant::now() < patience, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_denials_through_redis() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let (one, two) = (fleet.server(&redis), fleet.server(&redis));
    let (token, another) = (fleet.token("1"), fleet.token("2"));
    for api in [&one, &two] {
        assert_eq!(fault(api, &token).await, None, "the first request waits");
    }
    let denial = Denial::token(ISSUER, "1");
    one.deny(denial.clone()).await.unwrap();
    assert_eq!(fault(&one, &token).await, REVOKED);
    within(DENYLIST_STALE_AFTER, "the other knows", async || fault(&two, &token).await == REVOKED).await;
    assert_eq!(fault(&fleet.server(&redis), &token).await, REVOKED, "a new one knows at once");
    assert_eq!(fault(&two, &another).await, None);
    assert_eq!(redis.count("HLEN", "data"), 1);
    // Again, longer: still one entry.
    one.deny(denial.clone().until(std::time::SystemTime::now() + seconds(48 * 3600))).await.unwrap();
    assert_eq!(redis.count("ZCARD", "log"), 1);

    assert!(two.allow(&denial).await.unwrap());
    assert_eq!(fault(&two, &token).await, None);
    within(DENYLIST_STALE_AFTER, "it is allowed again", async || fault(&one, &token).await.is_none()).await;
    assert_eq!(fault(&fleet.server(&redis), &token).await, None);
    one.deny(denial).await.unwrap();
    within(DENYLIST_STALE_AFTER, "denied again", async || fault(&two, &token).await == REVOKED).await;

    let log_out = Denial::subject(ISSUER, "alice").issued_before(std::time::SystemTime::now() + seconds(1));
    two.deny(log_out).await.unwrap();
    within(DENYLIST_STALE_AFTER, "old ones", async || fault(&one, &another).await == REVOKED).await;
    let fresh = fleet.idp.token(API).claim("jti", "3").claim("sub", "alice");
    let ahead = std::time::SystemTime::now() + seconds(30);
    let iat = ahead.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(fault(&one, &fresh.claim("iat", iat).sign()).await, None, "a later one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_leaves_redis_and_nothing_else_does() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let api = fleet.server(&redis);
    let soon = std::time::SystemTime::now() + seconds(2);
    api.deny(Denial::token(ISSUER, "short").until(soon)).await.unwrap();
    api.deny(Denial::token(ISSUER, "long")).await.unwrap();
    let token = fleet.token("short");
    assert_eq!(fault(&api, &token).await, REVOKED);
    assert_eq!(
        [redis.count("HLEN", "data"), redis.count("ZCARD", "log"), redis.count("ZCARD", "ends")],
        [2; 3]
    );
    within(seconds(10), "it is forgotten", async || {
        [redis.count("HLEN", "data"), redis.count("ZCARD", "log"), redis.count("ZCARD", "ends")] == [1; 3]
    })
    .await;
    assert_eq!(fault(&api, &token).await, None);
    assert_eq!(fault(&fleet.server(&redis), &fleet.token("long")).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_gone_is_503_and_one_that_comes_back_is_written_again() {
    let Some(mut redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let careless = fleet.builder(&redis.url()).dangerous_stale_denylist().build().unwrap();
    let api = fleet.server(&redis);
    let (good, bad) = (fleet.token("good"), fleet.token("bad"));
    for api in [&api, &careless] {
        assert_eq!(fault(api, &good).await, None);
    }
    api.deny(Denial::token(ISSUER, "bad")).await.unwrap();
    within(DENYLIST_STALE_AFTER, "both know", async || fault(&careless, &bad).await == REVOKED).await;

    redis.stop();
    let stopped = Instant::now();
    assert_eq!(fault(&api, &good).await, None, "it was read a moment ago");
    let limit = DENYLIST_STALE_AFTER + DENYLIST_TIMEOUT + seconds(2);
    within(limit, "not known any more", async || fault(&api, &good).await == UNAVAILABLE).await;
    assert!(stopped.elapsed() > DENYLIST_STALE_AFTER - seconds(2), "{:?}", stopped.elapsed());
    assert_eq!(fault(&api, &bad).await, REVOKED);
    assert_eq!(api.health().denylist().unwrap().state(), DenylistState::Stale);
    assert_eq!((fault(&careless, &good).await, fault(&careless, &bad).await), (None, REVOKED));
    let new = Denial::token(ISSUER, "new");
    assert_eq!(api.deny(new).await.unwrap_err().kind(), DenyErrorKind::NotShared);
    assert_eq!(fault(&api, &fleet.token("new")).await, REVOKED);

    redis.start_again();
    within(seconds(10), "it is read again", async || fault(&api, &good).await.is_none()).await;
    within(seconds(10), "it is written again", async || redis.count("HLEN", "data") == 2).await;
    let another = fleet.server(&redis);
    for jti in ["bad", "new"] {
        assert_eq!(fault(&another, &fleet.token(jti)).await, REVOKED, "{jti}");
    }
    within(DENYLIST_STALE_AFTER, "both know", async || {
        fault(&careless, &fleet.token("new")).await == REVOKED
    })
    .await;
    assert_eq!(fault(&another, &good).await, None);
}

/// It takes connections and answers nothing, as behind a network that has come apart; then it goes on.
#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn a_redis_that_hangs_is_503_until_it_goes_on() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let (api, token) = (fleet.server(&redis), fleet.token("1"));
    assert_eq!(fault(&api, &token).await, None);
    redis.signal("-STOP");
    let limit = DENYLIST_STALE_AFTER + DENYLIST_TIMEOUT + seconds(2);
    within(limit, "not known any more", async || fault(&api, &token).await == UNAVAILABLE).await;
    let begin = Instant::now();
    let error = api.deny(Denial::token(ISSUER, "2")).await.unwrap_err();
    assert_eq!(error.kind(), DenyErrorKind::NotShared);
    assert!(begin.elapsed() < DENYLIST_TIMEOUT + seconds(1), "{:?}", begin.elapsed());
    assert_eq!(fault(&api, &fleet.token("2")).await, REVOKED);
    // One that starts now waits so long, and no longer.
    let begin = Instant::now();
    assert_eq!(fault(&fleet.server(&redis), &token).await, UNAVAILABLE);
    assert!(begin.elapsed() < DENYLIST_TIMEOUT + seconds(1), "{:?}", begin.elapsed());
    redis.signal("-CONT");
    within(seconds(10), "it goes on", async || fault(&api, &token).await.is_none()).await;
    within(seconds(10), "it is written", async || redis.count("HLEN", "data") == 1).await;
}

/// Some keys of it are gone, as they are where Redis is short of memory and may forget.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_list_that_was_lost_is_written_again() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let (api, token) = (fleet.server(&redis), fleet.token("1"));
    assert_eq!(fault(&api, &token).await, None);
    api.deny(Denial::token(ISSUER, "1")).await.unwrap();
    api.deny(Denial::token(ISSUER, "2")).await.unwrap();
    assert!(api.allow(&Denial::token(ISSUER, "2")).await.unwrap());
    assert_eq!(fault(&fleet.server(&redis), &token).await, REVOKED);
    let parts = ["data", "log", "ends", "gone", "head"];
    for lost in [&parts[..1], &parts[1..2], &parts[2..3], &parts[3..4], &parts[4..], &parts[..4], &parts] {
        for part in lost {
            redis.cli(&["DEL", &format!("{{tower-bearer:denylist}}:{part}")]);
        }
        within(DENYLIST_STALE_AFTER, "it is written again", async || {
            let new = fleet.server(&redis);
            fault(&new, &token).await == REVOKED && fault(&new, &fleet.token("2")).await.is_none()
        })
        .await;
        let held = redis.count("HLEN", "data");
        within(DENYLIST_STALE_AFTER, "all parts agree", async || {
            [redis.count("ZCARD", "log"), redis.count("ZCARD", "ends")] == [held; 2]
        })
        .await;
    }
    // And then it is not lost again and again.
    let name = || redis.cli(&["HGET", "{tower-bearer:denylist}:head", "name"]);
    let before = name();
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(name(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_redis_is_full_of_what_holds_and_takes_nothing_that_has_ended() {
    let Some(redis) = Redis::start() else { return };
    let list = RedisDenylist::new(&redis.url()).unwrap();
    let end = std::time::SystemTime::now() + seconds(3600);
    let add = async |denial: Denial| list.add(denial.until(end)).await.map_err(|error| error.kind());
    assert_eq!(add(Denial::token(ISSUER, "1")).await, Ok(()));
    // By the clock of Redis.
    let error = list.add(Denial::token(ISSUER, "2").until(end - seconds(3601))).await.unwrap_err();
    assert_eq!(error.kind(), DenylistErrorKind::Refused);
    assert_eq!(error.to_string(), "the denylist has answered with an error (its end is past there)");
    assert_eq!(redis.count("HLEN", "data"), 1);
    // One that is longer there holds longer.
    assert!(list.add(Denial::token(ISSUER, "1").until(end - seconds(3601))).await.is_ok());

    let plant = "for n = 2, tonumber(ARGV[1]) do redis.call('HSET', KEYS[1], n, ARGV[2] .. ' 0') \
        redis.call('ZADD', KEYS[2], n, n) redis.call('ZADD', KEYS[3], ARGV[2], n) end \
        redis.call('HSET', KEYS[4], 'held', ARGV[1]) return 1";
    let keys = ["data", "log", "ends", "head"].map(|part| format!("{{tower-bearer:denylist}}:{part}"));
    let room = (MAX_DENIALS / 10 * 9).to_string();
    let far = "9000000000000000";
    redis.cli(&["EVAL", plant, "4", &keys[0], &keys[1], &keys[2], &keys[3], &room, far]);
    assert_eq!(add(Denial::token(ISSUER, "3")).await, Err(DenylistErrorKind::Full));
    assert_eq!(add(Denial::token(ISSUER, "1")).await, Ok(()), "one that is there needs no room");
    assert_eq!(add(Denial::subject(ISSUER, "alice")).await, Ok(()), "there is room for one that covers more");
    // What was removed makes room, although it is told of for an hour.
    for denial in [Denial::subject(ISSUER, "alice"), Denial::token(ISSUER, "1"), Denial::token(ISSUER, "4")] {
        list.remove(denial).await.unwrap();
    }
    assert_eq!(redis.count("ZCARD", "gone"), 3);
    assert_eq!(add(Denial::token(ISSUER, "3")).await, Ok(()));
    assert_eq!(add(Denial::token(ISSUER, "1")).await, Err(DenylistErrorKind::Full), "it holds no more");
}

/// More than are read at once, and some that nobody can read.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_to_its_end_and_odd_entries_are_left_out() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let api = fleet.server(&redis);
    for n in 0..2500 {
        api.deny(Denial::token(ISSUER, n.to_string())).await.unwrap();
    }
    let plant = "for n = 1, 2 do local k = KEYS[1] .. n redis.call('HSET', KEYS[1], k, 'junk') \
        redis.call('ZADD', KEYS[2], n, k) redis.call('ZADD', KEYS[3], 9e15, k) end \
        redis.call('HINCRBY', KEYS[4], 'held', 2) return 1";
    let keys = ["data", "log", "ends", "head"].map(|part| format!("{{tower-bearer:denylist}}:{part}"));
    assert_eq!(redis.cli(&["EVAL", plant, "4", &keys[0], &keys[1], &keys[2], &keys[3]]), "1");
    let another = fleet.server(&redis);
    for jti in ["0", "999", "1000", "1999", "2000", "2499"] {
        assert_eq!(fault(&another, &fleet.token(jti)).await, REVOKED, "{jti}");
    }
    assert_eq!(fault(&another, &fleet.token("2500")).await, None);
    assert_eq!(another.health().denylist().unwrap().denials(), 2500);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_with_other_keys_are_other_lists() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let list = RedisDenylist::new(&redis.url()).unwrap().key("staging");
    let other = ResourceServer::builder(API).issuer(fleet.idp.issuer()).denylist(list).build().unwrap();
    other.deny(Denial::token(ISSUER, "1")).await.unwrap();
    assert_eq!(fault(&other, &fleet.token("1")).await, REVOKED);
    assert_eq!(fault(&fleet.server(&redis), &fleet.token("1")).await, None);
    // The same list by another way.
    #[cfg(unix)]
    {
        let url = format!("unix://{}?pass={PASSWORD}", redis.socket().display());
        let list = RedisDenylist::new(&url).unwrap().key("staging");
        let same = ResourceServer::builder(API).issuer(fleet.idp.issuer()).denylist(list).build().unwrap();
        assert_eq!(fault(&same, &fleet.token("1")).await, REVOKED);
        assert_eq!(fault(&same, &fleet.token("2")).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_names_the_place_of_the_url() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new();
    let folder = Folder::new("deny-settings");
    folder.write("redis-url", redis.url() + "\n");
    folder.write("keys.json", fleet.idp.jwks());
    let text = |denylist: &str| {
        format!(
            "resource = \"{API}\"\n[denylist]\n{denylist}\n[[issuer]]\niss = \"{ISSUER}\"\njwks_file = \"keys.json\"\n"
        )
    };
    let file = folder.write("settings.toml", text("redis = { url_file = \"redis-url\", key = \"x\" }"));
    let api = Settings::read(&file).unwrap().resource_server().unwrap();
    api.deny(Denial::token(ISSUER, "1")).await.unwrap();
    assert_eq!(fault(&api, &fleet.token("1")).await, REVOKED);
    assert_eq!(redis.cli(&["HLEN", "{x}:data"]), "1");
    assert!(!api.health().denylist().unwrap().state().name().is_empty());
}

#[test]
fn a_mistake_about_the_denylist_names_its_field_and_no_password() {
    let folder = Folder::new("deny-mistakes");
    let idp = Idp::new(ISSUER);
    folder.write("keys.json", idp.jwks());
    folder.write("good", format!("redis://:{PASSWORD}@127.0.0.1:1/0"));
    folder.write("bad", format!("redis//{PASSWORD}"));
    folder.write("tls", format!("rediss://:{PASSWORD}@127.0.0.1:1/0"));
    folder.write("insecure", format!("rediss://:{PASSWORD}@127.0.0.1:1/0#insecure"));
    let build = |denylist: &str| {
        let text = format!(
            "resource = \"{API}\"\n[denylist]\n{denylist}\n[[issuer]]\niss = \"{ISSUER}\"\njwks_file = \"keys.json\"\n"
        );
        Settings::read(folder.write("settings.toml", text)).and_then(|settings| {
            assert!(!format!("{settings:?}").contains(PASSWORD));
            settings.resource_server()
        })
    };
    let api = build("redis = { url_file = \"good\" }\ndangerous_stale = true").unwrap();
    assert!(api.is_ready(), "stale is fine");
    assert!(!build("redis = { url_file = \"good\" }").unwrap().is_ready());
    if cfg!(any(feature = "rustls", feature = "native-tls")) {
        assert!(!build("redis = { url_file = \"tls\" }").unwrap().is_ready());
        let error = build("redis = { url_file = \"insecure\" }").unwrap_err();
        assert!(error.to_string().starts_with("denylist.redis: a URL of a Redis with TLS ends"), "{error}");
    } else {
        let error = build("redis = { url_file = \"tls\" }").unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Feature);
        assert!(error.to_string().starts_with("denylist.redis: this build has no TLS"), "{error}");
    }
    for (denylist, expected) in [
        ("redis = { url_file = \"bad\" }", "denylist.redis: not the URL of a Redis"),
        ("redis = { url_file = \"absent\" }", "denylist.redis.url_file: cannot be read"),
        (
            "redis = { url_env = \"TOWER_BEARER_NO_SUCH\" }",
            "denylist.redis.url_env: no environment variable of this name",
        ),
        ("redis = { }", "denylist.redis.url_env: not one place of it; write url_env or"),
        ("redis = { url_env = \"HOME\", url_file = \"good\" }", "denylist.redis.url_env: not one place"),
        ("redis = { url_file = \"good\", key = \"\" }", "denylist.redis.key: empty; write"),
    ] {
        let error = build(denylist).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{denylist}: {error}");
        assert_eq!(error.kind(), ConfigErrorKind::Denylist, "{denylist}");
        assert!(!format!("{error:?}{error}").contains(PASSWORD), "{error:?}");
    }
    let bare = format!("redis = \"redis://:{PASSWORD}@127.0.0.1:1/0\"");
    for (denylist, field) in
        [("redis = { url = \"x\" }", "denylist.redis.url"), (&*bare, "denylist.redis"), ("", "denylist")]
    {
        let error = build(denylist).unwrap_err();
        assert!(!format!("{error:?}{error}").contains(PASSWORD), "{error:?}");
        assert_eq!(error.kind(), ConfigErrorKind::Settings, "{denylist}");
        assert!(error.path().starts_with(field), "{error}");
    }
}

/// Wrong passwords, an endpoint that is no Redis, and a good one: nothing of it is said.
#[test]
fn no_password_and_no_claim_reaches_a_log() {
    let Some(redis) = Redis::start() else { return };
    let secret = "claim-that-nobody-should-see";
    let fleet = Fleet::new();
    let mut shown = String::new();
    let log = captured(async || {
        let list = RedisDenylist::new(&redis.url()).unwrap();
        shown += &format!("{list:?}");
        let good = fleet.server(&redis);
        good.deny(Denial::subject(ISSUER, secret)).await.unwrap();
        let raw = fleet.idp.token(API).claim("sub", secret).sign();
        assert_eq!(fault(&good, &raw).await, REVOKED);
        let wrong = format!("redis://:{PASSWORD}x@127.0.0.1:{}/0", redis.port);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = format!("redis://:{PASSWORD}@{}/0", nobody.local_addr().unwrap());
        for url in [wrong, nobody] {
            let api = fleet.builder(&url).build().unwrap();
            assert_eq!(fault(&api, &fleet.token("1")).await, UNAVAILABLE);
            let error = api.deny(Denial::subject(ISSUER, secret)).await.unwrap_err();
            let source = std::error::Error::source(&error).unwrap();
            shown += &format!("{error} {error:?} {source} {:?} {}", api.health(), api.health().to_json());
        }
    });
    assert!(log.contains("could not read the shared denylist"), "{log}");
    for text in [&log, &shown] {
        assert!(!text.contains(PASSWORD) && !text.contains(secret), "{text}");
    }
}
