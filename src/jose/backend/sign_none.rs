//! No cryptography was compiled in: no private key can be read, so nothing is signed.

use super::{MALFORMED, Material, PrivateMaterial};
use crate::jose::algorithm::Algorithm;

pub(crate) enum PrivateKey {}

impl PrivateKey {
    pub(crate) fn read(_: &PrivateMaterial<'_>) -> Result<(Self, Material), &'static str> {
        Err(MALFORMED)
    }

    pub(crate) fn sign(&self, _: Algorithm, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }
}
