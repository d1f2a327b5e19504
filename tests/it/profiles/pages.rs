//! The settings on the pages of the manual, as they stand there: each makes a server that reads the page's own token.

use std::time::UNIX_EPOCH;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use tower_bearer::settings::Settings;
use tower_bearer::testing::TokenBuilder;
use tower_bearer::testing::systems::{Served, TarkovDatabase};
use tower_bearer::{Fetch, FetchFuture, FetchRequest, FetchResponse, ResourceServer, TokenError};

use super::rows::{answer, folder, sample, settings_of};
use super::{Tokens, fault, parse, verify};
use crate::keys::public_pem;
use crate::settings::Folder;
use crate::support::{block_on, seconds};

struct Row {
    page: &'static str,
    /// Which of the settings on the page.
    settings: usize,
    /// What is different from the first token on the page.
    change: fn(TokenBuilder) -> TokenBuilder,
    client: &'static str,
    scopes: &'static str,
}

const fn row(page: &'static str, client: &'static str, scopes: &'static str) -> Row {
    Row { page, settings: 0, change: |token| token, client, scopes }
}

const ROWS: [Row; 21] = [
    row("mod", "robot", "reader"),
    row("auth0", "K1AUPhZq8mRi", "openid profile orders:read"),
    row("okta", "0oa7robot", "openid orders:read"),
    row("entra", "1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c", "Orders.Read.All"),
    row("cognito", "1example23456789", "https://orders.example.com/read"),
    row("google", "107145139691231222712", "orders:write"),
    row("keycloak", "robot", "email orders:read"),
    row("zitadel", "303912345678901234", "reader"),
    row("identity_server", "robot", "orders:read"),
    row("kubernetes", "system:serviceaccount:shop:worker", "orders:read"),
    row("league", "robot", "orders:read"),
    row("clickview", "robot", "read"),
    Row { settings: 1, change: |token| token.without_claim("aud"), ..row("clickview", "robot", "read") },
    row("tarkov_database", "5f1a0e3c9d521c2d3e4f5a6b", "read:item"),
    row("oro", "robot", "orders:read orders:write"),
    Row { settings: 1, change: |token| token.claim("aud", "shop"), ..row("oro", "shop", "") },
    row("aidbox", "robot", "orders:read"),
    // Of tokens that are looked up.
    Row { settings: 1, ..row("identity_server", "robot", "orders:read") },
    Row { settings: 1, ..row("aidbox", "web-app", "orders:read") },
    // These have nothing to sign; see the module `matrix`.
    row("wicked", "", ""),
    row("several", "", ""),
];

impl Row {
    fn is_looked_up(&self) -> bool {
        (matches!(self.page, "aidbox" | "identity_server") && self.settings == 1) || self.page == "wicked"
    }
}

/// The documents of an issuer, whatever their URL is.
struct Published {
    issuer: String,
    jwks: String,
    /// Of introspection.
    answer: String,
}

impl Fetch for Published {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let keys = format!("{}/keys", self.issuer.trim_end_matches('/'));
        let body = if request.form().is_some() {
            self.answer.clone()
        } else if request.url().contains("/.well-known/openid-configuration") {
            json!({"issuer": self.issuer, "jwks_uri": keys, "introspection_endpoint": keys}).to_string()
        } else {
            self.jwks.clone()
        };
        Box::pin(async { Ok(FetchResponse::new(StatusCode::OK, HeaderMap::new(), body)) })
    }
}

/// A token's own key set is served, in the place of whatever the settings say of fetching.
fn server(text: &str, tokens: &Tokens, folder: &Folder, answer: &Value) -> ResourceServer {
    let fetching = ["ca_file", "fetch_token_file"];
    let text: String = text
        .lines()
        .filter(|line| !fetching.iter().any(|field| line.trim_start().starts_with(field)))
        .map(|line| format!("{line}\n"))
        .collect();
    let issuer = tokens.claims.get("iss").and_then(Value::as_str).unwrap_or_default().to_owned();
    let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
    settings.routes().unwrap();
    let builder = settings.builder().unwrap().clock(tokens.clock.clone());
    let answer = answer.to_string();
    builder.fetch(Published { issuer, jwks: tokens.idp.jwks(), answer }).build().unwrap()
}

fn tarkov(tokens: &Tokens) -> Served<TarkovDatabase> {
    let system = TarkovDatabase::new(["rest-api"]).clock(tokens.clock.clone());
    block_on(system.client(TARKOV_CLIENT, "its secret", ["read:item"]).serve()).unwrap()
}

const TARKOV_CLIENT: &str = "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c";

fn members(object: &Map<String, Value>) -> Vec<&String> {
    let mut names: Vec<_> = object.keys().collect();
    names.sort_unstable();
    names
}

#[test]
fn the_settings_of_each_page_read_its_token() {
    for row in ROWS.iter().filter(|row| row.page != "several" && !row.is_looked_up()) {
        let name = format!("{} {}", row.page, row.settings);
        let files = Folder::new(&format!("page-{}-{}", row.page, row.settings));
        let tokens = Tokens::like(&sample(row.page, 0));
        let jwks: Value = serde_json::from_str(&tokens.idp.jwks()).unwrap();
        let pem = public_pem(&jwks["keys"][0]);
        for file in ["oauth_public.key", "oauth-public.key"] {
            files.write(file, &pem);
        }
        let mut token = tokens.token();
        if row.page == "tarkov_database" {
            // Its key comes along; the rest is what the page shows.
            let system = tarkov(&tokens);
            files.write("root.pem", system.root_pem());
            token = system.token(TARKOV_CLIENT).claim("sub", tokens.claims["sub"].clone());
            assert_eq!(members(&parse(&token.header_json())), members(&tokens.header));
            assert_eq!(members(&parse(&token.claims_json())), members(&tokens.claims));
        }
        let token = (row.change)(token);
        let api = server(&settings_of(row.page)[row.settings], &tokens, &files, &Value::Null);
        let verified = verify(&api, &token).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert_eq!(verified.client_id(), Some(row.client), "{name}");
        assert_eq!(verified.scopes().to_string(), row.scopes, "{name}");
        // It is this token that is accepted, and not any.
        let other = token.clone().claim("aud", "https://nobody.example.com");
        assert_eq!(fault(&name, verify(&api, &other)), TokenError::Audience, "{name}");
        assert_eq!(
            fault(&name, verify(&api, &token.clone().by_a_stranger())),
            TokenError::Signature,
            "{name}"
        );
        tokens.clock.advance(seconds(3600));
        assert_eq!(fault(&name, verify(&api, &token)), TokenError::Expired, "{name}");
    }
}

#[test]
fn the_settings_for_opaque_tokens_read_the_answer_on_the_page() {
    for row in ROWS.iter().filter(|row| row.is_looked_up() && row.page != "wicked") {
        let name = row.page;
        let files = Folder::new(&format!("page-{name}-opaque"));
        files.write("orders-secret", "ours");
        files.write("aidbox-secret", "ours");
        let tokens = Tokens::like(&sample(name, 0));
        tokens.clock.set_time_of_day(UNIX_EPOCH + seconds(1_800_000_000));
        let answer = answer(name);
        let verify = |answer: &Value| {
            let api = server(&settings_of(name)[row.settings], &tokens, &files, answer);
            block_on(api.verify("6f1d9c0e-3b7a-4b1e-9a53-0d2f4c6e8a1b"))
        };
        let verified = verify(&answer).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert_eq!(verified.client_id(), Some(row.client), "{name}");
        assert_eq!(verified.scopes().to_string(), row.scopes, "{name}");
        let changed = |member: &str, value: Value| {
            let mut answer = answer.clone();
            answer[member] = value;
            fault(name, verify(&answer))
        };
        assert_eq!(changed("active", json!(false)), TokenError::Inactive, "{name}");
        assert_eq!(changed("aud", json!("https://nobody.example.com")), TokenError::Audience, "{name}");
        assert_eq!(changed("iss", json!("https://nobody.example.com")), TokenError::Issuer, "{name}");
        assert_eq!(changed("exp", json!(1_700_000_000)), TokenError::Expired, "{name}");
        if name == "aidbox" {
            assert_eq!(changed("sub", json!("nobody")), TokenError::Client);
        }
    }
}

/// With the fields that say how keys are fetched, which only compile into something where there is a client.
#[cfg(feature = "rustls")]
#[test]
fn the_settings_of_kubernetes_can_be_used_as_they_are() {
    let files = Folder::new("page-kubernetes");
    let tokens = Tokens::like(&sample("kubernetes", 0));
    files.write("ca.crt", tarkov(&tokens).root_pem());
    files.write("token", "ours");
    let [text] = &settings_of("kubernetes")[..] else { panic!("one file") };
    let mounted = "/var/run/secrets/kubernetes.io/serviceaccount/";
    assert_eq!(text.matches(mounted).count(), 2);
    let text = text.replace(mounted, "");
    let settings = Settings::read(files.write("settings.toml", &text)).unwrap();
    assert!(settings.resource_server().is_ok());
    let settings = Settings::read(files.write("settings.toml", text.replace("ca.crt", "none.crt"))).unwrap();
    assert_eq!(settings.resource_server().unwrap_err().path(), "issuer[0].ca_file");
}

#[test]
fn every_settings_file_of_the_manual_is_tried() {
    let mut found = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let page = path.file_stem().unwrap().to_str().unwrap();
        let rows = ROWS.iter().filter(|row| row.page == page).count();
        assert_eq!(settings_of(page).len(), rows, "{page}");
        found += rows;
        // One that stands there as something else would not be tried.
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("//! resource = ").count(), rows, "{page}");
    }
    assert_eq!(found, ROWS.len());
}
