//! Every default and every limit, as named constants with their reasons.

pub use crate::fetch::{CONNECT_TIMEOUT, FETCH_TIMEOUT, MAX_RESPONSE_LENGTH};
pub use crate::jose::{MAX_CANDIDATES, MAX_JSON_DEPTH, MAX_KEYS, MAX_KID_LENGTH, MAX_TOKEN_LENGTH};
pub use crate::keys::refresh::{
    BACKOFF_MAX, BACKOFF_MIN, FRESH_FOR, MISS_BURST, MISS_INTERVAL, REFRESH_AFTER, STALE_FOR,
};
pub use crate::keys::remote::{COLD_WAIT, MAX_MISS_WAITERS, MISS_WAIT, REDISCOVER_AFTER};
pub use crate::server::{DEFAULT_LEEWAY, MAX_LEEWAY};
