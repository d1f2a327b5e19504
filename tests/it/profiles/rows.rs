//! The table: one row for each profile.

use std::path::Path;

use serde_json::{Value, json};
use tower_bearer::testing::TokenBuilder;
use tower_bearer::{Issuer, Profile, Rule, TokenError, all_of, any_of};

/// The identifier of the API on the pages.
pub(super) const ORDERS: &str = "https://orders.example.com";

pub(super) type Change = fn(TokenBuilder) -> TokenBuilder;

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) profile: fn() -> Profile,
    /// The header's types that are accepted; `""` for none.
    pub(super) types: &'static [&'static str],
    /// A header and claims, from a page.
    pub(super) sample: (Value, Value),
    /// What is said of the issuer besides.
    pub(super) issuer: fn(Issuer) -> Issuer,
    pub(super) client: Option<&'static str>,
    pub(super) scopes: &'static str,
    /// What a route asks for.
    pub(super) rule: Rule,
    pub(super) default: ByDefault,
    pub(super) refused: &'static [(&'static str, Change, TokenError)],
}

/// What the default profile makes of the sample, with the same issuer in all else.
pub(super) enum ByDefault {
    /// It refuses it.
    Refuses(TokenError),
    /// It accepts it, and does not see what the route asks for: 403.
    Misses,
    /// It reads it just as well. What it does not do is to refuse this other token of the issuer, as the profile does.
    TakesToo(&'static str, Change, TokenError),
}

/// The n-th sample on a page: a block of JSON with the header, and one with the claims.
pub(super) fn sample(page: &str, n: usize) -> (Value, Value) {
    let mut blocks = blocks(page, "json").into_iter().skip(2 * n);
    let mut block = || serde_json::from_str(&blocks.next().expect("a sample")).unwrap();
    (block(), block())
}

/// What introspection says, the last sample of a page.
pub(super) fn answer(page: &str) -> Value {
    serde_json::from_str(&blocks(page, "json").pop().expect("a sample")).unwrap()
}

/// The settings files on a page.
pub(crate) fn settings_of(page: &str) -> Vec<String> {
    blocks(page, "toml")
}

/// The blocks of a language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join(page).with_extension("rs")).unwrap();
    let text: String = text.lines().map(|line| line.trim_start_matches("//!").to_owned() + "\n").collect();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

pub(super) fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/providers"))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "rfc9068",
            profile: Profile::rfc9068,
            types: &["at+jwt"],
            sample: (
                json!({"typ": "at+jwt"}),
                json!({
                    "iss": "https://id.example.com", "aud": ORDERS, "sub": "ann", "client_id": "robot",
                    "iat": 0, "exp": 0, "jti": "1", "scope": "orders:read"
                }),
            ),
            issuer: |issuer| issuer,
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::TakesToo("an ID token", |token| token.header("typ", "JWT"), TokenError::Type),
            refused: &[
                ("no jti", |token| token.without_claim("jti"), TokenError::MissingClaim),
                ("the client elsewhere", azp_for_client_id, TokenError::MissingClaim),
            ],
        },
        Row {
            name: "jwt",
            profile: Profile::jwt,
            types: &["JWT", ""],
            // `scope` is a private claim of this issuer, and means something else.
            sample: (
                json!({"typ": "JWT"}),
                json!({"iss": "https://id.example.com", "aud": ORDERS, "sub": "ann", "exp": 0, "scope": {"team": "blue"}}),
            ),
            issuer: |issuer| issuer,
            client: None,
            scopes: "",
            rule: Rule::check(|token| token.subject() == Some("ann")),
            default: ByDefault::Refuses(TokenError::ClaimType),
            refused: &[("one without an end", |token| token.without_claim("exp"), TokenError::Time)],
        },
        Row {
            name: "auth0",
            profile: Profile::auth0,
            types: &["JWT"],
            sample: sample("auth0", 0),
            issuer: |issuer| issuer,
            client: Some("K1AUPhZq8mRi"),
            scopes: "openid profile orders:read",
            rule: all_of(["orders:read"]),
            // Where somebody has made the client of a page and its API one.
            default: ByDefault::TakesToo(
                "an ID token for us",
                |token| token.without_claim("azp").without_claim("scope").claim("nonce", "n"),
                TokenError::MissingClaim,
            ),
            refused: &[
                ("an ID token", |token| token.claim("aud", "K1AUPhZq8mRi"), TokenError::Audience),
                ("the other token profile", |token| token.header("typ", "at+jwt"), TokenError::Type),
            ],
        },
        Row {
            name: "okta",
            profile: Profile::okta,
            types: &["at+jwt", "JWT", ""],
            sample: sample("okta", 0),
            issuer: |issuer| issuer,
            client: Some("0oa7robot"),
            scopes: "openid orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::TakesToo(
                "an ID token for us",
                |token| token.without_claim("cid").without_claim("scp").claim("jti", "ID.radCQM"),
                TokenError::MissingClaim,
            ),
            refused: &[
                ("an ID token", |token| token.claim("aud", "0oa7robot"), TokenError::Audience),
                (
                    "a type of its own",
                    |token| token.header("typ", "application/okta-internal-at+jwt"),
                    TokenError::Type,
                ),
            ],
        },
        Row {
            name: "entra_v2",
            profile: Profile::entra_v2,
            types: &["JWT"],
            sample: sample("entra", 0),
            issuer: |issuer| issuer.audience("8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f"),
            client: Some("1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c"),
            scopes: "Orders.Read.All",
            rule: any_of(["Orders.Read", "Orders.Read.All"]),
            default: ByDefault::Misses,
            refused: &[
                ("an ID token", |token| token.without_claim("azp"), TokenError::MissingClaim),
                ("the other version", |token| token.claim("ver", "1.0"), TokenError::ClaimValue),
                (
                    "one for Graph",
                    |token| token.claim("aud", "https://graph.microsoft.com"),
                    TokenError::Audience,
                ),
            ],
        },
        Row {
            name: "entra_v1",
            profile: Profile::entra_v1,
            types: &["JWT"],
            sample: sample("entra", 1),
            // Of the two the default knows `azp` only.
            issuer: |issuer| {
                issuer
                    .audience("api://8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f")
                    .clients(["1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c"])
            },
            client: Some("1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c"),
            scopes: "Orders.Read",
            rule: any_of(["Orders.Read", "Orders.Read.All"]),
            default: ByDefault::Refuses(TokenError::Client),
            refused: &[
                ("an ID token", |token| token.without_claim("appid"), TokenError::MissingClaim),
                ("the other version", |token| token.claim("ver", "2.0"), TokenError::ClaimValue),
                ("another client", |token| token.claim("appid", "another"), TokenError::Client),
            ],
        },
        Row {
            name: "cognito",
            profile: Profile::cognito,
            types: &["at+jwt", "JWT", ""],
            sample: sample("cognito", 0),
            issuer: |issuer| issuer.clients(["1example23456789"]),
            client: Some("1example23456789"),
            scopes: "https://orders.example.com/read",
            rule: all_of(["https://orders.example.com/read"]),
            default: ByDefault::Refuses(TokenError::Audience),
            refused: &[
                (
                    "an ID token",
                    |token| {
                        token
                            .claim("token_use", "id")
                            .claim("aud", "1example23456789")
                            .without_claim("client_id")
                    },
                    TokenError::Audience,
                ),
                ("one of another use", |token| token.claim("token_use", "id"), TokenError::ClaimValue),
                ("another client", |token| token.client("another"), TokenError::Client),
                ("one without a client", |token| token.without_claim("client_id"), TokenError::MissingClaim),
                (
                    "one for another API",
                    |token| token.claim("aud", "https://other.example.com"),
                    TokenError::Audience,
                ),
            ],
        },
        Row {
            name: "keycloak",
            profile: Profile::keycloak,
            types: &["JWT", "at+jwt"],
            sample: sample("keycloak", 0),
            issuer: |issuer| issuer.audience("orders"),
            client: Some("robot"),
            scopes: "email orders:read",
            rule: all_of(["orders:read"]),
            // A mapper can put our audience into ID tokens too.
            default: ByDefault::TakesToo(
                "an ID token for us",
                |token| token.claim("typ", "ID").without_claim("scope").without_claim("realm_access"),
                TokenError::ClaimValue,
            ),
            refused: &[
                ("one for nobody but account", |token| token.claim("aud", "account"), TokenError::Audience),
                ("a refresh token", |token| token.claim("typ", "Refresh"), TokenError::ClaimValue),
                ("a bound token", |token| token.claim("typ", "DPoP"), TokenError::ClaimValue),
            ],
        },
        Row {
            name: "google",
            profile: Profile::google,
            types: &["JWT"],
            sample: sample("google", 0),
            issuer: |issuer| {
                let robot = "107145139691231222712";
                issuer.also("accounts.google.com").clients([robot]).grant(robot, ["orders:write"])
            },
            client: Some("107145139691231222712"),
            scopes: "orders:write",
            rule: all_of(["orders:write"]),
            default: ByDefault::TakesToo(
                "one of another type",
                |token| token.header("typ", "at+jwt"),
                TokenError::Type,
            ),
            refused: &[
                (
                    "one for another API",
                    |token| token.claim("aud", "https://other.example.com"),
                    TokenError::Audience,
                ),
                ("another account", |token| token.claim("azp", "1"), TokenError::Client),
                (
                    "one that does not say who asked for it",
                    |token| token.without_claim("azp"),
                    TokenError::MissingClaim,
                ),
            ],
        },
        Row {
            name: "zitadel",
            profile: Profile::zitadel,
            types: &["at+jwt", "JWT", ""],
            sample: sample("zitadel", 0),
            issuer: |issuer| issuer.audience("294645919545032706"),
            client: Some("303912345678901234"),
            scopes: "",
            rule: Rule::authenticated(),
            // The project is among its audiences, and the roles are in it.
            default: ByDefault::TakesToo(
                "an ID token",
                |token| token.without_claim("jti").without_claim("nbf").claim("at_hash", "h"),
                TokenError::MissingClaim,
            ),
            refused: &[(
                "one for another project",
                |token| token.claim("aud", json!(["303912345678901234"])),
                TokenError::Audience,
            )],
        },
        Row {
            name: "identity_server",
            profile: Profile::identity_server,
            types: &["at+jwt"],
            sample: sample("identity_server", 0),
            issuer: |issuer| issuer.audience("orders"),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::TakesToo("an ID token for us", an_id_token, TokenError::Type),
            refused: &[(
                "one without a client",
                |token| token.without_claim("client_id"),
                TokenError::MissingClaim,
            )],
        },
        Row {
            name: "clickview",
            profile: Profile::clickview,
            types: &["at+jwt"],
            sample: sample("clickview", 0),
            issuer: |issuer| issuer.audience("embeds"),
            client: Some("robot"),
            scopes: "read",
            rule: all_of(["read"]),
            default: ByDefault::TakesToo("an ID token for us", an_id_token, TokenError::Type),
            refused: &[(
                "one without a client",
                |token| token.without_claim("client_id"),
                TokenError::MissingClaim,
            )],
        },
        Row {
            name: "kubernetes",
            profile: Profile::kubernetes,
            types: &["", "JWT"],
            sample: sample("kubernetes", 0),
            issuer: |issuer| {
                let worker = "system:serviceaccount:shop:worker";
                issuer.clients([worker]).grant(worker, ["orders:read"])
            },
            client: Some("system:serviceaccount:shop:worker"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::Refuses(TokenError::Client),
            refused: &[
                (
                    "a token in a secret",
                    |token| {
                        token
                            .without_claim("exp")
                            .without_claim("aud")
                            .without_claim("kubernetes.io")
                            .claim("kubernetes.io/serviceaccount/namespace", "shop")
                    },
                    TokenError::Audience,
                ),
                ("one without an end", |token| token.without_claim("exp"), TokenError::Time),
                (
                    "one of no account",
                    |token| token.claim("kubernetes.io", json!({"namespace": "shop"})),
                    TokenError::MissingClaim,
                ),
                (
                    "one for the API server",
                    |token| token.claim("aud", json!(["https://kubernetes.default.svc.cluster.local"])),
                    TokenError::Audience,
                ),
                (
                    "another account",
                    |token| token.claim("sub", "system:serviceaccount:other:worker"),
                    TokenError::Client,
                ),
            ],
        },
        Row {
            name: "league",
            profile: Profile::league,
            types: &["JWT"],
            sample: sample("league", 0),
            issuer: |issuer| issuer.clients(["robot", "printer"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::Refuses(TokenError::Audience),
            refused: &[
                ("another client", |token| token.claim("aud", "another"), TokenError::Audience),
                // `aud` is no list here, and who the client is must not depend on its order.
                (
                    "two clients",
                    |token| token.claim("aud", json!(["robot", "printer"])),
                    TokenError::ClaimType,
                ),
            ],
        },
        Row {
            name: "oro",
            profile: Profile::oro,
            types: &["JWT"],
            sample: sample("oro", 0),
            issuer: |issuer| issuer.clients(["robot"]).grant("robot", ["orders:read"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::Refuses(TokenError::Audience),
            refused: &[(
                "one of the storefront",
                |token| token.claim("aud", "visitor"),
                TokenError::Audience,
            )],
        },
        Row {
            name: "tarkov_database",
            profile: Profile::tarkov_database,
            types: &["access"],
            sample: sample("tarkov_database", 0),
            issuer: |issuer| issuer.audience("rest-api"),
            client: Some("5f1a0e3c9d521c2d3e4f5a6b"),
            scopes: "read:item",
            rule: any_of(["read:item", "read:all"]),
            default: ByDefault::Refuses(TokenError::Type),
            refused: &[
                ("one of nobody", |token| token.without_claim("sub"), TokenError::MissingClaim),
                ("one for another API", |token| token.claim("aud", json!(["search"])), TokenError::Audience),
            ],
        },
        Row {
            name: "aidbox",
            profile: Profile::aidbox,
            types: &["JWT"],
            sample: sample("aidbox", 0),
            issuer: |issuer| issuer.clients(["robot"]).grant("robot", ["orders:read"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: ByDefault::Refuses(TokenError::Client),
            refused: &[
                ("one of nobody", |token| token.without_claim("sub"), TokenError::MissingClaim),
                ("an ID token", |token| token.claim("aud", "robot"), TokenError::Audience),
                (
                    "a refresh token",
                    |token| token.without_claim("exp").without_claim("aud").claim("typ", "refresh"),
                    TokenError::Audience,
                ),
                ("one without an end", |token| token.without_claim("exp"), TokenError::Time),
            ],
        },
    ]
}

fn an_id_token(token: TokenBuilder) -> TokenBuilder {
    token.header("typ", "JWT").without_claim("scope").claim("nonce", "n").claim("sub", "ann")
}

fn azp_for_client_id(token: TokenBuilder) -> TokenBuilder {
    token.without_claim("client_id").claim("azp", "robot")
}
