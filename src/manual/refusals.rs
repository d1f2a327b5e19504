//! What a refused request is told, in which order faults count, and what a client should do about it.
//!
//! # The table
//!
//! | HTTP | RFC 6750 error | gRPC | [`RejectionKind`] | when | what the client should do |
//! |---|---|---|---|---|---|
//! | 401 | none | 16 UNAUTHENTICATED | `NoCredentials` | no `Authorization`, or another scheme | get a token; `resource_metadata` says from whom |
//! | 400 | `invalid_request` | 16 UNAUTHENTICATED | `MalformedRequest` | two `Authorization` headers, `Bearer` without a token or with two, a byte that no token has | mend the request; the same one will never pass |
//! | 401 | `invalid_token` | 16 UNAUTHENTICATED | `InvalidToken` | a token that is not acceptable | get a new token and try once more; if that is refused too, tell somebody |
//! | 403 | `insufficient_scope` | 7 PERMISSION_DENIED | `InsufficientScope` | a good token that does not meet the rule | ask for a token with the scopes in `scope` (step up), once |
//! | 503 | none | 14 UNAVAILABLE | `Unavailable` | keys cannot be had, or a shared denylist was not read for too long | keep the token, wait for `Retry-After`, try again |
//! | 503 | none | 14 UNAVAILABLE | `Busy` | as many signatures are being checked as the server's [limit](crate::ResourceServerBuilder::max_concurrent_verifications) lets, if it has one | the same |
//! | 500 | none | 13 INTERNAL | `Wiring` | an extractor where no layer ran | nothing; it is a fault of the service |
//!
//! # Order of faults
//!
//! A request with several faults is answered for the first: the credentials (400, 401), what of the token needs no key (401),
//! the keys (503), too many signatures at the same time (503), the signature and the claims (401), whether it was revoked (401) or may have been (503), the rule (403). Faults of a token count in the order of the variants
//! of [`TokenError`]: length, structure,
//! algorithm, issuer, type, `crit`, audience, times, certificates, key, signature, claims, binding, client, revoked. So an expired token with a
//! wrong signature is "expired": what needs no key is checked first.
//!
//! # Headers
//!
//! | header | HTTP | gRPC |
//! |---|---|---|
//! | status | the status | always 200; `grpc-status`, `grpc-message` |
//! | challenge, with 400, 401, 403 | `www-authenticate` | the same, as metadata |
//! | pause, with 503 | `retry-after`, in seconds | `grpc-retry-pushback-ms` |
//!
//! Members of the challenge: `error` and `error_description` (absent if no credentials came), `scope` (if the layer asks for
//! scopes: all of an all-of, the first of an any-of), `resource_metadata` (RFC 9728; if our identifier is an https URL). There
//! is no realm.
//!
//! A request is a gRPC call if it is a POST with a content type of gRPC or gRPC-Web, whatever the version of HTTP.
//!
//! ```
//! # use axum::{Router, body::Body, routing::get};
//! # use http::Request;
//! # use tower::ServiceExt;
//! # use tower_bearer::{BearerAuthLayer, testing::Idp};
//! # const API: &str = "https://api.example.com";
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let idp = Idp::new("https://id.example.com");
//! # let auth = BearerAuthLayer::new(idp.resource_server(API));
//! # let app: Router = Router::new().route("/", get(|| async {}).layer(auth.scopes(["orders:read"])));
//! # let answer = async |authorization: &[&str]| {
//! #     let mut request = Request::get("/");
//! #     for value in authorization { request = request.header("authorization", *value); }
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
//! #     let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
//! #     (response.status().as_u16(), challenge.unwrap_or_default())
//! # };
//! # let (poor, other) = (idp.token(API).sign(), idp.token("https://other.example.com").sign());
//! # let metadata = "resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\"";
//! for (authorization, status, challenge) in [
//!     (&[][..], 401, "Bearer scope=\"orders:read\", "),
//!     (&["Basic cm9ib3Q6"], 401, "Bearer scope=\"orders:read\", "),
//!     (&["Bearer a b"], 400, "Bearer error=\"invalid_request\", \
//!         error_description=\"the request must carry exactly one bearer token\", scope=\"orders:read\", "),
//!     (&[&format!("Bearer {other}")], 401, "Bearer error=\"invalid_token\", \
//!         error_description=\"the access token is for another audience\", scope=\"orders:read\", "),
//!     (&[&format!("Bearer {poor}")], 403, "Bearer error=\"insufficient_scope\", \
//!         error_description=\"the access token lacks a required scope\", scope=\"orders:read\", "),
//! ] {
//!     assert_eq!(answer(authorization).await, (status, format!("{challenge}{metadata}")));
//! }
//! # }
//! ```
//!
//! # Bodies
//!
//! [`EmptyBody`] is the default: it works with every body type that has a `Default`. [`ProblemJson`] writes a problem document
//! (RFC 9457) with the status and the phrase of `error_description`. A closure writes what you like; it starts from
//! [`Rejection::answer`], which also speaks gRPC, or from [`Rejection::response`], and so keeps status and headers:
//!
//! ```
//! use axum::body::Body;
//! use http::Response;
//! use tower_bearer::{BearerAuthLayer, Rejection, RequestHead};
//!
//! fn own(why: &Rejection, request: &RequestHead<'_>) -> Response<Body> {
//!     if request.grpc().is_some() {
//!         return why.answer(request, Body::empty());
//!     }
//!     let body = serde_json::json!({ "code": why.kind().name(), "message": why.description() });
//!     why.response(Body::from(body.to_string()))
//! }
//!
//! # fn with(auth: &BearerAuthLayer) -> impl Sized {
//! auth.respond_with(own)
//! # }
//! # let _ = with;
//! ```
//!
//! A [`Rejection`] that an axum handler or extractor returns is a problem document, whatever the layer writes. For one body
//! everywhere, put a `map_response` outside that finds the [`Rejection`] in the response's extensions and replaces the body and
//! its `Content-Type`, but for gRPC calls, which are refused with 200, headers of their own and no body. (Not the whole
//! response: layers further out look for the [`Rejection`], too.)
//!
//! # For logs and metrics
//!
//! The [`Rejection`] is in the extensions of every response with which a layer or an extractor refuses: a layer outside can read its
//! [`kind`](crate::Rejection::kind), [`token_error`](crate::Rejection::token_error) and
//! [`issuer_name`](crate::Rejection::issuer_name). It holds nothing from the token. Each refusal is also an
//! [`Event`](crate::Event) and a log line of the target `tower_bearer::rejection`: at debug level for a fault of the client's, a
//! warning for one of ours.
//!
//! [`RejectionKind`]: crate::RejectionKind
//! [`TokenError`]: crate::TokenError
//! [`EmptyBody`]: crate::EmptyBody
//! [`ProblemJson`]: crate::ProblemJson
//! [`Rejection`]: crate::Rejection
//! [`Rejection::answer`]: crate::Rejection::answer
//! [`Rejection::response`]: crate::Rejection::response
