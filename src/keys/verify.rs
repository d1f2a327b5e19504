//! One signature, and the keys of one issuer.

use std::sync::Arc;
use std::time::Duration;

use super::KeySource;
use super::remote::{Available, Flight, RemoteKeys};
use crate::jose::{Compact, KeySet, NotVerified, Standing, TokenError, Turns};
use crate::time::Now;

/// Why an issuer's keys have not verified a signature.
pub(crate) enum Unverified<'a> {
    Fault(TokenError),
    /// As many signatures are being checked as may be.
    Busy,
    /// The keys cannot be had for this long.
    Unavailable(Duration),
    /// The first keys are being fetched.
    Cold(Flight),
    /// No key of the set verifies it; a newer set might.
    Miss {
        remote: &'a RemoteKeys,
        tried: Arc<KeySet>,
        fault: TokenError,
    },
}

impl KeySource {
    /// The signature, with the keys that are there: what `rests_on` makes of the standing of the one that verified it. It
    /// waits for no fetch.
    pub(crate) fn verify<T>(
        &self,
        token: &Compact<'_>,
        #[cfg_attr(not(feature = "x5c"), expect(unused_variables, reason = "only certificates end"))]
        now: Now<'_>,
        turns: &Turns,
        rests_on: impl FnOnce(&Arc<Standing>) -> T,
    ) -> Result<T, Unverified<'_>> {
        let remote = match self {
            Self::Fixed(keys) => return Ok(rests_on(keys.verify(token, turns)?)),
            #[cfg(feature = "x5c")]
            Self::Certified(keys) => {
                let now = now.exactly();
                // Their end is a fault of ours, and not of the token.
                if keys.roots(now) == 0 && token.chain().is_some() {
                    return Err(Unverified::Unavailable(super::refresh::BACKOFF_MAX));
                }
                return Ok(rests_on(&keys.verify(token, now, turns)?));
            }
            Self::Remote(remote) => remote,
            Self::None => return Err(Unverified::Fault(TokenError::UnknownKey)),
        };
        let verify = |set: &Arc<KeySet>| match set.verify(token, turns) {
            Ok(standing) => Ok(rests_on(standing)),
            Err(NotVerified::Fault { fault, newer_keys_may_help: true }) => {
                Err(Unverified::Miss { remote, tried: set.clone(), fault })
            }
            Err(no_miss) => Err(no_miss.into()),
        };
        match remote.keys(verify) {
            Available::Ready(verified) => verified,
            Available::Wait(flight) => Err(Unverified::Cold(flight)),
            Available::Unavailable(pause) => Err(Unverified::Unavailable(pause)),
        }
    }
}

impl From<NotVerified> for Unverified<'_> {
    fn from(not_verified: NotVerified) -> Self {
        match not_verified {
            NotVerified::Fault { fault, .. } => Self::Fault(fault),
            NotVerified::Busy => Self::Busy,
        }
    }
}
