//! Fetching with reqwest.

use std::fmt;
use std::sync::Arc;

use ::reqwest::Client;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use url::Url;
use zeroize::Zeroizing;

use super::bearer::BearerFile;
use super::resolve::Refused;
use super::{
    FETCH_TIMEOUT, Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse,
    MAX_RESPONSE_LENGTH,
};

/// The default [`Fetch`]: TLS with the platform's certificate authorities, no redirects, no proxy of the environment,
/// no content decoding, and the limits of this module.
///
/// Names are resolved by the system, and what they lead to is looked at before a connection is made. Addresses that no
/// keys come from are left out (link-local and the cloud's own, multicast, unspecified), and for a host that a document
/// supplied ([`FetchRequest::is_supplied`]) all but those that everybody can reach. If none is left, the fetch fails
/// ([`FetchErrorKind::Url`]). Over a proxy, it is the proxy that resolves names, and that has to look.
///
/// A private authority, a proxy and the like are for the [`builder`](Self::builder). A client of your own comes in by
/// `From<reqwest::Client>`. The crate's feature `rustls` or `native-tls` brings TLS; with both, rustls is used. Without
/// either only plain HTTP works, which [`Issuer`](crate::Issuer) allows to this machine alone.
///
/// ```
/// use tower_bearer::{Issuer, ReqwestFetch};
///
/// let fetch = ReqwestFetch::builder().proxy("http://proxy.example.com:3128").build()?;
/// let issuer = Issuer::new("https://id.example.com").fetch(fetch);
/// # let _ = issuer;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ReqwestFetch {
    client: Client,
    /// For hosts that a document has supplied.
    supplied: Client,
    bearers: Arc<[BearerFile]>,
}

impl ReqwestFetch {
    pub(super) fn with(client: Client, supplied: Client, bearers: Vec<BearerFile>) -> Self {
        Self { client, supplied, bearers: bearers.into() }
    }
}

impl From<Client> for ReqwestFetch {
    /// Fetches with a client of your own, of reqwest 0.13: for client certificates, another resolver, and whatever else
    /// the [`builder`](ReqwestFetch::builder) has not.
    ///
    /// # Security
    /// [`FETCH_TIMEOUT`] and [`MAX_RESPONSE_LENGTH`] hold, and an answer that comes from another URL than the one that
    /// was asked for is refused. All else is yours to answer for: that names lead to no address inside that a discovery
    /// document could make use of (addresses in URLs are checked; what a name leads to is up to this client's resolver,
    /// which is not told who supplied the name); that certificates are verified, and against whom; that
    /// redirects are not followed (the answer is refused, but by then the request was made, wherever it led, and with it a
    /// token that was to be looked up); that no
    /// proxy of the environment is used; and that default headers with credentials go to nobody but their addressee.
    fn from(client: Client) -> Self {
        Self::with(client.clone(), client, Vec::new())
    }
}

impl Fetch for ReqwestFetch {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let Self { client, supplied, bearers } = self.clone();
        let client = if request.is_supplied() { supplied } else { client };
        Box::pin(async move {
            let url = Url::parse(request.url())
                .map_err(|error| FetchError::new(FetchErrorKind::Url).because(error))?;
            let mut call = match request.form() {
                None => client.get(url.clone()),
                Some(form) => {
                    // Wiped when it is sent; what the connection makes of it is out of our hands.
                    let form = Bytes::from_owner(Zeroizing::new(form.as_bytes().to_vec()));
                    client.post(url.clone()).header(CONTENT_TYPE, FORM).body(form)
                }
            };
            call = call.header(ACCEPT, request.accept()).timeout(FETCH_TIMEOUT);
            if let Some(etag) = request.etag() {
                call = call.header(IF_NONE_MATCH, etag);
            }
            // To where we were told to go, and not where somebody's document sends us.
            let bearer = bearers.iter().find(|bearer| !request.is_supplied() && bearer.is_for(&url));
            if let Some(authorization) = request.authorization() {
                call = call.header(AUTHORIZATION, authorization);
            } else if let Some(bearer) = bearer
                && request.form().is_none()
            {
                call = call.header(AUTHORIZATION, bearer.authorization().await?);
            }
            let mut response = call.send().await.map_err(failed)?;
            // Ours follows no redirect; another client may.
            if *response.url() != url {
                return Err(FetchError::new(FetchErrorKind::Url).because("the answer comes from another URL"));
            }
            let mut body = BytesMut::new();
            // Counted while it streams in: `Content-Length` may lie or be absent.
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len().saturating_add(chunk.len()) > MAX_RESPONSE_LENGTH {
                    return Err(FetchError::new(FetchErrorKind::TooLarge));
                }
                body.extend_from_slice(&chunk);
            }
            let headers = std::mem::take(response.headers_mut());
            Ok(FetchResponse::new(response.status(), headers, body.freeze()))
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn failed(error: ::reqwest::Error) -> FetchError {
    if let Some(refused) = Refused::cause_of(&error) {
        return FetchError::new(FetchErrorKind::Url).because(refused.clone());
    }
    let kind = if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Connection };
    FetchError::new(kind).because(error.without_url())
}

impl fmt::Debug for ReqwestFetch {
    /// Without the client: it would show its proxy and its default headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFetch").field("bearer_files", &self.bearers).finish_non_exhaustive()
    }
}
