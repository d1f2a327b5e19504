//! [`Introspection`]: RFC 7662, how most authorization servers are asked about a token.
//!
//! `place` is where they are asked, `client` says who asks (`assertion` with a private key), and `signed` reads answers that must be
//! signed.

mod assertion;
mod client;
mod place;
mod signed;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

pub use self::assertion::{ASSERTION_LIFETIME, ClientKey};
use self::client::{Client, Credentials};
use self::place::Place;
pub use self::signed::MAX_ANSWER_AGE;
use self::signed::SignedAnswers;
pub(crate) use self::signed::Signer;
use super::{Context, Found, FoundClaims, LookupError, LookupFuture, OpaqueToken, TokenLookup, refusal};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::LookupErrorKind;
use crate::fetch::{Fetch, FetchResponse, bounded};
use crate::secret::Secret;

/// Token introspection (RFC 7662): the authorization server is asked about each token, over a POST.
///
/// ```
/// use tower_bearer::{Introspection, Issuer, ResourceServer};
///
/// # fn secret() -> String { "a secret of ours".to_owned() }
/// let introspection = Introspection::at("https://id.example.com/introspect").basic("orders-api", secret());
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com").introspection(introspection))
/// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
///     .build()?;
/// # let _ = api;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
///
/// One of [`basic`](Self::basic), [`post`](Self::post), [`private_key_jwt`](Self::private_key_jwt) and
/// [`bearer`](Self::bearer) must say who we are (RFC 7662 §2.1).
///
/// The answer counts if its status is 200, it is a JSON object, and `active` is `true` or `false` and nothing else. What
/// else it says is checked as a token's claims are. A `token_type` that is there must be `Bearer`. All other answers are an
/// outage of ours: 503, never 401. That also holds for 401 and 403, which are about us and not about the client. A
/// `Retry-After` in seconds, with 429 or 503, is [heeded](LookupError::with_retry_after).
///
/// It is believed because TLS says who gave it. With [`signed`](Self::signed) it must be signed as well.
#[must_use]
pub struct Introspection {
    /// `None` where the issuer says it.
    url: Option<String>,
    client: Option<Client>,
    /// For whom an assertion is; `None`: whoever is asked.
    audience: Option<String>,
    signed: Option<Audience>,
}

/// Who we are in the `aud` of a signed answer.
enum Audience {
    Client,
    Given(String),
}

/// An [`Introspection`] that was checked.
#[derive(Clone)]
struct Endpoint(Arc<Inner>);

struct Inner {
    place: Place,
    credentials: Credentials,
    /// `None` where answers are plain.
    signed: Option<SignedAnswers>,
    fetch: Arc<dyn Fetch>,
}

impl Introspection {
    /// An endpoint at a URL, which may be on a private network.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), client: None, audience: None, signed: None }
    }

    /// The endpoint that the issuer names in its metadata, as `introspection_endpoint` (RFC 8414 §2). The document is
    /// looked for where [`Keys::discovery`](crate::Keys::discovery) looks for it.
    ///
    /// # Security
    /// It may be on the issuer's own host, or on one that everybody can reach, and on no other: whoever can write the
    /// document is sent tokens and our secret.
    pub fn discovered() -> Self {
        Self { url: None, client: None, audience: None, signed: None }
    }

    /// Authenticates us with the scheme Basic (RFC 6749 §2.3.1): what most servers expect.
    pub fn basic(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client = Some(Client::Basic(id.into(), Secret::new(secret.into())));
        self
    }

    /// Authenticates us in the form, with `client_id` and `client_secret` (RFC 6749 §2.3.1): for servers that know no Basic.
    pub fn post(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client = Some(Client::Post(id.into(), Secret::new(secret.into())));
        self
    }

    /// Authenticates us with a JWT that we sign with our private key (`private_key_jwt`: RFC 7523 §2.2, OpenID Connect Core
    /// §9), so that no secret of ours is at the authorization server, and none is sent. Each call has a JWT of its own, which
    /// is good for [`ASSERTION_LIFETIME`](crate::manual::defaults::ASSERTION_LIFETIME).
    ///
    /// Each call costs a signature: with an EC or Ed25519 key that is next to nothing, with a large RSA key it is milliseconds,
    /// which strangers can cause with made-up tokens.
    pub fn private_key_jwt(mut self, id: impl Into<String>, key: ClientKey) -> Self {
        self.client = Some(Client::PrivateKeyJwt(id.into(), key));
        self
    }

    /// For whom that JWT is, its `aud`. Default: the `iss` of the issuer, or the URL of the endpoint if it has none. Some
    /// servers want the URL of their token endpoint, or of the endpoint that is asked.
    ///
    /// # Security
    /// Whoever is meant can pass the JWT on to another server with the same `aud` while it is good. That is why the default
    /// is the issuer's identifier and nothing else (OAuth working group, `draft-ietf-oauth-rfc7523bis`): two servers may be
    /// talked into naming one URL, and they do not share an identifier.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Authenticates us with a token of our own (RFC 7662 §2.1).
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.client = Some(Client::Bearer(Secret::new(token.into())));
        self
    }

    /// Asks for answers that the issuer has signed (RFC 9701), and accepts no others. Default: plain ones, as most servers
    /// give.
    ///
    /// The issuer's [keys](crate::Issuer::keys) verify them, so it must be given some, and an `iss`; its JWTs are verified here
    /// then, and only opaque tokens looked up (and whatever comes to [live](crate::BearerAuthLayer::live) routes). An answer counts if its content type and its `typ` are
    /// `token-introspection+jwt`, its signature is good by the rules for the issuer's tokens, `iss` is the issuer, `aud` holds
    /// our client id ([`basic`](Self::basic), [`post`](Self::post), [`private_key_jwt`](Self::private_key_jwt)), `iat` is no more than
    /// [`MAX_ANSWER_AGE`] ago, with the [leeway](crate::Issuer::leeway), and `exp`, if it is there, is not past. Its
    /// member `token_introspection` is what a plain answer would be. Whatever is wrong with it is an outage of ours, as above;
    /// so is a plain answer, because whoever can take the signature away could write what they like.
    ///
    /// Encrypted answers are not read. A [`Fetch`](crate::Fetch) of your own has to hand on the header `Content-Type`.
    ///
    /// ```
    /// use tower_bearer::{Introspection, Issuer, Keys, ResourceServer};
    ///
    /// # fn secret() -> String { "a secret of ours".to_owned() }
    /// let introspection = Introspection::discovered().basic("orders-api", secret()).signed();
    /// let api = ResourceServer::builder("https://api.example.com")
    ///     .issuer(Issuer::new("https://id.example.com").keys(Keys::discovery()).introspection(introspection))
    /// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
    ///     .build()?;
    /// # let _ = api;
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Security
    /// The signature says who gives an answer, to whom and when. It does not say about which token: who can exchange
    /// answers on the way, past TLS, can still pass a fresh one about another token off as ours.
    ///
    /// [`MAX_ANSWER_AGE`]: crate::manual::defaults::MAX_ANSWER_AGE
    pub fn signed(mut self) -> Self {
        self.signed = Some(Audience::Client);
        self
    }

    /// The same, with this in `aud` instead of our client id: for servers that put our identifier there, and with
    /// [`bearer`](Self::bearer), where there is no client id.
    pub fn signed_for(mut self, audience: impl Into<String>) -> Self {
        self.signed = Some(Audience::Given(audience.into()));
        self
    }

    #[cfg(feature = "redis")]
    pub(super) fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Where asking starts.
    pub(super) fn url<'a>(&'a self, iss: Option<&'a str>) -> Option<&'a str> {
        self.url.as_deref().or(iss)
    }

    pub(super) fn resolve(self, context: Context<'_>) -> Result<Arc<dyn TokenLookup>, ConfigError> {
        let wrong = |message: &'static str| ConfigError::new(ConfigErrorKind::Lookup, message);
        let Some(client) = self.client else {
            return Err(wrong(
                "the endpoint must know who asks; write basic, post, private_key_jwt or bearer",
            ));
        };
        let client_id = client.id().map(str::to_owned);
        let whoever_is_asked = context.iss.or(self.url.as_deref()).unwrap_or_default();
        let credentials = client.resolve(self.audience, whoever_is_asked, context.clock.clone())?;
        let signed = self.signed.map(|audience| match (audience, client_id) {
            (Audience::Given(ours), _) | (Audience::Client, Some(ours)) => {
                SignedAnswers::new(context.signer, ours, context.clock.clone())
            }
            (Audience::Client, None) => {
                let message =
                    "a token of ours is no client id; write signed_for with what the answers have in aud";
                Err(wrong(message).at("signed"))
            }
        });
        let signed = signed.transpose()?;
        let place = Place::resolve(self.url, context.iss, context.allow_http, context.clock)?;
        let fetch = context.fetch.ok_or_else(|| {
            ConfigError::new(
                ConfigErrorKind::Feature,
                "nothing can be asked over https in this build; turn on the feature rustls or native-tls, or give the server a Fetch",
            )
        })?;
        Ok(Arc::new(Endpoint(Arc::new(Inner { place, credentials, signed, fetch }))))
    }
}

impl TokenLookup for Endpoint {
    fn look_up(&self, token: OpaqueToken) -> LookupFuture {
        let Self(endpoint) = self.clone();
        Box::pin(async move {
            let found = endpoint.ask(&token).await;
            if let Err(error) = &found
                && may_have_moved(error.kind())
            {
                endpoint.place.forget();
            }
            found
        })
    }
}

impl Inner {
    async fn ask(&self, token: &OpaqueToken) -> Result<Found, LookupError> {
        if let Some(signed) = &self.signed {
            signed.prepare();
        }
        let url = self.place.url(&*self.fetch).await?;
        let accept = if self.signed.is_some() { signed::MEDIA_TYPE } else { "application/json" };
        let request = self.credentials.ask(url.request(accept), token)?;
        let response = bounded(&*self.fetch, request).await?;
        check_status(&response)?;
        read(match &self.signed {
            Some(signed) => signed.read(&response).await?,
            None => FoundClaims::parse(response.body())?,
        })
    }
}

/// RFC 7662 §2.3.
fn check_status(response: &FetchResponse) -> Result<(), LookupError> {
    match response.status() {
        StatusCode::OK => Ok(()),
        other => Err(refusal(other, response.headers())),
    }
}

/// RFC 7662 §2.2.
#[derive(Deserialize)]
struct State {
    active: bool,
}

/// These are an object without a member that comes twice: neither could be said of the next line alone. Of what went wrong
/// there nothing is said: it may quote the answer.
fn read(claims: FoundClaims) -> Result<Found, LookupError> {
    let state: State =
        serde_json::from_str(claims.json()).map_err(|_| LookupError::new(LookupErrorKind::Answer))?;
    Ok(if state.active { Found::Active(claims) } else { Found::Inactive })
}

/// Whether a failure may mean that the endpoint is not there any more.
fn may_have_moved(kind: LookupErrorKind) -> bool {
    use LookupErrorKind as K;
    matches!(kind, K::Connection | K::Timeout | K::Status | K::Url)
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.url.is_some() { "Introspection(URL)" } else { "Introspection(discovered)" })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Result<bool, LookupErrorKind> {
        let status = StatusCode::from_u16(status).unwrap();
        let response = FetchResponse::new(status, HeaderMap::new(), body.to_owned());
        let found = check_status(&response).and_then(|()| read(FoundClaims::parse(response.body())?));
        found.map(|found| matches!(found, Found::Active(_))).map_err(|error| error.kind())
    }

    #[test]
    fn rfc7662_2_2_active_is_a_boolean() {
        assert_eq!(answer(200, r#" {"active":true,"sub":"a"} "#), Ok(true));
        assert_eq!(answer(200, r#"{"active":false}"#), Ok(false));
        for odd in [
            "",
            "{}",
            "true",
            "null",
            "[]",
            r#"[true]"#,
            r#"[{"active":true}]"#,
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":[true]}"#,
            r#"{"active":true,"active":false}"#,
            r#"{"active":true,"x":1,"x":1}"#,
            r#"{"Active":true}"#,
            r#"{"active":true}{}"#,
            "<html>active</html>",
            "eyJhY3RpdmUiOnRydWV9",
        ] {
            assert_eq!(answer(200, odd), Err(LookupErrorKind::Answer), "{odd}");
        }
    }

    #[test]
    fn rfc7662_2_3_another_status_says_nothing_of_the_token() {
        for (status, kind) in [
            (401, LookupErrorKind::Credentials),
            (403, LookupErrorKind::Credentials),
            (429, LookupErrorKind::Busy),
            (400, LookupErrorKind::Rejected),
            (404, LookupErrorKind::Status),
            (201, LookupErrorKind::Status),
            (204, LookupErrorKind::Status),
            (302, LookupErrorKind::Status),
            (304, LookupErrorKind::Status),
            (500, LookupErrorKind::Status),
            (503, LookupErrorKind::Status),
        ] {
            for body in [r#"{"active":true}"#, r#"{"active":false}"#] {
                assert_eq!(answer(status, body), Err(kind), "{status}");
            }
        }
    }
}
