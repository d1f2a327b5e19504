//! Where an issuer's keys come from.

pub(crate) mod absent;
pub(crate) mod caching;
pub(crate) mod discovery;
mod fixed;
pub(crate) mod refresh;
pub(crate) mod remote;
pub(crate) mod snapshot;
mod verify;
#[cfg(feature = "x5c")]
mod x5c;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;

use self::remote::{Place, Remote, RemoteKeys};
use self::snapshot::Snapshot;
pub(crate) use self::verify::Unverified;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::Observers;
use crate::fetch::Fetch;
use crate::fetch::guard::KeyUrl;
use crate::jose::{self, Accepted, AlgorithmSet, HmacAlgorithm, KeySet};
use crate::secret::Secret;
use crate::time::Clock;

/// So many certificate chains of an issuer are remembered with their keys.
pub const MAX_KNOWN_CHAINS: usize = 256;

/// Where the keys of an issuer come from. The default is [`discovery`](Self::discovery).
///
/// Every key belongs to the one issuer that it is configured for, and to one family of algorithms.
///
/// # Security
/// At import a key must have a sound size (RSA 2048 to 8192 bits, an odd exponent of at least 3), lie on its curve,
/// not be of small order, and carry no `use`, `key_ops` or `alg` that speaks against it. What does not pass is left
/// out; what is left out is logged with its reason.
pub struct Keys(Source);

enum Source {
    Discovery,
    Url(String),
    Jwks(Vec<u8>),
    Pem(Vec<u8>),
    DecodingKey(Box<DecodingKey>),
    Hmac(Secret<Vec<u8>>, Vec<HmacAlgorithm>),
    #[cfg(feature = "x5c")]
    Roots(Vec<u8>),
}

/// An issuer's keys as they are used. Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) enum KeySource {
    Fixed(jose::Keys),
    /// They come with the tokens.
    #[cfg(feature = "x5c")]
    Certified(Arc<x5c::CertifiedKeys>),
    Remote(RemoteKeys),
    /// There are none: its tokens are looked up.
    None,
}

/// What a [`Keys`] needs to know of its issuer.
pub(crate) struct Context<'a> {
    pub(crate) iss: Option<&'a str>,
    pub(crate) label: &'a str,
    pub(crate) algorithms: AlgorithmSet,
    pub(crate) allow_http: bool,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observers: Observers,
    /// Where the last good set is kept.
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) leeway: Duration,
}

impl Keys {
    /// The issuer says where they are: its OpenID Connect discovery document or, if there is none, its
    /// authorization server metadata (RFC 8414).
    ///
    /// # Security
    /// Its `jwks_uri` may name the issuer's own host, or one that everybody can reach: neither a private address nor
    /// loopback, link-local and the like, whether written as an address or what a name leads to. Keys on another host
    /// inside are for [`jwks_url`](Self::jwks_url); a Kubernetes API server may name one.
    #[must_use]
    pub fn discovery() -> Self {
        Self(Source::Discovery)
    }

    /// A JWK Set (RFC 7517 §5) at a URL, which may be on a private network.
    #[must_use]
    pub fn jwks_url(url: impl Into<String>) -> Self {
        Self(Source::Url(url.into()))
    }

    /// A JWK Set that does not change, as JSON. Keys that cannot be used are left out; one must remain.
    #[must_use]
    pub fn jwks(json: impl Into<Vec<u8>>) -> Self {
        Self(Source::Jwks(json.into()))
    }

    /// One public key in a PEM file: `PUBLIC KEY` (RSA, EC or Ed25519) or `RSA PUBLIC KEY`.
    #[must_use]
    pub fn pem(pem: impl Into<Vec<u8>>) -> Self {
        Self(Source::Pem(pem.into()))
    }

    /// A secret that the issuer shares with us, and the algorithms that it is used with: HMAC, and nothing else.
    ///
    /// # Security
    /// Whoever can verify such tokens can make them. The secret must be random and at least as long as the hash
    /// (RFC 7518 §3.2); a password is neither (RFC 8725 §3.5). A key or certificate in PEM or DER, a JWK, a JWK Set
    /// and a public key for SSH are refused when the server is built, in base64 too: what is published is no secret.
    #[must_use]
    pub fn hmac<I>(secret: impl Into<Vec<u8>>, algorithms: I) -> Self
    where
        I: IntoIterator<Item = HmacAlgorithm>,
    {
        Self(Source::Hmac(Secret::new(secret.into()), algorithms.into_iter().collect()))
    }

    /// The tokens bring their keys along, in `x5c` (RFC 7515 §4.1.6): a certificate chain, the signer's own certificate
    /// first, up to one of these roots. One or more `CERTIFICATE` blocks in PEM.
    ///
    /// The chain leads from each certificate to the one behind it, without gap or surplus; its root may be left out, or stand
    /// at the end once. No authority's name or key comes twice. It is validated as RFC 5280 §6 has it, by the crate
    /// `rustls-webpki`, and in addition:
    ///
    /// - every certificate is valid at the present moment, the root too. There is no leeway: that is for clocks, and a
    ///   certificate lives long enough to be made before it is needed.
    /// - the signer's certificate is not that of an authority, and its `keyUsage` has `digitalSignature`. RFC 5280
    ///   would let one without `keyUsage` do anything; here it does nothing.
    /// - `extKeyUsage`, in whatever certificate it is, the root too, has `id-kp-oauthAccessTokenSigning`, `id-kp-jwt`
    ///   (RFC 9509) or `anyExtendedKeyUsage`. One without it may be for any purpose (RFC 5280 §4.2.1.12).
    /// - the keys meet what is demanded of all keys, and certificates are signed with the algorithms of tokens: each curve
    ///   with its own hash, no SHA-1.
    ///
    /// At most [`MAX_CHAIN_LENGTH`](crate::manual::defaults::MAX_CHAIN_LENGTH) certificates are looked at. A key that was
    /// found good is remembered, as long as its chain is valid and in use. `kid`, `x5t` and `x5t#S256` decide nothing: the last is
    /// written in two ways in the wild, and the certificate itself is there.
    ///
    /// Without a root that is valid now, the server is not [ready](crate::ResourceServer::is_ready), and every token is
    /// answered 503: that it cannot be verified is no fault of the token. Put the new root beside the old one in time: a token under a root
    /// that has ended, beside another that has not, is refused with
    /// [`TokenError::Certificate`](crate::TokenError::Certificate).
    ///
    /// ```
    /// # use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    /// # let mut params = CertificateParams::default();
    /// # params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    /// # let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?.pem();
    /// use tower_bearer::{Issuer, Keys, Profile, ResourceServer};
    ///
    /// // An identity service that writes no `iss` and no `kid`, and puts the client into `sub`.
    /// let profile = Profile::default().client_claims(["sub"]).types(["access"]);
    /// let issuer = Issuer::unnamed("identity").keys(Keys::x5c(root)).profile(profile);
    /// let api = ResourceServer::builder("https://api.example.com").issuer(issuer).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Security
    /// Whoever has a key that a certificate under the root vouches for can make tokens for any client, whoever the
    /// certificate names. So the root must be one for signers of tokens, and for nobody else: not that of the TLS
    /// certificates of a whole company, and never a public one. A certificate for TLS alone is refused if it says so in
    /// `extKeyUsage`.
    ///
    /// Issuers with an `iss` may share a root, and then whoever signs below it can write the `iss` of either, with the rights
    /// that this has here. Give each a root, or an authority as its root, that certifies its own signers alone. Unnamed
    /// issuers may not: `build` refuses two of which one's root is the other's or was certified by it. What it cannot see is
    /// an authority between the two roots, or another certificate for one of them.
    ///
    /// Nothing is fetched: neither what `x5u` names, nor lists of revoked certificates. To revoke one before its time, block
    /// its key ([`ResourceServer::block_key`](crate::ResourceServer::block_key)) by its thumbprint or its certificate's; to revoke an
    /// authority, change the roots. Keep the signers' certificates short-lived.
    #[cfg(feature = "x5c")]
    #[must_use]
    pub fn x5c(roots: impl Into<Vec<u8>>) -> Self {
        Self(Source::Roots(roots.into()))
    }

    pub(crate) fn are_remote(&self) -> bool {
        matches!(self.0, Source::Discovery | Source::Url(_))
    }

    /// Where fetching starts.
    pub(crate) fn url<'a>(&'a self, iss: Option<&'a str>) -> Option<&'a str> {
        match &self.0 {
            Source::Discovery => iss,
            Source::Url(url) => Some(url),
            _ => None,
        }
    }

    pub(crate) fn are_shared(&self) -> bool {
        matches!(self.0, Source::Hmac(..))
    }

    /// The algorithms that tokens may name: those of the issuer or, with a shared secret, those of the secret.
    pub(crate) fn accepted(&self, algorithms: AlgorithmSet) -> Accepted {
        match &self.0 {
            Source::Hmac(_, hmac) => Accepted::Shared(hmac.clone()),
            _ => Accepted::Public(algorithms),
        }
    }

    pub(crate) fn resolve(self, context: Context<'_>) -> Result<KeySource, ConfigError> {
        let allowed = context.algorithms;
        let set = match self.0 {
            Source::Discovery => {
                let issuer = context.iss.ok_or_else(|| {
                    wrong(
                        "an issuer without iss cannot be discovered; give it keys, a JWKS URL or a PEM file",
                    )
                })?;
                // Only to say at once what would fail later.
                KeyUrl::parse(issuer, context.allow_http).map_err(|e| forbidden("the issuer", e))?;
                return remote(Place::Discovered { issuer: issuer.into() }, context);
            }
            Source::Url(url) => {
                let url =
                    KeyUrl::parse(&url, context.allow_http).map_err(|e| forbidden("the JWKS URL", e))?;
                return remote(Place::Fixed(url), context);
            }
            Source::Jwks(json) => fixed::jwks(&json, allowed, context.label)?,
            Source::Pem(pem) => KeySet::single(fixed::pem(&pem, allowed)?),
            Source::DecodingKey(key) => KeySet::single(fixed::key(&key, allowed)?),
            Source::Hmac(secret, algorithms) => {
                return fixed::shared_secret(&secret, &algorithms).map(KeySource::Fixed);
            }
            #[cfg(feature = "x5c")]
            Source::Roots(pem) => {
                let now = context.clock.now().into();
                let keys = x5c::CertifiedKeys::new(&pem, allowed, context.label, now)?;
                return Ok(KeySource::Certified(Arc::new(keys)));
            }
        };
        Ok(KeySource::Fixed(jose::Keys::Public(Arc::new(set))))
    }
}

impl KeySource {
    /// Whether its keys may be used now. Starts the fetch that is due.
    pub(crate) fn are_usable(&self, now: Instant) -> bool {
        match self {
            Self::Remote(remote) => remote.are_usable(now),
            _ => true,
        }
    }

    /// Whether a token could be verified by both.
    pub(crate) fn shares_a_key_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(jose::Keys::Public(ours)), Self::Fixed(jose::Keys::Public(theirs))) => {
                ours.shares_a_key_with(theirs)
            }
            (Self::Fixed(jose::Keys::Shared(ours)), Self::Fixed(jose::Keys::Shared(theirs))) => {
                ours.is_the_same_as(theirs)
            }
            #[cfg(feature = "x5c")]
            (Self::Certified(ours), Self::Certified(theirs)) => ours.shares_a_root_with(theirs),
            (Self::Remote(ours), Self::Remote(theirs)) => ours.has_the_place_of(theirs),
            _ => false,
        }
    }

    /// The file with the last good set.
    pub(crate) fn snapshot(&self) -> Option<&Path> {
        match self {
            Self::Remote(keys) => keys.snapshot(),
            _ => None,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::discovery()
    }
}

impl From<DecodingKey> for Keys {
    /// One public key that jsonwebtoken has read. Its HMAC keys are refused by `build()`: see [`hmac`](Self::hmac).
    fn from(key: DecodingKey) -> Self {
        Self(Source::DecodingKey(Box::new(key)))
    }
}

impl TryFrom<&jsonwebtoken::jwk::Jwk> for Keys {
    type Error = ConfigError;

    /// # Errors
    /// If the JWK cannot be written as JSON.
    fn try_from(jwk: &jsonwebtoken::jwk::Jwk) -> Result<Self, ConfigError> {
        #[derive(serde::Serialize)]
        struct Set<'a> {
            keys: [&'a jsonwebtoken::jwk::Jwk; 1],
        }
        let json = serde_json::to_vec(&Set { keys: [jwk] }).map_err(|e| wrong("not a JWK").because(e))?;
        Ok(Self::jwks(json))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Discovery => "Keys(discovery)",
            Source::Url(_) => "Keys(JWKS URL)",
            Source::Jwks(_) => "Keys(JWKS)",
            Source::Pem(_) => "Keys(PEM)",
            Source::DecodingKey(_) => "Keys(DecodingKey)",
            Source::Hmac(..) => "Keys(HMAC)",
            #[cfg(feature = "x5c")]
            Source::Roots(_) => "Keys(x5c)",
        })
    }
}

fn remote(place: Place, context: Context<'_>) -> Result<KeySource, ConfigError> {
    let fetch = context.fetch.ok_or_else(|| {
        ConfigError::new(
            ConfigErrorKind::Feature,
            "keys cannot be fetched over https in this build; turn on the feature rustls or native-tls, give the server a Fetch, or use fixed keys",
        )
    })?;
    let snapshot = context.snapshot.map(|path| {
        Arc::new(Snapshot::new(snapshot::Settings {
            path,
            label: context.label.into(),
            iss: context.iss.map(Into::into),
            key_source: match &place {
                Place::Discovered { .. } => snapshot::DISCOVERY.into(),
                Place::Fixed(url) => url.as_str().into(),
            },
            algorithms: context.algorithms,
            leeway: context.leeway,
            clock: context.clock.clone(),
        }))
    });
    Ok(KeySource::Remote(RemoteKeys::new(Remote {
        place,
        allow_http: context.allow_http,
        algorithms: context.algorithms,
        label: context.label.into(),
        fetch,
        clock: context.clock,
        observers: context.observers,
        snapshot,
    })))
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Keys, message)
}

pub(crate) fn forbidden(what: &str, why: crate::fetch::guard::Forbidden) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Url, format!("{what} {why}"))
}
