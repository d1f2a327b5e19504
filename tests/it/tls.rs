//! Keys over TLS: an authority of one's own, and nobody else's.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tower_bearer::settings::Settings;
use tower_bearer::testing::Idp;
use tower_bearer::{RejectionKind, ResourceServer};

use crate::settings::Folder;
use crate::support::{API, ISSUER};

/// An authority, as PEM, and a server for `localhost` with a certificate of it.
async fn serve(document: String) -> (String, u16) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let document = document.clone();
            let answer = hyper::service::service_fn(move |_: Request<Incoming>| {
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
    (authority.pem(), port)
}

fn api(folder: &Folder, port: u16, host: &str, more: &str) -> ResourceServer {
    let text = format!(
        "resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\njwks = \"https://{host}:{port}/jwks\"\n{more}\n"
    );
    Settings::read(folder.write("settings.toml", text)).unwrap().resource_server().unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_configured_and_only_there() {
    let folder = Folder::new("tls");
    let idp = Idp::new(ISSUER);
    let (authority, port) = serve(idp.jwks()).await;
    let (strangers, _) = serve(idp.jwks()).await;
    folder.write("ca.pem", authority);
    folder.write("strangers.pem", strangers);
    let token = idp.token(API).sign();
    let trusted = api(&folder, port, "localhost", "ca_file = \"ca.pem\"");
    assert_eq!(trusted.verify(&token).await.unwrap().issuer(), ISSUER);
    for (name, api) in [
        ("no authority", api(&folder, port, "localhost", "")),
        ("another authority", api(&folder, port, "localhost", "ca_file = \"strangers.pem\"")),
        ("another host", api(&folder, port, "127.0.0.1", "ca_file = \"ca.pem\"")),
    ] {
        let refused = api.verify(&token).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Unavailable, "{name}");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{name}");
    }
}
