//! HMAC with aws-lc-rs, because something else verifies in this build.

use aws_lc_rs::hmac as mac;

use crate::jose::HmacAlgorithm;

pub(super) fn hmac(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        HmacAlgorithm::HS256 => mac::HMAC_SHA256,
        HmacAlgorithm::HS384 => mac::HMAC_SHA384,
        HmacAlgorithm::HS512 => mac::HMAC_SHA512,
    };
    mac::sign(&mac::Key::new(algorithm, secret), message).as_ref().to_vec()
}
