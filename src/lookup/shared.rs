//! [`RedisAnswers`]: what was said of tokens, for the servers of a fleet.
//!
//! A value is one line: when the endpoint was asked, how long the answer may be believed, a tag, and the claims. The tag is an
//! HMAC over all of it and over the place, and the place is one of the token: nobody without the secret can write an answer,
//! move one to another token, or find out whether a guessed token is there.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::desk::{ACTIVE_FOR, ENDLESS_ACTIVE_FOR, REFUSED_FOR};
use super::{
    ANSWERS_PAUSE, ANSWERS_TIMEOUT, Found, FoundClaims, Place, Recall, Recalled, Remember, SharedAnswers,
};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::Warnings;
use crate::jose::{Claims, HmacAlgorithm, HmacKey};
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use crate::redis::RedisTls;
use crate::redis::{Fault, Redis};
use crate::secret::Secret;
use crate::sync::Mutex;
use crate::time::{Clock, Timestamp};

/// As long as the output of the hash (RFC 2104 §3).
const MIN_SECRET_LENGTH: usize = 32;

/// Longer answers are not shared, in bytes.
const MAX_SHARED_LENGTH: usize = 16 * 1024;

/// What was written further ahead of our clock than clocks may differ is not believed.
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// What is authenticated begins with what it is, so that none is taken for another.
const PLACE: &[u8] = b"tower-bearer place of an answer 1";
const ANSWER: &[u8] = b"tower-bearer answer 1";

/// Answers about tokens that are looked up, shared by the servers of a fleet in Redis or Valkey (feature `redis`): each token
/// is asked about once for all of them, and not once for each (but on [live](crate::BearerAuthLayer::live) routes). Give it to
/// [`Issuer::shared_answers`](crate::Issuer::shared_answers).
///
/// ```no_run
/// use tower_bearer::{Introspection, Issuer, RedisAnswers, ResourceServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret = "";
/// let introspection = Introspection::at("https://id.example.com/introspect").basic("orders-api", secret);
/// let answers = RedisAnswers::new(&std::env::var("REDIS_URL")?, std::fs::read("answers-secret")?)?;
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com").introspection(introspection).shared_answers(answers))
///     .build()?;
/// # let _ = api;
/// # Ok(()) }
/// ```
///
/// In a settings file: `shared_answers = { redis = { url_env = "REDIS_URL" }, secret_file = "answers-secret" }` in an
/// `[[issuer]]`. The secret is a text there, and line breaks at its end do not count.
///
/// Servers share what was said if they have the same Redis, [`key`](Self::key), secret and identifier, and call the issuer by the
/// same [name](crate::Issuer::name). An answer is believed as long as without this, counted from the question: its time in Redis and
/// its time in memory together are [`ACTIVE_FOR`] at most, [`ENDLESS_ACTIVE_FOR`] without an end, and never past the end;
/// [`REFUSED_FOR`] if the token is not active. Each server checks what was said as if it had asked itself, and its denials
/// count. Servers that ask at the same moment each ask, and so does each about an answer of more than 16 KiB.
///
/// Redis is never needed. If it fails, or takes longer than [`ANSWERS_TIMEOUT`], whoever issued the token is asked, and Redis
/// is left alone for [`ANSWERS_PAUSE`]; a warning of the target `tower_bearer::lookup` tells of it.
///
/// # Security
/// The secret authenticates what is in Redis: whoever can write there and does not know it can lose answers, or put an older
/// one back as long as that may be believed, and can make no token good. Whoever knows the secret and can write there
/// can. Claims are in Redis as they were said, which is personal data: reach it over TLS, and let nobody else read
/// it. The tokens are not in it, nor anything from which one could be guessed without the secret.
///
/// [`ACTIVE_FOR`]: crate::manual::defaults::ACTIVE_FOR
/// [`ANSWERS_PAUSE`]: crate::manual::defaults::ANSWERS_PAUSE
/// [`ANSWERS_TIMEOUT`]: crate::manual::defaults::ANSWERS_TIMEOUT
/// [`ENDLESS_ACTIVE_FOR`]: crate::manual::defaults::ENDLESS_ACTIVE_FOR
/// [`REFUSED_FOR`]: crate::manual::defaults::REFUSED_FOR
#[derive(Clone)]
#[must_use]
pub struct RedisAnswers {
    redis: Arc<Redis>,
    secret: Secret<Vec<u8>>,
    key: Box<str>,
}

/// The answers about the tokens of one issuer.
struct Answers(Arc<Inner>);

struct Inner {
    redis: Arc<Redis>,
    hmac: HmacKey,
    key: Box<str>,
    issuer: Box<str>,
    resource: Box<str>,
    /// Who believes signed answers alone has none of somebody who believes others.
    signed: bool,
    clock: Arc<dyn Clock>,
    rests_until: Mutex<Option<Instant>>,
    warnings: Warnings,
}

impl RedisAnswers {
    /// Answers at such a URL, which is that of [`RedisDenylist::new`](crate::RedisDenylist::new), and a secret that all servers of the
    /// fleet share and nobody else: 32 bytes or more, at random.
    ///
    /// # Errors
    /// If it is no such URL, TLS cannot be set up, or the secret is shorter. The error shows neither.
    pub fn new(url: &str, secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        Self::on(Redis::at(url).map_err(of_a_lookup)?, secret)
    }

    /// The same at a `rediss://` URL, for which something is to be said of TLS.
    ///
    /// # Errors
    /// As [`new`](Self::new), or if what is given for TLS is not what it should be.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub fn with_tls(url: &str, tls: RedisTls, secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        Self::on(Redis::with_tls(url, tls).map_err(of_a_lookup)?, secret)
    }

    /// Mistakes are about the secret.
    pub(crate) fn on(redis: Redis, secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let secret = Secret::new(secret.into());
        if secret.expose().len() < MIN_SECRET_LENGTH {
            let message = "the secret is too short; write 32 random bytes or more";
            return Err(ConfigError::new(ConfigErrorKind::Lookup, message));
        }
        Ok(Self { redis: Arc::new(redis), secret, key: "tower-bearer:answers".into() })
    }

    /// What the keys in Redis begin with. Default: `tower-bearer:answers`.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into().into(), ..self }
    }

    pub(crate) fn resolve(
        self,
        issuer: &str,
        resource: &str,
        signed: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn SharedAnswers>, ConfigError> {
        let hmac = HmacKey::prepare(self.secret.expose(), HmacAlgorithm::HS256).ok_or_else(|| {
            let message = "no cryptography was compiled in; turn on the feature aws-lc-rs or rust-crypto";
            ConfigError::new(ConfigErrorKind::Feature, message)
        })?;
        Ok(Arc::new(Answers(Arc::new(Inner {
            redis: self.redis,
            hmac,
            key: self.key,
            issuer: issuer.into(),
            resource: resource.into(),
            signed,
            rests_until: Mutex::new(None),
            warnings: Warnings::new(clock.instant()),
            clock,
        }))))
    }
}

impl SharedAnswers for Answers {
    fn place(&self, token: &str) -> Place {
        let Inner { hmac, issuer, resource, signed, .. } = &*self.0;
        let kind: &[u8] = if *signed { b"signed" } else { b"plain" };
        let parts = [PLACE, kind, issuer.as_bytes(), resource.as_bytes(), token.as_bytes()];
        encode(&hmac.tag(&message(&parts)))
    }

    fn recall(&self, place: &Place) -> Recall {
        let (answers, place) = (self.0.clone(), place.clone());
        Box::pin(async move {
            let mut command = redis::cmd("EVAL");
            command.arg(READ).arg(1).arg(answers.key_of(&place));
            let found: (Option<Vec<u8>>, i64) = answers.query(&command).await?;
            let (Some(value), left) = found else { return None };
            let recalled = answers.read(&place, &value, left);
            if recalled.is_none() {
                tracing::debug!(target: "tower_bearer::lookup", issuer = &*answers.issuer, "left out a shared answer");
            }
            recalled
        })
    }

    fn remember(&self, place: Place, found: Found, asked_at: Timestamp) -> Remember {
        let answers = self.0.clone();
        Box::pin(async move {
            let Some((value, lasts)) = answers.write(&place, &found, asked_at) else { return };
            let now = answers.clock.now().into();
            let left = lasts.saturating_sub(Timestamp::since(now, asked_at)).as_millis();
            if left == 0 {
                return;
            }
            let mut command = redis::cmd("EVAL");
            command.arg(WRITE).arg(1).arg(answers.key_of(&place));
            command.arg(asked_at.micros()).arg(value).arg(left.to_string());
            let _: Option<u8> = answers.query(&command).await;
        })
    }
}

impl Inner {
    fn key_of(&self, place: &Place) -> String {
        format!("{}:{}", self.key, place)
    }

    /// `None` if there is no answer in time, or was none a moment ago.
    async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        let rests = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.is_some_and(|until| self.clock.instant() < until) {
            return None;
        }
        let error = match tokio::time::timeout(ANSWERS_TIMEOUT, self.redis.query(command)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(fault)) => name_of(&fault),
            Err(_) => "no answer in time",
        };
        let now = self.clock.instant();
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = now.checked_add(ANSWERS_PAUSE);
        if let Some(held_back) = self.warnings.pass(now) {
            tracing::warn!(
                target: "tower_bearer::lookup",
                issuer = &*self.issuer, error, held_back,
                "could not share answers; each server asks for itself"
            );
        }
        None
    }

    fn write(&self, place: &Place, found: &Found, asked_at: Timestamp) -> Option<(String, Duration)> {
        let (said, lasts) = match found {
            Found::Inactive => (INACTIVE, REFUSED_FOR),
            Found::Active(claims) => {
                let end = Claims::parse(claims.json()).ok()?.validity().ok()?.expires_at;
                (claims.json(), end.map_or(ENDLESS_ACTIVE_FOR, |end| ACTIVE_FOR.min(end.since(asked_at))))
            }
        };
        if said.len() > MAX_SHARED_LENGTH {
            return None;
        }
        let times = format!("{} {}", asked_at.micros(), lasts.as_micros());
        let tag = self.hmac.tag(&value_message(place, &times, said));
        Some((format!("{times} {} {said}", encode(&tag)), lasts))
    }

    /// `left` in milliseconds. How old it is, is the more of what our clock says and of what that of Redis does.
    fn read(&self, place: &Place, value: &[u8], left: i64) -> Option<Recalled> {
        let value = std::str::from_utf8(value).ok()?;
        let mut parts = value.splitn(4, ' ');
        let (asked_at, lasts, tag, said) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let tag = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(tag).ok()?;
        if !self.hmac.verify(&value_message(place, &format!("{asked_at} {lasts}"), said), &tag) {
            return None;
        }
        let asked_at = Timestamp::from_micros(asked_at.parse().ok()?);
        let lasts = Duration::from_micros(lasts.parse().ok()?);
        // There is an end to it, always.
        let left = Duration::from_millis(u64::try_from(left).ok()?);
        let now: Timestamp = self.clock.now().into();
        if asked_at > now.plus(MAX_AHEAD) {
            return None;
        }
        let age = now.since(asked_at).max(lasts.saturating_sub(left));
        let left = lasts.checked_sub(age).filter(|left| !left.is_zero())?;
        let found = match said {
            INACTIVE => Found::Inactive,
            claims => Found::Active(FoundClaims::parse(claims).ok()?),
        };
        Some(Recalled { found, age, left })
    }
}

/// What a Redis cannot be is said of the denylist.
fn of_a_lookup(error: ConfigError) -> ConfigError {
    error.of(ConfigErrorKind::Denylist, ConfigErrorKind::Lookup)
}

/// No JSON object.
const INACTIVE: &str = "-";

const READ: &str = "return { redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }";

/// `ARGV`: when it was asked, the value, its milliseconds. Of two answers the one that was asked for later stays.
const WRITE: &str = r"
local held = redis.call('GET', KEYS[1])
local at = held and tonumber(string.match(held, '^%d+'))
if at and at > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

fn value_message(place: &Place, times: &str, said: &str) -> Vec<u8> {
    message(&[ANSWER, place.as_bytes(), times.as_bytes(), said.as_bytes()])
}

/// Each with its length, so that no two lists are the same bytes.
fn message(parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in parts {
        message.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        message.extend(*part);
    }
    message
}

fn encode(bytes: &[u8]) -> Box<str> {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes).into()
}

/// What the other crate says may quote a value.
fn name_of(fault: &Fault) -> &'static str {
    match fault.detail {
        Some(detail) => detail,
        None if fault.error.code().is_some() => "it has answered with an error",
        None => "it cannot be reached",
    }
}

impl fmt::Debug for RedisAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAnswers").field("key", &self.key).finish_non_exhaustive()
    }
}
