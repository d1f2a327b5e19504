//! Routes that take young tokens only.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tower_bearer::{BearerAuthLayer, RejectionKind, TokenError};

use crate::support::{World, app, bearer, challenge, rejection, seconds, send, status, who};

#[tokio::test]
async fn an_older_token_is_401() {
    let world = World::new();
    let raw = world.token().expires_in(seconds(10_000)).scopes(["pay"]).sign();
    let (any, young) = (app(&world.auth()), app(&world.auth().max_age(seconds(120))));
    for passed in [0, 120, 59] {
        world.clock.advance(seconds(passed));
        assert_eq!(status(&young, bearer(&raw)).await, StatusCode::OK, "with the leeway of a minute");
    }
    world.clock.advance(seconds(2));
    assert_eq!(status(&any, bearer(&raw)).await, StatusCode::OK, "elsewhere it is good");
    let refused = send(&young, bearer(&raw)).await;
    assert_eq!(rejection(&refused).kind(), RejectionKind::InvalidToken);
    assert_eq!(rejection(&refused).token_error(), Some(TokenError::Time));
    assert!(challenge(&refused).unwrap().contains("error=\"invalid_token\""));
    let newer = world.token().sign();
    assert_eq!(status(&young, bearer(&newer)).await, StatusCode::OK);
    let undated = world.token().without_claim("iat").sign();
    assert_eq!(status(&any, bearer(&undated)).await, StatusCode::OK);
    let refused = send(&young, bearer(&undated)).await;
    assert_eq!(rejection(&refused).token_error(), Some(TokenError::MissingClaim));
}

/// Also where an outer layer has verified the token, and whatever is said of the layer afterwards.
#[tokio::test]
async fn it_holds_in_derived_and_inner_layers() {
    let world = World::new();
    let young = world.auth().max_age(seconds(0));
    let route = |layer: &BearerAuthLayer| get(who).layer(layer.clone());
    let app = Router::new()
        .route("/", route(&world.auth()))
        .route("/scopes", route(&young.scopes(["pay"])))
        .route("/optional", route(&young.optional()))
        .route("/issuers", route(&young.issuers([crate::support::ISSUER])))
        .route("/older", route(&young.max_age(seconds(1000))))
        .layer(world.auth());
    let raw = world.token().expires_in(seconds(10_000)).scopes(["pay"]).sign();
    let at = |path: &str| {
        let (mut request, uri) = (bearer(&raw), path.parse().unwrap());
        *request.uri_mut() = uri;
        request
    };
    let paths = ["/scopes", "/optional", "/issuers"];
    for path in paths {
        assert_eq!(status(&app, at(path)).await, StatusCode::OK, "{path}");
    }
    world.clock.advance(seconds(61));
    for path in paths {
        assert_eq!(status(&app, at(path)).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/", "/older"] {
        assert_eq!(status(&app, at(path)).await, StatusCode::OK, "{path}");
    }
}
