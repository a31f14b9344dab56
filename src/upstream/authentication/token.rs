//! What a token service answers. Pure.

use std::{fmt, time::Duration};

use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{secret::Secret, upstream::error::ProtocolViolation};

/// Most bytes of an answer.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a token lives if the service does not say (distribution's token specification).
const LIFETIME: Duration = Duration::from_mins(1);
/// Shortest and longest life that we believe.
const LIFETIME_MIN: Duration = Duration::from_secs(10);
const LIFETIME_MAX: Duration = Duration::from_hours(1);

/// A token, ready to be sent. By our own clock only: a service's may be wrong.
pub(in crate::upstream) struct BearerToken {
    header: HeaderValue,
    /// When it was asked for.
    pub(super) requested_at: Instant,
    lifetime: Duration,
}

/// How far a token's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenAge {
    /// Good.
    Fresh,
    /// Good, but the next one should be fetched.
    RefreshDue,
    /// Past its time, though upstream may not have noticed.
    Expired,
}

/// An answer that may be used.
#[derive(Debug)]
pub(super) struct IssuedToken {
    pub(super) token: BearerToken,
    /// The refresh token that replaces the one that was sent.
    pub(super) refresh: Option<Secret>,
}

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<Value>,
    refresh_token: Option<String>,
}

/// Reads the answer to a request that was sent at `born`.
pub(super) fn read(body: &[u8], born: Instant) -> Result<IssuedToken, ProtocolViolation> {
    let answer: TokenResponse = serde_json::from_slice(body)
        .map_err(|_error| ProtocolViolation::Token("its answer is not the JSON of a token"))?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let text = filled(answer.token).or_else(|| filled(answer.access_token));
    let text = text.ok_or(ProtocolViolation::Token("its answer holds no token"))?;
    let header = header(&text).ok_or(ProtocolViolation::Token("its token cannot be sent"))?;
    Ok(IssuedToken {
        token: BearerToken {
            header,
            requested_at: born,
            lifetime: answer.expires_in.as_ref().map_or(LIFETIME, lifetime),
        },
        refresh: filled(answer.refresh_token).map(Secret::new),
    })
}

/// The header that carries a token, if its letters may stand in one. Nothing prints its value.
pub(super) fn header(token: &str) -> Option<HeaderValue> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// A lifetime within what we believe, whatever was written.
fn lifetime(seconds: &Value) -> Duration {
    let text = match seconds {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return LIFETIME,
    };
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            let life = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LIFETIME_MAX);
            life.clamp(LIFETIME_MIN, LIFETIME_MAX)
        }
        _ => LIFETIME,
    }
}

impl BearerToken {
    /// The value of `Authorization`.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// How far its life has come; renewed when four fifths are over.
    pub(super) fn age(&self, now: Instant) -> TokenAge {
        match now.saturating_duration_since(self.requested_at) {
            past if past >= self.lifetime => TokenAge::Expired,
            past if past >= self.lifetime / 5 * 4 => TokenAge::RefreshDue,
            _ => TokenAge::Fresh,
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<(String, u64), ProtocolViolation> {
        read(body.as_bytes(), Instant::now()).map(|issued| {
            let header = issued.token.header.to_str().unwrap();
            (header.to_owned(), issued.token.lifetime.as_secs())
        })
    }

    #[test]
    fn q05_b105_answers_are_taken_with_bounds() {
        let rows = [
            (r#"{"token":"a"}"#, "Bearer a", 60),
            (r#"{"access_token":"b"}"#, "Bearer b", 60),
            (r#"{"token":"","access_token":"b"}"#, "Bearer b", 60),
            (
                r#"{"token":"a","access_token":"b","expires_in":300}"#,
                "Bearer a",
                300,
            ),
            (
                r#"{"token":"a","expires_in":300,"issued_at":"2099-01-01T00:00:00Z"}"#,
                "Bearer a",
                300,
            ),
            (r#"{"token":"a","expires_in":299.9}"#, "Bearer a", 299),
            (r#"{"token":"a","expires_in":"300"}"#, "Bearer a", 300),
            (r#"{"token":"a","expires_in":-1}"#, "Bearer a", 10),
            (r#"{"token":"a","expires_in":0}"#, "Bearer a", 10),
            (
                r#"{"token":"a","expires_in":1000000000000000000}"#,
                "Bearer a",
                3600,
            ),
            (r#"{"token":"a","expires_in":1e300}"#, "Bearer a", 3600),
            (r#"{"token":"a","expires_in":"soon"}"#, "Bearer a", 60),
            (
                r#"{"token":"a","expires_in":null,"scope":7}"#,
                "Bearer a",
                60,
            ),
        ];
        for (body, header, life) in rows {
            assert_eq!(answer(body), Ok((header.to_owned(), life)), "{body}");
        }
        let bad = [
            "",
            "{}",
            "<html>",
            "[]",
            "null",
            r#"{"token":7}"#,
            r#"{"token":null}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\r\nx: y"}"#,
            r#"{"token":"ä"}"#,
            r#"{"token":"a"} {"token":"b"}"#,
            r#"{"token":"a","token":"b"}"#,
        ];
        for body in bad {
            assert!(
                matches!(answer(body), Err(ProtocolViolation::Token(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn nothing_prints_a_token() {
        let body = br#"{"token":"canary","refresh_token":"canary"}"#;
        let issued = read(body, Instant::now()).unwrap();
        let header = issued.token.header();
        assert!(!format!("{issued:?} {header:?}").contains("canary"));
        assert_eq!(issued.refresh, Some(Secret::new("canary")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_due_before_it_is_over() {
        let born = Instant::now();
        let token = read(br#"{"token":"a","expires_in":100}"#, born)
            .unwrap()
            .token;
        let rows = [
            (0, TokenAge::Fresh),
            (79, TokenAge::Fresh),
            (80, TokenAge::RefreshDue),
            (99, TokenAge::RefreshDue),
            (100, TokenAge::Expired),
        ];
        for (seconds, age) in rows {
            assert_eq!(
                token.age(born + Duration::from_secs(seconds)),
                age,
                "{seconds}"
            );
        }
    }
}
