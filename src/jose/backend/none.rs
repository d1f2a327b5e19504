//! No cryptography was compiled in: no key can be prepared, so no token can be accepted.

use super::Material;
use crate::jose::algorithm::{Algorithm, HmacAlgorithm};

pub(super) const NAME: Option<&str> = None;

#[derive(Debug)]
pub(crate) enum VerifyingKey {}

#[derive(Debug)]
pub(crate) enum HmacKey {}

/// Of no use: no key can be prepared, so there is none to be named.
pub(crate) fn sha256(_: &[u8]) -> [u8; 32] {
    [0; 32]
}

/// Nothing is signed, so nothing needs it.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    None
}

impl VerifyingKey {
    pub(crate) fn prepare(_: &Material, _: Algorithm) -> Option<Self> {
        None
    }

    pub(crate) fn verify(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

impl HmacKey {
    pub(crate) fn prepare(_: &[u8], _: HmacAlgorithm) -> Option<Self> {
        None
    }

    #[cfg(feature = "redis")]
    pub(crate) fn tag(&self, _: &[u8]) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn verify(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}
