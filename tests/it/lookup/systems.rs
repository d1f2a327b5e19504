//! The documented systems whose tokens say nothing to us: wicked by Kong's list, IdentityServer's references and Aidbox's
//! sessions by introspection, each over sockets.

use serde_json::Value;
use tower_bearer::manual::defaults::{ACTIVE_FOR, ENDLESS_ACTIVE_FOR};
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{Aidbox, ClickView, Served, Wicked};
use tower_bearer::{
    Introspection, Issuer, Keys, KongTokens, Profile, RejectionKind, ReqwestFetch, ResourceServer, TokenError,
};

use super::is_unavailable;
use crate::support::{API, seconds, server};
use crate::systems::{FORM, access_token, basic, post};

async fn fault(api: &ResourceServer, token: &str) -> Option<TokenError> {
    api.verify(token).await.err().map(|why| why.token_error().unwrap_or_else(|| panic!("{why:?}")))
}

fn wicked(clock: &ManualClock) -> Wicked {
    Wicked::new()
        .clock(clock.clone())
        .api("petstore", ["read", "write"])
        .api("mobile", ["call"])
        .client("robot", "its secret", "my-app", "petstore")
        .client("caller", "its secret", "my-app", "mobile")
}

async fn token_of(wicked: &Served<Wicked>, client: &str, api: &str) -> String {
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret=its+secret");
    let answer =
        post(wicked.url(), &format!("/auth/default/api/{api}/token"), &[FORM], &form).await.granted();
    access_token(&answer).to_owned()
}

fn petstore(wicked: &Served<Wicked>, clock: &ManualClock) -> ResourceServer {
    let kong = KongTokens::at(wicked.admin_url(), ReqwestFetch::new().unwrap()).unwrap();
    let issuer = Issuer::unnamed("wicked").lookup(kong).audience(wicked.service("petstore").unwrap());
    server(clock, [issuer])
}

#[tokio::test]
async fn wickeds_tokens_by_kongs_list() {
    for newer in [false, true] {
        let clock = ManualClock::new();
        let system = if newer { wicked(&clock).since_kong_1() } else { wicked(&clock) };
        let wicked = system.serve().await.unwrap();
        let api = petstore(&wicked, &clock);
        let good = token_of(&wicked, "robot", "petstore").await;
        let token = api.verify(&good).await.unwrap();
        assert_eq!((token.client_id(), token.issuer()), (Some("robot"), "wicked"));
        assert_eq!(token.audience().collect::<Vec<_>>(), [wicked.service("petstore").unwrap()]);
        let lives = token.expires_at().unwrap().duration_since(token.issued_at().unwrap()).unwrap();
        assert_eq!(lives, seconds(3600));
        let foreign = token_of(&wicked, "caller", "mobile").await;
        assert_eq!(fault(&api, &foreign).await, Some(TokenError::Audience));
        assert_eq!(fault(&api, "MADEUP7890123456789012345678901x").await, Some(TokenError::Inactive));
        let before = wicked.requests().len();
        assert_eq!(fault(&api, &good).await, None);
        assert_eq!(wicked.requests().len(), before, "it is remembered");
        // Revoked within the bound.
        wicked.revoke(&good);
        clock.advance(ACTIVE_FOR - seconds(1));
        assert_eq!(fault(&api, &good).await, None);
        clock.advance(seconds(1));
        assert_eq!(fault(&api, &good).await, Some(TokenError::Inactive));
        // Kong keeps what has expired.
        let old = token_of(&wicked, "robot", "petstore").await;
        clock.advance(seconds(3659));
        assert_eq!(fault(&api, &old).await, None);
        clock.advance(seconds(1));
        assert_eq!(fault(&api, &old).await, Some(TokenError::Expired));
        wicked.go_down();
        let refused = api.verify("another-token-of-somebody").await;
        assert!(is_unavailable(&refused));
    }
}

#[tokio::test]
async fn wickeds_token_for_ever() {
    let clock = ManualClock::new();
    let wicked = wicked(&clock).lifetime(seconds(0)).serve().await.unwrap();
    let api = petstore(&wicked, &clock);
    let token = token_of(&wicked, "robot", "petstore").await;
    assert_eq!(api.verify(&token).await.unwrap().expires_at(), None);
    wicked.revoke(&token);
    clock.advance(ENDLESS_ACTIVE_FOR);
    assert_eq!(fault(&api, &token).await, Some(TokenError::Inactive));
}

/// What other lists Kong may answer with.
#[tokio::test]
async fn kongs_answers_are_read_with_care() {
    use axum::{Router, routing::get};
    use std::sync::{Arc, Mutex};
    use tower_bearer::testing::Loopback;
    let loopback = Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let list = Arc::new(Mutex::new(Value::Null));
    let credentials_go_on = Arc::new(Mutex::new(false));
    let (said, go_on) = (list.clone(), credentials_go_on.clone());
    let app = Router::new()
        .route("/admin/oauth2_tokens", get(move || async move { axum::Json(said.lock().unwrap().clone()) }))
        .route(
            "/admin/oauth2",
            get(move || async move {
                let next = go_on.lock().unwrap().then_some("/oauth2?offset=x");
                axum::Json(serde_json::json!({"data": [{"id": "c", "client_id": "robot"}], "next": next}))
            }),
        );
    let _serving = loopback.serve(app);
    let kong = || KongTokens::at(&format!("{url}/admin/"), ReqwestFetch::new().unwrap()).unwrap();
    let verify = async |said: Value| {
        *list.lock().unwrap() = said;
        let issuer = Issuer::unnamed("kong").lookup(kong()).audience("s").clients(["robot"]);
        let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
        api.verify("the-token").await
    };
    let row = |token: &str| {
        serde_json::json!({"access_token": token, "expires_in": 0, "created_at": 1, "service": {"id": "s"},
            "credential": {"id": "c"}, "authenticated_userid": null, "scope": "a b"})
    };
    let page = |rows: Vec<Value>| serde_json::json!({"data": rows, "next": null});
    let good = verify(page(vec![row("other"), row("the-token")])).await.unwrap();
    assert!(good.has_scope("a") && good.has_scope("b") && good.subject().is_none());
    // Another's token is not ours, though the list is not filtered.
    for rows in [vec![], vec![row("other")], vec![row("THE-TOKEN")], vec![row("the-token-")]] {
        let refused = verify(page(rows)).await.unwrap_err();
        assert_eq!(refused.token_error(), Some(TokenError::Inactive));
    }
    let mut of_nobody = row("the-token");
    of_nobody["credential"] = Value::Null;
    assert_eq!(verify(page(vec![of_nobody])).await.unwrap_err().token_error(), Some(TokenError::Client));
    let mut for_all = row("the-token");
    for_all["service"] = Value::Null;
    assert_eq!(verify(page(vec![for_all])).await.unwrap_err().token_error(), Some(TokenError::Audience));
    // A client that is not there is not the same as none.
    let mut of_somebody_gone = row("the-token");
    of_somebody_gone["credential"]["id"] = Value::from("another");
    let refused = verify(page(vec![of_somebody_gone.clone()])).await.unwrap_err();
    assert_eq!(refused.token_error(), Some(TokenError::Inactive));
    *credentials_go_on.lock().unwrap() = true;
    let refused = verify(page(vec![of_somebody_gone])).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Unavailable);
    assert!(verify(page(vec![row("the-token")])).await.is_ok());
    // It may be on the next page.
    for odd in [
        serde_json::json!({"data": [row("other")], "next": "/oauth2_tokens?offset=x"}),
        serde_json::json!({"data": [row("other")], "offset": "x"}),
        serde_json::json!({"data": [{"access_token": "the-token"}]}),
        serde_json::json!({"message": "Not found"}),
        serde_json::json!([]),
    ] {
        assert_eq!(verify(odd.clone()).await.unwrap_err().kind(), RejectionKind::Unavailable, "{odd}");
    }
}

/// What is said of one token is said of no other.
#[tokio::test]
async fn a_token_that_kong_dislikes_is_no_outage() {
    use axum::{Router, extract::Query, response::IntoResponse, routing::get};
    use http::StatusCode;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let loopback = tower_bearer::testing::Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let list = async move |Query(filter): Query<HashMap<String, String>>| {
        counts.fetch_add(1, Ordering::Relaxed);
        let token = &filter["access_token"];
        if token.starts_with("odd") {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let row =
            serde_json::json!({"access_token": token, "expires_in": 0, "created_at": 1, "service_id": "s"});
        axum::Json(serde_json::json!({"data": [row]})).into_response()
    };
    let _serving = loopback.serve(Router::new().route("/oauth2_tokens", get(list)));
    let kong = KongTokens::at(&url, ReqwestFetch::new().unwrap()).unwrap();
    let api = server(&ManualClock::new(), [Issuer::unnamed("kong").lookup(kong).audience("s")]);
    assert!(api.verify("a-good-token").await.is_ok());
    for n in 0..10 {
        assert!(is_unavailable(&api.verify(&format!("odd-token-{n}")).await));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 11);
    // Three times as long in a URL.
    for n in 0..10 {
        assert!(is_unavailable(&api.verify(&format!("{}{n}", "/".repeat(400))).await));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 11, "nobody is asked with a URL like that");
    assert!(api.verify(&"/".repeat(300)).await.is_ok());
    assert!(api.verify("another-good-token").await.is_ok());
}

#[tokio::test]
async fn identity_servers_references() {
    let clock = ManualClock::new();
    let clickview = ClickView::new()
        .clock(clock.clone())
        .client("looked up", "its secret", ["smartembed.viewkey"])
        .client("foreign", "its secret", ["other"])
        .client("by value", "its secret", ["smartembed.viewkey"])
        .by_reference("looked up")
        .by_reference("foreign")
        .api_resource("integrations", "api secret", ["smartembed.viewkey"])
        .api_resource("another", "another secret", ["other"])
        .serve()
        .await
        .unwrap();
    let token_of = async |client: &str| {
        let form = "grant_type=client_credentials";
        let reply =
            post(clickview.url(), "/connect/token", &[FORM, &basic(client, "its+secret")], form).await;
        access_token(&reply.granted()).to_owned()
    };
    // Hybrid, and both found by one document.
    let issuer = |introspection: Introspection| {
        let issuer = Issuer::new(clickview.url()).audience("integrations").profile(Profile::clickview());
        issuer.keys(Keys::discovery()).introspection(introspection).dangerous_allow_http()
    };
    let api = server(&clock, [issuer(Introspection::discovered().basic("integrations", "api secret"))]);
    let reference = token_of("looked+up").await;
    let token = api.verify(&reference).await.unwrap();
    assert_eq!((token.client_id(), token.issuer()), (Some("looked up"), clickview.url()));
    assert!(token.has_scope("smartembed.viewkey"));
    let jwt = token_of("by+value").await;
    assert_eq!(api.verify(&jwt).await.unwrap().client_id(), Some("by value"));
    assert_eq!(clickview.requests().iter().filter(|call| call.ends_with("/introspect")).count(), 1);
    let foreign = token_of("foreign").await;
    assert_eq!(fault(&api, &foreign).await, Some(TokenError::Inactive), "not ours to know");
    clickview.revoke(&reference);
    clock.advance(ACTIVE_FOR);
    assert_eq!(fault(&api, &reference).await, Some(TokenError::Inactive));
    let another = token_of("looked+up").await;
    clock.advance(seconds(86_400));
    assert_eq!(fault(&api, &another).await, Some(TokenError::Inactive), "it has expired");
    // With the wrong secret it is we who are refused.
    let at = Introspection::at(clickview.introspection_url());
    let wrong = server(&clock, [issuer(at.basic("integrations", "wrong"))]);
    let fresh = token_of("looked+up").await;
    assert!(is_unavailable(&wrong.verify(&fresh).await));
    clickview.go_down();
    assert!(is_unavailable(&api.verify(&fresh).await));
    clickview.come_back();
    clock.advance(seconds(5));
    assert_eq!(fault(&api, &fresh).await, None);
}

#[tokio::test]
async fn aidboxes_sessions() {
    let clock = ManualClock::new();
    let aidbox = Aidbox::new().clock(clock.clone()).client("web-app", "its-secret").serve().await.unwrap();
    let form = "grant_type=client_credentials";
    let reply = post(aidbox.url(), "/auth/token", &[FORM, &basic("web-app", "its-secret")], form).await;
    let session = access_token(&reply.granted()).to_owned();
    let introspection = Introspection::at(aidbox.introspection_url()).basic("web-app", "its-secret");
    let issuer =
        Issuer::new(aidbox.url()).profile(Profile::aidbox().optional_audience()).clients(["web-app"]);
    let api = server(&clock, [issuer.introspection(introspection).dangerous_allow_http()]);
    let token = api.verify(&session).await.unwrap();
    assert_eq!((token.client_id(), token.expires_at()), (Some("web-app"), None));
    assert_eq!(fault(&api, "3f2b8c1e-0000-4000-8000-000000000000").await, Some(TokenError::Inactive));
    aidbox.end_session(&session);
    clock.advance(ENDLESS_ACTIVE_FOR - seconds(1));
    assert_eq!(fault(&api, &session).await, None);
    clock.advance(seconds(1));
    assert_eq!(fault(&api, &session).await, Some(TokenError::Inactive));
}
