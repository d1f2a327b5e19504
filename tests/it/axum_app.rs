//! With axum: layers within layers, extractors, optional routes, browsers.

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get, post};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderValue, Method, Request, StatusCode};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{BearerAuthLayer, Claims, MethodAccess, Rejection, RejectionKind, Token, all_of, any_of};
use tower_http::cors::CorsLayer;

use crate::support::{API, World, app, bearer, challenge, rejection, request, send, server, status, who};

fn at(path: &str, method: Method, request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.uri = path.parse().unwrap();
    parts.method = method;
    Request::from_parts(parts, body)
}

/// What the pages say of it.
#[tokio::test]
async fn a_layer_on_a_method_router_covers_the_methods_before_it() {
    let world = World::new();
    let open = async || "anybody";
    let routes = Router::new()
        .route("/first", get(who).layer(world.auth()).post(open))
        .route("/last", get(who).post(open).layer(world.auth()));
    for (path, method, expected) in [
        ("/first", Method::GET, StatusCode::UNAUTHORIZED),
        ("/first", Method::POST, StatusCode::OK),
        ("/last", Method::GET, StatusCode::UNAUTHORIZED),
        ("/last", Method::POST, StatusCode::UNAUTHORIZED),
    ] {
        let got = status(&routes, at(path, method.clone(), request(&[]))).await;
        assert_eq!(got, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn rules_per_route_by_every_kind_of_layer() {
    let world = World::new();
    let auth = world.auth();
    let admin = Router::new().route("/users", get(who)).route_layer(auth.scopes(["admin"]));
    let app: Router = Router::new()
        .route("/orders", get(who).layer(auth.scopes(["orders:read"])))
        .route("/orders", post(who).layer(auth.scopes(["orders:write"])))
        .route("/reports", get(who).layer(auth.require(any_of(["reports", "admin"]))))
        .nest("/admin", admin)
        .route("/me", get(who))
        .layer(auth)
        .route("/healthz", get(|| async { "ok" }));
    let token = |scope: &str| world.token().claim("scope", scope).sign();
    for (method, path, scope, expected) in [
        (Method::GET, "/orders", "orders:read", StatusCode::OK),
        (Method::HEAD, "/orders", "orders:read", StatusCode::OK),
        (Method::GET, "/orders", "orders:write", StatusCode::FORBIDDEN),
        (Method::POST, "/orders", "orders:write", StatusCode::OK),
        (Method::POST, "/orders", "orders:read", StatusCode::FORBIDDEN),
        (Method::DELETE, "/orders", "orders:write", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/reports", "admin", StatusCode::OK),
        (Method::GET, "/reports", "orders:read", StatusCode::FORBIDDEN),
        (Method::GET, "/admin/users", "admin", StatusCode::OK),
        (Method::GET, "/admin/users", "reports", StatusCode::FORBIDDEN),
        (Method::GET, "/me", "", StatusCode::OK),
        (Method::GET, "/nowhere", "", StatusCode::NOT_FOUND),
    ] {
        let name = format!("{method} {path} with {scope:?}");
        let with = at(path, method.clone(), bearer(&token(scope)));
        assert_eq!(status(&app, with).await, expected, "{name}");
        let without = at(path, method, request(&[]));
        assert_eq!(status(&app, without).await, StatusCode::UNAUTHORIZED, "{name}, no token");
    }
    assert_eq!(status(&app, at("/healthz", Method::GET, request(&[]))).await, StatusCode::OK);
}

#[tokio::test]
async fn an_inner_layer_takes_over_what_the_outer_one_has_verified() {
    let world = World::new();
    let auth = world.auth();
    let token = world.token().scopes(["a"]).expires_in(crate::support::seconds(60)).sign();
    // Between the two layers the token expires: had the inner one verified again, it would refuse.
    let clock = world.clock.clone();
    let app: Router = Router::new()
        .route("/", get(who).layer(auth.scopes(["a"])))
        .layer(axum::middleware::map_request(move |request: Request<Body>| {
            clock.advance(crate::support::seconds(3600));
            async move { request }
        }))
        .layer(auth);
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
    assert_eq!(
        status(&app, bearer(&token)).await,
        StatusCode::UNAUTHORIZED,
        "the outer one does look at the time"
    );
}

#[tokio::test]
async fn a_token_that_was_exchanged_on_the_way_is_verified_again() {
    let world = World::new();
    let auth = world.auth();
    let exchange = |value: Option<String>| {
        let auth = auth.clone();
        Router::new()
            .route("/", get(who).layer(auth.scopes(["a"])))
            .layer(axum::middleware::map_request(move |mut request: Request<Body>| {
                let headers = request.headers_mut();
                headers.remove("authorization");
                if let Some(value) = &value {
                    headers.insert("authorization", HeaderValue::from_str(value).unwrap());
                }
                async move { request }
            }))
            .layer(auth)
    };
    let good = world.token().scopes(["a"]).sign();
    let better = world.token().scopes(["a"]).client("other").sign();
    let lesser = world.token().sign();
    let first = || bearer(&good);
    assert_eq!(status(&exchange(Some(format!("Bearer {better}"))), first()).await, StatusCode::OK);
    assert_eq!(status(&exchange(Some(format!("Bearer {lesser}"))), first()).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&exchange(Some("Bearer x.y.z".into())), first()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&exchange(None), first()).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_that_was_taken_away_is_gone_for_an_optional_layer_too() {
    let world = World::new();
    let auth = world.auth();
    let inner_optional = |strip: bool| -> Router {
        Router::new()
            .route("/", get(who_if_any).layer(auth.optional()))
            .layer(axum::middleware::map_request(move |mut request: Request<Body>| {
                if strip {
                    request.headers_mut().remove("authorization");
                }
                async move { request }
            }))
            .layer(auth.clone())
    };
    let token = world.token().sign();
    assert_eq!(text(&inner_optional(false), bearer(&token)).await, (StatusCode::OK, "client".into()));
    assert_eq!(text(&inner_optional(true), bearer(&token)).await, (StatusCode::OK, "nobody".into()));
}

#[tokio::test]
async fn another_servers_verdict_is_worth_nothing() {
    let world = World::new();
    let other = server(&world.clock, [world.idp.issuer().audience("https://other.example.com")]);
    let token = world.token().sign();
    let inner_of = |auth: BearerAuthLayer| -> Router {
        Router::new().route("/", get(who).layer(auth)).layer(world.auth())
    };
    assert_eq!(status(&inner_of(world.auth()), bearer(&token)).await, StatusCode::OK);
    assert_eq!(
        status(&inner_of(BearerAuthLayer::new(other)), bearer(&token)).await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn nor_is_it_shown_where_no_token_is_asked_for() {
    const OPEN: &str = "/shop.Orders/Watch";
    let world = World::new();
    let other = server(&world.clock, [world.idp.issuer().audience("https://other.example.com")]);
    let app_of = |auth: BearerAuthLayer| -> Router {
        let seen = async |request: Request<Body>| who_if_any(request.extensions().get().cloned()).await;
        let open = auth.methods(MethodAccess::deny().public(OPEN));
        Router::new().route(OPEN, get(seen).layer(open)).layer(world.auth())
    };
    let request = || at(OPEN, Method::GET, bearer(&world.token().sign()));
    assert_eq!(text(&app_of(world.auth()), request()).await, (StatusCode::OK, "client".into()));
    assert_eq!(
        text(&app_of(BearerAuthLayer::new(other)), request()).await,
        (StatusCode::OK, "nobody".into())
    );
}

async fn who_if_any(token: Option<Token>) -> String {
    token.map_or_else(|| "nobody".to_owned(), |token| token.client_id().unwrap_or("-").to_owned())
}

async fn text(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = send(app, request).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_optional_route_takes_nobody_but_never_a_bad_token() {
    let world = World::new();
    let app: Router = Router::new().route("/", get(who_if_any)).layer(world.auth().scopes(["a"]).optional());
    let good = world.token().scopes(["a"]).sign();
    let lesser = world.token().sign();
    let expired = world.token().scopes(["a"]).claim("exp", 1).sign();
    let of = |token: &str| format!("Bearer {token}");
    assert_eq!(text(&app, request(&[&of(&good)])).await, (StatusCode::OK, "client".into()));
    assert_eq!(text(&app, request(&[])).await, (StatusCode::OK, "nobody".into()));
    assert_eq!(text(&app, request(&["Basic dTpw"])).await, (StatusCode::OK, "nobody".into()));
    assert_eq!(status(&app, request(&[&of(&lesser)])).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&app, request(&[&of(&expired)])).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, request(&[&of("x")])).await, StatusCode::UNAUTHORIZED);
    for malformed in [&["Bearer"][..], &[""], &["Basic dTpw", "Basic dTpw"]] {
        assert_eq!(status(&app, request(malformed)).await, StatusCode::BAD_REQUEST, "{malformed:?}");
    }
    world.idp.go_down();
    let cold = World::new();
    cold.idp.go_down();
    let app: Router = Router::new().route("/", get(who_if_any)).layer(cold.auth().optional());
    assert_eq!(status(&app, bearer(&cold.token().sign())).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_rule_derived_from_an_optional_layer_asks_for_a_token() {
    let world = World::new();
    let auth = world.auth().optional();
    let app: Router = Router::new()
        .route("/", get(|| async { "secret" }).layer(auth.scopes(["admin"])))
        .route("/open", get(|| async { "open" }))
        .layer(auth);
    assert_eq!(status(&app, bearer(&world.token().scopes(["admin"]).sign())).await, StatusCode::OK);
    assert_eq!(status(&app, request(&[])).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, at("/open", Method::GET, request(&[]))).await, StatusCode::OK);
}

#[tokio::test]
async fn none_means_that_an_optional_layer_ran() {
    let world = World::new();
    let token = world.token().sign();
    let unprotected: Router = Router::new().route("/", get(who_if_any));
    for request in [request(&[]), bearer(&token)] {
        let response = send(&unprotected, request).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(rejection(&response).kind(), RejectionKind::Wiring);
    }
    let optional: Router = Router::new().route("/", get(who_if_any)).layer(world.auth().optional());
    assert_eq!(text(&optional, request(&[])).await, (StatusCode::OK, "nobody".into()));
    assert_eq!(text(&optional, bearer(&token)).await, (StatusCode::OK, "client".into()));
    // A handler that wants a token there asks for one.
    let wants_one: Router = Router::new().route("/", get(who)).layer(world.auth().optional());
    assert_eq!(status(&wants_one, bearer(&token)).await, StatusCode::OK);
    let response = send(&wants_one, request(&[])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(challenge(&response).as_deref(), Some("Bearer"));
}

#[tokio::test]
async fn claims_as_a_type_and_more_demands_in_the_handler() {
    #[derive(serde::Deserialize)]
    struct Tenancy {
        tenant: String,
    }
    async fn tenant(Claims(tenancy): Claims<Tenancy>) -> String {
        tenancy.tenant
    }
    async fn delete(token: Token) -> Result<String, Rejection> {
        token.require(&all_of(["delete"]))?;
        Ok("gone".into())
    }
    let world = World::new();
    let app: Router = Router::new().route("/", get(tenant)).route("/delete", any(delete)).layer(world.auth());
    let token = world.token().claim("tenant", "blue").sign();
    assert_eq!(text(&app, bearer(&token)).await, (StatusCode::OK, "blue".into()));
    for (name, token) in
        [("absent", world.token().sign()), ("of a wrong type", world.token().claim("tenant", 1).sign())]
    {
        let response = send(&app, bearer(&token)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(challenge(&response).unwrap().contains("invalid_token"), "{name}");
    }
    let delete = |token: String| at("/delete", Method::DELETE, bearer(&token));
    assert_eq!(text(&app, delete(world.token().scopes(["delete"]).sign())).await.1, "gone");
    let response = send(&app, delete(world.token().sign())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let expected = "Bearer error=\"insufficient_scope\", \
         error_description=\"the access token lacks a required scope\", scope=\"delete\"";
    assert_eq!(challenge(&response).as_deref(), Some(expected));
}

#[tokio::test]
async fn a_browser_works_with_cors_outside() {
    let world = World::new();
    let origin = "https://app.example.com";
    let cors = CorsLayer::new()
        .allow_origin([HeaderValue::from_static(origin)])
        .allow_headers([http::header::AUTHORIZATION])
        .allow_methods([Method::GET]);
    let inside = app(&world.auth());
    let with_cors = inside.clone().layer(cors);

    let preflight = || {
        Request::options("/")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
            .body(Body::empty())
            .unwrap()
    };
    let response = send(&with_cors, preflight()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
    // Without it the preflight needs a token, which no browser sends.
    assert_eq!(status(&inside, preflight()).await, StatusCode::UNAUTHORIZED);

    let from_browser = |mut request: Request<Body>| {
        request.headers_mut().insert(ORIGIN, HeaderValue::from_static(origin));
        request
    };
    let response = send(&with_cors, from_browser(bearer(&world.token().sign()))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = send(&with_cors, from_browser(request(&[]))).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin, "the page can read the 401");
    assert!(challenge(&response).is_some());
}

#[tokio::test]
async fn tokens_of_two_clients_do_not_mix() {
    let clock = ManualClock::new();
    let idp = Idp::new(crate::support::ISSUER).clock(clock.clone());
    let app = app(&BearerAuthLayer::new(server(&clock, [idp.issuer()])));
    for round in 0..50 {
        let client = format!("client {round}");
        let token = idp.token(API).client(&client).sign();
        assert_eq!(text(&app, bearer(&token)).await, (StatusCode::OK, client));
    }
}
