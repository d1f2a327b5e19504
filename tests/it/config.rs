//! Every mistake is found by `build()`, and says what to write instead.

use std::time::Duration;

use tower_bearer::manual::defaults::MAX_LEEWAY;
use tower_bearer::testing::Idp;
use tower_bearer::{Algorithm, ConfigError, ConfigErrorKind, HmacAlgorithm, Issuer, Keys, ResourceServer};

use crate::support::{API, ISSUER};

fn build(issuers: impl IntoIterator<Item = Issuer>) -> Result<ResourceServer, ConfigError> {
    let builder = ResourceServer::builder(API).fetch(Idp::new(ISSUER));
    issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build()
}

#[test]
fn what_would_not_work_is_a_config_error() {
    let issuer = || Issuer::new(ISSUER);
    let other = || Issuer::new("https://two.example.com");
    let secret = || Keys::hmac([7; 64], [HmacAlgorithm::HS256]);
    let idp = Idp::new("-");
    let unnamed = |name: &str| Issuer::unnamed(name).keys(Keys::jwks(idp.jwks()));
    assert!(build([issuer(), other(), unnamed("shop")]).is_ok());
    assert!(build([issuer().leeway(MAX_LEEWAY)]).is_ok());
    assert!(build([issuer().snapshot("keys.json"), other().snapshot("more/keys.json")]).is_ok());
    assert!(build([issuer().keys(secret())]).is_ok());
    let cases: Vec<(&str, Vec<Issuer>, ConfigErrorKind, &str)> = vec![
        ("nobody", vec![], ConfigErrorKind::Issuer, "issuer: nobody is trusted; add"),
        ("empty iss", vec![Issuer::new("")], ConfigErrorKind::Issuer, "issuer[0].iss: iss is empty; write"),
        (
            "empty name",
            vec![issuer().name("")],
            ConfigErrorKind::Issuer,
            "issuer[0].name: the name is empty; write",
        ),
        (
            "iss twice",
            vec![issuer(), issuer()],
            ConfigErrorKind::Issuer,
            "issuer[1].iss: iss \"https://id.example",
        ),
        (
            "name twice",
            vec![issuer().name("x"), other().name("x")],
            ConfigErrorKind::Issuer,
            "issuer[1].name: the",
        ),
        (
            "one key, two names",
            vec![unnamed("a"), unnamed("b")],
            ConfigErrorKind::Issuer,
            "issuer[1].keys: has a key",
        ),
        (
            "one secret, two names",
            vec![Issuer::unnamed("a").keys(secret()), Issuer::unnamed("b").keys(secret())],
            ConfigErrorKind::Issuer,
            "issuer[1].keys: has a key of \"a\"",
        ),
        (
            "one URL, two names",
            vec![
                Issuer::unnamed("a").keys(Keys::jwks_url("https://x/jwks")),
                Issuer::unnamed("b").keys(Keys::jwks_url("https://x/jwks")),
            ],
            ConfigErrorKind::Issuer,
            "issuer[1].keys: has a key of \"a\"",
        ),
        (
            "an unnamed issuer called like another's iss",
            vec![unnamed(ISSUER), issuer().name("main")],
            ConfigErrorKind::Issuer,
            "issuer[0].name: \"https://id.example.com\" is the iss of another issuer",
        ),
        (
            "nothing to discover",
            vec![Issuer::unnamed("a")],
            ConfigErrorKind::Keys,
            "issuer[0].keys: an issuer without",
        ),
        (
            "no URL",
            vec![Issuer::new("main")],
            ConfigErrorKind::Url,
            "issuer[0].keys: the issuer is not an absolute URL",
        ),
        (
            "http",
            vec![Issuer::new("http://id.example.com")],
            ConfigErrorKind::Url,
            "issuer[0].keys: the issuer is not https",
        ),
        (
            "http elsewhere",
            vec![Issuer::new("http://id.example.com").dangerous_allow_http()],
            ConfigErrorKind::Url,
            "is http:// to another host than 127.0.0.0/8",
        ),
        (
            "metadata address",
            vec![issuer().keys(Keys::jwks_url("https://169.254.169.254/jwks"))],
            ConfigErrorKind::Url,
            "is an address that no keys come from (link-local",
        ),
        (
            "empty audience",
            vec![issuer().audience("")],
            ConfigErrorKind::Audience,
            "issuer[0].audience: an audience is",
        ),
        (
            "an audience and any",
            vec![issuer().audience("a").dangerous_any_audience()],
            ConfigErrorKind::Audience,
            "leave out dangerous_any_audience",
        ),
        (
            "no algorithm",
            vec![issuer().algorithms([])],
            ConfigErrorKind::Algorithms,
            "no algorithm would be accepted",
        ),
        (
            "signatures with a secret",
            vec![issuer().keys(secret()).algorithms([Algorithm::RS256])],
            ConfigErrorKind::Algorithms,
            "a shared secret goes with its own algorithms",
        ),
        (
            "no type",
            vec![issuer().types::<[&str; 0]>([])],
            ConfigErrorKind::Types,
            "issuer[0].types: no token type",
        ),
        (
            "a snapshot of fixed keys",
            vec![unnamed("shop").snapshot("keys.json")],
            ConfigErrorKind::Keys,
            "issuer[0].snapshot: the keys of this issuer are not fetched; leave out",
        ),
        (
            "a snapshot without a path",
            vec![issuer().snapshot("")],
            ConfigErrorKind::Keys,
            "issuer[0].snapshot: not the path of a file; write",
        ),
        (
            "a snapshot twice",
            vec![issuer().snapshot("keys.json"), other().snapshot("./keys.json")],
            ConfigErrorKind::Issuer,
            "issuer[1].snapshot: another issuer writes this file; give",
        ),
        (
            "leeway",
            vec![issuer().leeway(MAX_LEEWAY + Duration::from_nanos(1))],
            ConfigErrorKind::Leeway,
            "issuer[0].leeway: the leeway is over 300 seconds",
        ),
    ];
    for (name, issuers, kind, text) in cases {
        let error = build(issuers).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{name}: one line");
    }
    let error = ResourceServer::builder("").issuer(issuer()).build().unwrap_err();
    assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Resource, "resource"));
    let at_once = |limit| {
        let builder = ResourceServer::builder(API).fetch(Idp::new(ISSUER)).issuer(issuer());
        builder.max_concurrent_verifications(limit).build()
    };
    assert!(at_once(1).is_ok() && at_once(usize::MAX).is_ok());
    let error = at_once(0).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Limit, "max_concurrent_verifications"));
    assert!(error.to_string().ends_with("write at least 1, or leave it out"), "{error}");
}

#[test]
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn keys_cannot_be_fetched_over_https_without_tls() {
    let local = || Issuer::new("http://127.0.0.1:1").dangerous_allow_http();
    for issuers in [vec![Issuer::new(ISSUER)], vec![local(), Issuer::new(ISSUER)]] {
        let place = issuers.len() - 1;
        let builder = ResourceServer::builder(API);
        let error = issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build();
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Feature);
        if cfg!(feature = "reqwest") {
            assert_eq!(error.path(), format!("issuer[{place}].keys"));
        }
        assert!(error.to_string().contains("turn on the feature rustls or native-tls"), "{error}");
    }
    assert_eq!(ResourceServer::builder(API).issuer(local()).build().is_ok(), cfg!(feature = "reqwest"));
    let idp = Idp::new(ISSUER);
    assert!(ResourceServer::builder(API).issuer(idp.issuer()).build().is_ok());
    assert!(ResourceServer::builder(API).issuer(Issuer::new(ISSUER)).fetch(idp).build().is_ok());
}

#[test]
fn no_secret_is_in_an_error_or_a_debug_output() {
    let error = build([Issuer::new(ISSUER).keys(Keys::hmac("hunter2", [HmacAlgorithm::HS256]))]).unwrap_err();
    let issuer = Issuer::new(ISSUER).keys(Keys::hmac("hunter2".repeat(10), [HmacAlgorithm::HS256]));
    let shown = format!("{error} {error:?} {issuer:?}");
    let server = build([issuer]).unwrap();
    let shown = format!("{shown} {server:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}
