//! [`Redis`]: the way to one, with TLS or without.
//!
//! The TLS of the other crate is left alone: with rustls it takes the process-wide provider of cryptography, installs one if
//! there is none, and panics where there are two to choose from. A connection can be made over any stream, so TLS is `tls`.

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError};
use url::Url;

#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub use self::tls::RedisTls;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use self::tls::{Driver, Tls};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::sync::Mutex;

/// How long a connection, and then an answer, may take: both within `DENYLIST_TIMEOUT`, so that here it is known which failed.
const PATIENCE: Duration = Duration::from_millis(950);

/// A Redis or Valkey, and a connection to it when there is one.
pub(crate) struct Redis {
    client: Client,
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    tls: Option<Tls>,
    /// After an error it is forgotten: the next one may reach another primary.
    connection: Mutex<Option<Arc<Connection>>>,
}

struct Connection {
    connection: MultiplexedConnection,
    /// Ends with the connection. Without TLS the other crate does that.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    _driver: Option<Driver>,
}

/// A connection in use. If nothing has come of it, also because nobody waits any longer, it is forgotten.
struct Used<'a> {
    redis: &'a Redis,
    connection: Arc<Connection>,
    answered: bool,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let mut known = self.redis.known();
        if !self.answered && known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &self.connection)) {
            *known = None;
        }
    }
}

/// Why there is no answer.
pub(crate) struct Fault {
    /// It may quote a command, and with it a password.
    pub(crate) error: RedisError,
    /// More of it, from a closed set.
    pub(crate) detail: Option<&'static str>,
}

impl Redis {
    /// Over TLS if the URL says so, with the platform's authorities.
    pub(crate) fn at(url: &str) -> Result<Self, ConfigError> {
        match encrypted(url) {
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            Some(url) => Self::over_tls(&url, RedisTls::new()),
            #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
            Some(_) => {
                let message = "this build has no TLS; turn on the feature rustls or native-tls";
                Err(ConfigError::new(ConfigErrorKind::Feature, message))
            }
            None => Ok(Self {
                client: open(url)?,
                #[cfg(any(feature = "rustls", feature = "native-tls"))]
                tls: None,
                connection: Mutex::new(None),
            }),
        }
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub(crate) fn with_tls(url: &str, tls: RedisTls) -> Result<Self, ConfigError> {
        let url = encrypted(url).ok_or_else(|| {
            wrong("not the URL of a Redis with TLS; write one such as rediss://host:6379/0")
        })?;
        Self::over_tls(&url, tls)
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn over_tls(url: &Url, tls: RedisTls) -> Result<Self, ConfigError> {
        // There is a way to write that any certificate will do. Not here.
        if url.fragment().is_some() {
            return Err(wrong("a URL of a Redis with TLS ends with the database; leave out what follows #"));
        }
        let client = open(url.as_str())?;
        let tls = Some(Tls::new(client.get_connection_info(), tls)?);
        Ok(Self { client, tls, connection: Mutex::new(None) })
    }

    /// Runs a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let mut used = Used { redis: self, connection: self.connect().await?, answered: false };
        let answer = command.query_async(&mut used.connection.connection.clone()).await?;
        used.answered = true;
        Ok(answer)
    }

    async fn connect(&self) -> Result<Arc<Connection>, Fault> {
        if let Some(known) = self.known().clone() {
            return Ok(known);
        }
        let new = Arc::new(self.connect_anew().await?);
        *self.known() = Some(new.clone());
        Ok(new)
    }

    async fn connect_anew(&self) -> Result<Connection, Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        if let Some(tls) = &self.tls {
            let info = self.client.get_connection_info().redis_settings();
            let (connection, driver) = match tokio::time::timeout(PATIENCE, tls.connect(info, config)).await {
                Ok(connected) => connected?,
                Err(late) => return Err(std::io::Error::from(late).into()),
            };
            return Ok(Connection { connection, _driver: Some(driver) });
        }
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Connection {
            connection,
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            _driver: None,
        })
    }

    fn known(&self) -> crate::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same URL without TLS, if it is one with.
fn encrypted(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok()?;
    let plain = match url.scheme() {
        "rediss" => "redis",
        "valkeys" => "valkey",
        _ => return None,
    };
    url.set_scheme(plain).ok()?;
    Some(url)
}

fn open(url: &str) -> Result<Client, ConfigError> {
    // What the other crate says of it may hold a part of it.
    Client::open(url)
        .map_err(|_| wrong("not the URL of a Redis; write one such as redis://user:password@host:6379/0"))
}

fn wrong(message: &'static str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Denylist, message)
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self { error, detail: None }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        RedisError::from(error).into()
    }
}
