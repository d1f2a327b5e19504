//! What several tests need: one issuer, one protected service, and requests to it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tower::ServiceExt;
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{
    Algorithm, BearerAuthLayer, Fetch, FetchFuture, FetchRequest, FetchResponse, Issuer, Rejection,
    ResourceServer, Token, TokenError,
};

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const API: &str = "https://api.example.com";

/// An issuer, a clock that only tests move, and an API that trusts the issuer.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) idp: Idp,
    pub(crate) api: ResourceServer,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|issuer| issuer)
    }

    /// With the issuer configured in another way.
    pub(crate) fn with(configure: impl FnOnce(Issuer) -> Issuer) -> Self {
        Self::of([Algorithm::ES256], configure)
    }

    pub(crate) fn of(
        algorithms: impl IntoIterator<Item = Algorithm>,
        configure: impl FnOnce(Issuer) -> Issuer,
    ) -> Self {
        let clock = ManualClock::new();
        let idp = Idp::with_algorithms(ISSUER, algorithms).clock(clock.clone());
        let api = server(&clock, [configure(idp.issuer())]);
        Self { clock, idp, api }
    }

    /// A good token.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.idp.token(API)
    }

    pub(crate) fn auth(&self) -> BearerAuthLayer {
        BearerAuthLayer::new(self.api.clone())
    }

    /// Says what is wrong with a token, and panics if nothing is.
    #[track_caller]
    pub(crate) fn refuses(&self, name: &str, token: &str) -> TokenError {
        match block_on(self.api.verify(token)) {
            Ok(_) => panic!("{name}: accepted"),
            Err(why) => why.token_error().unwrap_or_else(|| panic!("{name}: {why:?}")),
        }
    }

    #[track_caller]
    pub(crate) fn accepts(&self, name: &str, token: &str) -> Token {
        block_on(self.api.verify(token)).unwrap_or_else(|why| panic!("{name}: refused: {why:?}"))
    }
}

pub(crate) fn server(clock: &ManualClock, issuers: impl IntoIterator<Item = Issuer>) -> ResourceServer {
    let builder = ResourceServer::builder(API).clock(clock.clone());
    issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build().unwrap()
}

/// An app with one route, `/`, that says who calls.
pub(crate) fn app(auth: &BearerAuthLayer) -> Router {
    Router::new().route("/", get(who)).layer(auth.clone())
}

pub(crate) async fn who(token: Token) -> String {
    token.client_id().unwrap_or("-").to_owned()
}

pub(crate) fn bearer(token: &str) -> Request<Body> {
    request(&[&format!("Bearer {token}")])
}

/// A request with these `Authorization` lines.
pub(crate) fn request(lines: &[&str]) -> Request<Body> {
    let request = lines.iter().fold(Request::get("/"), |request, line| request.header(AUTHORIZATION, *line));
    request.body(Body::empty()).unwrap()
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

pub(crate) async fn status(app: &Router, request: Request<Body>) -> StatusCode {
    send(app, request).await.status()
}

/// The one challenge, without the place of the metadata, which every one of them must name.
pub(crate) fn challenge<B>(response: &Response<B>) -> Option<String> {
    let mut challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenge = challenges.next().map(|value| value.to_str().unwrap());
    assert!(challenges.next().is_none(), "more than one challenge");
    let whole = challenge?;
    let rest = whole.strip_suffix(METADATA).unwrap_or_else(|| panic!("no metadata in {whole:?}"));
    // A space behind the scheme, a comma behind another parameter.
    let joined = match rest.strip_suffix(", ") {
        Some(parameters) if parameters.ends_with('"') => Some(parameters),
        _ => rest.strip_suffix(' ').filter(|scheme| *scheme == "Bearer"),
    };
    Some(joined.unwrap_or_else(|| panic!("badly joined: {whole:?}")).to_owned())
}

const METADATA: &str = "resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\"";

pub(crate) fn rejection<B>(response: &Response<B>) -> &Rejection {
    response.extensions().get().expect("the rejection is in the extensions")
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A gzip file (RFC 1952) whose one block is stored as it is.
#[cfg(feature = "reqwest")]
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("one block");
    let mut crc = u32::MAX;
    for byte in content {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let tail = [(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&head[..], &lengths, content, &tail].concat()
}

/// An endpoint that answers every question with what this signs (RFC 9701).
pub(crate) struct SignedAnswers<F>(pub(crate) F);

impl<F: Fn() -> String + Send + Sync + 'static> Fetch for SignedAnswers<F> {
    fn fetch(&self, _: FetchRequest) -> FetchFuture {
        let signed = HeaderValue::from_static("application/token-introspection+jwt");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, signed)]);
        let response = FetchResponse::new(StatusCode::OK, headers, (self.0)());
        Box::pin(async move { Ok(response) })
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An example's program. `cargo test` builds the examples before it runs the tests; a filtered run may not have.
pub(crate) fn example(name: &str) -> Option<Command> {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    if !program.exists() {
        skip("examples", "they are not built; run `cargo build --examples`");
        return None;
    }
    Some(Command::new(program))
}

/// Says on standard error, past the test runner's capture, that something was skipped; a failure where
/// `TOWER_BEARER_REQUIRE` asks for it.
pub(crate) fn skip(what: &str, why: &str) {
    use std::io::Write;
    let required = std::env::var("TOWER_BEARER_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == what), "{what} is required, and {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {what} ({why})");
}
