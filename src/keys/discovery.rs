//! Finding an issuer's key set: OpenID Connect Discovery 1.0 §4 and RFC 8414.

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::caching::retry_after;
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchRequest, bounded};

/// What an issuer says where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Keys,
    /// RFC 8414 §2.
    Introspection,
}

/// Asks the issuer where something is. The OpenID Connect location is asked first, because most issuers have it;
/// only a 404 there leads to the other one.
pub(crate) async fn discover(
    fetch: &dyn Fetch,
    issuer: &str,
    allow_http: bool,
    place: Place,
) -> Result<KeyUrl, FetchError> {
    let [first, second] = locations(issuer).ok_or_else(|| FetchError::new(FetchErrorKind::Url))?;
    let mut response = bounded(fetch, FetchRequest::new(first, JSON)).await?;
    if response.status() == StatusCode::NOT_FOUND {
        response = bounded(fetch, FetchRequest::new(second, JSON)).await?;
    }
    if response.status() != StatusCode::OK {
        let pause = retry_after(response.status(), response.headers());
        return Err(FetchError::status(response.status()).after(pause));
    }
    read(response.body(), issuer, allow_http, place)
}

/// So many characters of what somebody else has written are shown.
const MAX_SHOWN: usize = 200;

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The same document, to somebody who needs no keys.
#[derive(Deserialize)]
struct EndpointMetadata {
    issuer: String,
    introspection_endpoint: String,
}

fn read(document: &[u8], issuer: &str, allow_http: bool, place: Place) -> Result<KeyUrl, FetchError> {
    // serde would also read a struct from an array.
    if document.trim_ascii_start().first() != Some(&b'{') {
        return Err(FetchError::new(FetchErrorKind::Document));
    }
    let odd = |error| FetchError::new(FetchErrorKind::Document).because(error);
    let (named, url, member) = match place {
        Place::Keys => {
            let Metadata { issuer, jwks_uri } = serde_json::from_slice(document).map_err(odd)?;
            (issuer, jwks_uri, "jwks_uri")
        }
        Place::Introspection => {
            let EndpointMetadata { issuer, introspection_endpoint } =
                serde_json::from_slice(document).map_err(odd)?;
            (issuer, introspection_endpoint, "introspection_endpoint")
        }
    };
    // RFC 8414 §3.3: identical, or everything in the document is void.
    if named != issuer {
        // Mostly it is a slash at the end.
        let named: String = named.chars().take(MAX_SHOWN).collect();
        return Err(FetchError::new(FetchErrorKind::IssuerMismatch).because(format!("it names {named:?}")));
    }
    KeyUrl::supplied(&url, allow_http, issuer).map_err(|why| {
        let url = Url::parse(&url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or("no host");
        // A name is no longer than this (RFC 1035 §2.3.4); what the document says may be.
        FetchError::new(FetchErrorKind::Url).because(format!("the {member} ({host:.253}) {why}"))
    })
}

/// The well-known suffix behind the issuer's path (OpenID Connect Discovery §4.1), and in front of it (RFC 8414 §3.1).
fn locations(issuer: &str) -> Option<[String; 2]> {
    let mut behind = Url::parse(issuer).ok()?;
    behind.set_query(None);
    let path = behind.path().trim_end_matches('/').to_owned();
    let mut before = behind.clone();
    behind.set_path(&format!("{path}/.well-known/openid-configuration"));
    before.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Some([behind.into(), before.into()])
}

const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8414_3_1_and_oidc_discovery_4_1_locations() {
        for (issuer, behind, before) in [
            (
                "https://id.example.com",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com/",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com:8443/tenant/1",
                "https://id.example.com:8443/tenant/1/.well-known/openid-configuration",
                "https://id.example.com:8443/.well-known/oauth-authorization-server/tenant/1",
            ),
        ] {
            assert_eq!(locations(issuer).unwrap(), [behind, before], "{issuer}");
        }
    }

    #[test]
    fn rfc8414_3_3_the_issuer_must_be_identical() {
        let issuer = "https://id.example.com";
        let document =
            |iss: &str, jwks: &str| format!(r#"{{"issuer":"{iss}","jwks_uri":"{jwks}","more":[1]}}"#);
        let read = |document: String| {
            let found = read(document.as_bytes(), issuer, false, Place::Keys).map_err(|e| e.kind());
            let renamed = document.replace("jwks_uri", "introspection_endpoint");
            let endpoint = read(renamed.as_bytes(), issuer, false, Place::Introspection);
            assert_eq!(endpoint.map_err(|e| e.kind()), found);
            found
        };
        assert!(read(document(issuer, "https://keys.example.com/jwks")).is_ok());
        for other in ["https://id.example.com/", "https://ID.example.com", "https://evil.example.com", ""] {
            let found = read(document(other, "https://id.example.com/jwks"));
            assert_eq!(found.unwrap_err(), FetchErrorKind::IssuerMismatch, "{other}");
        }
        assert_eq!(read(document(issuer, "http://id.example.com/jwks")).unwrap_err(), FetchErrorKind::Url);
        assert_eq!(read(document(issuer, "https://169.254.169.254/")).unwrap_err(), FetchErrorKind::Url);
        assert_eq!(read(document(issuer, "https://10.0.0.7/jwks")).unwrap_err(), FetchErrorKind::Url);
        assert_eq!(read("{}".into()).unwrap_err(), FetchErrorKind::Document);
        assert_eq!(read("<html>".into()).unwrap_err(), FetchErrorKind::Document);
        let array = format!(r#"["{issuer}","https://id.example.com/jwks"]"#);
        assert_eq!(read(array).unwrap_err(), FetchErrorKind::Document);
    }
}
