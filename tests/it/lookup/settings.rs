//! How tokens are looked up, in a settings file.

use serde_json::json;
use tower_bearer::ConfigErrorKind;
use tower_bearer::settings::Settings;
use tower_bearer::testing::{Idp, ManualClock};

use crate::settings::Folder;
use crate::support::{API, ISSUER, block_on};

const SECRET: &str = "hunter2";

/// Set by cargo; a test cannot set one.
const VARIABLE: &str = "CARGO_PKG_NAME";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("secret", format!("{SECRET}\r\n"));
    folder.write("empty", "\n");
    folder.write("answers-secret", format!("{}\r\n", SECRET.repeat(5)));
    folder.write("short-secret", format!("{}\n\n", &SECRET.repeat(5)[..31]));
    folder.write("redis-url", format!("redis://:{SECRET}@127.0.0.1:1/0\n"));
    folder.write("no-redis-url", format!("http://:{SECRET}@127.0.0.1:1/0"));
    folder.write("redis-tls-url", format!("rediss://:{SECRET}@127.0.0.1:1/0"));
    folder.write("client.pem", include_str!("client_keys/ec-with-parameters.pem"));
    folder.write("ed25519.pem", include_str!("client_keys/ed25519.pem"));
    folder.write("client.json", format!("\n{}\n", super::client_key::Pair::rsa().jwk));
    folder.write("small.pem", include_str!("client_keys/rsa-1024.pem"));
    folder.write("keys.json", Idp::new(ISSUER).jwks());
    folder
}

fn of_issuer(rest: &str) -> String {
    format!("resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\n{rest}\n")
}

/// Without a secret: we sign.
const BY_KEY: &str = "client_id = \"api\", auth = \"private_key_jwt\"";

fn unnamed(rest: &str) -> String {
    of_issuer(rest).replace(&format!("iss = \"{ISSUER}\""), "name = \"x\"")
}

const BY_FILE: &str = "client_id = \"api\", client_secret_file = \"secret\"";
const AT: &str = "endpoint = \"https://id.example.com/introspect\"";

/// What a layer would panic at is an error of the file.
#[test]
fn a_route_may_ask_on_each_request() {
    let folder = folder("lookup-live");
    let two = |rest: &str| {
        let looked_up = of_issuer(&format!("jwks_file = \"keys.json\"\nintrospection = {{ {BY_FILE} }}"));
        format!(
            "{looked_up}[[issuer]]\nname = \"x\"\njwks_file = \"other.json\"\n[[route]]\npath = \"/\"\n{rest}"
        )
    };
    folder.write("other.json", Idp::new("-").jwks());
    let routes = |text: &str| Settings::read(folder.write("settings.toml", text)).unwrap().routes();
    for (rest, live) in [
        ("", false),
        ("live = false", false),
        ("live = true", true),
        ("live = true\noptional = true", true),
        (&format!("live = true\nissuers = [\"x\", \"{ISSUER}\"]"), true),
    ] {
        let routes = routes(&two(rest)).unwrap();
        assert_eq!(
            routes.iter().map(tower_bearer::settings::Route::is_live).collect::<Vec<_>>(),
            [live],
            "{rest}"
        );
    }
    let nobody = of_issuer("jwks_file = \"keys.json\"\n[[route]]\npath = \"/\"\nlive = true");
    for (text, says) in [
        (two("live = true\nissuers = [\"x\"]"), "write introspection"),
        (two("live = true\npublic = true"), "leave out public"),
        (nobody, "write introspection"),
    ] {
        let error = routes(&text).unwrap_err();
        assert_eq!(error.path(), "route[0].live");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn every_mistake_about_looking_up_names_its_field() {
    use ConfigErrorKind as K;
    let folder = folder("lookup-mistakes");
    let read = |text: &str| {
        let settings = Settings::read(folder.write("settings.toml", text))?;
        assert!(!format!("{settings:?}").contains(SECRET), "also where the name of a variable is expected");
        assert!(!format!("{:?}", settings.builder()?).contains(SECRET));
        if cfg!(any(feature = "rustls", feature = "native-tls")) {
            return settings.resource_server().map(drop);
        }
        settings.builder()?.fetch(Idp::new(ISSUER)).build().map(drop)
    };
    let how = |fields: &str| of_issuer(&format!("introspection = {{ {fields} }}"));
    let with = |more: &str| how(&format!("{BY_FILE}{more}"));
    let by_key = |more: &str| how(&format!("{BY_KEY}{more}"));
    let with_key = |more: &str| by_key(&format!(", key_file = \"client.pem\"{more}"));
    let kong = |url: &str| unnamed(&format!("kong = {{ admin_url = \"{url}\" }}"));
    for good in [
        with(""),
        with(&format!(", {AT}")),
        with(", auth = \"post\""),
        with("") + "discovery = true",
        with("") + "discovery = false",
        with("") + "jwks_file = \"keys.json\"",
        with("") + "token_prefix = \"pat_\"",
        with("")
            .replace("introspection = { ", "[issuer.introspection]\n")
            .replace(", ", "\n")
            .replace(" }", ""),
        how(&format!("client_id = \"api\", client_secret_env = \"{VARIABLE}\"")),
        how("client_secret_file = \"secret\", auth = \"bearer\""),
        with(", signed = true") + "discovery = true",
        with(", signed = true, signed_for = \"https://api.example.com\"") + "jwks_file = \"keys.json\"",
        with(", signed_for = \"https://api.example.com\"") + "discovery = true",
        with(", signed = false"),
        how("client_secret_file = \"secret\", auth = \"bearer\", signed_for = \"api\"") + "discovery = true",
        unnamed(&format!("introspection = {{ {BY_FILE}, {AT} }}")),
        with_key(""),
        with_key(", key_id = \"k\", algorithm = \"ES256\", audience = \"https://id.example.com/token\""),
        by_key(", key_file = \"ed25519.pem\", algorithm = \"EdDSA\""),
        by_key(", key_file = \"client.json\", algorithm = \"PS256\""),
        unnamed(&format!("introspection = {{ {BY_KEY}, key_file = \"client.pem\", {AT} }}")),
    ] {
        read(&good).unwrap_or_else(|error| panic!("{good}\n{error}"));
    }
    let introspection = |field: &str| format!("issuer[0].introspection.{field}");
    let place = "issuer[0]".to_owned();
    for (text, kind, path, advice) in [
        (how(""), K::Lookup, introspection("client_id"), "missing; write what the issuer calls us"),
        (how("client_secret_file = \"secret\""), K::Lookup, introspection("client_id"), "missing"),
        (
            with("").replace("\"api\"", "\"\""),
            K::Lookup,
            introspection("client_id"),
            "write what the issuer calls us",
        ),
        (with(", auth = \"bearer\""), K::Lookup, introspection("client_id"), "leave it out"),
        (
            with("").replace("client_secret_file = \"secret\"", ""),
            K::Lookup,
            introspection("client_secret_env"),
            "write client_secret_env or client_secret_file",
        ),
        (
            with(&format!(", client_secret_env = \"{VARIABLE}\"")),
            K::Lookup,
            introspection("client_secret_env"),
            "not one place",
        ),
        (
            how("client_id = \"api\", client_secret_env = \"hunter2\""),
            K::Lookup,
            introspection("client_secret_env"),
            "no environment variable of this name has a text; write the name of one, and set it",
        ),
        (
            with("").replace("\"secret\"", "\"absent\""),
            K::Lookup,
            introspection("client_secret_file"),
            "relative to the settings file",
        ),
        (
            with("").replace("\"secret\"", "\"empty\""),
            K::Lookup,
            introspection("client_secret_file"),
            "nothing is there",
        ),
        (by_key(""), K::Lookup, introspection("key_env"), "write key_env or key_file"),
        (with_key("").replace("client_id = \"api\", ", ""), K::Lookup, introspection("client_id"), "missing"),
        (with_key("").replace("\"api\"", "\"\""), K::Lookup, introspection("client_id"), "empty"),
        (
            with_key(&format!(", key_env = \"{VARIABLE}\"")),
            K::Lookup,
            introspection("key_env"),
            "not one place",
        ),
        (
            by_key(", key_env = \"TOWER_BEARER_NO_SUCH\""),
            K::Lookup,
            introspection("key_env"),
            "no environment variable of this name has a text; write the name of one, and set it",
        ),
        (
            by_key(&format!(", key_env = \"{VARIABLE}\"")),
            K::Lookup,
            introspection("key_env"),
            "no private key in the file",
        ),
        (
            by_key(", key_file = \"absent\""),
            K::Lookup,
            introspection("key_file"),
            "relative to the settings file",
        ),
        (by_key(", key_file = \"secret\""), K::Lookup, introspection("key_file"), "no private key"),
        (by_key(", key_file = \"empty\""), K::Lookup, introspection("key_file"), "no private key"),
        (by_key(", key_file = \"small.pem\""), K::Lookup, introspection("key_file"), "2048 to 8192 bits"),
        (with_key(", key_id = \"\""), K::Lookup, introspection("key_id"), "empty or too long"),
        (with_key(", algorithm = \"RS256\""), K::Lookup, introspection("algorithm"), "for this kind of key"),
        (with_key(", algorithm = \"HS256\""), K::Lookup, introspection("algorithm"), "such as \\\"ES256\\\""),
        (with_key(", algorithm = 1"), K::Settings, introspection("algorithm"), ""),
        (with_key(", audience = \"\""), K::Lookup, introspection("audience"), "leave it out"),
        (
            with_key(", client_secret_file = \"secret\""),
            K::Lookup,
            introspection("client_secret_file"),
            "needs no secret",
        ),
        (with_key(", key = \"hunter2\""), K::Settings, introspection("key"), "unknown field"),
        (
            with(", key_file = \"client.pem\""),
            K::Lookup,
            introspection("key_file"),
            "write auth = \\\"private_key_jwt\\\"",
        ),
        (with(", key_id = \"k\""), K::Lookup, introspection("key_id"), "only for a key"),
        (with(", algorithm = \"ES256\""), K::Lookup, introspection("algorithm"), "only for a key"),
        (with(", audience = \"x\""), K::Lookup, introspection("audience"), "only for a key"),
        (with(", auth = \"digest\""), K::Settings, introspection("auth"), "expected one of"),
        (with(", auth = true"), K::Settings, introspection("auth"), ""),
        (with(", signed = true"), K::Lookup, introspection("signed"), "discovery = true"),
        (
            with(", signed = false, signed_for = \"api\"") + "discovery = true",
            K::Lookup,
            introspection("signed_for"),
            "write signed = true",
        ),
        (
            with(", signed_for = \"\"") + "discovery = true",
            K::Lookup,
            introspection("signed_for"),
            "the audience is empty",
        ),
        (
            how("client_secret_file = \"secret\", auth = \"bearer\", signed = true") + "discovery = true",
            K::Lookup,
            introspection("signed"),
            "write signed_for",
        ),
        (with(", signed = \"yes\""), K::Settings, introspection("signed"), ""),
        (
            with(", auth = \"hunter2: x, expected x\""),
            K::Settings,
            introspection("auth"),
            "unknown value, expected one of",
        ),
        (with(", client_secret = \"hunter2\""), K::Settings, introspection("client_secret"), "unknown field"),
        (with(", endpoint = \"id.example.com\""), K::Url, introspection("endpoint"), "write one such as"),
        (with(", endpoint = \"http://id.example.com\""), K::Url, introspection("endpoint"), "https"),
        (with(", endpoint = \"https://api:password@id.example.com\""), K::Url, introspection("endpoint"), ""),
        (with("").replace("https://", "http://"), K::Url, format!("{place}.iss"), "https"),
        (
            unnamed(&format!("introspection = {{ {BY_FILE} }}")),
            K::Lookup,
            introspection("endpoint"),
            "write the URL of the endpoint",
        ),
        (with("") + "token_prefix = \"\"", K::Lookup, format!("{place}.token_prefix"), "leave it out"),
        (with("") + "token_prefix = \"a b\"", K::Lookup, format!("{place}.token_prefix"), "letters, digits"),
        (of_issuer("token_prefix = \"pat_\""), K::Lookup, format!("{place}.token_prefix"), "not looked up"),
        (
            with("") + "kong = { admin_url = \"https://kong\" }",
            K::Lookup,
            format!("{place}.kong"),
            "than introspection; write one",
        ),
        (
            with("") + "fetch_token_file = \"secret\"",
            K::Fetch,
            format!("{place}.fetch_token_file"),
            "not fetched; leave it out",
        ),
        (with("") + "snapshot_file = \"x\"", K::Keys, format!("{place}.snapshot_file"), "not fetched"),
        (
            with("")
                + &unnamed(&format!("introspection = {{ {BY_FILE}, {AT} }}"))
                    .replace(&format!("resource = \"{API}\""), ""),
            K::Lookup,
            "issuer[1].token_prefix".to_owned(),
            "",
        ),
        (unnamed("kong = { }"), K::Settings, format!("{place}.kong.admin_url"), "missing"),
        (
            unnamed("kong = { admin_url = 1 }"),
            K::Settings,
            format!("{place}.kong.admin_url"),
            "not a text; write one, in quotes",
        ),
    ] {
        if kind == K::Url && !cfg!(any(feature = "rustls", feature = "native-tls")) {
            continue;
        }
        let error = read(&text).expect_err(&text);
        // What only shows in the whole has the builder's names, if it is built by one.
        let path = if cfg!(any(feature = "rustls", feature = "native-tls")) {
            path
        } else {
            path.replace("snapshot_file", "snapshot")
        };
        assert_eq!((error.kind(), error.path()), (kind, &*path), "{text}\n{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(advice), "{text}\n{shown}");
        assert!(!error.to_string().contains('\n') && !shown.contains(SECRET), "{text}\n{shown}");
    }
    if cfg!(not(feature = "reqwest")) {
        let error = read(&kong("http://127.0.0.1:8001")).unwrap_err();
        assert_eq!((error.kind(), error.path()), (K::Feature, "issuer[0].kong"));
        return;
    }
    for url in ["http://127.0.0.1:8001", "https://kong.internal:8444/admin"] {
        let is_possible = url.starts_with("http:") || cfg!(any(feature = "rustls", feature = "native-tls"));
        assert!(read(&kong(url)).is_ok() || !is_possible, "{url}: {:?}", read(&kong(url)));
    }
    for (url, advice) in
        [("kong", "write one such as"), ("http://kong:8001", "localhost"), ("https://api:password@kong", "")]
    {
        let error = read(&kong(url)).unwrap_err();
        assert_eq!((error.kind(), error.path()), (K::Url, "issuer[0].kong.admin_url"), "{url}");
        assert!(error.to_string().contains(advice) && !format!("{error:?}").contains(SECRET), "{error}");
    }
}

#[test]
fn every_mistake_about_shared_answers_names_its_field() {
    use ConfigErrorKind as K;
    let folder = folder("lookup-answers");
    let read = |text: &str| {
        let settings = Settings::read(folder.write("settings.toml", text))?;
        assert!(!format!("{settings:?}").contains(SECRET));
        let api = settings.builder()?.fetch(Idp::new(ISSUER));
        assert!(!format!("{api:?}").contains(SECRET));
        let own_client = cfg!(any(feature = "rustls", feature = "native-tls"));
        if own_client { settings.resource_server() } else { api.build() }
    };
    let looked_up = of_issuer(&format!("introspection = {{ {BY_FILE}, {AT} }}"));
    let with = |answers: &str| format!("{looked_up}shared_answers = {{ {answers} }}\n");
    let redis = |fields: &str| with(&format!("redis = {{ {fields} }}, secret_file = \"answers-secret\""));
    let secret = |fields: &str| with(&format!("redis = {{ url_file = \"redis-url\" }}, {fields}"));
    let good = redis("url_file = \"redis-url\"");
    for text in [
        good.clone(),
        redis("url_file = \"redis-url\", key = \"staging\""),
        format!("cache = true\n{good}"),
        format!(
            "{looked_up}[issuer.shared_answers]\nsecret_file = \"answers-secret\"\n[issuer.shared_answers.redis]\nurl_file = \"redis-url\""
        ),
    ] {
        read(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
    let tls = read(&redis("url_file = \"redis-tls-url\""));
    if cfg!(any(feature = "rustls", feature = "native-tls")) {
        assert!(tls.is_ok(), "{tls:?}");
    } else {
        let error = tls.unwrap_err();
        assert_eq!((error.kind(), error.path()), (K::Feature, "issuer[0].shared_answers.redis"));
    }
    let jwts = of_issuer("jwks_file = \"keys.json\"");
    read(&jwts).unwrap();
    read(&format!("cache = false\n{looked_up}")).unwrap();
    for (text, kind, field, advice) in [
        (
            good.replace(&looked_up, &jwts),
            K::Lookup,
            "",
            "not looked up; leave it out, or write introspection",
        ),
        (format!("cache = false\n{good}"), K::Lookup, "", "cache = false in a file"),
        (with("secret_file = \"answers-secret\""), K::Settings, ".redis", "missing"),
        (redis(""), K::Lookup, ".redis.url_env", "not one place of it; write url_env or url_file"),
        (
            redis(&format!("url_file = \"redis-url\", url_env = \"{VARIABLE}\"")),
            K::Lookup,
            ".redis.url_env",
            "not one place",
        ),
        (
            redis("url_env = \"TOWER_BEARER_NO_SUCH\""),
            K::Lookup,
            ".redis.url_env",
            "no environment variable of this name has a text; write the name of one, and set it",
        ),
        (
            redis("url_file = \"absent\""),
            K::Lookup,
            ".redis.url_file",
            "write a path relative to the settings file",
        ),
        (redis("url_file = \"no-redis-url\""), K::Lookup, ".redis", "not the URL of a Redis; write one"),
        (redis("url = \"hunter2\""), K::Settings, ".redis.url", "unknown field"),
        (redis("url_file = \"redis-url\", key = \"\""), K::Lookup, ".redis.key", "empty; write what"),
        (secret(""), K::Lookup, ".secret_env", "not one place of it; write secret_env or secret_file"),
        (
            secret(&format!("secret_file = \"answers-secret\", secret_env = \"{VARIABLE}\"")),
            K::Lookup,
            ".secret_env",
            "not one place",
        ),
        (secret("secret_env = \"TOWER_BEARER_NO_SUCH\""), K::Lookup, ".secret_env", "set it"),
        (
            secret(&format!("secret_env = \"{VARIABLE}\"")),
            K::Lookup,
            ".secret_env",
            "32 random bytes or more",
        ),
        (secret("secret_file = \"absent\""), K::Lookup, ".secret_file", "relative to the settings file"),
        (secret("secret_file = \"short-secret\""), K::Lookup, ".secret_file", "32 random bytes or more"),
        (secret("secret_file = \"empty\""), K::Lookup, ".secret_file", "32 random bytes or more"),
        (secret("secret = \"hunter2\""), K::Settings, ".secret", "unknown field"),
        (
            format!("{looked_up}shared_answers = \"hunter2\""),
            K::Settings,
            "",
            "a table with redis and secret_file",
        ),
        (
            with("redis = \"redis://:hunter2@127.0.0.1, expected x\", secret_file = \"answers-secret\""),
            K::Settings,
            ".redis",
            "expected a table such as { url_env =",
        ),
    ] {
        let error = read(&text).expect_err(&text);
        let path = format!("issuer[0].shared_answers{field}");
        assert_eq!((error.kind(), error.path()), (kind, &*path), "{text}\n{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(advice), "{text}\n{shown}");
        assert!(!error.to_string().contains('\n') && !shown.contains(SECRET), "{text}\n{shown}");
    }
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    for (fields, field, advice) in [
        ("url_file = \"redis-url\", ca_file = \"absent\"", "ca_file", "cannot be read"),
        ("url_file = \"redis-tls-url\", ca_file = \"empty\"", "ca_file", "holds no PEM"),
        (
            "url_file = \"redis-tls-url\", client_certificate_file = \"empty\"",
            "client_certificate_file",
            "without a key",
        ),
    ] {
        let error = read(&redis(fields)).unwrap_err();
        let path = format!("issuer[0].shared_answers.redis.{field}");
        assert_eq!((error.kind(), error.path()), (K::Lookup, &*path), "{fields}: {error}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

/// Each way to say who we are, on the wire.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn what_a_file_says_is_what_is_sent() {
    use std::sync::{Arc, Mutex};

    use axum::routing::{get, post};
    use axum::{Json, Router};
    use http::HeaderMap;
    use tower_bearer::testing::Loopback;

    let folder = folder("lookup-sent");
    let loopback = Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let received = Arc::new(Mutex::new(Vec::new()));
    let metadata = json!({"issuer": url, "introspection_endpoint": format!("{url}/introspect")});
    let introspect = {
        let received = received.clone();
        move |headers: HeaderMap, form: String| async move {
            let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            received.lock().unwrap().push((authorization, form));
            Json(json!({"active": true, "aud": API, "client_id": "robot"}))
        }
    };
    let app = Router::new()
        .route("/introspect", post(introspect.clone()))
        .route("/fixed", post(introspect))
        .route("/.well-known/openid-configuration", get(move || async move { Json(metadata) }));
    let _serving = loopback.serve(app);
    let token = "pat_3f2b8c1e";
    let form = |more: &str| format!("token={token}&token_type_hint=access_token{more}");
    let fixed = format!("endpoint = \"{url}/fixed\"");
    let basic = || Some("Basic YXBpOmh1bnRlcjI=".to_owned());
    for (fields, authorization, sent) in [
        (BY_FILE.to_owned(), basic(), form("")),
        (format!("{fixed}, {BY_FILE}, auth = \"basic\""), basic(), form("")),
        (format!("{BY_FILE}, auth = \"post\""), None, form("&client_id=api&client_secret=hunter2")),
        (
            "client_secret_file = \"secret\", auth = \"bearer\"".to_owned(),
            Some("Bearer hunter2".to_owned()),
            form(""),
        ),
        (
            format!("{fixed}, client_secret_env = \"{VARIABLE}\", auth = \"bearer\""),
            Some(format!("Bearer {}", env!("CARGO_PKG_NAME"))),
            form(""),
        ),
    ] {
        let text = of_issuer(&format!(
            "dangerous_allow_http = true\ntoken_prefix = \"pat_\"\nintrospection = {{ {fields} }}"
        ));
        let text = text.replace(ISSUER, &url);
        let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
        let api = settings.resource_server().unwrap();
        assert_eq!(api.verify(token).await.unwrap().client_id(), Some("robot"), "{fields}");
        assert_eq!(std::mem::take(&mut *received.lock().unwrap()), [(authorization, sent)], "{fields}");
        assert!(api.verify("another-prefix").await.is_err());
        assert_eq!(received.lock().unwrap().len(), 0);
    }
}

/// With keys it is a hybrid, without them JWTs are looked up too.
#[test]
fn keys_are_there_if_they_are_written() {
    let folder = folder("lookup-keys");
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    folder.write("keys.json", idp.jwks());
    for (keys, is_verified) in [
        ("", false),
        ("discovery = false", false),
        ("discovery = true", true),
        ("jwks_file = \"keys.json\"", true),
    ] {
        let text = of_issuer(&format!("introspection = {{ {BY_FILE}, {AT} }}\n{keys}"));
        let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
        // The Idp serves keys, and answers no introspection.
        let api = settings.builder().unwrap().fetch(idp.clone()).clock(clock.clone()).build().unwrap();
        let verified = block_on(api.verify(&idp.token(API).sign()));
        assert_eq!(verified.is_ok(), is_verified, "{keys}: {verified:?}");
        assert!(verified.is_ok() || super::is_unavailable(&verified), "{keys}");
    }
}

/// What is sent with a key, and what it is signed with.
#[test]
fn a_key_in_a_file_signs() {
    use tower_bearer::Algorithm;

    use super::OPAQUE;
    use super::client_key::{CLIENT, Pair, Verifier};

    let folder = folder("lookup-key");
    let (clock, rsa, ec) = (ManualClock::new(), Pair::rsa(), Pair::ec("P-384"));
    folder.write("rsa.json", rsa.jwk.to_string());
    folder.write("ec.pem", ec.pem());
    for (fields, algorithm, pair, kid, audience) in [
        ("key_file = \"rsa.json\"", Algorithm::RS256, &rsa, None, ISSUER),
        ("key_file = \"rsa.json\", algorithm = \"PS256\"", Algorithm::PS256, &rsa, None, ISSUER),
        ("key_file = \"ec.pem\", key_id = \"ours\"", Algorithm::ES384, &ec, Some("ours"), ISSUER),
        ("key_file = \"ec.pem\", audience = \"urn:x\"", Algorithm::ES384, &ec, None, "urn:x"),
    ] {
        let verifier = Verifier::new(&clock, audience, algorithm, &pair.public);
        if let Some(kid) = kid {
            verifier.wants_kid(kid);
        }
        let text = of_issuer(&format!(
            "introspection = {{ {AT}, client_id = \"{CLIENT}\", auth = \"private_key_jwt\", {fields} }}"
        ));
        let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
        let api = settings.builder().unwrap().fetch(verifier.clone()).clock(clock.clone()).build().unwrap();
        assert!(block_on(api.verify(OPAQUE)).is_ok(), "{fields}: {:?}", verifier.faults());
    }
}
