//! wicked: a form, opaque tokens, and Kong's lists of them.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{Served, Wicked};

use super::{FORM, JSON, access_token, basic, fetch, members, post, request};

const SAMPLE: &str =
    "grant_type=client_credentials&client_id=robot&client_secret=its+secret&scope=read%20write";
const PATH: &str = "/auth/default/api/petstore/token";

fn wicked(clock: &ManualClock) -> Wicked {
    Wicked::new()
        .clock(clock.clone())
        .api("petstore", ["read", "write"])
        .api("mobile", ["call"])
        .client("robot", "its secret", "my-app", "petstore")
        .client("caller", "its secret", "my-app", "mobile")
        .public_client("page", "my-page", "petstore")
}

async fn serve(wicked: Wicked) -> Served<Wicked> {
    wicked.serve().await.unwrap()
}

#[tokio::test]
async fn the_token_of_the_document() {
    let wicked = serve(wicked(&ManualClock::new())).await;
    let answer = post(wicked.url(), PATH, &[FORM], SAMPLE).await.granted();
    assert_eq!(members(&answer), ["access_token", "expires_in", "token_type"]);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("bearer"), &json!(3600)));
    let token = access_token(&answer);
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
    assert_eq!(wicked.token_url("petstore"), format!("{}{PATH}", wicked.url()));
    // JSON too, and Basic where the body names no client.
    let body = r#"{"grant_type": "client_credentials", "client_id": "robot", "client_secret": "its secret"}"#;
    assert_ne!(access_token(&post(wicked.url(), PATH, &[JSON], body).await.granted()), token);
    let credentials = basic("robot", "its secret");
    assert_eq!(
        post(wicked.url(), PATH, &[FORM, &credentials], "grant_type=client_credentials").await.status,
        200
    );
    let named = "grant_type=client_credentials&client_id=robot";
    let refused = post(wicked.url(), PATH, &[FORM, &credentials], named).await.refused(400);
    assert_eq!(refused["error"], "invalid_client");
    // Commas and semicolons do for spaces.
    for list in ["read,write", "read;write"] {
        let token = post(wicked.url(), PATH, &[FORM], &SAMPLE.replace("read%20write", list)).await.granted();
        assert_eq!(listed(&wicked, access_token(&token)).await["scope"], "read write", "{list}");
    }
}

#[tokio::test]
async fn kong_lists_the_token() {
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_millis(1_795_253_078_090));
    let wicked = serve(wicked(&clock)).await;
    assert_ne!(wicked.admin_url(), wicked.url());
    let answer = post(wicked.url(), PATH, &[FORM], SAMPLE).await.granted();
    let token = access_token(&answer);
    let row = listed(&wicked, token).await;
    let names = [
        "access_token",
        "created_at",
        "credential_id",
        "expires_in",
        "id",
        "scope",
        "service_id",
        "token_type",
    ];
    assert_eq!(members(&row), names);
    assert_eq!(row["created_at"], 1_795_253_078_090_u64);
    assert_eq!((&row["expires_in"], &row["scope"]), (&json!(3600), &json!("read write")));
    assert_eq!(row["service_id"].as_str(), wicked.service("petstore"));
    assert_ne!(wicked.service("petstore"), wicked.service("mobile"));
    let (credential, consumer) =
        of(&wicked, row["credential_id"].as_str().unwrap(), |row| &row["consumer_id"]).await;
    assert_eq!(credential["client_id"], "robot");
    assert_eq!(consumer["username"], "my-app$petstore");
    // Who asks for no scope has none.
    let bare = post(wicked.url(), PATH, &[FORM], &SAMPLE.replace("&scope=read%20write", "")).await.granted();
    assert_eq!(listed(&wicked, access_token(&bare)).await.get("scope"), None);
    // A token for another API.
    let other = SAMPLE.replace("robot", "caller").replace("read%20write", "call");
    let other = post(wicked.url(), "/auth/default/api/mobile/token", &[FORM], &other).await.granted();
    assert_eq!(listed(&wicked, access_token(&other)).await["service_id"].as_str(), wicked.service("mobile"));

    let nothing = json!({"total": 0, "data": []});
    assert_eq!(fetch(wicked.admin_url(), "/oauth2_tokens?access_token=made-up").await.granted(), nothing);
    assert_eq!(fetch(wicked.admin_url(), "/oauth2_tokens").await.granted()["total"], 3);
    wicked.revoke(token);
    assert_eq!(
        fetch(wicked.admin_url(), &format!("/oauth2_tokens?access_token={token}")).await.granted(),
        nothing
    );
    assert_eq!(fetch(wicked.admin_url(), "/oauth2?id=made-up").await.granted(), nothing);
    assert_eq!(
        fetch(wicked.admin_url(), "/consumers/made-up").await.refused(404),
        json!({"message": "Not found"})
    );
    // The admin port is no token endpoint, and the other one shows no list.
    assert_eq!(post(wicked.admin_url(), PATH, &[FORM], SAMPLE).await.status, 404);
    assert_eq!(fetch(wicked.url(), "/oauth2_tokens").await.status, 404);
}

#[tokio::test]
async fn kong_lists_it_in_another_way_since_version_1() {
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_millis(1_795_253_078_090));
    let wicked = serve(wicked(&clock).since_kong_1().lifetime(Duration::ZERO).auth_method("ours")).await;
    let answer = post(wicked.url(), "/auth/ours/api/petstore/token", &[FORM], SAMPLE).await.granted();
    assert_eq!(answer["expires_in"], 0);
    let row = listed(&wicked, access_token(&answer)).await;
    let names =
        ["access_token", "created_at", "credential", "expires_in", "id", "scope", "service", "token_type"];
    assert_eq!(members(&row), names);
    assert_eq!((&row["created_at"], &row["expires_in"]), (&json!(1_795_253_078), &json!(0)));
    assert_eq!(row["service"]["id"].as_str(), wicked.service("petstore"));
    let id = row["credential"]["id"].as_str().unwrap();
    let (_, consumer) = of(&wicked, id, |row| &row["consumer"]["id"]).await;
    assert_eq!(consumer["username"], "my-app$petstore");
}

#[tokio::test]
async fn errors() {
    let wicked = serve(wicked(&ManualClock::new())).await;
    assert_eq!(post(wicked.url(), PATH, &[FORM], SAMPLE).await.status, 200);
    let with = |from: &str, to: &str| SAMPLE.replace(from, to);
    let rows = [
        ("no grant", with("grant_type", "grant"), 400, "invalid_request"),
        ("another grant", with("client_credentials", "magic"), 400, "unsupported_grant_type"),
        ("no client", with("client_id", "id"), 400, "invalid_client"),
        ("no secret", with("client_secret", "secret"), 400, "invalid_client"),
        ("wrong secret", with("its+secret", "wrong"), 400, "invalid_client"),
        ("unknown client", with("robot", "nobody"), 400, "invalid_request"),
        ("unknown scope", with("read%20", "admin%20"), 400, "invalid_scope"),
        ("client of another API", with("robot", "caller"), 401, "unauthorized_client"),
        ("public client", with("robot", "page"), 401, "unauthorized_client"),
        ("nothing", String::new(), 400, "invalid_request"),
    ];
    for (name, body, status, error) in rows {
        let refused = post(wicked.url(), PATH, &[FORM], &body).await.refused(status);
        assert_eq!(members(&refused), ["error", "error_description"], "{name}");
        assert_eq!(refused["error"], error, "{name}");
    }
    let json = post(wicked.url(), PATH, &[JSON], "{,").await.refused(400);
    assert_eq!(json["error"], "invalid_request");
    let no_method = post(wicked.url(), &PATH.replace("default", "other"), &[FORM], SAMPLE).await;
    assert_eq!(no_method.status, 404);
    assert_eq!(request("GET", wicked.url(), PATH, &[], "").await.status, 404);
}

/// Kong's record of a token.
async fn listed(wicked: &Served<Wicked>, token: &str) -> Value {
    let mut list = fetch(wicked.admin_url(), &format!("/oauth2_tokens?access_token={token}")).await.granted();
    assert_eq!((members(&list), &list["total"]), (vec!["data", "total"], &json!(1)));
    assert_eq!(list["data"][0]["access_token"], token);
    list["data"][0].take()
}

/// Kong's records of a credential and its consumer.
async fn of(wicked: &Served<Wicked>, credential: &str, consumer: fn(&Value) -> &Value) -> (Value, Value) {
    let list = fetch(wicked.admin_url(), &format!("/oauth2?id={credential}")).await.granted();
    assert_eq!(list["total"], 1);
    let credential = list["data"][0].clone();
    let path = format!("/consumers/{}", consumer(&credential).as_str().unwrap());
    (credential, fetch(wicked.admin_url(), &path).await.granted())
}
