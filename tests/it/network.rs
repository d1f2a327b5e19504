//! What goes along with a fetch, and where: over plain sockets on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use http::header::AUTHORIZATION;
use tower_bearer::manual::defaults::{
    BACKOFF_MIN, FETCH_TIMEOUT, MAX_BEARER_FILE_LENGTH, MAX_RESPONSE_LENGTH,
};
use tower_bearer::settings::Settings;
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Fetch, FetchError, FetchErrorKind, FetchRequest, FetchResponse, Issuer, RejectionKind, ReqwestFetch,
    ReqwestFetchBuilder, ResourceServer, TokenError,
};

use crate::leaks::captured;
use crate::loopback::serve;
use crate::settings::Folder;
use crate::support::API;

/// A path and the `Authorization`.
type Seen = (String, Option<String>);

/// Documents by path, and who asked for them with what.
#[derive(Clone)]
struct Site {
    url: String,
    documents: Arc<Mutex<BTreeMap<String, String>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Site {
    async fn start() -> Self {
        let (documents, seen): (Arc<Mutex<BTreeMap<_, _>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let site = Self { url: String::new(), documents: documents.clone(), seen: seen.clone() };
        let app = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let authorization = request.headers().get(AUTHORIZATION);
            seen.lock().unwrap().push((path.clone(), authorization.map(|a| a.to_str().unwrap().to_owned())));
            let document = documents.lock().unwrap().get(&path).cloned();
            async move { document.ok_or(StatusCode::NOT_FOUND) }
        });
        Self { url: serve(app).await, ..site }
    }

    fn put(&self, path: &str, document: String) {
        self.documents.lock().unwrap().insert(path.to_owned(), document);
    }

    /// The requests since the last time.
    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// One that needs no certificates of the platform.
pub(crate) fn builder() -> ReqwestFetchBuilder {
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    {
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        ReqwestFetch::builder().ca_pem(authority.pem()).ca_only()
    }
    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    ReqwestFetch::builder()
}

pub(crate) fn own_client() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let builder = builder.tls_certs_only([]);
    builder
}

async fn get(fetch: &ReqwestFetch, url: &str) -> Result<FetchResponse, FetchError> {
    fetch.fetch(FetchRequest::new(url, "application/json")).await
}

pub(crate) fn discovery(iss: &str, jwks_uri: &str) -> String {
    format!(r#"{{"issuer":"{iss}","jwks_uri":"{jwks_uri}"}}"#)
}

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn a_bearer_file_goes_to_its_origin_and_to_no_other() {
    let folder = Folder::new("bearer");
    let path = folder.write("token", "first.token-1~+/==\r\n");
    let (site, other) = (Site::start().await, Site::start().await);
    let clock = ManualClock::new();
    let idp = Idp::new(&*site.url).clock(clock.clone());
    site.put("/jwks", idp.jwks());
    other.put("/jwks", idp.jwks());
    let sent = |path: &str, token: Option<&str>| (path.to_owned(), token.map(|t| format!("Bearer {t}")));
    for (jwks_uri, keeper) in [(format!("{}/jwks", site.url), &site), (format!("{}/jwks", other.url), &other)]
    {
        site.put(DISCOVERY, discovery(&site.url, &jwks_uri));
        let fetch = builder().bearer_file(format!("{}/any/path?x", site.url), &path).build().unwrap();
        let issuer = Issuer::new(&site.url).dangerous_allow_http().fetch(fetch);
        let api = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).build().unwrap();
        assert!(api.verify(&idp.token(API).sign()).await.is_ok());
        let mut expected = vec![sent(DISCOVERY, Some("first.token-1~+/=="))];
        if Arc::ptr_eq(&keeper.seen, &site.seen) {
            // On the issuer's own host: nobody else has named it.
            expected.push(sent("/jwks", Some("first.token-1~+/==")));
        }
        assert_eq!(site.seen(), expected);
    }
    assert_eq!(other.seen(), [sent("/jwks", None)]);

    // Nor where another issuer's document sends us, though it is the right origin.
    let fetch = builder().bearer_file(&site.url, &path).build().unwrap();
    let request = || FetchRequest::new(format!("{}/jwks", site.url), "application/json");
    fetch.fetch(request()).await.unwrap();
    assert_eq!(site.seen(), [sent("/jwks", Some("first.token-1~+/=="))]);
    fetch.fetch(request().supplied()).await.unwrap();
    assert_eq!(site.seen(), [sent("/jwks", None)]);

    // The same host under another name and the same name on another port are other origins.
    let fetch = builder().bearer_file(&site.url, &path).build().unwrap();
    let port = site.url.rsplit(':').next().unwrap();
    for (url, token) in [
        (format!("{}/x", site.url), Some("first.token-1~+/==")),
        (format!("http://localhost:{port}/x"), None),
        (format!("http://127.1:{port}/x"), Some("first.token-1~+/==")), // the same address, as every URL parser reads it
    ] {
        let _ = get(&fetch, &url).await;
        let seen = site.seen();
        assert_eq!(seen, [sent("/x", token)], "{url}");
    }
}

#[tokio::test]
async fn a_bearer_file_is_read_at_every_fetch() {
    let folder = Folder::new("bearer-again");
    let path = folder.write("token", "one\n");
    let site = Site::start().await;
    let clock = ManualClock::new();
    let idp = Idp::new(&*site.url).clock(clock.clone());
    site.put(DISCOVERY, discovery(&site.url, &format!("{}/jwks", site.url)));
    site.put("/jwks", idp.jwks());
    let fetch = builder().bearer_file(&site.url, &path).build().unwrap();
    let issuer = Issuer::new(&site.url).dangerous_allow_http().fetch(fetch);
    let api = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).build().unwrap();
    assert!(api.verify(&idp.token(API).sign()).await.is_ok());
    let tokens = || site.seen().into_iter().map(|(_, token)| token.unwrap()).collect::<Vec<_>>();
    assert_eq!(tokens(), ["Bearer one", "Bearer one"]);
    folder.write("token", "two");
    idp.rotate();
    site.put("/jwks", idp.jwks());
    assert!(api.verify(&idp.token(API).sign()).await.is_ok());
    assert_eq!(tokens(), ["Bearer two"]);
}

#[tokio::test]
async fn without_its_bearer_file_an_issuer_is_unavailable_until_it_is_there() {
    let folder = Folder::new("bearer-absent");
    let site = Site::start().await;
    let clock = ManualClock::new();
    let idp = Idp::new(&*site.url).clock(clock.clone());
    site.put(DISCOVERY, discovery(&site.url, &format!("{}/jwks", site.url)));
    site.put("/jwks", idp.jwks());
    let fetch = builder().bearer_file(&site.url, folder.path("token")).build().unwrap();
    let issuer = Issuer::new(&site.url).dangerous_allow_http().fetch(fetch);
    let api = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).build().unwrap();
    let refused = api.verify(&idp.token(API).sign()).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Unavailable);
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(site.seen(), [], "asked without a token");
    folder.write("token", "here");
    clock.advance(BACKOFF_MIN);
    assert!(api.verify(&idp.token(API).sign()).await.is_ok());
    assert_eq!(site.seen().len(), 2);
}

#[tokio::test]
async fn a_bearer_file_holds_one_token_or_the_fetch_fails() {
    let folder = Folder::new("bearer-odd");
    let site = Site::start().await;
    let fetch = builder().bearer_file(&site.url, folder.path("token")).build().unwrap();
    let longest = "x".repeat(MAX_BEARER_FILE_LENGTH);
    for good in ["hunter2", "hunter2\n", "hunter2 \r\n\t\n", "a.b-c_d~e+f/0==", &longest] {
        folder.write("token", good);
        assert_eq!(get(&fetch, &site.url).await.unwrap().status(), StatusCode::NOT_FOUND, "{good:?}");
        assert_eq!(site.seen(), [("/".to_owned(), Some(format!("Bearer {}", good.trim_end())))]);
    }
    let failed = async |name: &str| {
        let error = get(&fetch, &site.url).await.expect_err(name);
        assert_eq!(error.kind(), FetchErrorKind::Credentials, "{name}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("token: "), "{source}");
        let shown = format!("{error} {error:?} {source} {fetch:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(site.seen(), [], "{name}");
    };
    for bad in [
        "",
        "\n",
        "=",
        "==",
        " hunter2",
        "hunter2 hunter2",
        "hunter2\nhunter2",
        "Bearer hunter2",
        "hunter2\0",
        "hunter2,",
        "hunter2=x",
        "hünter2",
        "\u{feff}hunter2",
        &format!("{longest}x"),
        &format!("{longest}\n"),
    ] {
        folder.write("token", bad);
        failed(bad).await;
    }
    std::fs::remove_file(folder.path("token")).unwrap();
    failed("absent").await;
    std::fs::create_dir(folder.path("token")).unwrap();
    failed("a folder").await;
    #[cfg(unix)]
    {
        std::fs::remove_dir(folder.path("token")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path("token")).unwrap();
        failed("no end").await;
        // Kubernetes: a link to a link.
        std::fs::remove_file(folder.path("token")).unwrap();
        folder.write("data", "linked");
        std::os::unix::fs::symlink("data", folder.path("token")).unwrap();
        assert!(get(&fetch, &site.url).await.is_ok());
        assert_eq!(site.seen()[0].1.as_deref(), Some("Bearer linked"));
    }
}

#[test]
fn no_bearer_file_reaches_a_log() {
    let folder = Folder::new("bearer-log");
    let path = folder.write("token", "hunter2hunter2");
    let log = captured(async || {
        let site = Site::start().await;
        let idp = Idp::new(&*site.url);
        site.put(DISCOVERY, discovery(&site.url, &format!("{}/jwks", site.url)));
        let fetch = builder().bearer_file(&site.url, &path).build().unwrap();
        tracing::info!(target: "shown", "{fetch:?} {:?}", builder().bearer_file(&site.url, &path));
        let api = |fetch| {
            let issuer = Issuer::new(&site.url).dangerous_allow_http().fetch(fetch);
            ResourceServer::builder(API).issuer(issuer).build().unwrap()
        };
        assert!(api(fetch.clone()).verify(&idp.token(API).sign()).await.is_err(), "there is no key set");
        site.put("/jwks", idp.jwks());
        assert!(api(fetch.clone()).verify(&idp.token(API).sign()).await.is_ok());
        assert!(site.seen().iter().all(|(_, token)| token.as_deref() == Some("Bearer hunter2hunter2")));
        folder.write("token", "hunter2 hunter2");
        assert!(api(fetch).verify(&idp.token(API).sign()).await.is_err());
    });
    assert!(log.contains("shown") && log.contains("could not fetch keys"), "{log}");
    assert!(log.contains("the credentials for the server could not be read"), "{log}");
    assert!(log.contains("hyper") || log.contains("reqwest"), "their events are captured too: {log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn fetch_token_file_is_for_the_configured_url() {
    let folder = Folder::new("bearer-settings");
    folder.write("token", "from-a-file\n");
    let site = Site::start().await;
    let (other, keys) = (Site::start().await, "/jwks");
    let idp = Idp::new(&*site.url);
    for place in [&site, &other] {
        place.put(keys, idp.jwks());
    }
    site.put(DISCOVERY, discovery(&site.url, &format!("{}{keys}", other.url)));
    let token = Some("Bearer from-a-file".to_owned());
    for (more, expected_here, expected_there) in [
        (String::new(), vec![(DISCOVERY.to_owned(), token.clone())], vec![(keys.to_owned(), None)]),
        (format!("jwks = \"{}{keys}\"", other.url), vec![], vec![(keys.to_owned(), token.clone())]),
        (format!("jwks = \"{}{keys}\"", site.url), vec![(keys.to_owned(), token.clone())], vec![]),
    ] {
        let text = format!(
            "resource = \"{API}\"\n{CA}\n[[issuer]]\niss = \"{}\"\ndangerous_allow_http = true\n\
             fetch_token_file = \"token\"\n{more}",
            site.url
        );
        folder.write("ca.pem", ca());
        let api = Settings::read(folder.write("settings.toml", text)).unwrap().resource_server().unwrap();
        assert!(api.verify(&idp.token(API).sign()).await.is_ok(), "{more}");
        assert_eq!((site.seen(), other.seen()), (expected_here, expected_there), "{more}");
    }
}

/// So that no certificates of the platform are needed.
const CA: &str = if cfg!(any(feature = "rustls", feature = "native-tls")) {
    "ca_file = \"ca.pem\"\nca_only = true"
} else {
    ""
};

fn ca() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
}

#[tokio::test]
async fn a_client_of_ones_own_has_the_same_limits() {
    use axum::response::Redirect;
    use axum::routing::get as route;
    use tower_bearer::Keys;

    let idp = Idp::new("https://id.example.com");
    let jwks = idp.jwks();
    let app = Router::new()
        .route("/jwks", route(move || async move { jwks }))
        .route("/moved", route(|| async { Redirect::temporary("/jwks") }))
        .route("/large", route(|| async { " ".repeat(MAX_RESPONSE_LENGTH + 1) }))
        .route("/largest", route(|| async { " ".repeat(MAX_RESPONSE_LENGTH) }));
    let url = serve(app).await;
    let follows = own_client().build().unwrap();
    let moved = follows.get(format!("{url}/moved")).send().await.unwrap();
    assert_eq!((moved.status(), moved.url().path()), (StatusCode::OK, "/jwks"), "this client follows");
    let fetch = ReqwestFetch::from(follows);
    for (path, expected) in [
        ("/jwks", Ok(StatusCode::OK)),
        ("/largest", Ok(StatusCode::OK)),
        ("/absent", Ok(StatusCode::NOT_FOUND)),
        ("/moved", Err(FetchErrorKind::Url)),
        ("/large", Err(FetchErrorKind::TooLarge)),
    ] {
        let found = get(&fetch, &format!("{url}{path}")).await;
        assert_eq!(found.map(|answer| answer.status()).map_err(|error| error.kind()), expected, "{path}");
    }
    for (path, is_accepted) in [("/jwks", true), ("/moved", false)] {
        let keys = Keys::jwks_url(format!("{url}{path}"));
        let issuer = Issuer::new("https://id.example.com").keys(keys).dangerous_allow_http();
        let api = ResourceServer::builder(API).issuer(issuer.fetch(fetch.clone())).build().unwrap();
        let verified = api.verify(&idp.token(API).sign()).await.map(drop);
        assert_eq!(verified.map_err(|refused| refused.kind()).is_ok(), is_accepted, "{path}");
    }
    let forged = ResourceServer::builder(API)
        .issuer(
            Issuer::new("https://id.example.com")
                .keys(Keys::jwks_url(format!("{url}/jwks")))
                .dangerous_allow_http()
                .fetch(fetch),
        )
        .build()
        .unwrap()
        .verify(&Idp::new("https://id.example.com").token(API).sign())
        .await;
    assert!(matches!(
        forged.unwrap_err().token_error(),
        Some(TokenError::UnknownKey | TokenError::Signature)
    ));
}

/// A client without a timeout of its own, and a server that never answers.
#[tokio::test(start_paused = true)]
async fn a_client_of_ones_own_has_our_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let fetch = ReqwestFetch::from(own_client().build().unwrap());
    let ended = tokio::time::timeout(2 * FETCH_TIMEOUT, get(&fetch, &url)).await;
    assert_eq!(ended.expect("it ends by itself").unwrap_err().kind(), FetchErrorKind::Timeout);
    drop(listener);
}
