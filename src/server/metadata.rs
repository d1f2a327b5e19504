//! Protected resource metadata (RFC 9728): what clients can find out about us before they have a token.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value};
use tower_service::Service;
use url::Url;

use super::{ResourceServer, document};
use crate::fetch::guard::KeyUrl;

/// For how long a client may keep the document (RFC 9728 §7.10), in seconds.
pub const METADATA_MAX_AGE: u64 = 300;

/// A tower service that answers with the metadata of a [`ResourceServer`] (RFC 9728 §3).
///
/// It belongs at [`path`](Self::path), outside of every [`BearerAuthLayer`](crate::BearerAuthLayer): whoever reads it
/// has no token yet.
///
/// ```
/// # use axum::Router;
/// # use tower_bearer::testing::Idp;
/// let api = Idp::new("https://id.example.com").resource_server("https://api.example.com/v1");
/// let metadata = api.metadata().expect("an https identifier");
/// assert_eq!(metadata.path(), "/.well-known/oauth-protected-resource/v1");
/// let app: Router = Router::new().route_service(metadata.path(), metadata.clone());
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    server: ResourceServer,
    path: String,
}

impl ResourceMetadata {
    /// `None` where there is nothing to serve: the identifier is no URL of the kind that [`url_of`] takes, or it was
    /// turned off.
    pub(super) fn of(server: ResourceServer) -> Option<Self> {
        let url = Url::parse(server.0.identity.hints.metadata_url()?).ok()?;
        Some(Self { server, path: url.path().to_owned() })
    }

    /// Where to serve it: the well-known path, in front of the path of our identifier (RFC 9728 §3.1).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The document as it is served now.
    #[must_use]
    pub fn document(&self) -> Value {
        let server = &self.server.0;
        let mut document = server.metadata_members.clone();
        document.insert("resource".to_owned(), server.identity.identifier.as_ref().into());
        // Those that a client can go to: an issuer identifier is a URL (RFC 8414 §2).
        let listed = server.issuers.iter().filter(|issuer| issuer.listed);
        let issuers = listed.filter_map(|issuer| issuer.identity.iss.as_deref());
        let issuers: Vec<&str> = issuers.filter(|iss| KeyUrl::parse(iss, true).is_ok()).collect();
        // Empty arrays are left out (RFC 9728 §3.2).
        document.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
        if !issuers.is_empty() {
            document.insert("authorization_servers".to_owned(), issuers.into());
        }
        let scopes = server.required_scopes();
        if !scopes.is_empty() && !server.metadata_members.contains_key("scopes_supported") {
            document.insert("scopes_supported".to_owned(), scopes.into());
        }
        document.insert("bearer_methods_supported".to_owned(), vec!["header"].into());
        Value::Object(document)
    }
}

impl<B> Service<Request<B>> for ResourceMetadata {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let cache = format!("public, max-age={METADATA_MAX_AGE}");
        let response = document(request.method(), StatusCode::OK, &cache, || self.document());
        ready(Ok(response))
    }
}

/// The URL of the document (RFC 9728 §3.1), if our identifier is an https URL, or an http URL of this very machine, for
/// tests and demonstrations. From our identifier alone: a `Host` header is the client's word.
pub(super) fn url_of(identifier: &str) -> Option<String> {
    let mut url = Url::parse(identifier).ok().filter(|url| url.fragment().is_none())?;
    let is_here = |url: &Url| url.scheme() == "http" && KeyUrl::parse(identifier, true).is_ok();
    if url.scheme() != "https" && !is_here(&url) {
        return None;
    }
    url.host()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let path = url.path().strip_suffix('/').unwrap_or_else(|| url.path()).to_owned();
    url.set_path(&format!("/.well-known/oauth-protected-resource{path}"));
    Some(url.into())
}

/// Members that are made here, and that nobody else may set.
pub(super) const OURS: [&str; 3] = ["resource", "authorization_servers", "bearer_methods_supported"];

/// The members that were configured.
pub(super) type Members = Map<String, Value>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9728_3_1_the_well_known_path_is_inserted_behind_the_host() {
        for (identifier, url) in [
            ("https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"),
            ("https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"),
            (
                "https://api.example.com/v1/x",
                "https://api.example.com/.well-known/oauth-protected-resource/v1/x",
            ),
            (
                "https://api.example.com:8443/v1/",
                "https://api.example.com:8443/.well-known/oauth-protected-resource/v1",
            ),
            (
                "https://a.example.com/r?k=v",
                "https://a.example.com/.well-known/oauth-protected-resource/r?k=v",
            ),
            ("http://127.0.0.1:8080/mcp", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp"),
            ("http://[::1]:1", "http://[::1]:1/.well-known/oauth-protected-resource"),
            ("http://localhost", "http://localhost/.well-known/oauth-protected-resource"),
        ] {
            assert_eq!(url_of(identifier).as_deref(), Some(url));
        }
        for none in [
            "orders",
            "urn:api:orders",
            "http://api.example.com",
            "http://10.0.0.7",
            "http://0.0.0.0",
            "http://localhost.example.com",
            "http://u:p@127.0.0.1",
            "http://127.0.0.1#x",
            "ftp://127.0.0.1",
            "https://api.example.com#x",
            "https://u:p@api.example.com",
            "",
        ] {
            assert_eq!(url_of(none), None, "{none}");
        }
    }
}
