//! TLS to a real Redis: whom it trusts, and who it is.

use std::net::TcpListener;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tower_bearer::manual::defaults::{DENYLIST_STALE_AFTER, DENYLIST_TIMEOUT};
use tower_bearer::settings::Settings;
use tower_bearer::testing::Idp;
use tower_bearer::{
    ConfigErrorKind, Denial, Denylist, DenylistErrorKind, RedisDenylist, RedisTls, ResourceServer, TokenError,
};

use crate::deny_redis::within;
use crate::redis_server::{PASSWORD, Redis};
use crate::settings::Folder;
use crate::support::{API, ISSUER, seconds};

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL goes by names: one that issues for its own name is self-signed to it.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        [leaf.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem()]
    }
}

/// A Redis for `localhost`, and the folder with `ca.pem`.
fn start(folder: &Folder, authority: &Authority, clients: &str) -> Option<Redis> {
    let [certificate, key] = authority.issue("localhost");
    let files = [
        ("--tls-ca-cert-file", folder.write("ca.pem", authority.pem())),
        ("--tls-cert-file", folder.write("redis.pem", certificate)),
        ("--tls-key-file", folder.write("redis-key.pem", key)),
    ];
    let files = files.iter().flat_map(|(name, path)| [(*name).to_owned(), path.display().to_string()]);
    Redis::with_tls(files.chain(["--tls-auth-clients".to_owned(), clients.to_owned()]))
}

fn url(scheme: &str, host: &str, port: u16) -> String {
    format!("{scheme}://:{PASSWORD}@{host}:{port}/0")
}

fn with_ca(url: &str, authority: &Authority) -> RedisDenylist {
    RedisDenylist::with_tls(url, RedisTls::new().ca_only(authority.pem())).unwrap()
}

/// Whether it can be read, and if not why; in time in any case.
async fn read(list: &RedisDenylist) -> Result<(), (DenylistErrorKind, String)> {
    let begin = Instant::now();
    let read = list.changes(None).await;
    assert!(begin.elapsed() < DENYLIST_TIMEOUT, "{:?}", begin.elapsed());
    read.map(drop).map_err(|error| (error.kind(), error.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_is_believed_with_the_right_authority_and_name_only() {
    let (folder, ours, other) = (Folder::new("redis-tls"), Authority::new(), Authority::new());
    let Some(redis) = start(&folder, &ours, "no") else { return };
    let right = url("rediss", "localhost", redis.port);
    let list = with_ca(&right, &ours);
    assert_eq!(read(&list).await, Ok(()));
    assert_eq!(read(&list).await, Ok(()), "the same connection");
    assert_eq!(read(&with_ca(&right.replace("rediss", "valkeys"), &ours)).await, Ok(()));
    let both = format!("{}{}", other.pem(), ours.pem());
    assert_eq!(read(&RedisDenylist::with_tls(&right, RedisTls::new().ca_only(both)).unwrap()).await, Ok(()));

    let by_address = url("rediss", "127.0.0.1", redis.port);
    for (name, list, detail) in [
        (
            "another authority",
            with_ca(&right, &other),
            "its certificate is of an authority that is not trusted",
        ),
        (
            "the platform's",
            RedisDenylist::new(&right).unwrap(),
            "its certificate is of an authority that is not trusted",
        ),
        ("another name", with_ca(&by_address, &ours), "its certificate is for another name"),
    ] {
        let (kind, text) = read(&list).await.expect_err(name);
        assert_eq!(kind, DenylistErrorKind::Connection, "{name}");
        let detail = if cfg!(feature = "rustls") { detail } else { "TLS failed" };
        assert_eq!(text, format!("the denylist cannot be reached ({detail})"), "{name}");
    }
}

/// What TLS is spoken to where there is none, and the other way round, and where nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_speaks_otherwise_is_a_failure_in_time() {
    let (folder, ours) = (Folder::new("redis-tls-otherwise"), Authority::new());
    let Some(encrypted) = start(&folder, &ours, "no") else { return };
    let Some(plain) = Redis::start() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    assert_eq!(read(&with_ca(&url("rediss", "localhost", encrypted.port), &ours)).await, Ok(()));
    assert_eq!(read(&RedisDenylist::new(&url("redis", "localhost", plain.port)).unwrap()).await, Ok(()));

    let lists = [
        RedisDenylist::new(&url("redis", "localhost", encrypted.port)).unwrap(),
        with_ca(&url("rediss", "localhost", plain.port), &ours),
        with_ca(&url("rediss", "localhost", silent), &ours),
    ];
    for (n, list) in lists.iter().enumerate() {
        let (kind, text) = read(list).await.unwrap_err();
        assert!(matches!(kind, DenylistErrorKind::Connection | DenylistErrorKind::Timeout), "{n}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_asks_for_a_certificate_is_shown_one() {
    let (folder, ours, other) = (Folder::new("redis-tls-clients"), Authority::new(), Authority::new());
    let Some(redis) = start(&folder, &ours, "yes") else { return };
    let url = url("rediss", "localhost", redis.port);
    let tls = || RedisTls::new().ca_only(ours.pem());
    let shows = |[certificate, key]: [String; 2]| {
        RedisDenylist::with_tls(&url, tls().client_certificate(certificate, key)).unwrap()
    };
    assert_eq!(read(&shows(ours.issue("us"))).await, Ok(()));
    for list in [shows(other.issue("us")), RedisDenylist::with_tls(&url, tls()).unwrap()] {
        assert_eq!(read(&list).await.unwrap_err().0, DenylistErrorKind::Connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_denials_over_tls_also_after_redis_was_away() {
    let (folder, ours) = (Folder::new("redis-tls-fleet"), Authority::new());
    let Some(mut redis) = start(&folder, &ours, "no") else { return };
    let (idp, url) = (Idp::new(ISSUER), url("rediss", "localhost", redis.port));
    let token = |jti: &str| idp.token(API).claim("jti", jti).sign();
    let server = || {
        let list = with_ca(&url, &ours);
        ResourceServer::builder(API).issuer(idp.issuer()).denylist(list).build().unwrap()
    };
    let fault = async |api: &ResourceServer, jti: &str| {
        api.verify(&token(jti)).await.err().and_then(|why| why.token_error())
    };
    let (one, two) = (server(), server());
    assert!(one.verify(&token("1")).await.is_ok() && two.verify(&token("1")).await.is_ok());
    one.deny(Denial::token(ISSUER, "1")).await.unwrap();
    let revoked = Some(TokenError::Revoked);
    within(DENYLIST_STALE_AFTER, "the other knows", async || fault(&two, "1").await == revoked).await;

    redis.start_again();
    within(seconds(10), "both are there again", async || two.deny(Denial::token(ISSUER, "2")).await.is_ok())
        .await;
    within(DENYLIST_STALE_AFTER, "the first knows", async || fault(&one, "2").await == revoked).await;
    assert_eq!(fault(&server(), "1").await, revoked);
    assert!(one.verify(&token("3")).await.is_ok());
}

/// Nothing is connected to here.
#[test]
fn every_mistake_about_tls_is_said_at_once_and_shows_nothing() {
    let ours = Authority::new();
    let url = url("rediss", "localhost", 1);
    let [certificate, key] = ours.issue("us");
    let tls = || RedisTls::new().ca_only(ours.pem());
    assert!(RedisDenylist::with_tls(&url, tls()).is_ok());
    assert!(RedisDenylist::with_tls(&url, tls().client_certificate(&*certificate, &*key)).is_ok());
    for (name, url, tls, path, advice) in [
        ("no TLS", url.replace("rediss", "redis"), tls(), "", "rediss://"),
        ("a socket", format!("unix:///hunter2?pass={PASSWORD}"), tls(), "", "rediss://"),
        ("any certificate", format!("{url}#insecure"), tls(), "", "leave out what follows #"),
        ("no host", "rediss:///0".to_owned(), tls(), "", "not the URL of a Redis"),
        ("no PEM", url.clone(), RedisTls::new().ca_only("hunter2"), "ca_only", "write one or more"),
        ("no authority", url.clone(), RedisTls::new().ca_only(&*key), "ca_only", "write one or more"),
        (
            "no key",
            url.clone(),
            tls().client_certificate(&*certificate, "hunter2"),
            "client_certificate",
            "PKCS #8",
        ),
        (
            "no certificate",
            url.clone(),
            tls().client_certificate("hunter2", &*key),
            "client_certificate",
            "PKCS #8",
        ),
    ] {
        let error = RedisDenylist::with_tls(&url, tls).expect_err(name);
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Denylist, path), "{name}: {error}");
        assert!(error.to_string().contains(advice), "{name}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(PASSWORD), "{shown}");
    }
    let error = RedisDenylist::new(&format!("{url}#insecure")).unwrap_err();
    assert!(error.to_string().contains("leave out what follows #"), "{error}");
    let shown = format!("{:?}", tls().client_certificate(certificate, key));
    assert_eq!(shown, "RedisTls { ca_only: true, client_certificate: true }");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_names_the_files_for_tls() {
    let (folder, ours, other) = (Folder::new("redis-tls-settings"), Authority::new(), Authority::new());
    let Some(redis) = start(&folder, &ours, "yes") else { return };
    let idp = Idp::new(ISSUER);
    let [certificate, key] = ours.issue("us");
    folder.write("url", url("rediss", "localhost", redis.port));
    folder.write("plain", url("redis", "localhost", redis.port));
    folder.write("other.pem", other.pem());
    folder.write("us.pem", certificate);
    folder.write("us-key.pem", key);
    folder.write("keys.json", idp.jwks());
    let build = |redis: &str| {
        let text = format!(
            "resource = \"{API}\"\n[denylist]\nredis = {{ {redis} }}\n[[issuer]]\niss = \"{ISSUER}\"\njwks_file = \"keys.json\"\n"
        );
        Settings::read(folder.write("settings.toml", text)).unwrap().resource_server()
    };
    let us = "client_certificate_file = \"us.pem\", client_key_file = \"us-key.pem\"";
    let token = idp.token(API).sign();
    for (ca, accepts) in [("ca.pem", true), ("other.pem", false)] {
        let api = build(&format!("url_file = \"url\", ca_file = \"{ca}\", {us}")).unwrap();
        assert_eq!(api.verify(&token).await.is_ok(), accepts, "{ca}");
    }
    for (redis, expected) in [
        (
            "url_file = \"plain\", ca_file = \"ca.pem\"",
            "denylist.redis.ca_file: not the URL of a Redis with TLS",
        ),
        ("url_file = \"url\", ca_file = \"absent\"", "denylist.redis.ca_file: cannot be read"),
        ("url_file = \"url\", ca_file = \"url\"", "denylist.redis.ca_file: holds no PEM"),
        (
            "url_file = \"url\", client_certificate_file = \"us.pem\"",
            "denylist.redis.client_certificate_file: without a key",
        ),
        (
            "url_file = \"url\", client_key_file = \"us.pem\"",
            "denylist.redis.client_key_file: without a cert",
        ),
        (
            "url_file = \"url\", client_certificate_file = \"url\", client_key_file = \"us-key.pem\"",
            "denylist.redis.client_certificate_file: not a PEM certificate",
        ),
    ] {
        let error = build(redis).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{redis}: {error}");
        assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    }
}
