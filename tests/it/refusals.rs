//! The table: each kind of refusal over HTTP, each beside the same request unharmed.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use tower_bearer::testing::Idp;
use tower_bearer::{
    BearerAuthLayer, MethodAccess, ProblemJson, Rejection, RejectionKind, RequestHead, ResourceServer,
    all_of, any_of,
};

use crate::support::{
    API, ISSUER, World, app, bearer, challenge, rejection, request, send, server, status, who,
};

#[tokio::test]
async fn rfc6750_3_1_no_credentials_are_401_without_an_error_code() {
    let world = World::new();
    let app = app(&world.auth());
    let token = world.token().sign();
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
    // RFC 6750 §3.1: no error code where no credentials came.
    for lines in [&[][..], &["Basic dTpw"], &["DPoP abc"], &["Negotiate"], &["Bearerabc"]] {
        let response = send(&app, request(lines)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{lines:?}");
        assert_eq!(challenge(&response).as_deref(), Some("Bearer"), "{lines:?}");
        assert_eq!(rejection(&response).kind(), RejectionKind::NoCredentials);
        assert_eq!(rejection(&response).grpc_code(), 16);
    }
}

#[tokio::test]
async fn rfc6750_2_more_than_one_or_no_token_is_400() {
    let world = World::new();
    let app = app(&world.auth());
    let token = world.token().sign();
    let good = format!("Bearer {token}");
    assert_eq!(status(&app, request(&[&good])).await, StatusCode::OK);
    let invalid_request = "Bearer error=\"invalid_request\", \
         error_description=\"the request must carry exactly one bearer token\"";
    for lines in [
        &[&*good, &good][..],
        &[&good, "Basic dTpw"],
        &["Basic dTpw", &good],
        &["Bearer"],
        &["Bearer "],
        &[""],
        &[&format!("Bearer {token} {token}")],
        &[&format!("Bearer\t{token}")],
        &[&format!("Bearer {token},")],
        &[&format!("Bearer \"{token}\"")],
        &[&format!("{good}, {good}")],
    ] {
        let response = send(&app, request(lines)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{lines:?}");
        assert_eq!(challenge(&response).as_deref(), Some(invalid_request), "{lines:?}");
        assert_eq!(rejection(&response).kind(), RejectionKind::MalformedRequest);
        assert_eq!(rejection(&response).grpc_code(), 16);
    }
}

#[tokio::test]
async fn rfc9110_11_1_the_scheme_ignores_case_and_spaces_may_repeat() {
    let world = World::new();
    let app = app(&world.auth());
    let token = world.token().sign();
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR    "] {
        assert_eq!(status(&app, request(&[&format!("{scheme}{token}")])).await, StatusCode::OK, "{scheme:?}");
    }
}

#[tokio::test]
async fn rfc6750_3_1_an_unacceptable_token_is_401_invalid_token() {
    let world = World::new();
    let app = app(&world.auth());
    assert_eq!(status(&app, bearer(&world.token().sign())).await, StatusCode::OK);
    let response = send(&app, bearer("abc")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let expected =
        "Bearer error=\"invalid_token\", error_description=\"the access token is not well formed\"";
    assert_eq!(challenge(&response).as_deref(), Some(expected));
    assert_eq!(rejection(&response).kind(), RejectionKind::InvalidToken);
    assert_eq!(rejection(&response).grpc_code(), 16);
    assert!(to_bytes(response.into_body(), 10).await.unwrap().is_empty(), "the default body is empty");
}

#[tokio::test]
async fn rfc6750_2_2_and_2_3_tokens_in_other_places_are_no_credentials() {
    let world = World::new();
    let app = app(&world.auth());
    let token = world.token().sign();
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
    // RFC 6750 §2.3 is not supported; neither is §2.2.
    let query = Request::get(format!("/?access_token={token}")).body(Body::empty()).unwrap();
    assert_eq!(status(&app, query).await, StatusCode::UNAUTHORIZED);
    let form = Request::get("/")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("access_token={token}")))
        .unwrap();
    assert_eq!(status(&app, form).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rfc6750_3_1_a_lacking_scope_is_403_and_the_challenge_says_which_would_do() {
    let world = World::new();
    let auth = world.auth();
    let with = |scope: &str| bearer(&world.token().claim("scope", scope).sign());
    let rules = [
        (all_of(["a"]), vec!["a", "b a"], vec!["", "b", "aa", "A"], "a"),
        (all_of(["a", "b"]), vec!["a b", "b c a"], vec!["a", "b", "c"], "a b"),
        (any_of(["a", "b"]), vec!["a", "b", "c b"], vec!["", "c"], "a"),
        (
            all_of([all_of(["a"]), any_of([all_of(["b", "c"]), all_of(["d"])])]),
            vec!["a b c", "d a"],
            vec!["a b", "b c", "d"],
            "a b c",
        ),
    ];
    for (rule, good, bad, scope) in rules {
        let app = app(&auth.require(rule.clone()));
        for granted in good {
            assert_eq!(status(&app, with(granted)).await, StatusCode::OK, "{granted:?} for {rule:?}");
        }
        for granted in bad {
            let response = send(&app, with(granted)).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{granted:?} for {rule:?}");
            let expected = format!(
                "Bearer error=\"insufficient_scope\", \
                 error_description=\"the access token lacks a required scope\", scope=\"{scope}\""
            );
            assert_eq!(challenge(&response).as_deref(), Some(&*expected));
            assert_eq!(rejection(&response).kind(), RejectionKind::InsufficientScope);
            assert_eq!(rejection(&response).grpc_code(), 7);
        }
        // The scopes are also in the challenge to somebody without a token, who then asks once.
        let response = send(&app, request(&[])).await;
        assert_eq!(challenge(&response).as_deref(), Some(&*format!("Bearer scope=\"{scope}\"")));
    }
}

#[tokio::test]
async fn rfc6749_3_3_odd_scope_syntax_grants_nothing_and_a_wrong_type_is_no_token() {
    let world = World::new();
    let app = app(&world.auth().scopes(["a"]));
    let with = |scope: serde_json::Value| bearer(&world.token().claim("scope", scope).sign());
    for good in [serde_json::json!("a"), serde_json::json!("a b"), serde_json::json!(["b", "a"])] {
        assert_eq!(status(&app, with(good.clone())).await, StatusCode::OK, "{good}");
    }
    for odd in ["a  b", " a", "a ", "a\tb", "a,b", "a\n"] {
        assert_eq!(status(&app, with(odd.into())).await, StatusCode::FORBIDDEN, "{odd:?}");
    }
    for odd in [serde_json::json!(["a b"]), serde_json::json!(["a", ""])] {
        assert_eq!(status(&app, with(odd.clone())).await, StatusCode::FORBIDDEN, "{odd}");
    }
    for absent in [serde_json::json!(""), serde_json::json!([])] {
        assert_eq!(status(&app, with(absent.clone())).await, StatusCode::FORBIDDEN, "{absent}");
    }
    for wrong in [
        serde_json::json!(1),
        serde_json::json!(null),
        serde_json::json!({"a": 1}),
        serde_json::json!(["a", 1]),
    ] {
        assert_eq!(status(&app, with(wrong.clone())).await, StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

#[tokio::test]
async fn no_keys_are_503_with_retry_after_and_no_challenge() {
    let world = World::new();
    let app = app(&world.auth());
    let token = world.token().sign();
    world.idp.go_down();
    let response = send(&app, bearer(&token)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(challenge(&response).as_deref(), None);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert_eq!(rejection(&response).kind(), RejectionKind::Unavailable);
    assert_eq!(rejection(&response).grpc_code(), 14);
    // The very same request, when the issuer is back.
    world.idp.come_back();
    world.clock.advance(rejection(&response).retry_after().unwrap());
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
}

#[tokio::test]
async fn an_extractor_without_a_layer_is_500() {
    let world = World::new();
    let token = world.token().sign();
    assert_eq!(status(&app(&world.auth()), bearer(&token)).await, StatusCode::OK);
    let unprotected = Router::new().route("/", get(who));
    let response = send(&unprotected, bearer(&token)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(challenge(&response).as_deref(), None);
    assert_eq!(rejection(&response).kind(), RejectionKind::Wiring);
    assert_eq!(rejection(&response).grpc_code(), 13);
}

#[tokio::test]
async fn bodies_can_be_problem_documents_or_ones_own() {
    let world = World::new();
    let token = world.token().expires_in(crate::support::seconds(0)).sign();
    world.clock.advance(crate::support::seconds(60));

    let problem: Router =
        Router::new().route("/", get(who)).layer(world.auth().respond_with(ProblemJson::default()));
    assert_eq!(status(&problem, bearer(&world.token().sign())).await, StatusCode::OK);
    let response = send(&problem, bearer(&token)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&response).unwrap().contains("invalid_token"));
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let body: serde_json::Value =
        serde_json::from_slice(&to_bytes(response.into_body(), 1024).await.unwrap()).unwrap();
    let expected = serde_json::json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "the access token expired"
    });
    assert_eq!(body, expected);

    let own = |why: &Rejection, head: &RequestHead<'_>| -> Response<Body> {
        let mut response = why.response(Body::from(format!("{} {}: {why}", head.method(), head.uri())));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    };
    let own: Router = Router::new().route("/", get(who)).layer(world.auth().respond_with(own));
    let response = send(&own, bearer(&token)).await;
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert!(challenge(&response).is_some());
    assert_eq!(rejection(&response).kind(), RejectionKind::InvalidToken);
    assert_eq!(to_bytes(response.into_body(), 1024).await.unwrap(), "GET /: the access token expired");
}

#[tokio::test]
async fn every_refusal_is_of_one_server_and_of_no_issuer_in_particular() {
    // Whether an issuer is trusted or a signature is wrong: nothing in the answer is from the token.
    let world = World::new();
    let app = app(&world.auth());
    let foreign = Idp::new("https://secret-issuer.example.com").token(API).client("secret-client").sign();
    let response = send(&app, bearer(&foreign)).await;
    let text = format!("{:?}", response.headers());
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(!text.contains("secret"), "{text}");
}

#[test]
#[should_panic(expected = "\"a b\": a scope is one or more printable ASCII characters")]
fn a_literal_that_is_no_scope_panics_when_the_layer_is_made() {
    drop(World::new().auth().scopes(["a b"]));
}

#[test]
#[should_panic(expected = "any_of needs at least one alternative")]
fn nothing_to_choose_from_panics_when_the_layer_is_made() {
    drop(any_of::<[&str; 0]>([]));
}

#[tokio::test]
async fn an_empty_list_of_scopes_asks_for_any_valid_token() {
    let world = World::new();
    let app = app(&world.auth().scopes::<[&str; 0]>([]));
    assert_eq!(status(&app, bearer(&world.token().without_claim("scope").sign())).await, StatusCode::OK);
    assert_eq!(status(&app, request(&[])).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_authorization_value_is_marked_sensitive_for_the_handler() {
    let world = World::new();
    let handler = |request: Request<Body>| async move {
        let value = request.headers().get(AUTHORIZATION).unwrap();
        assert!(value.is_sensitive());
        format!("{request:?}")
    };
    let app: Router = Router::new().route("/", get(handler)).layer(world.auth());
    let token = world.token().sign();
    let response = send(&app, bearer(&token)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let shown = to_bytes(response.into_body(), 100_000).await.unwrap();
    let shown = String::from_utf8(shown.to_vec()).unwrap();
    assert!(!shown.contains(&token) && !shown.contains(token.rsplit('.').next().unwrap()), "{shown}");
}

/// Where no token is looked at, and where two lines are refused.
#[tokio::test]
async fn every_authorization_line_is_marked_sensitive() {
    let world = World::new();
    let shows = |request: Request<Body>| async move { format!("{:?}", request.headers()) };
    let public = world.auth().methods(MethodAccess::deny().public("/a.B/C"));
    let app: Router = Router::new().route("/a.B/C", post(shows)).layer(public);
    let mut two = request(&["Bearer one-secret", "Basic another-secret"]);
    (*two.method_mut(), *two.uri_mut()) = (Method::POST, "/a.B/C".parse().unwrap());
    let response = send(&app, two).await;
    assert_eq!(response.status(), StatusCode::OK);
    let shown = to_bytes(response.into_body(), 100_000).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&shown).matches("Sensitive").count(), 2, "{shown:?}");

    let told = Arc::new(Mutex::new(String::new()));
    let tells = told.clone();
    let auth = world.auth().respond_with(move |why: &Rejection, head: &RequestHead<'_>| {
        *tells.lock().unwrap() = format!("{:?}", head.headers());
        why.response(Body::empty())
    });
    let app: Router = Router::new().route("/", get(who)).layer(auth);
    assert_eq!(status(&app, request(&["Bearer one", "Bearer two"])).await, StatusCode::BAD_REQUEST);
    assert_eq!(told.lock().unwrap().matches("Sensitive").count(), 2, "{told:?}");
}

#[test]
fn a_server_trusts_somebody() {
    let world = World::new();
    assert_eq!(server(&world.clock, [world.idp.issuer()]).identifier(), API);
    assert_eq!(world.idp.identifier(), ISSUER);
    let _: BearerAuthLayer = BearerAuthLayer::new(ResourceServer::clone(&world.api));
}
