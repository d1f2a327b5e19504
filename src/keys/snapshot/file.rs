//! A file that is replaced as a whole, and read only if nobody else can have written it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::Path;

use super::Refused;

/// Puts a file with this content in the place of another, or leaves that one alone: who reads sees one of the two.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // A name that nobody has: two processes with one file must not write into each other's. What a crash leaves of it is
    // not read by anybody.
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}", RandomState::new().hash_one(())));
    let part = path.with_file_name(name);
    let file = private(OpenOptions::new().write(true).create_new(true)).open(&part)?;
    let written = fill(file, content).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// On the disk before it has its name, or a power cut could leave an empty file under it.
fn fill(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file of ours that is not longer than `limit`.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Refused> {
    let fault = |error: io::Error| Refused::from(error.to_string());
    // Of the name itself: a link is none, whatever it leads to.
    let named = fs::symlink_metadata(path).map_err(fault)?;
    if !named.is_file() {
        return Err("it is not a regular file".into());
    }
    let file = without_following(OpenOptions::new().read(true)).open(path).map_err(fault)?;
    // Of what was opened, which may be another one by now.
    check(&file.metadata().map_err(fault)?)?;
    let mut content = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let length = file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(fault)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > limit {
        return Err("it is too long".into());
    }
    Ok(content)
}

/// A regular file that nobody can write but us and root.
#[cfg(unix)]
fn check(file: &Metadata) -> Result<(), Refused> {
    use std::os::unix::fs::MetadataExt;
    if !file.is_file() {
        return Err("it is not a regular file".into());
    }
    if file.uid() != 0 && file.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to somebody else".into());
    }
    if file.mode() & 0o022 != 0 {
        return Err("others can write it".into());
    }
    Ok(())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// No link is followed, and nobody waits for the other end of a pipe.
#[cfg(unix)]
fn without_following(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

/// Elsewhere the folder says who can write.
#[cfg(not(unix))]
fn check(file: &Metadata) -> Result<(), Refused> {
    if file.is_file() { Ok(()) } else { Err("it is not a regular file".into()) }
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn without_following(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
