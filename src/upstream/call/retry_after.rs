//! `Retry-After`: seconds or a date, whatever a stranger's server may write there.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// Shortest and longest time a server can make us wait.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=3600;

/// What an answer asks for.
pub(in crate::upstream) fn from_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    parse(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// How long to wait, within 1 to 3600 seconds; nonsense is none.
fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let seconds = if digits.is_empty() {
        return None;
    } else if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits and no number: larger than any.
        let seconds = digits.parse().unwrap_or(u64::MAX);
        if value.starts_with('-') { 0 } else { seconds }
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        // A date that has passed asks for no wait at all.
        date.duration_since(now).unwrap_or_default().as_secs()
    };
    Some(Duration::from_secs(
        seconds.clamp(*SECONDS.start(), *SECONDS.end()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b101_waits_are_kept_within_bounds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let date = |seconds| httpdate::fmt_http_date(now + Duration::from_secs(seconds));
        let check = |value: &str, want: Option<u64>| {
            assert_eq!(parse(value, now), want.map(Duration::from_secs), "{value}");
        };
        check("7", Some(7));
        check(" 7 ", Some(7));
        check("0", Some(1));
        check("-5", Some(1));
        check("315360000", Some(3600));
        check("99999999999999999999999", Some(3600));
        check(&date(90), Some(90));
        check(&date(90_000), Some(3600));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(1));
        for nonsense in ["", "-", "soon", "1.5", "1e3", "0x10", "7 seconds"] {
            check(nonsense, None);
        }
    }
}
