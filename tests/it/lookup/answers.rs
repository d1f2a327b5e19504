//! What is said of a token is checked as the claims of a JWT are.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, Issuer, Keys, Profile, ResourceServer, TokenError};

use super::{OPAQUE, World};
use crate::support::{API, ISSUER, app, bearer, challenge, rejection, seconds, send, status, who};

/// The claims of a good token with one changed; `null` leaves it out.
fn changed(mut claims: Value, member: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        drop(members.remove(member))
    } else {
        drop(members.insert(member.to_owned(), value))
    }
    claims
}

#[tokio::test]
async fn rfc7662_2_2_every_fault_beside_the_good_token() {
    use TokenError as E;
    let world = World::with(|issuer| issuer.clients(["robot"]), |builder| builder);
    let now = world.at(0);
    for (name, member, value, fault) in [
        ("expired", "exp", json!(now - 61), E::Expired),
        ("expired, with a fraction", "exp", json!(now as f64 - 60.5), E::Expired),
        ("exp is text", "exp", json!("never"), E::Time),
        ("exp out of all bounds", "exp", json!(1e300), E::Time),
        ("exp is true", "exp", json!(true), E::Time),
        ("not valid yet", "nbf", json!(now + 61), E::NotYetValid),
        ("issued in the future", "iat", json!(now + 61), E::Time),
        ("for another API", "aud", json!("https://other.example.com"), E::Audience),
        ("for several others", "aud", json!(["https://other.example.com", "x"]), E::Audience),
        ("for nobody", "aud", Value::Null, E::Audience),
        ("aud of a wrong type", "aud", json!({"is": API}), E::Audience),
        ("of an issuer, though ours writes none", "iss", json!(ISSUER), E::Issuer),
        ("iss of a wrong type", "iss", json!([ISSUER]), E::Issuer),
        ("of another client", "client_id", json!("other"), E::Client),
        ("of nobody", "client_id", Value::Null, E::Client),
        ("a client that is no text", "client_id", json!(7), E::ClaimType),
        ("scopes that are none", "scope", json!({"a": 1}), E::ClaimType),
        ("bound to a key (RFC 9449 §6.2)", "cnf", json!({"jkt": "x"}), E::Confirmation),
        ("bound to a certificate (RFC 8705 §3.2)", "cnf", json!({"x5t#S256": "x"}), E::Confirmation),
        ("sent with a proof elsewhere", "token_type", json!("DPoP"), E::Confirmation),
        ("a refresh token", "token_type", json!("refresh_token"), E::Type),
        ("token_type of a wrong type", "token_type", json!(1), E::ClaimType),
        ("an answer in an answer (RFC 9701 §8.1)", "token_introspection", json!({"active": true}), E::Type),
        ("an empty answer in an answer", "token_introspection", json!(false), E::Type),
    ] {
        let token = format!("token-{}", name.len() + 1000 * member.len())
            + &name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        world.book.say(&token, changed(world.claims(), member, value));
        assert_eq!(world.fault(&token).await, Some(fault), "{name}");
        let unharmed = token + "+";
        world.book.say(&unharmed, world.claims());
        assert_eq!(world.fault(&unharmed).await, None, "{name}: unharmed");
    }
    assert_eq!(world.fault("nobody-has-issued-this").await, Some(TokenError::Inactive));
}

#[tokio::test]
async fn what_answers_look_like_in_the_wild() {
    let world = World::new();
    let now = world.at(0);
    for (name, member, value) in [
        ("float dates", "exp", json!(now as f64 + 0.5)),
        ("one that ended within the leeway", "exp", json!(now - 59)),
        ("several audiences", "aud", json!(["other", API])),
        ("a list of scopes", "scope", json!(["a", "b"])),
        ("without iat", "iat", Value::Null),
        ("no active, as of our own look-up", "active", Value::Null),
        ("the type", "token_type", json!("bearer")),
        ("the type by its other name", "token_type", json!("access_token")),
        ("bound to nothing", "cnf", json!({})),
    ] {
        let token = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        world.book.say(&token, changed(world.claims(), member, value));
        let found = world.verify(&token).await.unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert!(found.has_scope("a") && found.has_scope("b") && !found.has_scope("c"), "{name}");
        assert_eq!(
            (found.client_id(), found.subject(), found.token_id()),
            (Some("robot"), Some("somebody"), Some("1"))
        );
        assert_eq!((found.issuer(), found.audience().any(|aud| aud == API)), ("book", true), "{name}");
        assert_eq!(found.claims::<Value>().unwrap()["jti"], "1", "{name}");
    }
}

#[tokio::test]
async fn the_profile_the_grants_and_the_spellings_hold() {
    let configure = |_: Issuer| {
        Issuer::new(ISSUER)
            .also("id.example.com")
            .profile(Profile::default().client_claims(["sub"]).optional_audience())
    };
    // The book of this world is its lookup only if it is given.
    let book = super::Book::new();
    let with = book.clone();
    let world = World::with(
        move |issuer| configure(issuer).grant("somebody", ["granted"]).lookup(with),
        |builder| builder,
    );
    for (name, iss) in
        [("none", Value::Null), ("its own", json!(ISSUER)), ("another spelling", json!("id.example.com"))]
    {
        let token = format!("issued-by-{}", name.replace(' ', "-"));
        book.say(&token, changed(changed(world.claims(), "iss", iss), "aud", Value::Null));
        let found = world.verify(&token).await.unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert_eq!((found.client_id(), found.issuer()), (Some("somebody"), ISSUER), "{name}");
        assert!(found.has_scope("granted") && found.has_scope("a"), "{name}");
    }
    for iss in ["https://id.example.com/", "https://other.example.com", ""] {
        let token = format!("issued-by-others-{}", iss.len());
        book.say(&token, changed(world.claims(), "iss", json!(iss)));
        assert_eq!(world.fault(&token).await, Some(TokenError::Issuer), "{iss}");
    }
}

#[tokio::test]
async fn the_rule_of_the_route_holds() {
    let world = World::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    assert_eq!(status(&app(&auth.scopes(["a", "b"])), bearer(OPAQUE)).await, StatusCode::OK);
    let refused = send(&app(&auth.scopes(["a", "c"])), bearer(OPAQUE)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&refused).unwrap().contains("error=\"insufficient_scope\""));
    let refused = send(&app(&auth), bearer("nobody-has-issued-this")).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&refused).unwrap().contains("error=\"invalid_token\""));
    assert_eq!(rejection(&refused).issuer_name(), Some("book"));
    assert_eq!(status(&app(&auth), bearer("not~a~token,")).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn layers_within_layers_ask_once() {
    let world = World::with(|issuer| issuer, tower_bearer::ResourceServerBuilder::without_cache);
    let auth = BearerAuthLayer::new(world.api.clone());
    let app = Router::new()
        .route("/", get(who).layer(auth.scopes(["a"])))
        .route("/more", get(who).layer(auth.scopes(["c"])))
        .layer(auth.clone());
    assert_eq!(status(&app, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(world.book.asked(), [OPAQUE]);
    let more = http::Request::get("/more").header("authorization", format!("Bearer {OPAQUE}"));
    assert_eq!(status(&app, more.body(axum::body::Body::empty()).unwrap()).await, StatusCode::FORBIDDEN);
    assert_eq!(world.book.asked().len(), 2);
}

#[tokio::test]
async fn a_token_without_an_end() {
    let world = World::new();
    let endless = changed(world.claims(), "exp", Value::Null);
    world.book.say(OPAQUE, endless);
    let token = world.verify(OPAQUE).await.unwrap();
    assert_eq!(token.expires_at(), None);
    // It is no stream that ends.
    let ended = tokio::time::timeout(std::time::Duration::from_millis(20), async {
        world.clock.advance(seconds(1_000_000));
        token.expired().await
    });
    assert!(ended.await.is_err());
    // A JWT without `exp` is none.
    let idp = Idp::new(ISSUER);
    let issuer = idp.issuer().keys(Keys::jwks(idp.jwks())).lookup(world.book.clone());
    let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
    let refused = api.verify(&idp.token(API).without_claim("exp").sign()).await.unwrap_err();
    assert_eq!(refused.token_error(), Some(TokenError::Time));
    assert!(api.verify(&idp.token(API).sign()).await.unwrap().expires_at().is_some());
}

/// RFC 9701 §8.1, whatever types the issuer's tokens may have.
#[tokio::test]
async fn an_answer_is_no_token() {
    let idp = Idp::new(ISSUER);
    let issuer = idp.issuer().types(["at+jwt", "token-introspection+jwt", ""]);
    let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
    let good = || idp.token(API);
    assert!(api.verify(&good().sign()).await.is_ok());
    for (name, token) in [
        ("by its type", good().header("typ", "token-introspection+jwt")),
        ("by its whole type", good().header("typ", "application/Token-Introspection+JWT")),
        ("by its claim", good().claim("token_introspection", json!({"active": true}))),
    ] {
        let refused = api.verify(&token.sign()).await.unwrap_err();
        assert_eq!(refused.token_error(), Some(TokenError::Type), "{name}");
    }
}
