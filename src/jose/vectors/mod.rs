//! Test vectors made by others: Project Wycheproof and the examples of the RFCs.
//!
//! They go through what a request goes through: [`Compact::parse`], the import of a key set, [`Keys::verify`].
//! Nothing here knows which backend verifies: every one must give the same answers.
#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

mod rfc;
mod wycheproof;

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::*;

/// The folder that TOWER_BEARER_VECTORS names, else the one beside the package.
struct Vectors(PathBuf);

impl Vectors {
    /// `None` if there are no vectors here. A build that has to have them says so in TOWER_BEARER_REQUIRE.
    fn find() -> Option<Self> {
        static SAID: Once = Once::new();
        let folder = env::var_os("TOWER_BEARER_VECTORS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"), PathBuf::from);
        if folder.is_dir() {
            return Some(Self(folder));
        }
        let why = format!("{} is not a folder; set TOWER_BEARER_VECTORS", folder.display());
        let required = env::var("TOWER_BEARER_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == "vectors"), "required: vectors ({why})");
        // libtest captures what print! and eprint! write, and nobody would see that nothing was tested.
        SAID.call_once(|| writeln!(std::io::stderr(), "skipped: vectors ({why})").unwrap());
        None
    }

    fn text(&self, path: &str) -> String {
        let path = self.0.join(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_str(&self.text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

type Outcome = Result<(), TokenError>;

fn everything() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

/// A key set as it is; one key as a set of one.
fn key_set(jwk_or_set: &str) -> KeySet {
    let has_keys = serde_json::from_str::<Json>(jwk_or_set).unwrap().get("keys").is_some();
    let set = if has_keys { jwk_or_set.to_owned() } else { format!("{{\"keys\":[{jwk_or_set}]}}") };
    KeySet::from_jwks(set.as_bytes(), everything()).unwrap()
}

fn public_keys(jwk_or_set: &str) -> Keys {
    Keys::Public(Arc::new(key_set(jwk_or_set)))
}

/// A secret as an operator configures it, for one algorithm and long enough for it.
fn shared_secret(jwk: &str, algorithm: HmacAlgorithm) -> Option<Keys> {
    let jwk: Json = serde_json::from_str(jwk).unwrap();
    let secret = base64url::decode(jwk["k"].as_str()?.as_bytes())?;
    if secret.len() < algorithm.min_secret_length() {
        return None;
    }
    SharedSecret::prepare(&Secret::new(secret), &[algorithm]).map(|secret| Keys::Shared(Arc::new(secret)))
}

/// A shared secret whose JWK names its algorithm. One that names none, or no HMAC, is no key: an operator has
/// to say what a secret is for, and the token must not.
fn named_secret(jwk: &str) -> Option<Keys> {
    let algorithm = serde_json::from_str::<Json>(jwk).unwrap()["alg"].as_str()?.parse().ok()?;
    shared_secret(jwk, algorithm)
}

/// Taken apart as for every request, but that the payload may be anything.
fn parse<'a>(token: &'a str, buffer: &'a mut SignatureBuffer) -> Result<Compact<'a>, TokenError> {
    let token = Compact::parse(token.as_bytes(), &[], buffer)?;
    base64url::decode(token.payload_segment).ok_or(TokenError::Structure)?;
    Ok(token)
}

fn verify(keys: &Keys, token: &str) -> Outcome {
    let mut buffer = SignatureBuffer::new();
    keys.verify(&parse(token, &mut buffer)?, &Turns::default()).map(drop).map_err(|not_verified| {
        match not_verified {
            NotVerified::Fault { fault, .. } => fault,
            NotVerified::Busy => unreachable!("there is no limit"),
        }
    })
}
