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

/// Overwrites them, as fast as memory is written: it happens for every token. ([`Zeroize`] writes byte by byte.)
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without somebody who looks, the compiler may leave it out.
    zeroize::optimization_barrier(bytes);
}
