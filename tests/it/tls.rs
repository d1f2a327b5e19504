//! Keys over TLS: who is trusted, and nobody else; over a proxy, and over none that nobody asked for.

use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tower_bearer::settings::Settings;
use tower_bearer::testing::Idp;
use tower_bearer::{
    ConfigErrorKind, Fetch, FetchRequest, Issuer, Keys, RejectionKind, ReqwestFetch, ResourceServer,
};

use crate::server_example::Running;
use crate::settings::Folder;
use crate::support::{API, ISSUER};

/// A server with a certificate of an authority of its own.
struct Site {
    /// The authority, as PEM.
    authority: String,
    port: u16,
    /// The `Authorization` of every request.
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

impl Site {
    /// `{port}` in the document is the port.
    async fn start(name: &str, document: String) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL goes by names: one that issues for its own name is self-signed to it.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let document = document.replace("{port}", &port.to_string());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let site = Self { authority: authority.pem(), port, seen: seen.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let (document, seen) = (document.clone(), seen.clone());
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let authorization = request.headers().get(AUTHORIZATION);
                    seen.lock().unwrap().push(authorization.map(|line| line.to_str().unwrap().to_owned()));
                    let document = document.clone();
                    async move { Ok::<_, std::convert::Infallible>(Response::new(document)) }
                });
                tokio::spawn(async move {
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        site
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// A forward proxy that takes every name for this machine, and notes the head of every request to it.
struct Proxy {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { port, heads: heads.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(stream, heads.clone(), password));
            }
        });
        proxy
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What passed since the last time.
    fn passed(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }
}

async fn pass(mut client: TcpStream, heads: Arc<Mutex<Vec<String>>>, password: Option<&str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.clone());
    let known = password.is_none_or(|password| head.lines().any(|line| line.eq_ignore_ascii_case(password)));
    let port = head.strip_prefix("CONNECT ").and_then(|rest| rest.split([':', ' ']).nth(1));
    let (true, Some(port)) = (known, port) else {
        let status = if known { "501 Not Implemented" } else { "407 Proxy Authentication Required" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    };
    let mut server = TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn settings(folder: &Folder, jwks: &str, top: &str, issuer: &str) -> std::path::PathBuf {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nresource = \"{API}\"\n{top}\n\
         [[issuer]]\niss = \"{ISSUER}\"\njwks = \"{jwks}\"\n{issuer}\n\
         [[route]]\npath = \"/\"\n"
    );
    folder.write("settings.toml", text)
}

fn api(folder: &Folder, port: u16, host: &str, more: &str) -> ResourceServer {
    let file = settings(folder, &format!("https://{host}:{port}/jwks"), "", more);
    Settings::read(file).unwrap().resource_server().unwrap()
}

async fn fetches(api: &ResourceServer, token: &str) -> bool {
    match api.verify(token).await {
        Ok(token) => token.issuer() == ISSUER,
        Err(refused) => {
            assert_eq!(refused.kind(), RejectionKind::Unavailable);
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            false
        }
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_configured_and_only_there() {
    let folder = Folder::new("tls");
    let idp = Idp::new(ISSUER);
    let site = Site::start("localhost", idp.jwks()).await;
    let stranger = Site::start("localhost", idp.jwks()).await;
    folder.write("ca.pem", &site.authority);
    folder.write("strangers.pem", &stranger.authority);
    folder.write("both.pem", format!("{}{}", stranger.authority, site.authority));
    let token = idp.token(API).sign();
    for (name, host, more, trusted) in [
        ("the authority", "localhost", "ca_file = \"ca.pem\"", true),
        ("only the authority", "localhost", "ca_file = \"ca.pem\"\nca_only = true", true),
        ("one of two", "localhost", "ca_file = \"both.pem\"\nca_only = true", true),
        ("no authority", "localhost", "", false),
        ("another authority", "localhost", "ca_file = \"strangers.pem\"", false),
        ("only another one", "localhost", "ca_file = \"strangers.pem\"\nca_only = true", false),
        ("another host", "127.0.0.1", "ca_file = \"ca.pem\"", false),
    ] {
        let before = site.requests();
        assert_eq!(fetches(&api(&folder, site.port, host, more), &token).await, trusted, "{name}");
        assert_eq!(site.requests() - before, usize::from(trusted), "{name}");
    }
}

#[tokio::test]
async fn an_issuer_with_fields_of_its_own_takes_none_of_the_file() {
    let folder = Folder::new("tls-own");
    let idp = Idp::new(ISSUER);
    let site = Site::start("localhost", idp.jwks()).await;
    let stranger = Site::start("localhost", idp.jwks()).await;
    folder.write("ca.pem", &site.authority);
    folder.write("strangers.pem", &stranger.authority);
    folder.write("token", "a-token");
    let url = format!("https://localhost:{}/jwks", site.port);
    let token = idp.token(API).sign();
    let ours = "ca_file = \"ca.pem\"\nca_only = true";
    let theirs = "ca_file = \"strangers.pem\"\nca_only = true";
    for (name, top, own, trusted) in [
        ("the file's", ours, "", true),
        ("the file's", theirs, "", false),
        ("its own", theirs, ours, true),
        ("its own", ours, theirs, false),
        ("a field that says what the default is", ours, "ca_only = false", false),
        // A token file replaces nothing: the file has none.
        ("the file's, and a token", ours, "fetch_token_file = \"token\"", true),
    ] {
        let file = settings(&folder, &url, top, own);
        let api = Settings::read(file).unwrap().resource_server().unwrap();
        assert_eq!(fetches(&api, &token).await, trusted, "{name}");
    }
    let last = site.seen.lock().unwrap().pop();
    assert_eq!(last, Some(Some("Bearer a-token".to_owned())));
    assert!(site.seen.lock().unwrap().iter().all(Option::is_none));
}

/// The platform's authorities are those of a child process, where a variable names them.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_platforms_authorities_are_trusted_unless_only_given_ones_are() {
    let folder = Folder::new("tls-platform");
    let idp = Idp::new(ISSUER);
    let site = Site::start("localhost", idp.jwks()).await;
    let stranger = Site::start("localhost", idp.jwks()).await;
    let platform = folder.write("platform.pem", &site.authority);
    folder.write("strangers.pem", &stranger.authority);
    let url = format!("https://localhost:{}/jwks", site.port);
    let token = idp.token(API).claim("exp", 4_102_444_800_u64).sign();
    let mut cases = vec![
        ("the platform's", "", StatusCode::OK),
        ("besides the platform's", "ca_file = \"strangers.pem\"", StatusCode::OK),
        (
            "instead of the platform's",
            "ca_file = \"strangers.pem\"\nca_only = true",
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ];
    if cfg!(feature = "webpki-roots") {
        cases.push(("not asked for", "webpki_roots = false", StatusCode::OK));
        cases.push(("Mozilla's", "webpki_roots = true", StatusCode::SERVICE_UNAVAILABLE));
        let both = "webpki_roots = true\nca_file = \"platform.pem\"";
        cases.push(("Mozilla's and a given one", both, StatusCode::OK));
    }
    for (name, more, expected) in cases {
        let file = settings(&folder, &url, "", more);
        let variables = [("SSL_CERT_FILE", platform.to_str().unwrap()), ("SSL_CERT_DIR", "nowhere")];
        let Some(server) = Running::start_in(&["--settings", file.to_str().unwrap()], &variables) else {
            return;
        };
        assert_eq!(server.get("/", Some(&token)).await.0, expected, "{name}");
    }
}

/// An image without certificates.
#[test]
#[cfg(all(target_os = "linux", feature = "webpki-roots"))]
fn mozillas_authorities_need_no_platform() {
    let folder = Folder::new("tls-mozilla");
    let nowhere = [("SSL_CERT_FILE", "nowhere"), ("SSL_CERT_DIR", "nowhere")];
    let start = |top: &str| {
        let file = settings(&folder, "https://localhost:1/jwks", top, "");
        let mut server = crate::support::example("server")?;
        let mut server = server
            .envs(nowhere)
            .args(["--settings", file.to_str().unwrap()])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let output = server.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut first).unwrap();
        let _ = server.kill();
        server.wait().unwrap();
        Some(first.starts_with("READY "))
    };
    assert_ne!(start("webpki_roots = true"), Some(false));
    assert_ne!(start(""), Some(true));
}

#[tokio::test]
async fn a_proxy_is_used_where_it_is_configured_for_https_alone() {
    let folder = Folder::new("proxy");
    let idp = Idp::new(ISSUER);
    // Nobody but the proxy knows where this is.
    let site = Site::start("keys.example.com", idp.jwks()).await;
    folder.write("ca.pem", &site.authority);
    let url = format!("https://keys.example.com:{}/jwks", site.port);
    let token = idp.token(API).sign();
    let through = |top: &str, own: &str| {
        let ca = "ca_file = \"ca.pem\"\n";
        let file = settings(&folder, &url, &format!("{ca}{top}"), own);
        Settings::read(file).unwrap().resource_server().unwrap()
    };
    let proxy = Proxy::start(None).await;
    let line = format!("proxy = \"{}\"", proxy.url());
    assert!(fetches(&through(&line, ""), &token).await);
    assert!(fetches(&through("", &format!("ca_file = \"ca.pem\"\n{line}")), &token).await);
    let passed = proxy.passed();
    let connect = format!("CONNECT keys.example.com:{} HTTP/1.1\r\n", site.port);
    assert_eq!(passed.len(), 2);
    assert!(passed.iter().all(|head| head.starts_with(&connect)), "{passed:?}");

    // Its password: right, wrong, and shown to nobody.
    let proxy = Proxy::start(Some("proxy-authorization: Basic cm9ib3Q6cGFzcyB3b3Jk")).await; // robot:pass word
    for (password, right) in [("pass%20word", true), ("guessed", false)] {
        let line = format!("proxy = \"http://robot:{password}@127.0.0.1:{}\"", proxy.port);
        assert_eq!(fetches(&through(&line, ""), &token).await, right, "{password}");
        assert_eq!(proxy.passed().len(), 1);
        let settings = Settings::from_toml(&format!("resource = \"{API}\"\n{line}")).unwrap();
        let url = format!("http://robot:{password}@127.0.0.1:{}", proxy.port);
        let builder = ReqwestFetch::builder().proxy(&url).ca_pem(site.authority.clone());
        let shown = format!("{settings:?} {builder:?} {:?}", builder_with(&site).proxy(url).build().unwrap());
        assert!(
            !shown.contains(password) && !shown.contains("robot") && !shown.contains("cm9ib3Q"),
            "{shown}"
        );
    }

    // Plain HTTP to this machine goes past it.
    let app = axum::Router::new().fallback({
        let jwks = idp.jwks();
        move || async move { jwks }
    });
    let local = crate::loopback::serve(app).await;
    let fetch = builder_with(&site).proxy(proxy.url()).build().unwrap();
    let issuer = Issuer::new(ISSUER).keys(Keys::jwks_url(local)).dangerous_allow_http().fetch(fetch);
    assert!(fetches(&ResourceServer::builder(API).issuer(issuer).build().unwrap(), &token).await);
    assert_eq!(proxy.passed(), Vec::<String>::new());
}

fn builder_with(site: &Site) -> tower_bearer::ReqwestFetchBuilder {
    ReqwestFetch::builder().ca_pem(site.authority.clone()).ca_only()
}

/// The way to the proxy is the operator's, wherever it is; where names lead to is the proxy's to look at.
#[tokio::test]
async fn a_proxy_inside_serves_hosts_that_a_document_supplied() {
    let site = Site::start("keys.example.com", String::new()).await;
    let url = format!("https://keys.example.com:{}/jwks", site.port);
    let proxy = Proxy::start(None).await;
    let through = builder_with(&site).proxy(format!("http://localhost:{}", proxy.port)).build().unwrap();
    for request in [FetchRequest::new(&*url, "*/*"), FetchRequest::new(&*url, "*/*").supplied()] {
        assert!(through.fetch(request.clone()).await.is_ok(), "{request:?}");
    }
    assert_eq!(proxy.passed().len(), 2);
}

#[tokio::test]
async fn without_http_a_document_names_its_own_host_here_and_no_other() {
    let idp = Idp::new("-");
    let keys: serde_json::Value = serde_json::from_str(&idp.jwks()).unwrap();
    let document = |jwks_uri: &str| serde_json::json!({"issuer": "https://localhost:{port}", "jwks_uri": jwks_uri, "keys": keys["keys"]});
    for (jwks_uri, is_accepted) in [
        ("https://localhost:{port}/jwks", true),
        ("https://LOCALHOST:{port}/jwks", true),
        ("https://127.0.0.1:{port}/jwks", false),
        ("https://127.1:{port}/jwks", false),
        ("https://localhost.:{port}/jwks", false),
        ("https://10.0.0.7:{port}/jwks", false),
    ] {
        let site = Site::start("localhost", document(jwks_uri).to_string()).await;
        let issuer = format!("https://localhost:{}", site.port);
        let issuer = Issuer::new(&issuer).fetch(builder_with(&site).build().unwrap());
        let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
        let token = idp.token(API).claim("iss", format!("https://localhost:{}", site.port)).sign();
        let verified = api.verify(&token).await.map_err(|refused| refused.kind());
        assert_eq!(
            verified.map(drop),
            if is_accepted { Ok(()) } else { Err(RejectionKind::Unavailable) },
            "{jwks_uri}"
        );
        assert_eq!(site.requests(), if is_accepted { 2 } else { 1 }, "{jwks_uri}");
    }
}

/// In a child process, because the variables of one's own cannot be set safely.
#[tokio::test]
async fn the_proxies_of_the_environment_do_not_count() {
    let folder = Folder::new("proxy-env");
    let idp = Idp::new(ISSUER);
    let site = Site::start("localhost", idp.jwks()).await;
    folder.write("ca.pem", &site.authority);
    let url = format!("https://localhost:{}/jwks", site.port);
    let token = idp.token(API).claim("exp", 4_102_444_800_u64).sign();
    let proxy = Proxy::start(None).await;
    let variables: Vec<_> =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .map(|name| (name, proxy.url()))
            .into();
    let variables: Vec<_> = variables.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let configured = format!("proxy = \"{}\"\n", proxy.url());
    for (top, passed) in [("", 0), (&*configured, 1)] {
        let file = settings(&folder, &url, &format!("{top}ca_file = \"ca.pem\""), "");
        let Some(server) = Running::start_in(&["--settings", file.to_str().unwrap()], &variables) else {
            return;
        };
        assert_eq!(server.get("/", Some(&token)).await.0, StatusCode::OK);
        assert_eq!(proxy.passed().len(), passed, "{top}");
    }
}

#[test]
fn every_mistake_of_a_builder_names_its_method() {
    let builder = ReqwestFetch::builder;
    let pem =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let good = authority.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    assert!(builder().ca_pem(good.clone()).ca_only().proxy("https://u:p@[::1]:3128/").build().is_ok());
    let two =
        builder().ca_pem(good.clone()).bearer_file("https://a/", "x").bearer_file("https://a:444/", "x");
    assert!(two.build().is_ok());
    for (name, builder, path, advice) in [
        ("text", builder().ca_pem("text"), "ca_pem", "holds no PEM certificate"),
        ("no certificate", builder().ca_pem(pem("AAAA")), "ca_pem", "holds no PEM certificate"),
        ("no base64", builder().ca_pem(pem("?")), "ca_pem", "holds no PEM certificate"),
        ("one of two", builder().ca_pem(good).ca_pem(""), "ca_pem", "write one or more"),
        ("nobody", builder().ca_only(), "ca_only", "give an authority too"),
        ("no URL", builder().proxy("hunter2"), "proxy", "write one such as"),
        ("no scheme", builder().proxy("hunter2:3128"), "proxy", "write one such as"),
        ("SOCKS", builder().proxy("socks5://hunter2:1080"), "proxy", "write one such as"),
        ("a path", builder().proxy("http://127.0.0.1/hunter2"), "proxy", "write one such as"),
        ("no URL", builder().bearer_file("id", "x"), "bearer_file", "write one such as"),
        ("no path", builder().bearer_file("https://id/", ""), "bearer_file", "that of a file"),
        ("no TLS", builder().bearer_file("http://id/", "x"), "bearer_file", "write https://"),
        ("link-local", builder().bearer_file("https://169.254.169.254/", "x"), "bearer_file", "another host"),
        (
            "one origin twice",
            builder().bearer_file("https://id/a", "x").bearer_file("https://ID:443/b", "y"),
            "bearer_file",
            "write one",
        ),
    ] {
        let error = builder.build().expect_err(name);
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Fetch, path), "{name}: {error}");
        assert!(error.to_string().contains(advice), "{name}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
