//! HMAC with RustCrypto, because aws-lc-rs verifies in this build.

use hmac::{Hmac, KeyInit, Mac};

use crate::jose::HmacAlgorithm;

pub(super) fn hmac(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    fn tag<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
        let mac = <M as KeyInit>::new_from_slice(secret).expect("a secret of any length");
        mac.chain_update(message).finalize().into_bytes().to_vec()
    }
    match algorithm {
        HmacAlgorithm::HS256 => tag::<Hmac<sha2::Sha256>>(secret, message),
        HmacAlgorithm::HS384 => tag::<Hmac<sha2::Sha384>>(secret, message),
        HmacAlgorithm::HS512 => tag::<Hmac<sha2::Sha512>>(secret, message),
    }
}
