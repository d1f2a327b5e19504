//! The table: for each way to get a token, the route where it is accepted, and what is refused beside it.

use serde_json::json;
use tower_bearer::TokenError;
use tower_bearer::manual::defaults::ACTIVE_FOR;
use tower_bearer::testing::TokenBuilder;
use tower_bearer::testing::systems::Leaf;

use super::API;
use super::systems::System::{self, Aidbox, ClickView, Oro, Tarkov, Wicked};
use super::systems::{Ask, EVERYTHING, READER, Systems};

/// A token that is asked for as documented, and accepted; and what becomes of it if one thing is different.
pub(super) struct Case {
    pub(super) system: System,
    pub(super) ask: Ask,
    /// The id that it asks with.
    pub(super) client: &'static str,
    pub(super) route: &'static str,
    /// What it is granted there.
    pub(super) scopes: &'static str,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    /// What is sent.
    pub(super) sent: &'static str,
    pub(super) but: But,
    pub(super) expected: Expected,
}

/// What is different from the request that is accepted.
pub(super) enum But {
    Nothing,
    /// It is sent so many seconds later.
    Later(u64),
    /// It is revoked, and sent so many seconds later.
    Revoked(u64),
    /// The system is down, and another one like it is sent.
    Down,
    /// It is sent to another route.
    To(&'static str),
    /// What the system would sign for the client, changed, is sent instead.
    Changed(fn(TokenBuilder) -> TokenBuilder),
    /// Another token, which the system would sign, is sent instead.
    Instead(fn(&Systems) -> String),
    /// A token that was asked for in another way is sent instead.
    Asked(Ask),
    /// The system has another key from now on, and signs with it what is sent instead.
    Rotated,
    /// The same, and once that was accepted the token is sent whose key is gone.
    Withdrawn,
}

#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// 200, for the client of the case.
    Accepted,
    /// 401.
    Refused(TokenError),
    /// 403.
    Forbidden,
    /// 503.
    Unavailable,
}

impl Row {
    /// How what is sent was asked for.
    pub(super) fn ask<'a>(&'a self, case: &'a Case) -> &'a Ask {
        match &self.but {
            But::Asked(ask) => ask,
            _ => &case.ask,
        }
    }

    /// Where it is sent.
    pub(super) fn route(&self, case: &Case) -> &'static str {
        match self.but {
            But::To(route) => route,
            _ => case.route,
        }
    }
}

use Expected::{Accepted, Forbidden, Refused, Unavailable};

fn row(sent: &'static str, but: But, expected: Expected) -> Row {
    Row { sent, but, expected }
}

/// The token as it came.
fn asked() -> Row {
    row("the token", But::Nothing, Accepted)
}

fn harmed(sent: &'static str, change: fn(TokenBuilder) -> TokenBuilder, why: TokenError) -> Row {
    row(sent, But::Changed(change), Refused(why))
}

fn instead(sent: &'static str, other: fn(&Systems) -> String, why: TokenError) -> Row {
    row(sent, But::Instead(other), Refused(why))
}

/// What every system has in common: its own lifetime, with a minute of leeway, and keys of its own.
fn common(lifetime: u64) -> Vec<Row> {
    vec![
        asked(),
        row("... a second before it ends", But::Later(lifetime.saturating_add(59)), Accepted),
        row("... expired", But::Later(lifetime.saturating_add(60)), Refused(TokenError::Expired)),
        harmed("... signed by a stranger", TokenBuilder::by_a_stranger, TokenError::Signature),
        harmed(
            "... of an issuer nobody knows",
            |token| token.claim("iss", "https://other.example.com"),
            TokenError::Issuer,
        ),
        harmed("... of another type", |token| token.header("typ", "dpop+jwt"), TokenError::Type),
    ]
}

/// What all tokens have in common that are looked up: `lasts` seconds, and `why` they are refused then.
fn looked_up(lasts: u64, why: TokenError) -> Vec<Row> {
    let known = ACTIVE_FOR.as_secs();
    vec![
        asked(),
        row("... a second before it ends", But::Later(lasts.saturating_sub(1)), Accepted),
        row("... expired", But::Later(lasts), Refused(why)),
        row("... just revoked", But::Revoked(known.saturating_sub(1)), Accepted),
        row("... revoked a minute ago", But::Revoked(known), Refused(TokenError::Inactive)),
        instead("a made-up token", |_| "Qx7".repeat(10), TokenError::Inactive),
        instead("what cannot be a token", |_| "short".to_owned(), TokenError::Structure),
        row("one that is new, and the system down", But::Down, Unavailable),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [clickview(), wicked(), tarkov(), oro(), aidbox()].into_iter().flatten().collect()
}

fn clickview() -> Vec<Case> {
    let scope = "&scope=smartembed.viewkey";
    let ask = |more| Ask::form(ClickView, "/connect/token", "player", more);
    let case = |ask, rows| Case {
        system: ClickView,
        ask,
        client: "player",
        route: "/embeds",
        scopes: "smartembed.viewkey",
        rows,
    };
    let mut rows = common(86_400);
    rows.extend([
        row(
            "a token for another API",
            But::Asked(ask("&scope=smartembed.admin")),
            Refused(TokenError::Audience),
        ),
        harmed("... without an audience", |token| token.without_claim("aud"), TokenError::Audience),
        harmed("... without a client", |token| token.without_claim("client_id"), TokenError::MissingClaim),
        harmed("... without an issuer", |token| token.without_claim("iss"), TokenError::Type),
        harmed("an ID token", |token| token.header("typ", "JWT").claim("aud", "player"), TokenError::Type),
        instead("a refresh token", |_| format!("{}-1", "9A".repeat(32)), TokenError::Inactive),
        harmed("... with a made-up key id", |token| token.header("kid", "made-up"), TokenError::UnknownKey),
        row("... on a route of another issuer", But::To("/orders"), Forbidden),
        row("the first by a new key", But::Rotated, Accepted),
        row("... after its key was withdrawn", But::Withdrawn, Refused(TokenError::UnknownKey)),
    ]);
    let reference = |client, scope| Ask::form(ClickView, "/connect/token", client, scope);
    let mut by_reference = looked_up(86_400, TokenError::Inactive);
    by_reference.extend([
        row(
            "a reference for another API",
            But::Asked(reference("looked-up-elsewhere", "&scope=smartembed.admin")),
            Refused(TokenError::Inactive),
        ),
        row("... on a route of another issuer", But::To("/orders"), Forbidden),
        row("... where only Oro is", But::To("/narrowed/oro"), Refused(TokenError::Structure)),
    ]);
    vec![
        case(ask(scope), rows),
        case(Ask::basic(ClickView, "/connect/token", "player", scope), vec![asked()]),
        Case { client: "looked-up", ..case(reference("looked-up", scope), by_reference) },
    ]
}

/// Its tokens say nothing by themselves, and Kong still lists those that have expired.
fn wicked() -> Vec<Case> {
    let ask = |api, client| Ask::form(Wicked, api, client, "&scope=read");
    let petstore = || ask("/auth/default/api/petstore/token", "pets");
    let case = |ask, client, route, scopes, rows| Case { system: Wicked, ask, client, route, scopes, rows };
    let mut rows = looked_up(3600 + 60, TokenError::Expired);
    rows.extend([
        row(
            "a token for another API",
            But::Asked(ask("/auth/default/api/mobile/token", "phone")),
            Refused(TokenError::Audience),
        ),
        row("... on a route for another scope", But::To("/pets/new"), Forbidden),
        // There such tokens are ClickView's to know.
        row("... where ClickView's are looked up", But::To("/who"), Refused(TokenError::Inactive)),
        row("... where only Oro is", But::To("/narrowed/oro"), Refused(TokenError::Structure)),
        row("... where Aidbox is", But::To("/sessions"), Refused(TokenError::Inactive)),
    ]);
    let credentials = Ask::basic(Wicked, "/auth/default/api/petstore/token", "pets", "&scope=read");
    vec![
        case(petstore(), "pets", "/pets", "read", rows),
        case(credentials, "pets", "/pets", "read", vec![asked()]),
    ]
}

fn tarkov() -> Vec<Case> {
    let ask = |client| Ask::json(Tarkov, "/v1/oauth/token", client, json!({}));
    let case =
        |client, route, scopes, rows| Case { system: Tarkov, ask: ask(client), client, route, scopes, rows };
    let mut rows = common(1800);
    rows.extend([
        harmed("... for another audience", |token| token.claim("aud", vec!["other"]), TokenError::Audience),
        harmed("... without a client", |token| token.without_claim("sub"), TokenError::MissingClaim),
        harmed("... without its chain", |token| token.without_header("x5c"), TokenError::Certificate),
        instead(
            "... without the intermediate",
            |systems| systems.tarkov.token_without_intermediate(READER).sign(),
            TokenError::Certificate,
        ),
        instead(
            "... under a strange root",
            |systems| systems.tarkov.token_under_a_strange_root(READER).sign(),
            TokenError::Certificate,
        ),
        row("... with a second leaf", But::Instead(|systems| leaf(systems, Leaf::Good)), Accepted),
        instead("... with an expired leaf", |systems| leaf(systems, Leaf::Expired), TokenError::Certificate),
        instead(
            "... with a leaf of the future",
            |systems| leaf(systems, Leaf::NotYetValid),
            TokenError::Certificate,
        ),
        instead(
            "... with a leaf that is an authority",
            |systems| leaf(systems, Leaf::Authority),
            TokenError::Certificate,
        ),
        instead(
            "... with a leaf not for signatures",
            |systems| leaf(systems, Leaf::OtherUsage),
            TokenError::Certificate,
        ),
        row("... on a route for other scopes", But::To("/locations"), Forbidden),
        row("... on a route of another issuer", But::To("/orders"), Forbidden),
        row("... where its issuer is let in", But::To("/narrowed/tarkov"), Accepted),
        row("... where only Oro is", But::To("/narrowed/oro"), Refused(TokenError::Algorithm)),
        row("... where every issuer has a name", But::To("/named"), Refused(TokenError::Issuer)),
        harmed("... of Oro's type", |token| token.header("typ", "JWT"), TokenError::Type),
        row("the first by the next leaf", But::Rotated, Accepted),
        row("... after that", But::Withdrawn, Accepted),
    ]);
    vec![
        case(READER, "/items", "read:item", rows),
        // read:all stands for read:item everywhere; for read:location it does on that route.
        case(EVERYTHING, "/items", "read:all", vec![asked()]),
        case(EVERYTHING, "/locations", "read:all", vec![asked()]),
    ]
}

fn leaf(systems: &Systems, leaf: Leaf) -> String {
    systems.tarkov.token_with_leaf(READER, leaf).sign()
}

/// What is good there in all but the key.
fn of_aidbox(systems: &Systems) -> String {
    systems.aidbox.token("robot").without_claim("iss").claim("aud", "robot").sign()
}

fn of_clickview(systems: &Systems) -> String {
    let token = systems.clickview.token("player").claim("iss", systems.aidbox.issuer());
    token.header("typ", "JWT").claim("aud", API).claim("sub", "nurse").without_claim("scope").sign()
}

fn oro() -> Vec<Case> {
    let json = |client, more| Ask::json(Oro, "/oauth2-token", client, more);
    let case = |ask, client, route, scopes, rows| Case { system: Oro, ask, client, route, scopes, rows };
    let mut rows = common(3600);
    rows.extend([
        row(
            "a token of a client that is not listed",
            But::Asked(json("unlisted", json!({}))),
            Refused(TokenError::Audience),
        ),
        instead("a refresh token", |_| format!("def50200{}", "9a".repeat(300)), TokenError::Inactive),
        harmed("... of Tarkov's type", |token| token.header("typ", "access"), TokenError::Type),
        instead("a token by the key of Aidbox", of_aidbox, TokenError::Signature),
        row("... on a route for a scope it gave itself", But::To("/reports"), Forbidden),
        row("... on a storefront route", But::To("/cart"), Forbidden),
        row("... on a route of another issuer", But::To("/embeds"), Forbidden),
        row("... where its issuer is let in", But::To("/narrowed/oro"), Accepted),
        row("... where only Tarkov is", But::To("/narrowed/tarkov"), Refused(TokenError::Algorithm)),
        row("... where every issuer has a name", But::To("/named"), Refused(TokenError::Issuer)),
    ]);
    let reports = || json!({"scope": "reports"});
    vec![
        case(json("robot", reports()), "robot", "/orders", "orders", rows),
        case(json("manager", reports()), "manager", "/reports", "orders reports", vec![asked()]),
        case(
            json("shop", json!({})),
            "shop",
            "/cart",
            "cart orders",
            vec![asked(), row("... on a back-office route", But::To("/orders"), Forbidden)],
        ),
        case(Ask::form(Oro, "/oauth2-token", "robot", ""), "robot", "/orders", "orders", vec![asked()]),
        case(Ask::basic(Oro, "/oauth2-token", "robot", ""), "robot", "/orders", "orders", vec![asked()]),
    ]
}

fn aidbox() -> Vec<Case> {
    let for_us = || json!({"audience": API});
    let json = |client, more| Ask::json(Aidbox, "/auth/token", client, more);
    let case = |ask, client, route, scopes, rows| Case { system: Aidbox, ask, client, route, scopes, rows };
    let mut rows = common(3600);
    rows.extend([
        row(
            "a token asked for without an audience",
            But::Asked(json("nurse", json!({}))),
            Refused(TokenError::Audience),
        ),
        row(
            "a token for another audience",
            But::Asked(json("nurse", json!({"audience": "https://other.example.com"}))),
            Refused(TokenError::Audience),
        ),
        row(
            "a token of a client that is not listed",
            But::Asked(json("unlisted", for_us())),
            Refused(TokenError::Client),
        ),
        row("an opaque token", But::Asked(json("opaque", json!({}))), Refused(TokenError::Inactive)),
        instead(
            "an ID token",
            |systems| systems.aidbox.id_token("ann", "nurse").sign(),
            TokenError::Audience,
        ),
        instead(
            "an ID token for us",
            |systems| systems.aidbox.id_token("ann", "nurse").claim("aud", API).sign(),
            TokenError::Client,
        ),
        instead(
            "a refresh token",
            |systems| systems.aidbox.refresh_token("nurse").sign(),
            TokenError::Audience,
        ),
        instead(
            "a refresh token for us",
            |systems| systems.aidbox.refresh_token("nurse").claim("aud", API).sign(),
            TokenError::Time,
        ),
        harmed("... without a client", |token| token.without_claim("sub"), TokenError::MissingClaim),
        row("... on a route for the same scope of Oro", But::To("/reports"), Forbidden),
        instead("a token by the key of ClickView", of_clickview, TokenError::Signature),
        row("the first by a new key, without key ids", But::Rotated, Accepted),
        row("... after that", But::Withdrawn, Refused(TokenError::Signature)),
    ]);
    let mut opaque = looked_up(3600, TokenError::Inactive);
    opaque.extend([
        row(
            "a token of a client that is not listed",
            But::Asked(json("opaque-unlisted", json!({}))),
            Refused(TokenError::Client),
        ),
        row("... on a route for another scope", But::To("/sessions/reports"), Forbidden),
        row("... where wicked is", But::To("/pets"), Refused(TokenError::Inactive)),
    ]);
    let granted = "&audience=https%3A%2F%2Fapi.example.com&scope=system%2F*.read";
    vec![
        case(json("nurse", for_us()), "nurse", "/patients", "patients reports", rows),
        case(
            json("visitor", for_us()),
            "visitor",
            "/who",
            "",
            vec![asked(), row("... on a route that asks for a grant", But::To("/patients"), Forbidden)],
        ),
        case(json("opaque", json!({})), "opaque", "/sessions", "patients", opaque),
        case(
            Ask::basic(Aidbox, "/auth/token", "nurse", granted),
            "nurse",
            "/patients",
            "patients reports",
            vec![asked()],
        ),
        case(
            Ask::basic(Aidbox, "/oauth2/token", "nurse", granted),
            "nurse",
            "/patients",
            "patients reports",
            vec![asked()],
        ),
    ]
}
