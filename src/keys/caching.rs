//! How long an answer may be used, by its headers (RFC 9111, RFC 5861).

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::refresh::{FRESH_FOR, Freshness, MAX_FRESH_FOR, MIN_FRESH_FOR, STALE_FOR};

/// What `Cache-Control` and `Age` say, within our bounds: an issuer can have its keys refreshed as often as each
/// [`MIN_FRESH_FOR`], and can make nobody use them for longer than [`MAX_FRESH_FOR`] and [`STALE_FOR`].
///
/// `None` if there is no `Cache-Control`. `must-revalidate` is not heeded: frameworks write it everywhere, and an outage of seconds would be ours too.
pub(super) fn freshness(headers: &HeaderMap) -> Option<Freshness> {
    headers.get(CACHE_CONTROL)?;
    let mut fresh_for = None;
    let mut stale_for = STALE_FOR;
    for (name, value) in directives(headers) {
        let seconds = || value.trim_matches('"').parse().ok().map(Duration::from_secs);
        match name.to_ascii_lowercase().as_str() {
            // To be asked about each time; that is as often as we ask at all.
            "no-store" | "no-cache" => fresh_for = Some(Duration::ZERO),
            // The first counts (RFC 9111 §4.2.1).
            "max-age" => fresh_for = fresh_for.or_else(seconds),
            "stale-if-error" => stale_for = seconds().map_or(stale_for, |given| given.min(STALE_FOR)),
            _ => {}
        }
    }
    let age = single(headers, AGE).unwrap_or_default();
    let clamped = |given: Duration| given.saturating_sub(age).clamp(MIN_FRESH_FOR, MAX_FRESH_FOR);
    Some(Freshness { fresh_for: fresh_for.map_or(FRESH_FOR, clamped), stale_for })
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3), of the two answers that ask for a pause. The form with a date is not read:
/// it needs the issuer's clock.
pub(crate) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    asks.then(|| single(headers, RETRY_AFTER)).flatten()
}

fn single(headers: &HeaderMap, name: http::HeaderName) -> Option<Duration> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Each `name=value` or `name` of every `Cache-Control` line. None of those that matter has a comma in its value.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        (name.trim(), value.trim())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn rfc9111_5_2_2_the_issuers_words_count_within_our_bounds() {
        let seconds = Duration::from_secs;
        for (lines, age, fresh_for, stale_for) in [
            (&[""][..], None, FRESH_FOR, STALE_FOR),
            (&["public, must-revalidate"], None, FRESH_FOR, STALE_FOR),
            (&["max-age=300"], None, seconds(300), STALE_FOR),
            (&["public, Max-Age=\"300\""], None, seconds(300), STALE_FOR),
            (&["max-age=300"], Some("100"), seconds(200), STALE_FOR),
            (&["max-age=300"], Some("1000"), MIN_FRESH_FOR, STALE_FOR),
            (&["max-age=1"], None, MIN_FRESH_FOR, STALE_FOR),
            (&["max-age=0"], None, MIN_FRESH_FOR, STALE_FOR),
            (&["max-age=86400"], None, MAX_FRESH_FOR, STALE_FOR),
            (&["max-age=18446744073709551615"], None, MAX_FRESH_FOR, STALE_FOR),
            (&["max-age=184467440737095516150"], None, FRESH_FOR, STALE_FOR),
            (&["max-age=-5"], None, FRESH_FOR, STALE_FOR),
            (&["max-age=abc"], None, FRESH_FOR, STALE_FOR),
            (&["max-age"], None, FRESH_FOR, STALE_FOR),
            (&["max-age=300, max-age=600"], None, seconds(300), STALE_FOR),
            (&["max-age=300", "no-store"], None, MIN_FRESH_FOR, STALE_FOR),
            (&["no-store, max-age=300"], None, MIN_FRESH_FOR, STALE_FOR),
            (&["no-cache"], None, MIN_FRESH_FOR, STALE_FOR),
            (&["max-age=300, stale-if-error=60"], None, seconds(300), seconds(60)),
            (&["stale-if-error=0"], None, FRESH_FOR, Duration::ZERO),
            (&["stale-if-error=86400"], None, FRESH_FOR, STALE_FOR),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            if let Some(age) = age {
                headers.insert(AGE, HeaderValue::from_static(age));
            }
            assert_eq!(freshness(&headers), Some(Freshness { fresh_for, stale_for }), "{lines:?} {age:?}");
        }
        let odd = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_bytes(b"max-age=\xff").unwrap())]);
        assert_eq!(freshness(&odd), Some(Freshness::default()));
        assert_eq!(freshness(&HeaderMap::new()), None);
    }

    #[test]
    fn rfc9110_10_2_3_retry_after_in_seconds() {
        for (value, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("-1", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
                assert_eq!(retry_after(status, &headers), expected.map(Duration::from_secs), "{value:?}");
            }
            assert_eq!(retry_after(StatusCode::NOT_FOUND, &headers), None);
        }
        assert_eq!(retry_after(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()), None);
    }
}
