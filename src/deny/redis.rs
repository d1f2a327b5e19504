//! [`RedisDenylist`]: a denylist in Redis or Valkey.
//!
//! Five keys: the denials and their times (a hash), the order in which they were changed, the time at which each can be
//! forgotten, those that were removed (sorted sets), and the head: a random name and how many there are, so that a list that
//! was lost is noticed, wholly or in part, and the number of the last change. Changes are numbered by the clock of Redis, in microseconds, so that a replica that has missed some goes on with
//! higher numbers than anybody has seen. One clock decides what has ended, and it is not ours.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use redis::FromRedisValue;

use super::denial::Denial;
use super::list::{Changes, Denylist, DenylistError, DenylistErrorKind, DenylistFuture, Mark};
use super::table::room_for;
use crate::error::ConfigError;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use crate::redis::RedisTls;
use crate::redis::{Fault, Redis};
use crate::sync::RandomState;

/// What the keys end with.
const PARTS: [&str; 5] = ["data", "log", "ends", "gone", "head"];

/// So many denials are read at once.
const PAGE: usize = 1000;

/// A [`Denylist`](crate::Denylist) in [Redis](https://redis.io) 5 or later, or in Valkey (feature `redis`); tried with Redis
/// 7.0, Valkey 8.1 and 9.1.
///
/// ```no_run
/// use tower_bearer::{Issuer, RedisDenylist, ResourceServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let list = RedisDenylist::new(&std::env::var("REDIS_URL")?)?;
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com"))
///     .denylist(list)
///     .build()?;
/// # let _ = api;
/// # Ok(()) }
/// ```
///
/// All servers with the same Redis and the same [`key`](Self::key) share one list, and must call an issuer by the same
/// [name](crate::Issuer::name). What has ended is removed by the next server that looks. A list that is lost, because Redis was
/// restarted without its data, is written again by each server that still knows it. It needs one primary, and no cluster.
///
/// It prints its key, and neither the URL nor a claim.
///
/// # Security
/// What is written are claims of tokens: reach Redis over TLS, or keep it on a network of yours, where `redis://` is not
/// encrypted. Whoever can write there can deny every token and take back every denial, but cannot make a token good.
#[derive(Clone)]
pub struct RedisDenylist {
    redis: Arc<Redis>,
    key: Arc<str>,
}

impl RedisDenylist {
    /// A list at such a URL: `rediss://user:password@host:6379/0` over TLS, `redis://` without, or
    /// `unix:///path/to/socket?pass=password`. Connects when it is first needed.
    ///
    /// TLS needs the feature `rustls` (a default one) or `native-tls`; as for keys, rustls is used if both are on. The platform's
    /// certificate authorities are trusted; for others there is [`with_tls`](Self::with_tls).
    ///
    /// # Errors
    /// If it is no such URL, or if TLS cannot be set up. The error does not show it.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Ok(Self::on(Redis::at(url)?))
    }

    /// A list at a `rediss://` URL, for which something is to be said of TLS: a private certificate authority, or a certificate
    /// of ours.
    ///
    /// ```no_run
    /// use tower_bearer::{RedisDenylist, RedisTls};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = RedisTls::new().ca_only(std::fs::read("redis-ca.pem")?);
    /// let list = RedisDenylist::with_tls(&std::env::var("REDIS_URL")?, tls)?;
    /// # let _ = list;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If it is no such URL, or if what is given for TLS is not what it should be. The error shows neither.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub fn with_tls(url: &str, tls: RedisTls) -> Result<Self, ConfigError> {
        Ok(Self::on(Redis::with_tls(url, tls)?))
    }

    pub(crate) fn on(redis: Redis) -> Self {
        Self { redis: Arc::new(redis), key: "tower-bearer:denylist".into() }
    }

    /// What the keys in Redis begin with. Default: `tower-bearer:denylist`.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into().into(), ..self }
    }

    /// Runs a script on the keys.
    fn run<T: FromRedisValue + Send + 'static>(
        &self,
        script: &str,
        arguments: Vec<String>,
    ) -> DenylistFuture<T> {
        let mut command = redis::cmd("EVAL");
        command.arg(format!("{PRELUDE}{script}")).arg(PARTS.len());
        // In braces, so that a proxy or cluster in front finds them in one place.
        for part in PARTS {
            command.arg(format!("{{{}}}:{part}", self.key));
        }
        command.arg(arguments);
        let redis = self.redis.clone();
        Box::pin(async move { redis.query(&command).await.map_err(said) })
    }
}

impl Denylist for RedisDenylist {
    fn add(&self, denial: Denial) -> DenylistFuture<()> {
        let times = denial.times();
        let arguments = vec![denial.key(), times, room_for(denial.claim()).to_string()];
        let added = self.run::<u8>(ADD, arguments);
        Box::pin(async move {
            match added.await? {
                0 => Err(DenylistError::new(DenylistErrorKind::Full)),
                2 => Err(DenylistError::new(DenylistErrorKind::Refused).because("its end is past there")),
                _ => Ok(()),
            }
        })
    }

    fn remove(&self, denial: Denial) -> DenylistFuture<()> {
        self.run(REMOVE, vec![denial.key(), denial.times()])
    }

    fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes> {
        let (name, number) =
            since.as_ref().and_then(|mark| mark.as_str().split_once(' ')).unwrap_or(("", "0"));
        let arguments = vec![name_of_a_list(), name.to_owned(), number.to_owned(), PAGE.to_string()];
        let answer = self.run::<Vec<String>>(CHANGES, arguments);
        Box::pin(async move { read(&answer.await?).ok_or_else(DenylistError::data) })
    }
}

/// Name, loss, number of the last change; then for each denial its key, times and number.
fn read(answer: &[String]) -> Option<Changes> {
    let ([name, lost, last], denials) = answer.split_first_chunk()?;
    let (denials, []) = denials.as_chunks::<3>() else { return None };
    let more = denials.len() >= PAGE;
    let number = denials.last().filter(|_| more).map_or(last, |[_, _, number]| number);
    let parse = |[key, times, _]: &[String; 3]| match Denial::parse(key, times) {
        Ok(denial) => Some(denial),
        Err(error) => {
            // One that nobody can read must not undo all others.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(target: "tower_bearer::deny", error, "left out an entry of the shared denylist");
            None
        }
    };
    let mut changes = Changes::new(denials.iter().filter_map(parse), Mark::new(format!("{name} {number}")));
    if more {
        changes = changes.and_more();
    }
    Some(if lost == "1" { changes.after_loss() } else { changes })
}

/// At random, from the operating system, by way of the standard library's hash seeds.
fn name_of_a_list() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}

/// What the other crate says may quote a command, and with it a password: only its kind goes on.
fn said(fault: Fault) -> DenylistError {
    let error = fault.error;
    let kind = if error.is_timeout() {
        DenylistErrorKind::Timeout
    } else if error.code().is_some() {
        DenylistErrorKind::Refused
    } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
        DenylistErrorKind::Connection
    } else {
        DenylistErrorKind::Data
    };
    let is_code = |code: &&str| code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    match fault.detail.or_else(|| error.code().filter(is_code)) {
        Some(code) => DenylistError::new(kind).because(code),
        None => DenylistError::new(kind),
    }
}

impl fmt::Debug for RedisDenylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDenylist").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What the scripts have in common: the time, noticing that a part was lost, and forgetting what has ended. After a loss the
/// list has no name: the next who reads gives it another, so that everybody reads all and writes what is missing. A denial that
/// was removed stays for an hour, so that everybody learns of it.
const PRELUDE: &str = r"
local data, log, ends, gone, head = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function whole(number) return string.format('%.0f', number) end
local function times(text)
  local till, before = string.match(text, '^(-?%d+) (-?%d+)$')
  return till or '0', before or '0'
end
local function number(field) return tonumber(redis.call('HGET', head, field) or 0) or 0 end
local function count() redis.call('HSET', head, 'held', redis.call('HLEN', data)) end
local function line_up(key, till)
  local last = math.max(now, number('last') + 1)
  redis.call('HSET', head, 'last', whole(last))
  redis.call('ZADD', log, whole(last), key)
  if tonumber(till) > now then
    redis.call('ZADD', ends, till, key)
    redis.call('ZREM', gone, key)
  else
    local forget_at = whole(now + 3600 * 1000000)
    redis.call('ZADD', ends, forget_at, key)
    redis.call('ZADD', gone, forget_at, key)
  end
end
if redis.call('HLEN', data) ~= number('held') or redis.call('ZCARD', log) ~= number('held')
  or redis.call('ZCARD', ends) ~= number('held') then
  redis.call('DEL', log, ends, gone)
  redis.call('HDEL', head, 'name')
  local all = redis.call('HGETALL', data)
  for place = 1, #all, 2 do
    line_up(all[place], (times(all[place + 1])))
  end
  count()
end
local function note(key, till, before)
  redis.call('HSET', data, key, till .. ' ' .. before)
  line_up(key, till)
  count()
end
local ended = redis.call('ZRANGEBYSCORE', ends, '-inf', whole(now), 'LIMIT', 0, 1000)
for _, key in ipairs(ended) do
  redis.call('HDEL', data, key)
  redis.call('ZREM', log, key)
  redis.call('ZREM', ends, key)
  redis.call('ZREM', gone, key)
end
if #ended > 0 then count() end
";

/// `ARGV`: key, times, how many at most: those that were removed do not count.
const ADD: &str = r"
local till, before = times(ARGV[2])
local known = redis.call('HGET', data, ARGV[1])
if known then
  local other_till, other_before = times(known)
  if tonumber(other_till) > now then
    if tonumber(other_till) > tonumber(till) then till = other_till end
    if tonumber(other_before) > tonumber(before) then before = other_before end
  end
end
if tonumber(till) <= now then return 2 end
local is_new = not known or redis.call('ZSCORE', gone, ARGV[1])
if is_new and redis.call('HLEN', data) - redis.call('ZCARD', gone) >= tonumber(ARGV[3]) then
  return 0
end
note(ARGV[1], till, before)
return 1
";

/// `ARGV`: key, times.
const REMOVE: &str = r"
local _, before = times(ARGV[2])
note(ARGV[1], whole(now), before)
return 1
";

/// `ARGV`: a name for a new list, name and number of the mark, how many at most.
const CHANGES: &str = r"
redis.call('HSETNX', head, 'name', ARGV[1])
local name = redis.call('HGET', head, 'name')
local last = number('last')
local since, lost = tonumber(ARGV[3]) or 0, '0'
if name ~= ARGV[2] or since > last then
  since, lost = 0, '1'
end
local answer = { name, lost, whole(last) }
local found = redis.call(
  'ZRANGEBYSCORE', log, '(' .. whole(since), '+inf', 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[4]))
for place = 1, #found, 2 do
  answer[#answer + 1] = found[place]
  answer[#answer + 1] = redis.call('HGET', data, found[place]) or ''
  answer[#answer + 1] = whole(tonumber(found[place + 1]))
end
return answer
";
