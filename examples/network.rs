//! Keys from an issuer whose certificate is of a private authority, and which wants to know who asks.
//!
//! `cargo run --example network` makes the authority and the issuer on loopback, and ends.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use std::convert::Infallible;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tower_bearer::testing::{Idp, random_hex};
use tower_bearer::{Issuer, Keys, ReqwestFetch, ResourceServer};

const API: &str = "https://api.example.com";

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let idp = Idp::new("https://id.internal.example");
    let secret = random_hex(16);
    let (url, authority) = issuer(idp.jwks(), format!("Bearer {secret}")).await?;
    // Such a file is what Kubernetes gives to a pod, and replaces from time to time: it is read at each fetch.
    let file = std::env::temp_dir().join(format!("tower-bearer-network-{}", random_hex(8)));
    std::fs::write(&file, format!("{secret}\n"))?;

    let with_both = ReqwestFetch::builder().ca_pem(authority.as_str()).ca_only().bearer_file(&url, &file);
    let without_the_file = ReqwestFetch::builder().ca_pem(authority.as_str()).ca_only();
    let of_the_platform = ReqwestFetch::builder().bearer_file(&url, &file);
    let ways = [
        ("its authority and our token", with_both),
        ("its authority alone", without_the_file),
        ("the platform's authorities", of_the_platform),
    ];
    for (what, fetch) in ways {
        // Without certificates on the platform the last one cannot even be made.
        let Ok(fetch) = fetch.build() else {
            println!("{what}: no");
            continue;
        };
        let issuer = Issuer::new(idp.identifier()).keys(Keys::jwks_url(&url)).fetch(fetch);
        let api = ResourceServer::builder(API).issuer(issuer).build()?;
        let verified = api.verify(&idp.token(API).sign()).await;
        println!("{what}: {}", if verified.is_ok() { "yes" } else { "no" });
    }
    std::fs::remove_file(file)?;
    Ok(())
}

/// Serves a key set over TLS to those who show the token: the URL, and the certificate of its authority in PEM.
async fn issuer(jwks: String, authorization: String) -> Result<(String, String), Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "a private authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://localhost:{}/jwks", listener.local_addr()?.port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us hangs up.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let (jwks, authorization) = (jwks.clone(), authorization.clone());
            let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                let known =
                    request.headers().get(AUTHORIZATION).is_some_and(|value| *value == *authorization);
                let mut response = Response::new(if known { jwks.clone() } else { String::new() });
                *response.status_mut() = if known { StatusCode::OK } else { StatusCode::FORBIDDEN };
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(async move {
                hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .await
            });
        }
    });
    Ok((url, authority.pem()))
}
