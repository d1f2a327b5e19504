//! The example server as a stranger uses it: its standard output, its exit code, curl's requests.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use base64::Engine;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower_bearer::Algorithm;
use tower_bearer::testing::Idp;

use crate::keys::public_pem;
use crate::loopback::get;
use crate::settings::Folder;
use crate::support::{API, ISSUER, example};

/// The running program; ended with the test.
pub(crate) struct Running {
    child: Child,
    url: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_in(arguments, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        let mut command = program()?;
        command.envs(variables.iter().copied());
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("READY ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Some(Self { child, url, output })
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> (StatusCode, Option<String>, Value) {
        self.call("GET", path, token).await
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> (StatusCode, Option<String>, Value) {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request =
            token.into_iter().fold(request, |r, token| r.header("authorization", format!("Bearer {token}")));
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let response = client.request(request.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
        let status = response.status();
        let challenge = response.headers().get(WWW_AUTHENTICATE).map(|c| c.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
        (status, challenge, body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<Command> {
    example("server")
}

fn fails_with(settings: Option<&Path>) -> Option<Output> {
    let mut command = program()?;
    if let Some(settings) = settings {
        command.arg("--settings").arg(settings);
    } else {
        command.arg("--unknown");
    }
    Some(command.output().unwrap())
}

#[tokio::test]
async fn without_arguments_it_is_an_api_with_its_own_authorization_server() {
    let Some(mut server) = Running::start(&[]) else { return };
    let mut instructions = String::new();
    while !instructions.contains("Ctrl-C") {
        assert_ne!(server.output.read_line(&mut instructions).unwrap(), 0, "{instructions}");
    }
    let word_with = |part: &str| {
        let word = instructions.split_whitespace().find(|word| word.contains(part));
        word.unwrap_or_else(|| panic!("no {part} in {instructions}")).to_owned()
    };
    assert_eq!(instructions.matches("curl ").count(), 5, "{instructions}");
    let basic = base64::engine::general_purpose::STANDARD.encode(word_with("demo:"));
    let request = http::Request::post(word_with("/token"))
        .header("authorization", format!("Basic {basic}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from("grant_type=client_credentials&scope=orders:read"))
        .unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Full<bytes::Bytes>>();
    let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let token = answer["access_token"].as_str().unwrap();

    assert_eq!(server.get("/orders", Some(token)).await.0, StatusCode::OK);
    assert_eq!(server.get("/orders", None).await.0, StatusCode::UNAUTHORIZED);
    let (status, challenge, _) = server.call("POST", "/orders", Some(token)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(challenge.unwrap().contains("scope=\"orders:write\""));
    assert_eq!(server.get("/healthz", None).await.0, StatusCode::OK);

    // Ctrl-C stops it cleanly.
    #[cfg(unix)]
    {
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(server.child.wait().unwrap().success());
        let mut rest = String::new();
        server.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[tokio::test]
async fn with_settings_it_protects_their_routes() {
    let folder = Folder::new("example");
    let idp = Idp::with_algorithms(ISSUER, [Algorithm::RS256]);
    let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
    folder.write("keys.json", idp.jwks());
    folder.write("shop.pem", public_pem(&jwks["keys"][0]));
    let file = folder.write(
        "settings.toml",
        format!(
            r#"
listen   = "127.0.0.1:0"
resource = "{API}"
[[issuer]]
iss       = "{ISSUER}"
jwks_file = "keys.json"
[[issuer]]
name      = "shop"
pem_file  = "shop.pem"
[[route]]
method = "GET"
path   = "/orders"
scopes = ["orders:read"]
[[route]]
method = "POST"
path   = "/orders"
any_scopes = ["orders:write", "admin"]
[[route]]
path   = "/orders/{{id}}"
[[route]]
path     = "/feed"
optional = true
scopes   = ["feed"]
[[route]]
path   = "/public"
public = true
[[route]]
method = "GET"
path   = "/half"
public = true
"#
        ),
    );
    let Some(server) = Running::start(&["--settings", file.to_str().unwrap()]) else { return };
    let token =
        |scopes: &[&str]| idp.token(API).client("robot").scopes(scopes).claim("exp", 4_102_444_800.75);
    let read = token(&["orders:read", "x"]).claim("jti", "t1").sign();

    let (status, _, body) = server.get("/orders", Some(&read)).await;
    assert_eq!(status, StatusCode::OK);
    let claims = body["claims"].clone();
    let expected = json!({
        "issuer": ISSUER, "subject": "robot", "client_id": "robot", "scopes": ["orders:read", "x"],
        "audience": [API], "expires_at": 4_102_444_800_u64, "token_id": "t1", "claims": claims,
    });
    assert_eq!(body, expected);
    assert_eq!(claims["exp"], json!(4_102_444_800.75));

    let bare = idp.token(API).without_claim("iss").without_header("kid").claim("sub", "");
    let bare = bare.without_claim("client_id").without_claim("jti").sign();
    let (status, _, body) = server.get("/orders/7", Some(&bare)).await;
    assert_eq!(status, StatusCode::OK);
    for identity in ["subject", "client_id", "token_id"] {
        assert_eq!(
            body.as_object().unwrap().get(identity),
            Some(&Value::Null),
            "{identity}: null, never left out"
        );
    }
    assert_eq!((&body["issuer"], &body["scopes"]), (&json!("shop"), &json!([])));

    let none = None;
    for (method, path, token, expected) in [
        ("GET", "/orders", none, 401),
        ("HEAD", "/orders", Some(&read), 200),
        ("HEAD", "/orders", none, 401),
        ("POST", "/orders", Some(&read), 403),
        ("POST", "/orders", Some(&token(&["admin"]).sign()), 200),
        ("DELETE", "/orders", none, 401),
        ("DELETE", "/orders", Some(&read), 405),
        ("OPTIONS", "/orders", none, 401),
        ("OPTIONS", "/orders", Some(&read), 405),
        ("PUT", "/orders/7", Some(&read), 200),
        ("GET", "/nowhere", none, 401),
        ("GET", "/nowhere", Some(&read), 404),
        ("GET", "/feed", none, 200),
        ("GET", "/feed", Some(&token(&["feed"]).sign()), 200),
        ("GET", "/feed", Some(&read), 403),
        ("GET", "/feed", Some(&"x".to_owned()), 401),
        ("GET", "/public", Some(&"x".to_owned()), 200),
        ("DELETE", "/public", none, 200),
        ("GET", "/half", none, 200),
        ("POST", "/half", none, 401),
        ("POST", "/half", Some(&read), 405),
    ] {
        let (status, _, _) = server.call(method, path, token.map(String::as_str)).await;
        assert_eq!(status.as_u16(), expected, "{method} {path} with {}", token.is_some());
    }
    let delete = http::Request::delete(format!("{}/orders", server.url))
        .header("authorization", format!("Bearer {read}"));
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let response = client.request(delete.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
    let (status, _, metadata) = server.get("/.well-known/oauth-protected-resource", None).await;
    let scopes = json!(["admin", "feed", "orders:read", "orders:write"]);
    assert_eq!(
        (status, &metadata["resource"], &metadata["scopes_supported"]),
        (StatusCode::OK, &json!(API), &scopes)
    );
    let any = get(&server.url, "/orders/7", &[format!("Bearer {read}")]).await;
    assert_eq!((any.status(), any.headers().get("allow")), (StatusCode::OK, None), "any method is allowed");
    for path in ["/feed", "/public", "/half"] {
        assert_eq!(server.get(path, None).await.2, json!({"anonymous": true}), "{path}");
    }
    assert_eq!(get(&server.url, "/orders", &["Bearer".into()]).await.status(), StatusCode::BAD_REQUEST);
}

/// A fresh machine may have no certificates; what runs on it alone needs none, and nothing else is trusted instead.
#[test]
#[cfg(all(target_os = "linux", feature = "rustls"))]
fn without_certificates_the_demonstration_runs_and_https_is_a_mistake() {
    let Some(mut command) = program() else { return };
    let nowhere = |command: &mut Command| {
        command.env("SSL_CERT_FILE", "nowhere").env("SSL_CERT_DIR", "nowhere");
    };
    nowhere(&mut command);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(first.starts_with("READY http://127.0.0.1:"), "{first:?}");

    let folder = Folder::new("no-certificates");
    let mixed = "[[issuer]]\niss = \"http://127.0.0.1:1\"\ndangerous_allow_http = true\n";
    let file = folder.write(
        "settings.toml",
        format!("listen = \"127.0.0.1:0\"\nresource = \"{API}\"\n{mixed}[[issuer]]\niss = \"{ISSUER}\"\n"),
    );
    let mut command = program().unwrap();
    nowhere(&mut command);
    let output = command.arg("--settings").arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("TLS cannot be set up; install"), "{error}");
}

#[test]
fn a_mistake_is_exit_code_2_and_one_line() {
    let folder = Folder::new("example-mistakes");
    let idp = Idp::new(ISSUER);
    folder.write("keys.json", idp.jwks());
    let good = format!(
        "listen = \"127.0.0.1:0\"\nresource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\njwks_file = \"keys.json\"\n"
    );
    let file = folder.write("good.toml", &good);
    let Some(server) = Running::start(&["--settings", file.to_str().unwrap()]) else { return };
    drop(server);
    for odd in
        ["https://api.example.com/:v1", "https://api.example.com/*x", "https://api.example.com/{x", "urn:x"]
    {
        // Its metadata cannot be routed; that is no reason to fall over.
        let file = folder.write("odd.toml", good.replace(API, odd));
        drop(Running::start(&["--settings", file.to_str().unwrap()]));
    }
    let with_routes = |paths: &[&str]| {
        let routes: String = paths.iter().map(|path| format!("[[route]]\npath = \"{path}\"\n")).collect();
        format!("{good}{routes}")
    };
    for (text, start) in [
        ("".to_owned(), "resource: missing; write our identifier"),
        (good.replace("resource", "ressource"), "ressource: unknown field `ressource`"),
        (good.replace("jwks_file", "pem_file"), "issuer[0].pem_file: "),
        (good.replace("127.0.0.1:0", "127.0.0.1:x"), "listen: "),
        (good.replace("127.0.0.1:0", "192.0.2.1:1"), "listen: 192.0.2.1:1 cannot be used"),
        (good.replace("jwks_file = \"keys.json\"", "leeway = \"1h\""), "issuer[0].leeway: "),
        (
            good.replace(API, "https://api.example.com/:v1").replace("keys.json", "absent"),
            "issuer[0].jwks_file: ",
        ),
        (with_routes(&["/a/{x}", "/a/{y}"]), "route[1].path: "),
        (with_routes(&["/a/{x"]), "route[0].path: "),
        (with_routes(&["/:old"]), "route[0].path: a parameter is written {name}"),
        (with_routes(&["/*old"]), "route[0].path: a parameter is written {name}"),
        (with_routes(&["/a/{*x}/b"]), "route[0].path: "),
        (with_routes(&["/{}"]), "route[0].path: "),
        (with_routes(&[&(0..26).map(|n| format!("/{{p{n}}}")).collect::<String>()]), "route[0].path: "),
        (with_routes(&["", "x"]), "route[0].path: does not start with a slash"),
    ] {
        let Some(output) = fails_with(Some(&folder.write("bad.toml", &text))) else { return };
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}\n{error}");
        assert_eq!(error.lines().count(), 1, "{text}\n{error}");
        assert!(error.starts_with(start), "{text}\n{error}");
        assert!(output.stdout.is_empty(), "{text}");
    }
    for output in [fails_with(None), fails_with(Some(Path::new("absent.toml")))].into_iter().flatten() {
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    }
}
