//! A bearer token of our own, from a file, for an issuer that shows its keys to those it knows.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;
use tokio::runtime::Handle;
use url::{Origin, Url};
use zeroize::Zeroizing;

use super::guard::{Forbidden, KeyUrl};
use super::{FetchError, FetchErrorKind, MAX_BEARER_FILE_LENGTH};

/// A file whose content goes along with fetches to one origin.
pub(super) struct BearerFile {
    origin: Origin,
    path: PathBuf,
    /// Somebody is reading it: a volume that hangs must not take one thread for each attempt.
    being_read: Arc<AtomicBool>,
}

impl BearerFile {
    pub(super) fn new(url: &str, path: PathBuf) -> Result<Self, Forbidden> {
        Ok(Self { origin: KeyUrl::parse(url, true)?.origin(), path, being_read: Arc::default() })
    }

    pub(super) fn is_for(&self, url: &Url) -> bool {
        url.origin() == self.origin
    }

    pub(super) fn has_the_origin_of(&self, other: &Self) -> bool {
        self.origin == other.origin
    }

    /// The value of the header, read anew: such files are replaced while we run.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, FetchError> {
        let runtime = Handle::try_current().map_err(|_| FetchError::new(FetchErrorKind::Runtime))?;
        let path = self.path.clone();
        let being_read = self.being_read.clone();
        if being_read.swap(true, Ordering::Relaxed) {
            let hangs = format!("{}: another read has not ended", path.display());
            return Err(FetchError::new(FetchErrorKind::Credentials).because(hangs));
        }
        // One open and one read, but the volume may hang: not on a thread that serves requests.
        let read = runtime.spawn_blocking(move || {
            let header = read(&path);
            being_read.store(false, Ordering::Relaxed);
            header.map_err(|why| {
                FetchError::new(FetchErrorKind::Credentials).because(format!("{}: {why}", path.display()))
            })
        });
        read.await.map_err(|error| FetchError::new(FetchErrorKind::Runtime).because(error))?
    }
}

fn read(path: &Path) -> io::Result<HeaderValue> {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let limit = MAX_BEARER_FILE_LENGTH.saturating_add(1);
    // With room for all of it: growing would leave parts of the token behind.
    let mut header = Zeroizing::new(Vec::with_capacity(SCHEME.len().saturating_add(limit)));
    header.extend_from_slice(SCHEME);
    let length = File::open(path)?.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut header)?;
    if length > MAX_BEARER_FILE_LENGTH {
        return Err(io::Error::other("longer than any token"));
    }
    let token = header.get(SCHEME.len()..).unwrap_or_default().trim_ascii_end();
    if !is_b64token(token) {
        return Err(io::Error::other("not one bearer token"));
    }
    let end = SCHEME.len().saturating_add(token.len());
    header.truncate(end);
    let mut value = HeaderValue::from_bytes(&header).map_err(|_| io::Error::other("not one bearer token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 6750 §2.1.
fn is_b64token(token: &[u8]) -> bool {
    let end = token.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let body = token.get(..end).unwrap_or_default();
    !body.is_empty() && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

const SCHEME: &[u8] = b"Bearer ";

impl fmt::Debug for BearerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.path.display(), self.origin.ascii_serialization())
    }
}
