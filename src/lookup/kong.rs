//! [`KongTokens`]: the list of tokens in Kong, which has no introspection.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Found, FoundClaims, LookupError, LookupFuture, OpaqueToken, TokenLookup, refusal};
use crate::error::ConfigError;
use crate::event::LookupErrorKind;
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchRequest, bounded};
use crate::keys::forbidden;

/// Tokens of Kong's OAuth 2.0 plugin, as its admin port lists them: for wicked.haufe.io, and for Kong alone.
///
/// A token's `aud` is the id of the service that it is for, which the issuer must expect
/// ([`Issuer::audience`](crate::Issuer::audience)); `client_id` is that of its credential, `sub` its
/// `authenticated_userid`, `jti` the id of its row. A token for no service in particular has no `aud`.
///
/// ```
/// use tower_bearer::{Issuer, KongTokens, ResourceServer};
/// # let fetch = tower_bearer::testing::Idp::new("https://id.example.com");
///
/// // `fetch` is a `ReqwestFetch`, or one of your own.
/// let kong = KongTokens::at("http://127.0.0.1:8001", fetch)?;
/// let petstore = "c2b8cb62-6c5a-4e1b-8f5f-8a1f6c2b9d11"; // the service's id
/// let api = ResourceServer::builder("https://petstore.example.com")
///     .issuer(Issuer::unnamed("wicked").lookup(kong).audience(petstore))
///     .build()?;
/// # let _ = api;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// # Security
/// The admin port gives away everything, and asks for nothing: let nobody else reach it. The token is in the URL, so it
/// ends up in Kong's log of requests to that port, if it keeps one.
/// What would be longer than 1024 bytes in it is not asked about, and is 503: Kong's own tokens have 32.
#[derive(Clone)]
pub struct KongTokens(Arc<Admin>);

/// The longest that is sent, in bytes. From 8 KiB on there are proxies that take no URL, and others that cut one off.
const MAX_QUERY_LENGTH: usize = 1024;

struct Admin {
    url: Url,
    fetch: Arc<dyn Fetch>,
}

impl KongTokens {
    /// Kong's admin port: over https, or plain HTTP on this machine.
    ///
    /// # Errors
    /// If it is neither.
    pub fn at(url: &str, fetch: impl Fetch) -> Result<Self, ConfigError> {
        let url = KeyUrl::parse(url, true).map_err(|why| forbidden("Kong's admin URL", why).at("url"))?;
        let url = Url::parse(url.as_str())
            .map_err(|_| forbidden("Kong's admin URL", crate::fetch::guard::Forbidden::NotAUrl).at("url"))?;
        Ok(Self(Arc::new(Admin { url, fetch: Arc::new(fetch) })))
    }
}

impl TokenLookup for KongTokens {
    fn look_up(&self, token: OpaqueToken) -> LookupFuture {
        let Self(kong) = self.clone();
        Box::pin(async move {
            let rows: List<Row> = kong.list("oauth2_tokens", "access_token", token.expose()).await?;
            // Without the filter a list is of all tokens, and maybe its first page alone.
            let Some(row) = rows.data.into_iter().find(|row| row.access_token == token.expose()) else {
                return if rows.is_whole { Ok(Found::Inactive) } else { Err(odd()) };
            };
            let credential = row.credential.id(row.credential_id);
            let client = match &credential {
                Some(id) => {
                    let found: List<Credential> = kong.list("oauth2", "id", id).await?;
                    match found.data.into_iter().find(|credential| credential.id == *id) {
                        // A token whose client is gone is nobody's.
                        None if found.is_whole => return Ok(Found::Inactive),
                        None => return Err(odd()),
                        client => client,
                    }
                }
                None => None,
            };
            let mut claims = Map::new();
            // In milliseconds up to version 0.14, when no token was that old in seconds.
            let since = if row.created_at >= 1e11 { row.created_at / 1000.0 } else { row.created_at };
            claims.insert("iat".to_owned(), json!(since));
            if row.expires_in != 0.0 {
                claims.insert("exp".to_owned(), json!(since + row.expires_in));
            }
            let texts = [
                ("aud", row.service.id(row.service_id)),
                ("client_id", client.map(|client| client.client_id)),
                ("sub", row.authenticated_userid),
                ("scope", row.scope),
                ("jti", row.id),
            ];
            for (name, text) in texts {
                claims.extend(text.map(|text| (name.to_owned(), Value::from(text))));
            }
            Ok(Found::Active(FoundClaims::parse(Value::from(claims).to_string())?))
        })
    }
}

/// A list of the admin port, by a filter.
struct List<T> {
    data: Vec<T>,
    is_whole: bool,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next: Option<String>,
    offset: Option<String>,
}

/// A token. Other records are named by `service_id` up to version 0.14, and by `service: {id}` later.
#[derive(Deserialize)]
struct Row {
    id: Option<String>,
    access_token: String,
    expires_in: f64,
    created_at: f64,
    scope: Option<String>,
    authenticated_userid: Option<String>,
    service_id: Option<String>,
    #[serde(default)]
    service: Reference,
    credential_id: Option<String>,
    #[serde(default)]
    credential: Reference,
}

/// Kong writes `null` for none, too.
#[derive(Deserialize, Default)]
#[serde(transparent)]
struct Reference(Option<Record>);

#[derive(Deserialize)]
struct Record {
    id: String,
}

#[derive(Deserialize)]
struct Credential {
    id: String,
    client_id: String,
}

impl Reference {
    fn id(self, older: Option<String>) -> Option<String> {
        self.0.map(|record| record.id).or(older)
    }
}

impl Admin {
    async fn list<T: for<'de> Deserialize<'de>>(
        &self,
        list: &str,
        filter: &str,
        value: &str,
    ) -> Result<List<T>, LookupError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{list}", url.path().trim_end_matches('/')));
        url.query_pairs_mut().append_pair(filter, value);
        if url.query().is_some_and(|query| query.len() > MAX_QUERY_LENGTH) {
            return Err(LookupError::new(LookupErrorKind::Rejected));
        }
        let response = bounded(&*self.fetch, FetchRequest::new(url, "application/json")).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response.status(), response.headers()));
        }
        let page: Page<T> = serde_json::from_slice(response.body()).map_err(|_| odd())?;
        Ok(List { data: page.data, is_whole: page.next.is_none() && page.offset.is_none() })
    }
}

fn odd() -> LookupError {
    LookupError::new(LookupErrorKind::Answer)
}

impl fmt::Debug for KongTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KongTokens").finish_non_exhaustive()
    }
}
