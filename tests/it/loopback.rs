//! Over real sockets: a server by axum and hyper, an authorization server, a JWKS endpoint, and clients.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_bearer::testing::{AuthorizationServer, Idp};
use tower_bearer::{Algorithm, BearerAuthLayer, ResourceServer};

use crate::support::{API, who};

/// A served app; it ends with the test's runtime.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// An authorization server on loopback, with one client: `robot` / `pass&word=%`.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) idp: Idp,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let idp = Idp::with_algorithms(&*url, [Algorithm::ES256, Algorithm::RS256]);
        let server =
            AuthorizationServer::new(idp.clone(), API).client("robot", "pass&word=%", ["read", "write"]);
        let app: Router = Router::new().fallback_service(server);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, idp }
    }

    #[cfg(feature = "reqwest")]
    fn trusted(&self) -> ResourceServer {
        let issuer = tower_bearer::Issuer::new(&self.url).dangerous_allow_http();
        ResourceServer::builder(API).issuer(issuer).build().unwrap()
    }

    async fn token_request(
        &self,
        content_type: &str,
        basic: Option<&str>,
        body: &str,
    ) -> (StatusCode, Value) {
        let mut request = Request::post(format!("{}/token", self.url)).header(CONTENT_TYPE, content_type);
        if let Some(basic) = basic {
            use base64::Engine;
            let basic = base64::engine::general_purpose::STANDARD.encode(basic);
            request = request.header(AUTHORIZATION, format!("Basic {basic}"));
        }
        let response = send(request.body(Full::from(body.to_owned())).unwrap()).await;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED && basic.is_some() {
            assert!(response.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic"));
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

async fn send(request: Request<Full<Bytes>>) -> Response<Incoming> {
    Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
}

pub(crate) async fn get(url: &str, path: &str, authorization: &[String]) -> Response<Incoming> {
    let request = Request::get(format!("{url}{path}"));
    let request = authorization.iter().fold(request, |request, line| request.header(AUTHORIZATION, line));
    send(request.body(Full::default()).unwrap()).await
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
#[cfg(feature = "reqwest")]
async fn a_client_gets_a_token_once_and_calls_many_times() {
    use axum::routing::get as route;
    let issuer = Issuer::start().await;
    let auth = BearerAuthLayer::new(issuer.trusted());
    let app = Router::new()
        .route("/read", route(who).layer(auth.scopes(["read"])))
        .route("/write", route(who).layer(auth.scopes(["write"])))
        .layer(auth);
    let api = serve(app).await;
    let form = "grant_type=client_credentials&client_id=robot&client_secret=pass%26word%3D%25&scope=read";
    let (status, answer) = issuer.token_request(FORM, None, form).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
    let bearer = [format!("Bearer {}", answer["access_token"].as_str().unwrap())];
    for _ in 0..20 {
        let response = get(&api, "/read", &bearer).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "robot");
    }
    let response = get(&api, "/write", &bearer).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("scope=\"write\""));
    assert_eq!(get(&api, "/read", &[]).await.status(), StatusCode::UNAUTHORIZED);
    let twice = [bearer[0].clone(), bearer[0].clone()];
    assert_eq!(get(&api, "/read", &twice).await.status(), StatusCode::BAD_REQUEST);

    // The same request survives a rotation, over HTTP too.
    issuer.idp.rotate();
    let (_, answer) = issuer.token_request(FORM, None, form).await;
    let bearer = [format!("Bearer {}", answer["access_token"].as_str().unwrap())];
    assert_eq!(get(&api, "/read", &bearer).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_authorization_server_takes_what_rfc6749_allows() {
    let issuer = Issuer::start().await;
    let trusted = issuer.idp.issuer().dangerous_allow_http();
    let api = ResourceServer::builder(API).issuer(trusted).build().unwrap();
    let json = |body: Value| body.to_string();
    let body = serde_json::json!({
        "grant_type": "client_credentials", "client_id": "robot", "client_secret": "pass&word=%"
    });
    for (name, content_type, basic, body) in [
        ("Basic", FORM, Some("robot:pass%26word%3D%25"), "grant_type=client_credentials".to_owned()),
        ("JSON", "application/json", None, json(body.clone())),
        (
            "form",
            "application/x-www-form-urlencoded; charset=utf-8",
            None,
            "grant_type=client_credentials&client_id=robot&client_secret=pass%26word%3D%25".to_owned(),
        ),
    ] {
        let (status, answer) = issuer.token_request(content_type, basic, &body).await;
        assert_eq!(status, StatusCode::OK, "{name}: {answer}");
        assert_eq!(answer["scope"], "read write");
        assert_eq!(answer["expires_in"], 600);
        let token = api.verify(answer["access_token"].as_str().unwrap()).await;
        assert_eq!(
            token.map(|token| token.client_id().map(str::to_owned)).ok(),
            Some(Some("robot".into())),
            "{name}"
        );
    }
    let good = "grant_type=client_credentials&client_id=robot&client_secret=pass%26word%3D%25";
    for (name, basic, body, status, error) in [
        ("secret", None, good.replace("pass", "x"), StatusCode::UNAUTHORIZED, "invalid_client"),
        ("client", None, good.replace("robot", "x"), StatusCode::UNAUTHORIZED, "invalid_client"),
        (
            "no client",
            None,
            "grant_type=client_credentials".into(),
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        (
            "Basic",
            Some("robot:x"),
            "grant_type=client_credentials".into(),
            StatusCode::UNAUTHORIZED,
            "invalid_client",
        ),
        ("both", Some("robot:pass%26word%3D%25"), good.into(), StatusCode::BAD_REQUEST, "invalid_request"),
        (
            "grant",
            None,
            good.replace("client_credentials", "password"),
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
        ),
        ("no grant", None, good.replace("grant_type=", "x="), StatusCode::BAD_REQUEST, "invalid_request"),
        ("scope", None, format!("{good}&scope=admin"), StatusCode::BAD_REQUEST, "invalid_scope"),
        ("twice", None, format!("{good}&client_id=robot"), StatusCode::BAD_REQUEST, "invalid_request"),
        (
            "long",
            None,
            format!("{good}&x={}", "x".repeat(20_000)),
            StatusCode::BAD_REQUEST,
            "invalid_request",
        ),
    ] {
        let (found, answer) = issuer.token_request(FORM, basic, &body).await;
        assert_eq!((found, answer["error"].as_str().unwrap()), (status, error), "{name}");
    }
    // RFC 8707 §2: tokens are for one audience, and whoever wants them for another is told.
    let target = |resource: &str| format!("{good}&resource=https%3A%2F%2F{resource}");
    for (body, found) in [
        (target("api.example.com"), None),
        (target("api.example.com") + "&resource=https%3A%2F%2Fapi.example.com", None),
        (target("other.example.com"), Some("invalid_target")),
        (target("api.example.com") + "&resource=https%3A%2F%2Fother.example.com", Some("invalid_target")),
    ] {
        assert_eq!(issuer.token_request(FORM, None, &body).await.1["error"].as_str(), found, "{body}");
    }
    let (status, answer) = issuer.token_request("application/json", None, "{\"grant_type\": 1,}").await;
    assert_eq!((status, answer["error"].as_str().unwrap()), (StatusCode::BAD_REQUEST, "invalid_request"));
}

#[tokio::test]
async fn rfc8414_3_1_an_issuer_with_a_path_is_found_in_every_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = |issuer: &str| AuthorizationServer::new(Idp::new(issuer), API);
    let app: Router = Router::new().fallback_service(server(&format!("{url}/tenant")));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let body = async |url: &str, path: &str| {
        let response = get(url, path, &[]).await;
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };
    for path in [
        "/tenant/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant",
        "/.well-known/oauth-authorization-server/tenant",
    ] {
        let (status, document) = body(&url, path).await;
        assert_eq!(status, 200, "{path}");
        let document: Value = serde_json::from_slice(&document).unwrap();
        for (member, path) in [
            ("issuer", ""),
            ("jwks_uri", "/jwks"),
            ("token_endpoint", "/token"),
            ("authorization_endpoint", "/authorize"),
        ] {
            assert_eq!(document[member], format!("{url}/tenant{path}"));
        }
    }
    assert_eq!(body(&url, "/tenant/jwks").await.0, 200);
    assert_eq!(body(&url, "/tenant/authorize").await.0, 400, "there is no such grant");
    for elsewhere in ["/jwks", "/jwks/tenant", "/.well-known/openid-configuration", "/tenant", "/"] {
        assert_eq!(body(&url, elsewhere).await.0, 404, "{elsewhere}");
    }
    let at_the_root = serve(Router::new().fallback_service(server("https://id.example.com"))).await;
    assert_eq!(body(&at_the_root, "/.well-known/oauth-authorization-server").await.0, 200);
    assert_eq!(body(&at_the_root, "/.well-known/oauth-authorization-server/tenant").await.0, 404);
}

/// Plain hyper, HTTP/1.1 and HTTP/2, without axum.
#[tokio::test]
async fn plain_hyper_over_http1_and_http2() {
    use std::convert::Infallible;
    use tower::Layer;
    let world = crate::support::World::new();
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        let token = request.extensions().get::<tower_bearer::Token>().unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(token.client_id().unwrap().to_owned())))
    });
    let service = world.auth().layer(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<Bytes>>();
        let request = |lines: &[String]| {
            let request = Request::get(&url);
            let request = lines.iter().fold(request, |request, line| request.header(AUTHORIZATION, line));
            request.body(Full::default()).unwrap()
        };
        let good = format!("Bearer {}", world.token().sign());
        let response = client.request(request(std::slice::from_ref(&good))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "http2 {http2}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "client");
        let response = client.request(request(&[])).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(crate::support::challenge(&response).as_deref(), Some("Bearer"));
        let response = client.request(request(&[good.clone(), good])).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}

/// What the client that fetches keys does with endpoints that misbehave.
#[tokio::test]
#[cfg(feature = "reqwest")]
async fn the_fetch_has_its_limits() {
    use axum::response::Redirect;
    use axum::routing::get as route;
    use tower_bearer::manual::defaults::MAX_RESPONSE_LENGTH;
    use tower_bearer::{Keys, RejectionKind};

    let idp = Idp::new("https://id.example.com");
    let (jwks, compressed) = (idp.jwks(), idp.jwks());
    let endless = || async { Body::new(http_body_util::StreamBody::new(endless_spaces())) };
    let app = Router::new()
        .route("/jwks", route(move || async move { jwks }))
        .route("/redirect", route(|| async { Redirect::temporary("/jwks") }))
        .route("/compressed", route(move || async move { ([("content-encoding", "gzip")], compressed) }))
        .route("/large", route(|| async { " ".repeat(MAX_RESPONSE_LENGTH + 1) }))
        .route("/endless", route(endless));
    let url = serve(app).await;
    let verify = async |path: &str| {
        let keys = Keys::jwks_url(format!("{url}{path}"));
        let issuer = tower_bearer::Issuer::new("https://id.example.com").keys(keys).dangerous_allow_http();
        let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
        api.verify(&idp.token(API).sign()).await.map_err(|rejection| rejection.kind())
    };
    assert!(verify("/jwks").await.is_ok());
    for path in ["/redirect", "/large", "/endless", "/absent"] {
        assert_eq!(verify(path).await.unwrap_err(), RejectionKind::Unavailable, "{path}");
    }
    // Nothing is decoded: the bytes are what they are.
    assert!(verify("/compressed").await.is_ok());
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let keys = Keys::jwks_url(format!("http://{closed}/jwks"));
    let issuer = tower_bearer::Issuer::new("https://id.example.com").keys(keys).dangerous_allow_http();
    let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
    assert_eq!(api.verify(&idp.token(API).sign()).await.unwrap_err().kind(), RejectionKind::Unavailable);
}

#[cfg(feature = "reqwest")]
fn endless_spaces()
-> impl futures_core::Stream<Item = Result<hyper::body::Frame<Bytes>, std::io::Error>> + Send {
    tokio_stream::iter(std::iter::repeat_with(|| {
        Ok(hyper::body::Frame::data(Bytes::from_static(&[b' '; 4096])))
    }))
}
