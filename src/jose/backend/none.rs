//! No cryptography was compiled in: no key can be prepared, so no token can be accepted.

use super::Material;
use crate::jose::algorithm::{Algorithm, HmacAlgorithm};

pub(super) const NAME: Option<&str> = None;

#[derive(Debug)]
pub(crate) enum VerifyingKey {}

#[derive(Debug)]
pub(crate) enum HmacKey {}

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

    pub(crate) fn verify(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}
