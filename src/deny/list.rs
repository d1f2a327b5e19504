//! [`Denylist`]: the denials that the servers of a fleet share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::denial::Denial;

/// What a [`Denylist`] answers with.
pub type DenylistFuture<T> = Pin<Box<dyn Future<Output = Result<T, DenylistError>> + Send>>;

/// A list of denials that several servers share, so that a token that one of them denies is denied by all. Give it to
/// [`ResourceServerBuilder::denylist`](crate::ResourceServerBuilder::denylist); `RedisDenylist` (feature `redis`) is one.
///
/// No request ever waits for it: each server keeps a copy in memory, writes its own denials to the list, and asks the list
/// every second for what is new.
///
/// The list holds at most one denial of each [key](Denial::key). Each call is given
/// [`DENYLIST_TIMEOUT`](crate::manual::defaults::DENYLIST_TIMEOUT), and is dropped then.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
/// use std::time::{Duration, SystemTime};
/// use tower_bearer::{Changes, Denial, Denylist, DenylistFuture, Mark};
///
/// /// For servers in one process. Every change has a number.
/// #[derive(Default)]
/// struct Shared(Mutex<(u64, BTreeMap<String, (u64, Denial)>)>);
///
/// impl Shared {
///     /// What becomes of a denial may depend on the one that is there.
///     fn put(&self, denial: Denial, with: fn(Denial, &Denial) -> Denial) -> DenylistFuture<()> {
///         let mut list = self.0.lock().unwrap();
///         list.0 += 1;
///         let (number, key) = (list.0, denial.key());
///         let denial = match list.1.get(&key) {
///             Some((_, known)) => with(denial, known),
///             None => denial,
///         };
///         list.1.insert(key, (number, denial));
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// impl Denylist for Shared {
///     fn add(&self, denial: Denial) -> DenylistFuture<()> {
///         self.put(denial, |new, known| {
///             // What has ended, or was removed, counts no more.
///             let holds = known.ends_at().is_some_and(|end| end > SystemTime::now());
///             if holds { new.together_with(known) } else { new }
///         })
///     }
///
///     fn remove(&self, denial: Denial) -> DenylistFuture<()> {
///         self.put(denial.until(SystemTime::now()), |ended, _| ended)
///     }
///
///     fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes> {
///         let mut list = self.0.lock().unwrap();
///         // Long enough for everybody to have seen that it has ended.
///         let forgotten = SystemTime::now() - Duration::from_secs(3600);
///         list.1.retain(|_, (_, denial)| denial.ends_at().is_some_and(|end| end > forgotten));
///         let since = since.and_then(|mark| mark.as_str().parse().ok()).unwrap_or(0);
///         let new = list.1.values().filter(|(number, _)| *number > since).map(|(_, denial)| denial.clone());
///         let changes = Changes::new(new, Mark::new(list.0.to_string()));
///         Box::pin(async { Ok(changes) })
///     }
/// }
///
/// # use tower_bearer::testing::Idp;
/// # use tower_bearer::{Issuer, ResourceServer};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let idp = Idp::new("https://id.example.com");
/// # let list = std::sync::Arc::new(Shared::default());
/// # let server = || ResourceServer::builder("https://api.example.com")
/// #     .issuer(Issuer::new("https://id.example.com")).fetch(idp.clone()).denylist(list.clone()).build();
/// # let (one, two) = (server()?, server()?);
/// # let token = idp.token("https://api.example.com").claim("sub", "alice").sign();
/// # assert!(one.verify(&token).await.is_ok());
/// # one.deny(Denial::subject("https://id.example.com", "alice")).await?;
/// # assert!(one.verify(&token).await.is_err() && two.verify(&token).await.is_err());
/// # let (now, alice) = (SystemTime::now(), Denial::subject("https://id.example.com", "alice"));
/// # let end = || list.0.lock().unwrap().1[&alice.key()].1.ends_at().unwrap();
/// # let long = end();
/// # assert!(long > now + Duration::from_secs(80_000));
/// # list.add(alice.clone().until(now + Duration::from_secs(60))).await?;
/// # assert_eq!(end(), long);
/// # list.remove(alice.clone()).await?;
/// # list.add(alice.clone().until(now + Duration::from_secs(60))).await?;
/// # assert_eq!(end(), now + Duration::from_secs(60));
/// # Ok(()) }
/// ```
pub trait Denylist: Send + Sync + 'static {
    /// Adds a denial, which has an end. Of two with the same key the later end and the later
    /// [`issued_before`](Denial::issued_before) count. When this is done, every later [`changes`](Self::changes) must tell
    /// of it.
    fn add(&self, denial: Denial) -> DenylistFuture<()>;

    /// Ends the denial of this key now. Those who ask for changes must be told of it, as of one that has ended.
    fn remove(&self, denial: Denial) -> DenylistFuture<()>;

    /// What was added or removed since a mark that was given out before, or all without one. Removed ones are among them
    /// with an end that is past, for at least an hour; those that have ended by themselves need not be.
    fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes>;
}

impl<D: Denylist + ?Sized> Denylist for std::sync::Arc<D> {
    fn add(&self, denial: Denial) -> DenylistFuture<()> {
        (**self).add(denial)
    }

    fn remove(&self, denial: Denial) -> DenylistFuture<()> {
        (**self).remove(denial)
    }

    fn changes(&self, since: Option<Mark>) -> DenylistFuture<Changes> {
        (**self).changes(since)
    }
}

/// How far a list was read, in words of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Box<str>);

impl Mark {
    /// A mark of a list.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// What the list has written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is new in a [`Denylist`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Changes {
    pub(super) denials: Vec<Denial>,
    pub(super) mark: Mark,
    pub(super) more: bool,
    pub(super) lost: bool,
}

impl Changes {
    /// These, up to this mark.
    pub fn new(denials: impl IntoIterator<Item = Denial>, mark: Mark) -> Self {
        Self { denials: denials.into_iter().collect(), mark, more: false, lost: false }
    }

    /// There is more after the mark: it is asked for at once.
    pub fn and_more(mut self) -> Self {
        self.more = true;
        self
    }

    /// The list has been lost since the mark that was asked about, wholly or in part, and this is from its beginning. Each
    /// server writes to it again what it still knows.
    pub fn after_loss(mut self) -> Self {
        self.lost = true;
        self
    }
}

/// A shared denylist could not be read or written. It says nothing of what is in it, nor how it is reached.
#[derive(Debug)]
pub struct DenylistError {
    kind: DenylistErrorKind,
    detail: Option<Box<str>>,
}

/// Why a shared denylist could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenylistErrorKind {
    /// There was no connection, or it broke.
    Connection,
    /// There was no answer in time.
    Timeout,
    /// It has answered with an error, or has panicked.
    Refused,
    /// It has answered with something that is no denial.
    Data,
    /// There is no room in it, or it holds more than [`MAX_DENIALS`](crate::manual::defaults::MAX_DENIALS) of our issuers: then
    /// what there is room for is denied, and the list counts as not read until the others find room too.
    Full,
    /// There is no runtime to reach it from.
    Runtime,
}

impl DenylistError {
    /// For an implementation of [`Denylist`].
    #[must_use]
    pub fn new(kind: DenylistErrorKind) -> Self {
        Self { kind, detail: None }
    }

    pub(super) fn data() -> Self {
        Self::new(DenylistErrorKind::Data)
    }

    /// Says more of it, from a closed set.
    #[cfg(feature = "redis")]
    pub(super) fn because(mut self, detail: &str) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> DenylistErrorKind {
        self.kind
    }
}

impl DenylistErrorKind {
    /// A label for logs and metrics, such as `timeout`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Data => "data",
            Self::Full => "full",
            Self::Runtime => "runtime",
        }
    }
}

impl fmt::Display for DenylistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DenylistErrorKind::Connection => "the denylist cannot be reached",
            DenylistErrorKind::Timeout => "the denylist did not answer in time",
            DenylistErrorKind::Refused => "the denylist has answered with an error",
            DenylistErrorKind::Data => "there is something in the denylist that is no denial",
            DenylistErrorKind::Full => "the denylist is full",
            DenylistErrorKind::Runtime => "there is no runtime to reach the denylist from",
        })?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl std::error::Error for DenylistError {}
