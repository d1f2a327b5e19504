//! The order of layers: what goes outside of `BearerAuthLayer`, what goes inside, and what that means for 404, 405 and
//! OPTIONS.
//!
//! ```text
//! request
//!    │
//! ┌──▼─────────────────────────────────────────────────────────────┐
//! │ trace: sees every request, and the Rejection in each refusal   │
//! │ ┌────────────────────────────────────────────────────────────┐ │
//! │ │ CORS: answers preflights, adds its headers to refusals     │ │
//! │ │ ┌────────────────────────────────────────────────────────┐ │ │
//! │ │ │ auth: 400, 401, 503; puts the Token into the request   │ │ │
//! │ │ │ ┌────────────────────────────────────────────────────┐ │ │ │
//! │ │ │ │ router: 404                                        │ │ │ │
//! │ │ │ │ ┌────────────────────────────────────────────────┐ │ │ │ │
//! │ │ │ │ │ rule of the route, auth.scopes([…]): 403       │ │ │ │ │
//! │ │ │ │ │ ┌────────────────────────────────────────────┐ │ │ │ │ │
//! │ │ │ │ │ │ body limit, handler(token: Token)          │ │ │ │ │ │
//! │ │ │ │ │ └────────────────────────────────────────────┘ │ │ │ │ │
//! │ │ │ │ └────────────────────────────────────────────────┘ │ │ │ │
//! │ │ │ └────────────────────────────────────────────────────┘ │ │ │
//! │ │ └────────────────────────────────────────────────────────┘ │ │
//! │ └────────────────────────────────────────────────────────────┘ │
//! └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! - **axum**: the last `.layer(…)` is the outermost. **`ServiceBuilder`**: the first is.
//! - **Trace outside**: refusals are seen, and the [`Rejection`] is in the response's extensions. If the span declares the
//!   fields `issuer`, `client_id` and `sub`, the layer fills them in.
//! - **CORS outside**: a preflight comes without a token. A script reads a 401 only if it has CORS headers.
//! - **Body limit inside or outside**: the layer never reads a body. Inside, only who has a token is told 413.
//! - **Rate limit by client inside**, because only there is the client known; **by address outside**, because an invalid
//!   signature costs as much as a valid one.
//!
//! # One router, with all of it
//!
//! ```
//! use axum::Router;
//! use axum::routing::{get, post};
//! use tower_bearer::{BearerAuthLayer, Token};
//! # use axum::body::Body;
//! # use http::{Method, Request};
//! # use tower::ServiceExt;
//! # use tower_bearer::testing::Idp;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let idp = Idp::new("https://id.example.com");
//! # let api = idp.resource_server("https://api.example.com");
//!
//! let auth = BearerAuthLayer::new(api);
//! let stock = Router::new()
//!     .route("/{id}", get(|| async { "one" }))
//!     .layer(auth.scopes(["stock:read"])); // this nested router
//! let app = Router::new()
//!     .nest("/stock", stock)
//!     .route("/orders", get(|| async { "orders" }).layer(auth.scopes(["orders:read"])))
//!     .route("/orders", post(|| async { "made" }).layer(auth.scopes(["orders:write"])))
//!     .route("/report", get(|| async { "report" }).route_layer(auth.scopes(["reports"])))
//!     .layer(auth.clone()) // all of the above, the nested router and the fallback
//!     .route("/feed", get(|_: Option<Token>| async { "feed" }).layer(auth.optional()))
//!     .route("/healthz", get(|| async { "ok" })); // public
//! # let call = async |method: &str, path: &str, token: Option<&str>| {
//! #     let mut request = Request::builder().method(method).uri(path);
//! #     if let Some(token) = token { request = request.header("authorization", format!("Bearer {token}")); }
//! #     app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
//! # };
//! # let reader = idp.token("https://api.example.com").scopes(["orders:read"]).sign();
//! # let reader = Some(reader.as_str());
//!
//! // What a request is answered without a token, and with one that has `orders:read`:
//! for (method, path, without, with) in [
//!     ("GET", "/orders", 401, 200),
//!     ("POST", "/orders", 401, 403),
//!     ("DELETE", "/orders", 401, 403), // no such method: `get(…).layer(…)` covers its own 405
//!     ("DELETE", "/report", 401, 405), // `get(…).route_layer(…)` does not
//!     ("OPTIONS", "/report", 401, 405), // a CORS layer outside answers preflights before
//!     ("GET", "/stock/7", 401, 403),
//!     ("GET", "/unknown", 401, 404), // an unknown path tells nothing to who has no token
//!     ("GET", "/feed", 200, 200),
//!     ("GET", "/healthz", 200, 200), // no token is looked at: a stale one does no harm
//! ] {
//!     assert_eq!(call(method, path, None).await, without, "{method} {path}");
//!     assert_eq!(call(method, path, reader).await, with, "{method} {path}");
//! }
//! assert_eq!(call("GET", "/feed", Some("bad")).await, 401); // optional: a bad token is refused all the same
//! assert_eq!(call("GET", "/healthz", Some("bad")).await, 200);
//! # }
//! ```
//!
//! # Inner layers
//!
//! An inner layer that finds a [`Token`] takes over the verdict, and evaluates only its own rule, if all of this holds: the
//! token was verified by the same [`ResourceServer`] (a clone is the same one), the `Authorization` header still holds that
//! very token, and its issuer is one that the inner layer accepts. Otherwise it verifies the token itself. So a rule on a
//! route costs no second signature, and works without an outer layer too: it asks for the token itself then.
//!
//! Rules add up from outside to inside. An inner layer cannot loosen an outer one: an [`optional`] layer inside one that
//! asks for a token is met only by requests that have one. Put optional and public routes after the outer `.layer(auth)`,
//! as above.
//!
//! # `layer` and `route_layer`
//!
//! axum's `route_layer` wraps the routes that are there, and nothing else: a path that no route has is answered 404 without a
//! token. What is more, a fallback that serves something (files, a proxy, a single-page application) stays **open**. Use
//! `layer` unless that is what you want. A route that is added after either of them is open.
//!
//! ```
//! # use axum::{Router, body::Body, routing::get};
//! # use http::Request;
//! # use tower::ServiceExt;
//! # use tower_bearer::{BearerAuthLayer, testing::Idp};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let auth = BearerAuthLayer::new(Idp::new("https://id.example.com").resource_server("https://api.example.com"));
//! # let files = || async { "a file" };
//! # let get_status = async |app: Router, path: &str| {
//! #     app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
//! # };
//! let routes = || Router::new().route("/orders", get(|| async { "orders" })).fallback(files);
//!
//! let app = routes().layer(auth.clone());
//! assert_eq!(get_status(app.clone(), "/orders").await, 401);
//! assert_eq!(get_status(app, "/secret.txt").await, 401);
//!
//! let app = routes().route_layer(auth);
//! assert_eq!(get_status(app.clone(), "/orders").await, 401);
//! assert_eq!(get_status(app, "/secret.txt").await, 200); // open
//! # }
//! ```
//!
//! So it is with the methods of one route: `get(a).layer(auth).post(b)` leaves the POST open, because a layer on a method router
//! covers the methods before it. Put it behind the last one, or write `.route` once for each method.
//!
//! A handler that takes a [`Token`] is safe from such a slip: without a layer it answers 500, never lets anybody in.
//!
//! # gRPC
//!
//! [`MethodAccess`] reads the path of the call, which is `/package.Service/Method` and nothing else. On tonic's
//! `Server::builder().layer(…)` that is so. Inside an axum router with a prefix, `nest` cuts the prefix off for what is
//! inside: put the layer on the nested router, not around it. Around it, every path has the prefix, is no method's, and is
//! refused.
//!
//! ```
//! # use axum::{Router, body::Body, routing::post};
//! # use http::Request;
//! # use tower::ServiceExt;
//! # use tower_bearer::{BearerAuthLayer, MethodAccess, testing::Idp};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let idp = Idp::new("https://id.example.com");
//! # let api = idp.resource_server("https://api.example.com");
//! # let token = idp.token("https://api.example.com").scopes(["orders:read"]).sign();
//! # let list = async |app: Router| {
//! #     let request = Request::post("/grpc/orders.v1.Orders/List").header("authorization", format!("Bearer {token}"));
//! #     app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
//! # };
//! # let grpc = || Router::new().route("/orders.v1.Orders/List", post(|| async { "stands for tonic's `Routes`" }));
//! let rules = MethodAccess::deny().method("/orders.v1.Orders/List", ["orders:read"]);
//! let auth = BearerAuthLayer::new(api).methods(rules);
//!
//! let right = Router::new().nest("/grpc", grpc().layer(auth.clone()));
//! assert_eq!(list(right).await, 200);
//! let wrong = Router::new().nest("/grpc", grpc()).layer(auth);
//! assert_eq!(list(wrong).await, 403);
//! # }
//! ```
//!
//! [`Rejection`]: crate::Rejection
//! [`Token`]: crate::Token
//! [`ResourceServer`]: crate::ResourceServer
//! [`optional`]: crate::BearerAuthLayer::optional
//! [`MethodAccess`]: crate::MethodAccess
