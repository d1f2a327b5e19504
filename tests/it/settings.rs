//! A settings file: what a deployer would write works, and every mistake names its field.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tower_bearer::settings::{Access, Settings};
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{Algorithm, ConfigErrorKind, Event, HmacAlgorithm, TokenError};

use crate::keys::public_pem;
use crate::support::{API, ISSUER, block_on, seconds};

/// A folder of its own for each test, gone at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tower-bearer-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MINIMAL: &str = "resource = \"https://api.example.com\"\n[[issuer]]\nname = \"x\"\n";

#[test]
fn the_documented_file_works() {
    let folder = Folder::new("documented");
    let idp = Idp::with_algorithms(ISSUER, [Algorithm::RS256, Algorithm::ES256]);
    let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
    folder.write("keys.json", idp.jwks());
    folder.write("public.pem", public_pem(&jwks["keys"][0]));
    let file = folder.write(
        "settings.toml",
        r#"
listen   = "127.0.0.1:0"               # port 0 takes a free one
resource = "https://api.example.com"   # our identifier, the default audience

[[issuer]]
iss        = "https://id.example.com"
name       = "main"
jwks_file  = "keys.json"               # relative to the settings file
audience   = ["https://api.example.com"]
algorithms = ["RS256", "ES256", "EdDSA"]
types      = ["at+jwt", "JWT", ""]
leeway     = "60s"

[[issuer]]
name       = "shop"
pem_file   = "public.pem"

[[route]]
method = "GET"
path   = "/orders"
scopes = ["orders:read"]
any_scopes = ["reports", "admin"]

[[route]]
path     = "/feed"
optional = true

[[route]]
path   = "/healthz"
public = true
"#,
    );
    let settings = Settings::read(&file).unwrap();
    assert_eq!(settings.listen().unwrap().port(), 0);
    let api = settings.resource_server().unwrap();
    let verify = |token: String| block_on(api.verify(&token));
    assert_eq!(verify(idp.token(API).sign()).unwrap().issuer_name(), "main");
    assert_eq!(verify(idp.token_of(Algorithm::ES256, API).sign()).unwrap().issuer(), ISSUER);
    let shop = idp.token(API).without_claim("iss").without_header("kid");
    assert_eq!(verify(shop.sign()).unwrap().issuer(), "shop");
    let typ = idp.token(API).header("typ", "x").sign();
    assert_eq!(verify(typ).unwrap_err().token_error(), Some(TokenError::Type));

    let routes = settings.routes().unwrap();
    let found: Vec<_> = routes
        .iter()
        .map(|route| {
            let access = match route.access() {
                Access::Public => "public".to_owned(),
                Access::Optional(rule) => format!("optional {rule:?}"),
                Access::Required(rule) => format!("{rule:?}"),
                _ => "?".to_owned(),
            };
            format!("{} {} {access}", route.method().map_or("any", |m| m.as_str()), route.path())
        })
        .collect();
    let orders = "GET /orders all_of([\"orders:read\", any_of([\"reports\", \"admin\"])])";
    assert_eq!(found, [orders, "any /feed optional all_of([])", "any /healthz public"]);
}

/// What code can say of an issuer, a route and scopes, a file can say too.
#[test]
fn a_file_says_how_claims_are_read_and_who_may_do_what() {
    let folder = Folder::new("trust");
    let (id, shop) = (Idp::new(ISSUER), Idp::new("-"));
    folder.write("id.json", id.jwks());
    folder.write("shop.json", shop.jwks());
    let text = format!(
        r#"
resource = "{API}"
cache    = false

[implies]
"item:all" = ["item:read", "item:write"]

[[issuer]]
iss             = "{ISSUER}"
also            = "id.example.com"
jwks_file       = "id.json"
profile         = "identity_server"
types           = ["at+jwt", "JWT"]
client_claim    = "azp"
scope_claim     = ["/realm_access/roles", "scope"]
required        = ["jti"]
claims          = {{ token_use = "access", "/app/env" = ["live", "test"] }}
optional_audience = true
unlisted        = true

[[issuer]]
name      = "shop"
jwks_file = "shop.json"
profile   = "oro"
clients   = ["robot", "printer"]

[issuer.grants]
robot = ["item:all"]

[[route]]
path    = "/items"
scopes  = ["item:read"]
issuers = ["shop"]
clients = ["robot", "other"]
claims  = {{ "tenant" = ["blue", "green"] }}
"#
    );
    let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
    let api = settings.resource_server().unwrap();
    let verify = |token: TokenBuilder| block_on(api.verify(&token.sign())).map_err(|why| why.token_error());
    let good = || {
        let token = id.token(API).header("typ", "JWT").claim("azp", "app").claim("token_use", "access");
        token.claim("app", json!({"env": "live"})).claim("realm_access", json!({"roles": ["item:read"]}))
    };
    let token = verify(good()).unwrap();
    assert_eq!((token.client_id(), token.scopes().to_string().as_str()), (Some("app"), "item:read"));
    assert_eq!(verify(good().claim("iss", "id.example.com")).unwrap().issuer(), ISSUER);
    assert_eq!(verify(good().without_claim("aud")).unwrap().client_id(), Some("app"));
    for (token, fault) in [
        (good().header("typ", "x"), TokenError::Type),
        (good().without_claim("jti"), TokenError::MissingClaim),
        (good().claim("token_use", "id"), TokenError::ClaimValue),
        (good().claim("app", json!({"env": "dev"})), TokenError::ClaimValue),
        (good().claim("aud", "x"), TokenError::Audience),
    ] {
        assert_eq!(verify(token).unwrap_err(), Some(fault));
    }
    let of = |client: &str| {
        let token = shop.token(client).header("typ", "JWT").without_claim("iss").without_header("kid");
        token.claim("scopes", json!(["admin"])).claim("tenant", "blue")
    };
    let robot = verify(of("robot")).unwrap();
    assert_eq!(robot.scopes().to_string(), "item:all", "what is granted here, not what was asked for there");
    assert!(robot.has_scope("item:read"));
    assert!(verify(of("printer")).unwrap().scopes().is_empty());
    assert_eq!(verify(of("other")).unwrap_err(), Some(TokenError::Audience));

    let routes = settings.routes().unwrap();
    let Access::Required(rule) = routes[0].access() else { panic!("{routes:?}") };
    assert!(rule.allows(&robot));
    assert!(rule.allows(&verify(of("robot").claim("tenant", json!(["x", "green"]))).unwrap()));
    for (name, token) in [
        ("another tenant", of("robot").claim("tenant", "red")),
        ("another client", of("printer")),
        ("another issuer", good().claim("azp", "robot").claim("tenant", "blue")),
    ] {
        assert!(!rule.allows(&verify(token).unwrap()), "{name}");
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let api = settings.builder().unwrap().observer(move |event: &Event<'_>| {
        if let Event::Accepted { cached, .. } = event {
            told.lock().unwrap().push(*cached);
        }
    });
    let api = api.build().unwrap();
    let token = good().sign();
    assert!(block_on(api.verify(&token)).is_ok() && block_on(api.verify(&token)).is_ok());
    assert_eq!(*seen.lock().unwrap(), [false, false], "cache = false");
    let listed = api.metadata().unwrap().document();
    assert_eq!(listed.get("authorization_servers"), None, "{listed}");
}

#[test]
fn a_shared_secret_is_raw_bytes_without_one_last_newline() {
    let folder = Folder::new("secret");
    let secret = b"0123456789abcdef\n0123456789abcde";
    let idp = Idp::new(ISSUER);
    for (content, accepted) in [
        (secret.to_vec(), true),
        ([&secret[..], b"\n"].concat(), true),
        ([&secret[..], b"\n\n"].concat(), false),
        ([&secret[..], b"\r\n"].concat(), false),
    ] {
        folder.write("secret", &content);
        let file = folder.write(
            "settings.toml",
            format!("resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\nhmac_secret_file = \"secret\"\n"),
        );
        let api = Settings::read(file).unwrap().resource_server().unwrap();
        let token = idp.token(API).sign_hmac(HmacAlgorithm::HS256, secret);
        assert_eq!(block_on(api.verify(&token)).is_ok(), accepted, "{content:?}");
    }
    let file = folder.write(
        "settings.toml",
        format!(
            "resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\nhmac_secret_file = \"long\"\n\
             algorithms = [\"HS256\", \"HS512\"]"
        ),
    );
    folder.write("long", [b'x'; 64]);
    let api = Settings::read(file).unwrap().resource_server().unwrap();
    let verify = |algorithm| block_on(api.verify(&idp.token(API).sign_hmac(algorithm, &[b'x'; 64])));
    assert!(verify(HmacAlgorithm::HS512).is_ok());
    assert_eq!(verify(HmacAlgorithm::HS384).unwrap_err().token_error(), Some(TokenError::Algorithm));
}

/// The deployed file with a test's keys and clock.
#[test]
fn a_builder_takes_what_a_file_does_not_say() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let settings = Settings::from_toml(&format!(
        "resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\nleeway = \"0s\"\naudience = [\"orders\"]\n\
         [[issuer]]\nname = \"shop\"\njwks = \"{ISSUER}/jwks\"\n"
    ))
    .unwrap();
    let api = settings.builder().unwrap().fetch(idp.clone()).clock(clock.clone()).build().unwrap();
    let verify = |token: &str| block_on(api.verify(token)).map_err(|why| why.token_error());
    let token = idp.token("orders").expires_in(seconds(600)).sign();
    assert_eq!(verify(&token).unwrap().issuer(), ISSUER);
    let shop = idp.token(API).without_claim("iss").sign();
    assert_eq!(verify(&shop).unwrap().issuer(), "shop");
    assert_eq!(idp.jwks_fetches(), 2, "one for each issuer");
    // All that the file says holds.
    assert_eq!(verify(&idp.token(API).sign()).unwrap_err(), Some(TokenError::Audience));
    clock.advance(seconds(600));
    assert_eq!(verify(&token).unwrap_err(), Some(TokenError::Expired), "without leeway");
    assert!(verify(&shop).is_ok(), "with the default leeway");
}

#[test]
fn a_builder_reports_faults_of_fields_by_their_paths() {
    let builder = |rest: &str| {
        let text = format!("resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\n{rest}");
        Settings::from_toml(&text).unwrap().builder()
    };
    assert!(builder("leeway = \"300s\"").unwrap().fetch(Idp::new(ISSUER)).build().is_ok());
    assert_eq!(builder("leeway = \"fast\"").unwrap_err().path(), "issuer[0].leeway");
    assert_eq!(builder("jwks_file = \"absent\"").unwrap_err().path(), "issuer[0].jwks_file");
    let late = builder("leeway = \"301s\"").unwrap().fetch(Idp::new(ISSUER)).build();
    assert_eq!(late.unwrap_err().path(), "issuer[0].leeway");
}

/// Each mistake beside the path that it is reported at and a word of the advice.
#[test]
fn every_mistake_names_its_field_and_says_what_to_write() {
    let folder = Folder::new("mistakes");
    let idp = Idp::with_algorithms(ISSUER, [Algorithm::RS256]);
    let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
    folder.write("public.pem", public_pem(&jwks["keys"][0]));
    folder.write("keys.json", idp.jwks());
    folder.write("short", "0123456789");
    folder.write("none.json", r#"{"keys":[]}"#);
    folder.write("text", "text");
    let issuer = |rest: &str| format!("resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\n{rest}");
    let keys = |rest: &str| issuer(&format!("jwks_file = \"keys.json\"\n{rest}"));
    let route = |rest: &str| keys(&format!("[[route]]\n{rest}"));
    let read = |text: &str| {
        let settings = Settings::read(folder.write("settings.toml", text))?;
        settings.listen()?;
        settings.resource_server()?;
        settings.routes().map(drop)
    };
    for good in [
        keys(""),
        issuer("pem_file = \"public.pem\""),
        keys("audience = [\"a\", \"b\"]\nleeway = \"0s\"\ntypes = [\"\"]"),
        keys("audience = []\ndangerous_any_audience = true"),
        format!("max_concurrent_verifications = 1\n{}", keys("")),
        route("path = \"/\"\nscopes = []"),
        keys("scope_claim = []\nclient_claim = []"),
        route("path = \"/\"\n[[route]]\npath = \"/\"\nmethod = \"GET\""),
    ] {
        read(&good).unwrap_or_else(|error| panic!("{good}\n{error}"));
    }
    for (text, path, advice) in [
        ("".to_owned(), "resource", "missing; write our identifier"),
        (format!("resource = \"{API}\""), "issuer", "add at least one issuer"),
        (MINIMAL.to_owned(), "issuer[0].jwks", "write iss, or jwks, jwks_file, pem_file, x5c_root_file or"),
        (keys("").replace(API, ""), "resource", "write what issuers put into aud"),
        ("resource = 1".to_owned(), "resource", "not a text; write one, in quotes"),
        (format!("unknown = 1\n{}", keys("")), "unknown", "expected one of"),
        (keys("unknown = 1"), "issuer[0].unknown", "expected one of"),
        (
            format!("max_concurrent_verifications = 0\n{}", keys("")),
            "max_concurrent_verifications",
            "write at least 1",
        ),
        (
            format!("max_concurrent_verifications = -1\n{}", keys("")),
            "max_concurrent_verifications",
            "expected usize",
        ),
        (route("path = \"/\"\nunknown = 1"), "route[0].unknown", "expected one of"),
        (format!("listen = \"here\"\n{}", keys("")), "listen", "write one such as \"127.0.0.1:8080\""),
        (format!("listen = \"127.0.0.1\"\n{}", keys("")), "listen", "an address with a port"),
        ("resource =\n".to_owned(), "", "line 1 is not TOML"),
        (format!("{}\n[[issuer", keys("")), "", "is not TOML"),
        (keys("").replace(&format!("iss = \"{ISSUER}\""), ""), "issuer[0].iss", "write iss or"),
        (keys("").replace(ISSUER, ""), "issuer[0].iss", "write what the tokens say"),
        (keys("jwks = \"https://x/\""), "issuer[0].jwks_file", "a second key source besides jwks"),
        (keys("discovery = true"), "issuer[0].jwks_file", "a second key source besides discovery"),
        (keys("pem_file = \"public.pem\""), "issuer[0].pem_file", "write only one of the two"),
        (keys("hmac_secret_file = \"short\""), "issuer[0].hmac_secret_file", "write only one of the two"),
        (issuer("discovery = false"), "issuer[0].jwks", "no key source"),
        (
            issuer("").replace("iss =", "name ="),
            "issuer[0].jwks",
            "none to be discovered; write iss, or jwks",
        ),
        (
            issuer("discovery = false").replace("iss =", "name ="),
            "issuer[0].jwks",
            "none to be discovered; write jwks",
        ),
        (issuer("").replace("[[issuer]]", "[issuer]"), "issuer", "write its name in [[two brackets]]"),
        (
            format!("resource = \"{API}\"\nissuer = \"{ISSUER}\""),
            "issuer",
            "write its name in [[two brackets]]",
        ),
        (
            format!("resource = \"{API}\"\n[[issuer]]\niss = [\"{ISSUER}\"]"),
            "issuer[0].iss",
            "write one, in quotes",
        ),
        (keys("audience = { a = 1 }"), "issuer[0].audience", "not a list; write one"),
        (keys("unlisted = 1.5"), "issuer[0].unlisted", "neither true nor false; write one of the two"),
        (issuer("discovery = false"), "issuer[0].jwks", "leave out discovery, or write jwks"),
        (
            issuer("introspection = \"hunter2\""),
            "issuer[0].introspection",
            "not a table; write { name = value, ... }",
        ),
        (issuer("").replace("https:", "http:"), "issuer[0].iss", "https"),
        (issuer("jwks = \"http://id.example.com/\""), "issuer[0].jwks", "https"),
        (issuer("jwks = \"http://10.0.0.1/\"\ndangerous_allow_http = true"), "issuer[0].jwks", "localhost"),
        (issuer("jwks = \"keys\""), "issuer[0].jwks", "write one such as \"https://id.example.com\""),
        (issuer("jwks_file = \"absent\""), "issuer[0].jwks_file", "relative to the settings file"),
        (issuer("pem_file = \"absent\""), "issuer[0].pem_file", "relative to the settings file"),
        (
            issuer("hmac_secret_file = \"absent\""),
            "issuer[0].hmac_secret_file",
            "relative to the settings file",
        ),
        (issuer("jwks_file = \"none.json\""), "issuer[0].jwks_file", "write at least one public key"),
        (issuer("jwks_file = \"text\""), "issuer[0].jwks_file", "not a JWK Set"),
        (issuer("pem_file = \"text\""), "issuer[0].pem_file", "not a public key in PEM"),
        (issuer("hmac_secret_file = \"short\""), "issuer[0].hmac_secret_file", "at least 32 random bytes"),
        (keys("profile = \"nobody\""), "issuer[0].profile", "write one of default, rfc9068"),
        (keys("profile = \"oro\""), "issuer[0].clients", "write the clients"),
        (
            keys("profile = \"oro\"\nclients = [\"a\"]\ntrust_scopes = true"),
            "issuer[0].trust_scopes",
            "write grants",
        ),
        (keys("client_claim = 1"), "issuer[0].client_claim", "write a string or a list of strings"),
        (
            keys("profile = \"cognito\"\nclients = [\"a\"]\noptional_audience = false"),
            "issuer[0].optional_audience",
            "leaves aud out",
        ),
        (keys("clients = []"), "issuer[0].clients", "write some"),
        (keys("grants = { a = [\"two words\"] }"), "issuer[0].grants", "is no scope"),
        (keys("grants = { a = \"a\" }"), "issuer[0].grants.a", "not a list; write one"),
        (keys("claims = { a = [] }"), "issuer[0].claims", "write some"),
        (keys("also = \"\""), "issuer[0].also", "write what the tokens say"),
        (format!("{}\n[implies]\na = [\"\"]", keys("")), "implies", "is no scope"),
        (route("path = \"/\"\nissuers = [\"x\"]"), "route[0].issuers", "no issuer is called"),
        (route("path = \"/\"\nissuers = []"), "route[0].issuers", "nobody could call"),
        (route("path = \"/\"\nclients = []"), "route[0].clients", "nobody could call"),
        (route("path = \"/\"\nclaims = { a = [] }"), "route[0].claims.a", "nobody could call"),
        (route("path = \"/\"\npublic = true\nclients = [\"a\"]"), "route[0].public", "leave out public"),
        (keys("audience = []"), "issuer[0].audience", "dangerous_any_audience"),
        (keys("audience = [\"\"]"), "issuer[0].audience", "write what the issuer puts into aud"),
        (keys("audience = \"a\""), "issuer[0].audience", "not a list; write one"),
        (keys("audience = [1]"), "issuer[0].audience[0]", "not a text; write one, in quotes"),
        (keys("algorithms = []"), "issuer[0].algorithms", "leave them out"),
        (keys("algorithms = [\"RS256\", \"rs256\"]"), "issuer[0].algorithms[1]", "write some of RS256"),
        (keys("algorithms = [\"none\"]"), "issuer[0].algorithms[0]", "is no algorithm"),
        (keys("algorithms = [\"HS256\"]"), "issuer[0].algorithms[0]", "hmac_secret_file"),
        (
            issuer("hmac_secret_file = \"short\"\nalgorithms = [\"RS256\"]"),
            "issuer[0].algorithms[0]",
            "write some of HS256",
        ),
        (keys("types = []"), "issuer[0].types", "leave them out"),
        (keys("leeway = \"fast\""), "issuer[0].leeway", "write one such as \"60s\""),
        (keys("leeway = 60"), "issuer[0].leeway", "not a text; write one, in quotes"),
        (keys("leeway = \"301s\""), "issuer[0].leeway", "write at most \"300s\""),
        (
            keys("dangerous_allow_http = \"yes\""),
            "issuer[0].dangerous_allow_http",
            "neither true nor false; write one of the two",
        ),
        (
            keys(&format!("[[issuer]]\niss = \"{ISSUER}\"\njwks_file = \"keys.json\"")),
            "issuer[1].iss",
            "write each issuer once",
        ),
        (route(""), "route[0].path", "missing; write one such as"),
        ("\"a\\nb\" = 1".to_owned(), "a b", "unknown field"),
        (
            issuer("discovery = true").replace(&format!("iss = \"{ISSUER}\""), "name = \"x\""),
            "issuer[0].discovery",
            "write iss",
        ),
        (
            issuer("hmac_secret_file = \"short\"\nalgorithms = []"),
            "issuer[0].algorithms",
            "write some of HS256",
        ),
        (route("path = \"orders\""), "route[0].path", "write one such as \"/orders\""),
        (route("path = \"/\"\nmethod = \"get\""), "route[0].method", "write GET"),
        (route("path = \"/\"\nmethod = \"FETCH\""), "route[0].method", "write GET"),
        (route("path = \"/\"\nscopes = [\"a b\"]"), "route[0].scopes[0]", "one scope per string"),
        (route("path = \"/\"\nscopes = [\"a\", \"\"]"), "route[0].scopes[1]", "one scope per string"),
        (route("path = \"/\"\nany_scopes = []"), "route[0].any_scopes", "leave it out"),
        (route("path = \"/\"\npublic = true\nscopes = [\"a\"]"), "route[0].public", "leave out public"),
        (route("path = \"/\"\npublic = true\noptional = true"), "route[0].optional", "one of the two"),
        (route("path = \"/\"\n[[route]]\npath = \"/\""), "route[1].path", "write each route once"),
    ] {
        let error = read(&text).expect_err(&text);
        assert_eq!(error.path(), path, "{text}\n{error}");
        let shown = error.to_string();
        assert!(shown.contains(advice), "{text}\n{shown}");
        assert!(!shown.contains('\n'), "{text}\n{shown}");
    }
    let error = Settings::read(folder.0.join("absent.toml")).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Settings);
    assert!(error.to_string().contains("absent.toml"), "{error}");
}

/// The same for how keys are fetched.
#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn every_mistake_about_fetching_names_its_field() {
    let folder = Folder::new("fetching");
    let key = rcgen::KeyPair::generate().unwrap();
    folder.write("ca.pem", rcgen::CertificateParams::default().self_signed(&key).unwrap().pem());
    folder.write("text", "text");
    folder.write("keys.json", Idp::new(ISSUER).jwks());
    let top = |rest: &str| format!("resource = \"{API}\"\n{rest}\n[[issuer]]\niss = \"{ISSUER}\"\n");
    let issuer = |rest: &str| format!("{}ca_file = \"ca.pem\"\n{rest}", top(""));
    let bare = |rest: &str| format!("{}{rest}", top(""));
    let fixed = |rest: &str| bare(&format!("jwks_file = \"keys.json\"\n{rest}"));
    let read = |text: &str| Settings::read(folder.write("settings.toml", text))?.resource_server().map(drop);
    for good in [
        issuer(""),
        issuer("ca_only = true\nproxy = \"http://user:p%40ss@proxy.example.com:3128\""),
        issuer("proxy = \"https://proxy.example.com\"\nwebpki_roots = false"),
        issuer("fetch_token_file = \"not there yet\""),
        bare("snapshot_file = \"not there yet\""),
        issuer("fetch_token_file = \"text\"\njwks = \"http://127.0.0.1:1/\"\ndangerous_allow_http = true"),
        top("ca_file = \"ca.pem\"\nca_only = true\nproxy = \"http://proxy.example.com:3128/\""),
        fixed(""),
        fixed("").replace("[[issuer]]", "ca_file = \"ca.pem\"\n[[issuer]]"),
    ] {
        read(&good).unwrap_or_else(|error| panic!("{good}\n{error}"));
    }
    let relative = "relative to the settings file";
    for (text, path, advice) in [
        (bare("ca_file = \"absent\""), "issuer[0].ca_file", relative),
        (bare("ca_file = \"text\""), "issuer[0].ca_file", "no PEM certificate"),
        (bare("ca_file = \"keys.json\""), "issuer[0].ca_file", "write one or more"),
        (bare("ca_file = 1"), "issuer[0].ca_file", "not a text; write one, in quotes"),
        (bare("ca_only = true"), "issuer[0].ca_only", "write ca_file too"),
        (issuer("ca_only = \"yes\""), "issuer[0].ca_only", "neither true nor false; write one of the two"),
        (issuer("proxy = \"\""), "issuer[0].proxy", "write one such as \"http://proxy.example.com:3128\""),
        (issuer("proxy = \"socks5://hunter2@127.0.0.1\""), "issuer[0].proxy", "not an HTTP proxy"),
        (issuer("proxy = \"hunter2:3128\""), "issuer[0].proxy", "not an HTTP proxy"),
        (issuer("proxy = 3128"), "issuer[0].proxy", "not a text; write one, in quotes"),
        (issuer("fetch_token_file = \"\""), "issuer[0].fetch_token_file", relative),
        (issuer("fetch_token_file = true"), "issuer[0].fetch_token_file", "not a text; write one, in quotes"),
        (
            issuer("fetch_token_file = \"text\"\njwks = \"http://id.example.com/\""),
            "issuer[0].jwks",
            "write https://",
        ),
        (
            issuer("fetch_token_file = \"text\"\njwks = \"http://127.0.0.1/\""),
            "issuer[0].jwks",
            "dangerous_allow_http",
        ),
        (
            issuer("fetch_token_file = \"text\"").replace(ISSUER, "main"),
            "issuer[0].iss",
            "write one such as \"https://id.example.com\"",
        ),
        (bare("snapshot_file = \"\""), "issuer[0].snapshot_file", relative),
        (bare("snapshot_file = \"..\""), "issuer[0].snapshot_file", "not the path of a file"),
        (bare("snapshot_file = true"), "issuer[0].snapshot_file", "not a text; write one, in quotes"),
        (fixed("snapshot_file = \"x\""), "issuer[0].snapshot_file", "not fetched; leave out"),
        (
            bare("snapshot_file = \"x\"\n[[issuer]]\niss = \"https://x.example\"\nsnapshot_file = \"./x\""),
            "issuer[1].snapshot_file",
            "one of its own",
        ),
        (fixed("ca_file = \"ca.pem\""), "issuer[0].ca_file", "not fetched; leave it out"),
        (fixed("ca_only = false"), "issuer[0].ca_only", "not fetched; leave it out"),
        (fixed("proxy = \"http://127.0.0.1:1\""), "issuer[0].proxy", "not fetched; leave it out"),
        (fixed("webpki_roots = false"), "issuer[0].webpki_roots", "not fetched; leave it out"),
        (fixed("fetch_token_file = \"text\""), "issuer[0].fetch_token_file", "not fetched; leave it out"),
        (top("ca_file = \"absent\""), "ca_file", relative),
        (top("ca_file = \"text\""), "ca_file", "no PEM certificate"),
        (top("ca_only = true"), "ca_only", "write ca_file too"),
        (top("proxy = \"ftp://127.0.0.1\""), "proxy", "not an HTTP proxy"),
        // It would be sent to every issuer.
        (top("fetch_token_file = \"text\""), "fetch_token_file", "unknown field"),
    ] {
        let error = read(&text).expect_err(&text);
        assert_eq!(error.path(), path, "{text}\n{error}");
        let shown = error.to_string();
        assert!(shown.contains(advice), "{text}\n{shown}");
        assert!(!shown.contains('\n') && !shown.contains("hunter2"), "{text}\n{shown}");
    }
    let mozilla = "webpki_roots = true";
    for (text, place) in [(top(mozilla), ""), (bare(mozilla), "issuer[0].")] {
        assert_eq!(read(&text).is_ok(), cfg!(feature = "webpki-roots"));
        let Err(error) = read(&text) else {
            let both = text.replace(mozilla, "webpki_roots = true\nca_file = \"ca.pem\"\nca_only = true");
            let error = read(&both).unwrap_err();
            assert_eq!(error.path(), format!("{place}ca_only"));
            assert!(error.to_string().contains("contradicts webpki_roots"), "{error}");
            continue;
        };
        assert_eq!(error.path(), format!("{place}webpki_roots"));
        assert_eq!(error.kind(), ConfigErrorKind::Feature);
        assert!(error.to_string().contains("turn on the feature webpki-roots"), "{error}");
    }
}

#[test]
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn what_this_build_cannot_do_is_a_mistake() {
    let folder = Folder::new("no-tls");
    folder.write("ca.pem", "");
    let read = |top: &str, own: &str| {
        let text = format!(
            "resource = \"{API}\"\n{top}\n[[issuer]]\niss = \"http://127.0.0.1:1\"\ndangerous_allow_http = true\n{own}"
        );
        Settings::read(folder.write("settings.toml", text)).unwrap().resource_server()
    };
    assert_eq!(read("", "").is_ok(), cfg!(feature = "reqwest"));
    assert_eq!(read("", "fetch_token_file = \"token\"").is_ok(), cfg!(feature = "reqwest"));
    for field in ["ca_file = \"ca.pem\"", "ca_only = true", "proxy = \"http://x\"", "webpki_roots = true"] {
        let name = field.split(' ').next().unwrap();
        for (error, path) in [
            (read(field, "").unwrap_err(), name.to_owned()),
            (read("", field).unwrap_err(), format!("issuer[0].{name}")),
        ] {
            assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Feature, &*path));
            assert!(error.to_string().contains("turn on the feature rustls or native-tls"), "{error}");
        }
    }
}

/// What is printed there is a file, with each line that is commented out written in its turn, and has every field there is.
#[test]
fn the_readme_lists_every_field() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("## Read the settings from a file").unwrap();
    let (_, rest) = rest.split_once("```toml\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    assert!(Settings::from_toml(block).is_ok());
    let mut fields = 0;
    for (n, line) in block.lines().enumerate() {
        let Some(field) = line.strip_prefix("# ").filter(|rest| rest.contains(" = ")) else { continue };
        fields += 1;
        // Those of a table that is commented out have no place.
        let lines = block.lines().enumerate().map(|(m, other)| if m == n { field } else { other });
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let in_denylist = ["redis", "dangerous_stale"].iter().any(|name| field.starts_with(name));
        if !in_denylist {
            Settings::from_toml(&lines).unwrap_or_else(|error| panic!("{field}: {error}"));
        }
    }
    assert!(fields > 20, "{fields}");

    // A mistake names the fields that there are.
    for text in [
        "x = 1".to_owned(),
        MINIMAL.replace("name =", "x ="),
        format!("{MINIMAL}introspection = {{ x = 1 }}"),
        format!("{MINIMAL}kong = {{ x = 1 }}"),
        format!("{MINIMAL}shared_answers = {{ x = 1 }}"),
        format!("{MINIMAL}shared_answers = {{ redis = {{ x = 1 }} }}"),
        format!("{MINIMAL}[[route]]\nx = 1"),
        format!("{MINIMAL}[denylist]\nx = 1"),
        format!("{MINIMAL}[denylist]\nredis = {{ x = 1 }}"),
    ] {
        let error = Settings::from_toml(&text).unwrap_err().to_string();
        let (_, list) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
        let names: Vec<_> = list.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{error}");
        for name in names {
            assert!(has_field(block, name), "{name} is not in the README");
        }
    }
}

/// A field or a table of this name.
fn has_field(text: &str, name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].bytes().next_back().is_some_and(is_part);
        let rest = text[at + name.len()..].trim_start_matches(' ');
        !before && (rest.starts_with('=') || rest.starts_with(']'))
    })
}
