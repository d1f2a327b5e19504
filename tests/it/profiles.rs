//! Ready-made profiles. The token of each is the sample on its page of the manual; beside it stand what the default profile
//! makes of that token, and tokens of the same issuer that the profile must refuse.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{
    Issuer, Keys, Profile, Rejection, ResourceServer, Rule, Token, TokenError, all_of, any_of,
};

use crate::support::block_on;

/// The identifier of the API on the pages.
const ORDERS: &str = "https://orders.example.com";

type Change = fn(TokenBuilder) -> TokenBuilder;

struct Row {
    name: &'static str,
    profile: fn() -> Profile,
    /// A header and claims, from a page.
    sample: (Value, Value),
    /// What is said of the issuer besides.
    issuer: fn(Issuer) -> Issuer,
    client: Option<&'static str>,
    scopes: &'static str,
    /// What a route asks for.
    rule: Rule,
    default: Default,
    refused: &'static [(&'static str, Change, TokenError)],
}

/// What the default profile makes of the sample, with the same issuer in all else.
enum Default {
    /// It refuses it.
    Refuses(TokenError),
    /// It accepts it, and does not see what the route asks for: 403.
    Misses,
    /// It reads it just as well. What it does not do is to refuse this other token of the issuer, as the profile does.
    TakesToo(&'static str, Change, TokenError),
}

/// The n-th sample on a page: a block of JSON with the header, and one with the claims.
fn sample(page: &str, n: usize) -> (Value, Value) {
    let text = std::fs::read_to_string(folder().join(page).with_extension("rs")).unwrap();
    let text: String = text.lines().map(|line| line.trim_start_matches("//!").to_owned() + "\n").collect();
    let mut blocks = text.split("```json").skip(1 + 2 * n).map(|rest| rest.split("```").next().unwrap());
    let mut block = || serde_json::from_str(blocks.next().expect("a sample")).unwrap();
    (block(), block())
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/providers"))
}

fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "rfc9068",
            profile: Profile::rfc9068,
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
            default: Default::TakesToo("an ID token", |token| token.header("typ", "JWT"), TokenError::Type),
            refused: &[
                ("no jti", |token| token.without_claim("jti"), TokenError::MissingClaim),
                ("the client elsewhere", azp_for_client_id, TokenError::MissingClaim),
            ],
        },
        Row {
            name: "jwt",
            profile: Profile::jwt,
            // `scope` is a private claim of this issuer, and means something else.
            sample: (
                json!({"typ": "JWT"}),
                json!({"iss": "https://id.example.com", "aud": ORDERS, "sub": "ann", "exp": 0, "scope": {"team": "blue"}}),
            ),
            issuer: |issuer| issuer,
            client: None,
            scopes: "",
            rule: Rule::check(|token| token.subject() == Some("ann")),
            default: Default::Refuses(TokenError::ClaimType),
            refused: &[
                ("another kind of token", |token| token.header("typ", "at+jwt"), TokenError::Type),
                ("one without an end", |token| token.without_claim("exp"), TokenError::Time),
            ],
        },
        Row {
            name: "auth0",
            profile: Profile::auth0,
            sample: sample("auth0", 0),
            issuer: |issuer| issuer,
            client: Some("K1AUPhZq8mRi"),
            scopes: "openid profile orders:read",
            rule: all_of(["orders:read"]),
            // Where somebody has made the client of a page and its API one.
            default: Default::TakesToo(
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
            sample: sample("okta", 0),
            issuer: |issuer| issuer,
            client: Some("0oa7robot"),
            scopes: "openid orders:read",
            rule: all_of(["orders:read"]),
            default: Default::TakesToo(
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
            sample: sample("entra", 0),
            issuer: |issuer| issuer.audience("8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f"),
            client: Some("1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c"),
            scopes: "Orders.Read.All",
            rule: any_of(["Orders.Read", "Orders.Read.All"]),
            default: Default::Misses,
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
            default: Default::Refuses(TokenError::Client),
            refused: &[
                ("an ID token", |token| token.without_claim("appid"), TokenError::MissingClaim),
                ("the other version", |token| token.claim("ver", "2.0"), TokenError::ClaimValue),
                ("another client", |token| token.claim("appid", "another"), TokenError::Client),
            ],
        },
        Row {
            name: "cognito",
            profile: Profile::cognito,
            sample: sample("cognito", 0),
            issuer: |issuer| issuer.clients(["1example23456789"]),
            client: Some("1example23456789"),
            scopes: "https://orders.example.com/read",
            rule: all_of(["https://orders.example.com/read"]),
            default: Default::Refuses(TokenError::Audience),
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
            sample: sample("keycloak", 0),
            issuer: |issuer| issuer.audience("orders"),
            client: Some("robot"),
            scopes: "email orders:read",
            rule: all_of(["orders:read"]),
            // A mapper can put our audience into ID tokens too.
            default: Default::TakesToo(
                "an ID token for us",
                |token| token.claim("typ", "ID").without_claim("scope").without_claim("realm_access"),
                TokenError::ClaimValue,
            ),
            refused: &[
                ("one for nobody but account", |token| token.claim("aud", "account"), TokenError::Audience),
                ("a refresh token", |token| token.claim("typ", "Refresh"), TokenError::ClaimValue),
                ("a bound token", |token| token.claim("typ", "DPoP"), TokenError::ClaimValue),
                ("a logout token", |token| token.header("typ", "logout+jwt"), TokenError::Type),
            ],
        },
        Row {
            name: "google",
            profile: Profile::google,
            sample: sample("google", 0),
            issuer: |issuer| {
                issuer.also("accounts.google.com").grant("107145139691231222712", ["orders:write"])
            },
            client: Some("107145139691231222712"),
            scopes: "orders:write",
            rule: all_of(["orders:write"]),
            default: Default::TakesToo(
                "one that does not say who asked for it",
                |token| token.without_claim("azp"),
                TokenError::MissingClaim,
            ),
            refused: &[
                (
                    "one for another API",
                    |token| token.claim("aud", "https://other.example.com"),
                    TokenError::Audience,
                ),
                ("another kind of token", |token| token.header("typ", "secevent+jwt"), TokenError::Type),
            ],
        },
        Row {
            name: "zitadel",
            profile: Profile::zitadel,
            sample: sample("zitadel", 0),
            issuer: |issuer| issuer.audience("294645919545032706"),
            client: Some("303912345678901234"),
            scopes: "reader",
            rule: all_of(["reader"]),
            default: Default::Misses,
            refused: &[
                // The project is among its audiences, and the roles are in it.
                (
                    "an ID token",
                    |token| token.without_claim("jti").without_claim("nbf").claim("at_hash", "h"),
                    TokenError::MissingClaim,
                ),
                (
                    "roles of another form",
                    |token| token.claim("urn:zitadel:iam:org:project:roles", json!({"reader": true})),
                    TokenError::ClaimType,
                ),
            ],
        },
        Row {
            name: "identity_server",
            profile: Profile::identity_server,
            sample: sample("identity_server", 0),
            issuer: |issuer| issuer.audience("orders"),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: Default::TakesToo("an ID token for us", an_id_token, TokenError::Type),
            refused: &[
                ("a logout token", |token| token.header("typ", "logout+jwt"), TokenError::Type),
                ("one without a client", |token| token.without_claim("client_id"), TokenError::MissingClaim),
                ("one for nobody", |token| token.without_claim("aud"), TokenError::Audience),
            ],
        },
        Row {
            name: "clickview",
            profile: Profile::clickview,
            sample: sample("clickview", 0),
            issuer: |issuer| issuer.audience("embeds"),
            client: Some("robot"),
            scopes: "read",
            rule: all_of(["read"]),
            default: Default::TakesToo("an ID token for us", an_id_token, TokenError::Type),
            refused: &[
                ("one without a client", |token| token.without_claim("client_id"), TokenError::MissingClaim),
                ("one for nobody", |token| token.without_claim("aud"), TokenError::Audience),
            ],
        },
        Row {
            name: "kubernetes",
            profile: Profile::kubernetes,
            sample: sample("kubernetes", 0),
            issuer: |issuer| {
                let worker = "system:serviceaccount:shop:worker";
                issuer.clients([worker]).grant(worker, ["orders:read"])
            },
            client: Some("system:serviceaccount:shop:worker"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: Default::Refuses(TokenError::Client),
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
            sample: sample("league", 0),
            issuer: |issuer| issuer.clients(["robot", "printer"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: Default::Refuses(TokenError::Audience),
            refused: &[
                ("another client", |token| token.claim("aud", "another"), TokenError::Audience),
                // `aud` is no list here, and who the client is must not depend on its order.
                (
                    "two clients",
                    |token| token.claim("aud", json!(["robot", "printer"])),
                    TokenError::ClaimType,
                ),
                ("another kind of token", |token| token.header("typ", "at+jwt"), TokenError::Type),
            ],
        },
        Row {
            name: "oro",
            profile: Profile::oro,
            sample: sample("oro", 0),
            issuer: |issuer| issuer.clients(["robot"]).grant("robot", ["orders:read"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: Default::Refuses(TokenError::Audience),
            refused: &[(
                "one of the storefront",
                |token| token.claim("aud", "visitor"),
                TokenError::Audience,
            )],
        },
        Row {
            name: "tarkov_database",
            profile: Profile::tarkov_database,
            sample: sample("tarkov_database", 0),
            issuer: |issuer| issuer.audience("rest-api"),
            client: Some("5f1a0e3c9d521c2d3e4f5a6b"),
            scopes: "read:item",
            rule: any_of(["read:item", "read:all"]),
            default: Default::Refuses(TokenError::Type),
            refused: &[
                ("another kind of token", |token| token.header("typ", "JWT"), TokenError::Type),
                ("one of nobody", |token| token.without_claim("sub"), TokenError::MissingClaim),
                ("one for another API", |token| token.claim("aud", json!(["search"])), TokenError::Audience),
            ],
        },
        Row {
            name: "aidbox",
            profile: Profile::aidbox,
            sample: sample("aidbox", 0),
            issuer: |issuer| issuer.clients(["robot"]).grant("robot", ["orders:read"]),
            client: Some("robot"),
            scopes: "orders:read",
            rule: all_of(["orders:read"]),
            default: Default::Refuses(TokenError::Client),
            refused: &[
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

/// An issuer of these tokens.
struct Tokens {
    idp: Idp,
    clock: ManualClock,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Tokens {
    fn like((header, claims): &(Value, Value)) -> Self {
        let clock = ManualClock::new();
        let (header, claims) = (header.as_object().unwrap().clone(), claims.as_object().unwrap().clone());
        Self { idp: Idp::new("-").clock(clock.clone()), clock, header, claims }
    }

    /// The sample, issued now: nothing more and nothing less is in it, but for the key.
    fn token(&self) -> TokenBuilder {
        let ours = self.idp.token("-");
        let mut token = ours.clone().without_header("typ").without_header("kid");
        for name in parse(&ours.claims_json()).keys() {
            token = token.without_claim(name);
        }
        for (name, value) in self.header.iter().filter(|(name, _)| *name != "alg" && *name != "kid") {
            token = token.header(name, value.clone());
        }
        let now = &parse(&ours.claims_json())["iat"];
        for (name, value) in &self.claims {
            let time = ["iat", "nbf"].contains(&name.as_str());
            token = token.claim(name, if time { now.clone() } else { value.clone() });
        }
        if self.claims.contains_key("exp") {
            token = token.expires_in(std::time::Duration::from_secs(600));
        }
        token
    }

    fn api(&self, profile: Profile, configure: fn(Issuer) -> Issuer) -> ResourceServer {
        let issuer = match self.claims.get("iss") {
            Some(iss) => Issuer::new(iss.as_str().unwrap()),
            None => Issuer::unnamed("unnamed"),
        };
        let issuer = configure(issuer.keys(Keys::jwks(self.idp.jwks())).profile(profile));
        ResourceServer::builder(ORDERS).issuer(issuer).clock(self.clock.clone()).build().unwrap()
    }
}

fn parse(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap()
}

fn verify(api: &ResourceServer, token: &TokenBuilder) -> Result<Token, Rejection> {
    block_on(api.verify(&token.sign()))
}

#[track_caller]
fn fault(name: &str, verdict: Result<Token, Rejection>) -> TokenError {
    match verdict {
        Ok(_) => panic!("{name}: accepted"),
        Err(why) => why.token_error().unwrap_or_else(|| panic!("{name}: {why:?}")),
    }
}

#[test]
fn each_profile_reads_the_tokens_of_its_issuer() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        let token = verify(&api, &tokens.token()).unwrap_or_else(|why| panic!("{}: {why:?}", row.name));
        assert_eq!(token.client_id(), row.client, "{}", row.name);
        assert_eq!(token.scopes().to_string(), row.scopes, "{}", row.name);
        assert!(row.rule.allows(&token), "{}", row.name);
    }
}

/// What a profile is good for: with the default one something would be refused, not seen, or let in.
#[test]
fn each_profile_does_what_the_default_does_not() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let (api, default) =
            (tokens.api((row.profile)(), row.issuer), tokens.api(Profile::default(), row.issuer));
        let good = tokens.token();
        assert!(row.rule.allows(&verify(&api, &good).unwrap()), "{}", row.name);
        match row.default {
            Default::Refuses(why) => {
                assert_eq!(fault(row.name, verify(&default, &good)), why, "{}", row.name)
            }
            Default::Misses => assert!(!row.rule.allows(&verify(&default, &good).unwrap()), "{}", row.name),
            Default::TakesToo(what, change, why) => {
                let name = format!("{}: {what}", row.name);
                assert!(row.rule.allows(&verify(&default, &good).unwrap()), "{name}");
                let other = change(good);
                assert!(verify(&default, &other).is_ok(), "{name}");
                assert_eq!(fault(&name, verify(&api, &other)), why, "{name}");
            }
        }
    }
}

#[test]
fn each_profile_refuses_what_is_no_access_token_of_its_issuer() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        assert!(verify(&api, &tokens.token()).is_ok(), "{}", row.name);
        assert!(!row.refused.is_empty(), "{}", row.name);
        for (what, change, why) in row.refused {
            let name = format!("{}: {what}", row.name);
            assert_eq!(fault(&name, verify(&api, &change(tokens.token()))), *why, "{name}");
        }
    }
}

#[test]
fn what_the_pages_say_of_a_profile_that_is_changed() {
    // Auth0: permissions instead of scopes.
    let tokens = Tokens::like(&sample("auth0", 0));
    let token = tokens.token().claim("permissions", json!(["orders:write"]));
    let scopes = |profile: Profile| {
        verify(&tokens.api(profile, |issuer| issuer), &token).unwrap().scopes().to_string()
    };
    assert_eq!(scopes(Profile::auth0()), "openid profile orders:read");
    assert_eq!(scopes(Profile::auth0().scope_claims(["permissions"])), "orders:write");

    // Entra: the roles of a user are no scopes.
    let tokens = Tokens::like(&sample("entra", 1));
    let api = tokens
        .api(Profile::entra_v1(), |issuer| issuer.audience("api://8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f"));
    let user = verify(&api, &tokens.token().claim("roles", json!(["Orders.Write.All"]))).unwrap();
    assert_eq!(user.scopes().to_string(), "Orders.Read");
    assert!(Rule::claim("roles", "Orders.Write.All").allows(&user));

    // Keycloak: roles instead of scopes, and the other type.
    let tokens = Tokens::like(&sample("keycloak", 0));
    let profile = Profile::keycloak().scope_claims(["/resource_access/orders/roles"]);
    let api = tokens.api(profile, |issuer| issuer.audience("orders"));
    let token = verify(&api, &tokens.token().header("typ", "at+jwt")).unwrap();
    assert_eq!(token.scopes().to_string(), "reader");

    // ZITADEL: a role in the project of the client is none in ours.
    let tokens = Tokens::like(&sample("zitadel", 0));
    let ours = "urn:zitadel:iam:org:project:294645919545032706:roles";
    let foreign = tokens
        .token()
        .without_claim(ours)
        .claim("urn:zitadel:iam:org:project:roles", json!({"admin": {"1": "b.example.com"}}));
    let scopes = |profile: Profile, token: &TokenBuilder| {
        let api = tokens.api(profile, |issuer| issuer.audience("294645919545032706"));
        verify(&api, token).unwrap().scopes().to_string()
    };
    assert_eq!(scopes(Profile::zitadel(), &foreign), "admin");
    assert_eq!(scopes(Profile::zitadel().scope_claims([ours]), &foreign), "");
    assert_eq!(scopes(Profile::zitadel().scope_claims([ours]), &tokens.token()), "reader");

    // ClickView: no audience, if that is said; another one never.
    let tokens = Tokens::like(&sample("clickview", 0));
    let api = tokens.api(Profile::clickview().optional_audience(), |issuer| issuer.clients(["robot"]));
    assert!(verify(&api, &tokens.token().without_claim("aud")).is_ok());
    assert_eq!(fault("clickview", verify(&api, &tokens.token())), TokenError::Audience);

    // Oro: what a client has asked for means nothing.
    let tokens = Tokens::like(&sample("oro", 0));
    let api = tokens.api(Profile::oro(), |issuer| issuer.clients(["robot"]));
    let token = tokens.token().claim("scopes", json!(["admin"]));
    assert!(verify(&api, &token).unwrap().scopes().is_empty());
    let api = tokens.api(Profile::league(), |issuer| issuer.clients(["robot"]));
    assert!(verify(&api, &token).unwrap().has_scope("admin"));

    // Google: either spelling is the same issuer, and one that is not listed is nobody.
    let tokens = Tokens::like(&sample("google", 0));
    let api = tokens.api(Profile::google(), |issuer| {
        issuer.also("accounts.google.com").clients(["107145139691231222712"])
    });
    let token = verify(&api, &tokens.token().claim("iss", "accounts.google.com")).unwrap();
    assert_eq!(token.issuer(), "https://accounts.google.com");
    assert_eq!(fault("google", verify(&api, &tokens.token().claim("azp", "anybody"))), TokenError::Client);
}

/// The constructors without arguments, as they stand in the source.
fn constructors() -> BTreeSet<String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/profile/ready"));
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let name = line.trim().strip_prefix("pub fn ").and_then(|rest| rest.strip_suffix("() -> Self {"));
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_profile_has_a_name_a_row_here_and_a_place_in_the_manual() {
    let constructors = constructors();
    assert!(constructors.contains("keycloak") && constructors.contains("oro"), "{constructors:?}");
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(names.len(), rows.len());
    assert_eq!(names, constructors);
    for row in &rows {
        assert_eq!(row.name.parse(), Ok((row.profile)()), "{}", row.name);
    }
    assert_eq!("default".parse(), Ok(Profile::default()));

    let unknown = "nobody".parse::<Profile>().unwrap_err().to_string();
    let known = unknown.strip_prefix("no profile has this name; write one of ").unwrap();
    let listed: Vec<_> = known.split(", ").map(str::to_owned).collect();
    let different: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), different.len(), "a name twice: {known}");
    assert_eq!(different, constructors.into_iter().chain(["default".to_owned()]).collect());

    let list = std::fs::read_to_string(folder().join("mod.rs")).unwrap();
    for name in &listed {
        let rows =
            list.lines().filter(|line| line.starts_with("//! | [`") && line.contains(&format!("{name}`]")));
        assert_eq!(rows.count(), 1, "{name}");
    }
}

/// The settings on the pages name profiles that there are, and pages and list name each other.
#[test]
fn every_page_is_listed_and_names_its_profile() {
    let list = std::fs::read_to_string(folder().join("mod.rs")).unwrap();
    let mut pages = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let page = path.file_stem().unwrap().to_str().unwrap();
        if page == "mod" {
            continue;
        }
        pages += 1;
        assert!(
            list.contains(&format!("]({page})")) && list.contains(&format!("\npub mod {page};")),
            "{page}"
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text.lines().filter_map(|line| {
            let value = line.strip_prefix("//! profile")?.trim_start().strip_prefix("= \"")?;
            value.strip_suffix('"')
        });
        let named: Vec<_> = named.collect();
        for name in &named {
            assert!(name.parse::<Profile>().is_ok(), "{page}: {name}");
            assert!(text.contains(&format!("[`Profile::{name}`]: crate::Profile::{name}")), "{page}: {name}");
        }
        assert_eq!(named.is_empty(), page == "wicked", "{page}");
    }
    assert_eq!(pages, list.lines().filter(|line| line.starts_with("pub mod ")).count());
}
