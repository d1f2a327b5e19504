//! What the crate depends on.

use std::process::Command;

use serde_json::Value;

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).chain([0, 0]).take(3).collect()
}

#[test]
fn every_locked_dependency_builds_with_our_minimum_rust() {
    let metadata = metadata(&["--all-features"]);
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let ours = packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap();
    let ours = version(ours["rust_version"].as_str().unwrap());
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| package["rust_version"].as_str().is_some_and(|needed| version(needed) > ours))
        .map(|package| {
            format!("{} {} needs {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    assert_eq!(newer, Vec::<String>::new());
}

/// jsonwebtoken's backends are features that belong to the application: with both or neither it panics.
#[test]
fn jsonwebtoken_has_no_backend_from_us() {
    let metadata = metadata(&["--all-features"]);
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let jsonwebtoken =
        nodes.iter().find(|node| node["id"].as_str().unwrap().contains("jsonwebtoken")).unwrap();
    assert_eq!(jsonwebtoken["features"], serde_json::json!(["use_pem"]));
}

/// A feature check proves nothing if our own tests bring a backend or a client along.
#[test]
fn the_dev_dependency_on_ourselves_brings_no_backend_and_no_client() {
    let metadata = metadata(&["--no-deps"]);
    let dependencies = metadata["packages"][0]["dependencies"].as_array().unwrap();
    let ourselves = dependencies.iter().find(|d| d["name"] == env!("CARGO_PKG_NAME")).unwrap();
    assert_eq!(ourselves["uses_default_features"], false);
    assert_eq!(ourselves["req"], "*");
    let features: Vec<_> =
        ourselves["features"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    for never in ["aws-lc-rs", "rust-crypto", "reqwest", "rustls", "native-tls", "webpki-roots", "default"] {
        assert!(!features.contains(&never), "{features:?}");
    }
}

/// The manual's tables say what the constants are.
#[test]
fn the_manual_gives_every_default_its_value() {
    use tower_bearer::manual::defaults as d;
    let seconds = |duration: std::time::Duration| duration.as_secs();
    let count = |count: usize| u64::try_from(count).unwrap();
    let text = include_str!("../../src/manual/defaults.rs");
    let constants = [
        ("MAX_TOKEN_LENGTH", count(d::MAX_TOKEN_LENGTH)),
        ("MAX_KID_LENGTH", count(d::MAX_KID_LENGTH)),
        ("MAX_JSON_DEPTH", count(d::MAX_JSON_DEPTH)),
        ("MAX_CANDIDATES", count(d::MAX_CANDIDATES)),
        ("MAX_CHAIN_LENGTH", count(d::MAX_CHAIN_LENGTH)),
        ("MAX_KNOWN_CHAINS", count(d::MAX_KNOWN_CHAINS)),
        ("DEFAULT_LEEWAY", seconds(d::DEFAULT_LEEWAY)),
        ("MAX_LEEWAY", seconds(d::MAX_LEEWAY)),
        ("MAX_KEYS", count(d::MAX_KEYS)),
        ("FRESH_FOR", seconds(d::FRESH_FOR)),
        ("MIN_FRESH_FOR", seconds(d::MIN_FRESH_FOR)),
        ("MAX_FRESH_FOR", seconds(d::MAX_FRESH_FOR)),
        ("REFRESH_AT", u64::from(d::REFRESH_AT)),
        ("REFRESH_JITTER", u64::from(d::REFRESH_JITTER)),
        ("MAX_RETRY_AFTER", seconds(d::MAX_RETRY_AFTER)),
        ("MAX_ABSENT_KIDS", count(d::MAX_ABSENT_KIDS)),
        ("ABSENT_FOR", seconds(d::ABSENT_FOR)),
        ("STALE_FOR", seconds(d::STALE_FOR)),
        ("MISS_INTERVAL", seconds(d::MISS_INTERVAL)),
        ("MISS_BURST", u64::from(d::MISS_BURST)),
        ("MISS_WAIT", seconds(d::MISS_WAIT)),
        ("MAX_MISS_WAITERS", count(d::MAX_MISS_WAITERS)),
        ("COLD_WAIT", seconds(d::COLD_WAIT)),
        ("FLIGHT_LIMIT", seconds(d::FLIGHT_LIMIT)),
        ("BACKOFF_MIN", seconds(d::BACKOFF_MIN)),
        ("BACKOFF_MAX", seconds(d::BACKOFF_MAX)),
        ("REDISCOVER_AFTER", seconds(d::REDISCOVER_AFTER)),
        ("MAX_SNAPSHOT_AGE", seconds(d::MAX_SNAPSHOT_AGE)),
        ("SNAPSHOT_INTERVAL", seconds(d::SNAPSHOT_INTERVAL)),
        ("MAX_SNAPSHOT_LENGTH", count(d::MAX_SNAPSHOT_LENGTH)),
        ("CONNECT_TIMEOUT", seconds(d::CONNECT_TIMEOUT)),
        ("FETCH_TIMEOUT", seconds(d::FETCH_TIMEOUT)),
        ("MAX_RESPONSE_LENGTH", count(d::MAX_RESPONSE_LENGTH)),
        ("MAX_BEARER_FILE_LENGTH", count(d::MAX_BEARER_FILE_LENGTH)),
        ("MAX_CACHED_TOKENS", count(d::MAX_CACHED_TOKENS)),
        ("MAX_CACHE_BYTES", count(d::MAX_CACHE_BYTES)),
        ("MAX_CACHED_BY_THREAD", count(d::MAX_CACHED_BY_THREAD)),
        ("MAX_CACHED_FOR", seconds(d::MAX_CACHED_FOR)),
        ("MAX_DENIALS", count(d::MAX_DENIALS)),
        ("MAX_DENIED_LENGTH", count(d::MAX_DENIED_LENGTH)),
        ("DENIED_FOR", seconds(d::DENIED_FOR)),
        ("DENYLIST_INTERVAL", seconds(d::DENYLIST_INTERVAL)),
        ("DENYLIST_TIMEOUT", seconds(d::DENYLIST_TIMEOUT)),
        ("DENYLIST_STALE_AFTER", seconds(d::DENYLIST_STALE_AFTER)),
        ("MIN_OPAQUE_LENGTH", count(d::MIN_OPAQUE_LENGTH)),
        ("MAX_OPAQUE_LENGTH", count(d::MAX_OPAQUE_LENGTH)),
        ("ACTIVE_FOR", seconds(d::ACTIVE_FOR)),
        ("ENDLESS_ACTIVE_FOR", seconds(d::ENDLESS_ACTIVE_FOR)),
        ("LIVE_ANSWER_FOR", seconds(d::LIVE_ANSWER_FOR)),
        ("REFUSED_FOR", seconds(d::REFUSED_FOR)),
        ("MAX_REFUSED", count(d::MAX_REFUSED)),
        ("LOOKUP_TIMEOUT", seconds(d::LOOKUP_TIMEOUT)),
        ("MAX_LOOKUPS", count(d::MAX_LOOKUPS)),
        ("KEPT_LOOKUPS", count(d::KEPT_LOOKUPS)),
        ("MAX_QUEUED_LOOKUPS", count(d::MAX_QUEUED_LOOKUPS)),
        ("MAX_KNOWN", count(d::MAX_KNOWN)),
        ("KNOWN_FOR", seconds(d::KNOWN_FOR)),
        ("MAX_ANSWER_AGE", seconds(d::MAX_ANSWER_AGE)),
        ("ANSWERS_TIMEOUT", u64::try_from(d::ANSWERS_TIMEOUT.as_millis()).unwrap()),
        ("ANSWERS_PAUSE", seconds(d::ANSWERS_PAUSE)),
        ("ASSERTION_LIFETIME", seconds(d::ASSERTION_LIFETIME)),
        ("BREAKER_FAILURES", count(d::BREAKER_FAILURES)),
        ("BREAKER_PAUSE", seconds(d::BREAKER_PAUSE)),
        ("MAX_LOOKUP_RETRY_AFTER", seconds(d::MAX_LOOKUP_RETRY_AFTER)),
        ("BUSY_RETRY_AFTER", seconds(d::BUSY_RETRY_AFTER)),
        ("METADATA_MAX_AGE", d::METADATA_MAX_AGE),
        ("WARN_INTERVAL", seconds(d::WARN_INTERVAL)),
    ];
    for (name, value) in constants {
        let row = format!("//! | [`{name}`] | {value} | ");
        assert!(text.lines().any(|line| line.starts_with(&row)), "{row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("//! | [`") && line.matches(" | ").count() == 4);
    assert_eq!(rows.count(), constants.len());
}
