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

/// Nothing of it stays in memory. The same as [`Zeroize`] does, as fast as memory is written: it happens for every token.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // The compiler must believe that somebody looks.
    zeroize::optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_is_wiped() {
        for length in [0, 1, 63, 64, 890] {
            let mut bytes = vec![b'x'; length];
            wipe(&mut bytes);
            assert_eq!(bytes, vec![0; length]);
        }
    }
}
