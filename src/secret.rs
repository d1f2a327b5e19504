//! Text that must not be printed.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// The bytes of a token or a shared secret: never shown, wiped when dropped.
pub(crate) struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub(crate) fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The bytes of a token that is kept. As [`Secret`], but wiped eight at a time: it happens for every one.
pub(crate) struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Whoever calls this answers for where it goes.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        let (start, middle, end) = bytemuck::pod_align_to_mut::<u8, u64>(&mut self.0);
        start.zeroize();
        middle.zeroize();
        end.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
