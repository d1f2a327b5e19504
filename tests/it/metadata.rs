//! Protected resource metadata (RFC 9728): what clients find out before they have a token.

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{BearerAuthLayer, ConfigErrorKind, Issuer, Keys, ResourceServer, any_of};

use crate::support::{API, ISSUER, World, app, bearer, block_on, request, send};

const PATH: &str = "/.well-known/oauth-protected-resource";

async fn document(app: &Router, path: &str) -> Value {
    let response = send(app, Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=300");
    serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap()
}

fn served(api: &ResourceServer) -> Router {
    let metadata = api.metadata().unwrap();
    app(&BearerAuthLayer::new(api.clone())).route_service(metadata.path(), metadata.clone())
}

#[tokio::test]
async fn rfc9728_3_2_the_document_is_made_from_the_configuration() {
    let clock = ManualClock::new();
    let (one, shop) = (Idp::new(ISSUER), Idp::new("-"));
    let api = ResourceServer::builder(API)
        .issuer(one.issuer())
        .issuer(Issuer::unnamed("shop").keys(Keys::jwks(shop.jwks())))
        .issuer(Issuer::new("no URL").keys(Keys::jwks(shop.jwks())))
        .clock(clock)
        .metadata_member("resource_name", "Orders")
        .build()
        .unwrap();
    let app = served(&api);
    let bare = json!({
        "resource": API, "authorization_servers": [ISSUER], "bearer_methods_supported": ["header"],
        "resource_name": "Orders",
    });
    assert_eq!(document(&app, PATH).await, bare, "empty lists are left out");
    // Every layer adds what it asks for, whenever it is made.
    let auth = BearerAuthLayer::new(api.clone());
    drop(auth.scopes(["b", "a"]));
    drop(auth.require(any_of(["c", "a"])));
    assert_eq!(document(&app, PATH).await["scopes_supported"], json!(["a", "b", "c"]));
    assert_eq!(api.metadata().unwrap().document(), document(&app, PATH).await);
}

#[tokio::test]
async fn rfc9728_2_scopes_can_be_given_and_what_is_made_here_cannot() {
    let build = |name: &str, value: Value| {
        let builder = ResourceServer::builder(API).issuer(Idp::new(ISSUER).issuer());
        builder.metadata_member(name, value).build()
    };
    let api = build("scopes_supported", json!(["public"])).unwrap();
    drop(BearerAuthLayer::new(api.clone()).scopes(["secret"]));
    assert_eq!(document(&served(&api), PATH).await["scopes_supported"], json!(["public"]));
    let api = build("scopes_supported", json!([])).unwrap();
    drop(BearerAuthLayer::new(api.clone()).scopes(["secret"]));
    assert_eq!(document(&served(&api), PATH).await.get("scopes_supported"), None);
    let error = build("scopes_supported", json!("a b")).unwrap_err();
    assert!(error.to_string().starts_with("metadata: scopes_supported is not a list"), "{error}");
    for ours in ["resource", "authorization_servers", "bearer_methods_supported"] {
        let error = build(ours, json!("x")).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Resource, "metadata"));
    }
}

#[tokio::test]
async fn rfc9728_5_1_every_challenge_names_it_from_configuration_never_from_host() {
    let world = World::new();
    let auth = world.auth().scopes(["a"]);
    let app = app(&auth);
    assert_eq!(send(&app, bearer(&world.token().scopes(["a"]).sign())).await.status(), StatusCode::OK);
    let expected = format!("resource_metadata=\"{API}{PATH}\"");
    for (mut request, status) in [
        (request(&[]), 401),
        (request(&["Bearer"]), 400),
        (bearer("x"), 401),
        (bearer(&world.token().sign()), 403),
    ] {
        request.headers_mut().insert(HOST, "evil.example.com".parse().unwrap());
        let response = send(&app, request).await;
        assert_eq!(response.status().as_u16(), status);
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert_eq!(challenge.matches("resource_metadata").count(), 1);
        assert!(challenge.ends_with(&expected) && !challenge.contains("evil"), "{challenge}");
    }
    let good = world.api.verify(&world.token().sign()).await.unwrap();
    let claims = good.claims::<Vec<u8>>().unwrap_err();
    let claims = tower_bearer::Rejection::from(claims).challenge().unwrap();
    assert!(claims.to_str().unwrap().ends_with(&expected), "for claims too");
    let outside = world.api.verify("x").await.unwrap_err().challenge().unwrap();
    assert!(outside.to_str().unwrap().ends_with(&expected), "outside of a layer too");
}

#[test]
fn rfc9728_2_an_issuer_can_be_left_out_and_is_trusted_all_the_same() {
    let (open, inside) = (Idp::new(ISSUER), Idp::new("https://inside.example.com"));
    let build = |inside_as: Issuer| {
        ResourceServer::builder(API).issuer(open.issuer()).issuer(inside_as).build().unwrap()
    };
    let named = |api: &ResourceServer| api.metadata().unwrap().document()["authorization_servers"].clone();
    assert_eq!(named(&build(inside.issuer())), json!([ISSUER, "https://inside.example.com"]));
    let api = build(inside.issuer().unlisted());
    assert_eq!(named(&api), json!([ISSUER]));
    let token = block_on(api.verify(&inside.token(API).sign())).unwrap();
    assert_eq!(token.issuer(), "https://inside.example.com");
    let alone = ResourceServer::builder(API).issuer(inside.issuer().unlisted()).build().unwrap();
    assert_eq!(named(&alone), Value::Null, "an empty list is left out");
}

/// A demonstration, or a test, has no TLS.
#[tokio::test]
async fn rfc9728_3_1_an_http_identifier_has_metadata_on_this_machine_only() {
    let api_of = |identifier: &str| Idp::new(ISSUER).resource_server(identifier);
    for host in ["127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "localhost:8080"] {
        let identifier = format!("http://{host}/mcp");
        let api = api_of(&identifier);
        let path = format!("{PATH}/mcp");
        assert_eq!(document(&served(&api), &path).await["resource"], json!(identifier));
        let response = send(&app(&BearerAuthLayer::new(api)), request(&[])).await;
        let expected = format!("Bearer resource_metadata=\"http://{host}{path}\"");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], expected);
    }
    for identifier in [
        "http://api.example.com/mcp",
        "http://10.0.0.7/mcp",
        "http://0.0.0.0/mcp",
        "http://localhost.example.com/mcp",
        "http://user@127.0.0.1/mcp",
        "http://127.0.0.1/mcp#x",
    ] {
        let api = api_of(identifier);
        assert!(api.metadata().is_none(), "{identifier}");
        let response = send(&app(&BearerAuthLayer::new(api)), request(&[])).await;
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer", "{identifier}");
    }
}

#[tokio::test]
async fn it_is_off_by_one_call_and_where_the_identifier_is_no_url() {
    let idp = Idp::new(ISSUER);
    let off = ResourceServer::builder(API).issuer(idp.issuer()).without_metadata();
    let off = off.metadata_member("resource_name", "Orders").build().unwrap();
    let name = ResourceServer::builder("orders").issuer(idp.issuer()).build().unwrap();
    for api in [off, name] {
        assert!(api.metadata().is_none());
        let response = send(&app(&BearerAuthLayer::new(api)), request(&[])).await;
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}

#[tokio::test]
async fn rfc9728_3_1_it_is_read_with_get_at_the_path_of_the_resource() {
    let api = Idp::new(ISSUER).resource_server("https://api.example.com/v1/");
    let app = served(&api);
    assert_eq!(
        document(&app, "/.well-known/oauth-protected-resource/v1").await["resource"],
        "https://api.example.com/v1/"
    );
    let at = |method: Method| {
        let request = Request::builder().method(method).uri("/.well-known/oauth-protected-resource/v1");
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(send(&app, at(Method::HEAD)).await.status(), StatusCode::OK);
    let response = send(&app, at(Method::POST)).await;
    assert_eq!(
        (response.status(), &response.headers()[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap())
    );
}
