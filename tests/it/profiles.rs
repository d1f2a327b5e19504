//! Ready-made profiles. The token of each is the sample on its page of the manual; beside it stand what the default profile
//! makes of that token, and tokens of the same issuer that the profile must refuse.

mod pages;
mod rows;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{Issuer, Keys, Profile, Rejection, ResourceServer, Rule, Token, TokenError};

pub(crate) use self::rows::settings_of;
use self::rows::{ByDefault, ORDERS, folder, rows, sample};
use crate::support::block_on;

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
            ByDefault::Refuses(why) => {
                assert_eq!(fault(row.name, verify(&default, &good)), why, "{}", row.name)
            }
            ByDefault::Misses => assert!(!row.rule.allows(&verify(&default, &good).unwrap()), "{}", row.name),
            ByDefault::TakesToo(what, change, why) => {
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
fn each_profile_accepts_its_types_and_no_others() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        assert!(!row.types.is_empty());
        for typ in ["at+jwt", "JWT", "", "access", "id_token+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"] {
            let name = format!("{}: {typ:?}", row.name);
            let token = tokens.token().without_header("typ");
            let verdict = verify(&api, &if typ.is_empty() { token } else { token.header("typ", typ) });
            if row.types.contains(&typ) {
                assert!(verdict.is_ok(), "{name}");
            } else {
                assert_eq!(fault(&name, verdict), TokenError::Type, "{name}");
            }
        }
    }
}

#[test]
fn a_token_for_nobody_is_refused_unless_the_provider_writes_no_audience() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        assert!(verify(&api, &tokens.token()).is_ok(), "{}", row.name);
        let verdict = verify(&api, &tokens.token().without_claim("aud"));
        if row.name == "cognito" {
            assert!(verdict.is_ok());
        } else {
            assert_eq!(fault(row.name, verdict), TokenError::Audience, "{}", row.name);
        }
    }
}

/// What another provider would call the client or the scopes is a claim like any other.
#[test]
fn claims_of_other_dialects_count_for_nothing() {
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        let mut token = tokens.token();
        for claim in ["client_id", "azp", "cid", "appid", "scope", "scp", "scopes", "roles", "permissions"] {
            let own = tokens.claims.contains_key(claim)
                || (row.name.starts_with("entra") && ["scp", "roles"].contains(&claim))
                || (row.name == "aidbox" && claim == "scope");
            token = if own { token } else { token.claim(claim, "foreign") };
        }
        let token = verify(&api, &token).unwrap_or_else(|why| panic!("{}: {why:?}", row.name));
        assert_eq!(token.client_id(), row.client, "{}", row.name);
        assert_eq!(token.scopes().to_string(), row.scopes, "{}", row.name);
    }
}

#[test]
fn without_the_claim_of_its_dialect_a_token_has_no_scopes() {
    let mut tried = 0;
    for row in rows() {
        let tokens = Tokens::like(&row.sample);
        let api = tokens.api((row.profile)(), row.issuer);
        for claim in ["scope", "scp", "scopes"] {
            // Where it says nothing, there is nothing to leave out.
            if !tokens.claims.contains_key(claim) || ["jwt", "oro"].contains(&row.name) {
                continue;
            }
            tried += 1;
            assert_eq!(verify(&api, &tokens.token()).unwrap().scopes().to_string(), row.scopes);
            let mut token = tokens.token().without_claim(claim);
            for other in ["scope", "scp", "scopes"] {
                if other != claim {
                    token = token.claim(other, "foreign");
                }
            }
            assert!(verify(&api, &token).unwrap().scopes().is_empty(), "{}", row.name);
        }
    }
    assert!(tried > 8, "{tried}");
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
    assert_eq!(scopes(Profile::zitadel(), &foreign), "");
    let any = Profile::zitadel().scope_claims(["urn:zitadel:iam:org:project:roles"]);
    assert_eq!(scopes(any, &foreign), "admin", "only if that is what was written");
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

    // Cognito: an audience that is there must be ours.
    let tokens = Tokens::like(&sample("cognito", 0));
    let api = tokens.api(Profile::cognito(), |issuer| issuer.clients(["1example23456789"]));
    assert!(verify(&api, &tokens.token().claim("aud", ORDERS)).is_ok());
    let theirs = tokens.token().claim("aud", "https://other.example.com");
    assert_eq!(fault("cognito", verify(&api, &theirs)), TokenError::Audience);

    // Aidbox: a scope counts where there is one.
    let tokens = Tokens::like(&sample("aidbox", 0));
    let api =
        tokens.api(Profile::aidbox(), |issuer| issuer.clients(["robot"]).grant("robot", ["orders:read"]));
    let token = verify(&api, &tokens.token().claim("scope", "system/Patient.read")).unwrap();
    assert!(token.has_scope("system/Patient.read") && token.has_scope("orders:read"));

    // Google: either spelling is the same issuer, and one that is not listed is nobody.
    let tokens = Tokens::like(&sample("google", 0));
    let api = tokens.api(Profile::google(), |issuer| {
        issuer.also("accounts.google.com").clients(["107145139691231222712"])
    });
    let token = verify(&api, &tokens.token().claim("iss", "accounts.google.com")).unwrap();
    assert_eq!(token.issuer(), "https://accounts.google.com");
    assert_eq!(fault("google", verify(&api, &tokens.token().claim("azp", "anybody"))), TokenError::Client);
    // One account sends two kinds of `azp`, and one kind of `sub`.
    let keyed = tokens.token().claim("azp", "robot@shop.iam.gserviceaccount.com");
    let clients: fn(Issuer) -> Issuer = |issuer| issuer.clients(["107145139691231222712"]);
    assert_eq!(fault("google", verify(&tokens.api(Profile::google(), clients), &keyed)), TokenError::Client);
    assert!(verify(&tokens.api(Profile::google().client_claims(["sub"]), clients), &keyed).is_ok());
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
