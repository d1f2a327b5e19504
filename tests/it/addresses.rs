//! Where keys may be fetched from, and who may name the host.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tower_bearer::testing::Idp;
use tower_bearer::{
    ConfigErrorKind, Event, Fetch, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse, Issuer, Keys,
    RejectionKind, ReqwestFetch, ResourceServer,
};

use crate::leaks::captured;
use crate::loopback::serve;
use crate::network::{DISCOVERY, builder, discovery, own_client};
use crate::support::{API, ISSUER};

/// An issuer in memory whose discovery document names this JWKS URL, and which answers every other URL with its keys.
#[derive(Clone)]
struct Names {
    issuer: String,
    jwks_uri: String,
    idp: Idp,
    /// URLs, and whether a document has supplied their host.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    failed: Arc<Mutex<Vec<FetchErrorKind>>>,
}

impl Fetch for Names {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        self.asked.lock().unwrap().push((request.url().to_owned(), request.is_supplied()));
        let is_discovery = request.url().ends_with(DISCOVERY);
        let document = if is_discovery { discovery(&self.issuer, &self.jwks_uri) } else { self.idp.jwks() };
        let response = FetchResponse::new(StatusCode::OK, HeaderMap::new(), document);
        Box::pin(async move { Ok(response) })
    }
}

impl Names {
    fn new(issuer: &str, jwks_uri: &str) -> Self {
        let (issuer, jwks_uri) = (issuer.to_owned(), jwks_uri.to_owned());
        let idp = Idp::new(&*issuer);
        Self { issuer, jwks_uri, idp, asked: Arc::default(), failed: Arc::default() }
    }

    async fn verify(&self, configure: impl FnOnce(Issuer) -> Issuer) -> Result<(), RejectionKind> {
        let failed = self.failed.clone();
        let observer = move |event: &Event<'_>| {
            if let Event::FetchFailed { kind, .. } = event {
                failed.lock().unwrap().push(*kind);
            }
        };
        let issuer = configure(Issuer::new(&self.issuer).fetch(self.clone()));
        let api = ResourceServer::builder(API).issuer(issuer).observer(observer).build().unwrap();
        api.verify(&self.idp.token(API).sign()).await.map(drop).map_err(|refused| refused.kind())
    }

    fn asked(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn failed(&self) -> Vec<FetchErrorKind> {
        std::mem::take(&mut self.failed.lock().unwrap())
    }
}

#[tokio::test]
async fn a_jwks_uri_is_the_issuers_own_host_or_on_the_internet() {
    for (issuer, jwks_uri, is_another) in [
        (ISSUER, "https://id.example.com/jwks", false),
        (ISSUER, "https://id.example.com:8443/jwks", false),
        (ISSUER, "https://keys.example.net/jwks", true),
        (ISSUER, "https://8.8.8.8/jwks", true),
        (ISSUER, "https://[2606:4700::1]/jwks", true),
        (ISSUER, "https://[64:ff9b::808:808]/jwks", true),
        // The operator wrote the host.
        ("https://10.0.0.7", "https://10.0.0.7:6443/jwks", false),
        ("https://[fd12::7]", "https://[fd12::7]/jwks", false),
        ("https://127.0.0.1", "https://127.0.0.1/jwks", false),
        ("https://100.64.0.7/tenant", "https://100.64.0.7/jwks", false),
    ] {
        let names = Names::new(issuer, jwks_uri);
        assert_eq!(names.verify(|issuer| issuer).await, Ok(()), "{issuer} {jwks_uri}");
        assert_eq!(names.asked()[1], (jwks_uri.to_owned(), is_another), "{issuer} {jwks_uri}");
    }
}

#[tokio::test]
async fn a_jwks_uri_inside_is_for_the_operator_to_configure() {
    for jwks_uri in [
        "https://10.0.0.7/jwks",
        "https://172.16.0.7/jwks",
        "https://192.168.0.7/jwks",
        "https://100.64.0.7/jwks",
        "https://127.0.0.1/jwks",
        "https://2130706433/jwks",
        "https://127.1/jwks",
        "https://0x7f.1/jwks",
        "https://0177.0.0.1/jwks",
        "https://localhost/jwks",
        "https://192.0.2.7/jwks",
        "https://198.18.0.7/jwks",
        "https://240.0.0.7/jwks",
        "https://[::1]/jwks",
        "https://[::ffff:10.0.0.7]/jwks",
        "https://[::10.0.0.7]/jwks",
        "https://[64:ff9b::10.0.0.7]/jwks",
        "https://[2002:a00:7::]/jwks",
        "https://[fd12::7]/jwks",
        "https://[2001:db8::7]/jwks",
    ] {
        let names = Names::new(ISSUER, jwks_uri);
        assert_eq!(names.verify(|issuer| issuer).await, Err(RejectionKind::Unavailable), "{jwks_uri}");
        assert_eq!(names.asked().len(), 1, "{jwks_uri}: asked for");
        assert_eq!(names.failed(), [FetchErrorKind::Url], "{jwks_uri}");
        let configured = names.verify(|issuer| issuer.keys(Keys::jwks_url(jwks_uri))).await;
        assert_eq!(configured, Ok(()), "{jwks_uri}");
        assert!(names.asked().iter().all(|(_, is_supplied)| !is_supplied), "{jwks_uri}");
    }
}

#[tokio::test]
async fn nobody_names_a_place_where_machines_answer_with_credentials() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "169.254.1",
        "[::ffff:169.254.169.254]",
        "[::169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0",
        "[::]",
        "224.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
    ] {
        let url = format!("https://{host}/jwks");
        for allow_http in [false, true] {
            let names = Names::new(ISSUER, &url);
            let switch = |issuer: Issuer| if allow_http { issuer.dangerous_allow_http() } else { issuer };
            assert_eq!(names.verify(switch).await, Err(RejectionKind::Unavailable), "{url}");
            assert_eq!((names.asked().len(), names.failed()), (1, vec![FetchErrorKind::Url]), "{url}");
        }
        for (issuer, path) in [
            (Issuer::new(ISSUER).keys(Keys::jwks_url(&url)), "keys"),
            (Issuer::new(format!("https://{host}")), "keys"),
        ] {
            let build = |issuer| ResourceServer::builder(API).issuer(issuer).build();
            let error = build(issuer.fetch(Names::new(ISSUER, &url))).expect_err(&url);
            assert_eq!(error.kind(), ConfigErrorKind::Url, "{url}: {error}");
            assert!(error.path().ends_with(path), "{url}: {}", error.path());
        }
    }
    let fine = Issuer::new(ISSUER).keys(Keys::jwks_url("https://169.253.169.254/jwks"));
    let fine = fine.fetch(Names::new(ISSUER, ISSUER));
    assert!(ResourceServer::builder(API).issuer(fine).build().is_ok());
}

#[test]
fn the_log_says_which_host_was_refused_and_what_to_do() {
    let log = captured(async || {
        let names = Names::new(ISSUER, "https://0x0a.7/jwks?secret=hunter2");
        assert!(names.verify(|issuer| issuer).await.is_err());
    });
    assert!(log.contains("the jwks_uri (10.0.0.7) leads to a host"), "{log}");
    assert!(log.contains("Keys::jwks_url") && !log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn what_a_name_leads_to_decides() {
    let app = Router::new().fallback(|| async { "here" });
    let url = serve(app).await.replace("127.0.0.1", "localhost");
    let request = || FetchRequest::new(&*url, "*/*");
    for fetch in [builder().build().unwrap(), builder().proxy("http://127.0.0.1:9").build().unwrap()] {
        assert_eq!(fetch.fetch(request()).await.unwrap().body(), b"here");
        let error = fetch.fetch(request().supplied()).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::Url);
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.starts_with("localhost leads to no address"), "{why}");
        assert!(
            why.contains("Keys::jwks_url") && !why.contains("127.0.0.1") && !why.contains("::1"),
            "{why}"
        );
    }
    // The resolver of a client of one's own is one's own.
    let own = ReqwestFetch::from(own_client().build().unwrap());
    assert_eq!(own.fetch(request().supplied()).await.unwrap().body(), b"here");
}

#[tokio::test]
async fn with_http_allowed_a_document_names_this_machine_and_redirects_lead_nowhere() {
    let elsewhere = Idp::new("-");
    let jwks = elsewhere.jwks();
    let keys = serve(
        Router::new()
            .route("/jwks", get(move || async move { jwks }))
            .route("/moved", get(|| async { Redirect::temporary("/jwks") })),
    )
    .await;
    for (jwks_uri, is_accepted) in [
        (format!("{keys}/jwks"), true),
        (format!("{}/jwks", keys.replace("127.0.0.1", "localhost")), true),
        (format!("{}/jwks", keys.replace("127.0.0.1", "127.1")), true),
        (format!("{keys}/moved"), false),
        (format!("{}/jwks", keys.replace("127.0.0.1", "10.0.0.7")), false),
        (format!("{}/jwks", keys.replace("127.0.0.1", "[::ffff:127.0.0.1]")), false),
    ] {
        let document = Arc::new(Mutex::new(String::new()));
        let served = document.clone();
        let app = Router::new().route(DISCOVERY, get(move || async move { served.lock().unwrap().clone() }));
        let issuer = serve(app).await;
        *document.lock().unwrap() = discovery(&issuer, &jwks_uri);
        let token = elsewhere.token(API).claim("iss", &*issuer).sign();
        let issuer = Issuer::new(issuer).dangerous_allow_http().fetch(builder().build().unwrap());
        let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
        let verified = api.verify(&token).await.map(drop).map_err(|refused| refused.kind());
        let expected = if is_accepted { Ok(()) } else { Err(RejectionKind::Unavailable) };
        assert_eq!(verified, expected, "{jwks_uri}");
    }
}
