//! What an answer's status means. Pure.

use http::{HeaderMap, StatusCode, header};

use super::request::{RequestKind, Responder};
use crate::{oci::MediaType, upstream::ProtocolViolation};

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What follows from a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Verdict {
    /// The body may be used.
    Use,
    /// A redirect.
    Follow,
    /// 401 from the endpoint itself, or a 403 that wants a token of another scope.
    Challenged,
    /// 400 from the endpoint itself to a token, which may be how it says that the token is too old.
    TokenRejected,
    /// It does not have it.
    Absent,
    /// It may have it, but not for us.
    Refused,
    /// 429.
    Throttled,
    /// Trouble that may pass.
    TransientFailure,
    /// Trouble that will not pass within this call.
    PermanentFailure,
    /// 508: the question would come back to where it has been.
    Loop,
    /// No status for such a request.
    Unexpected,
}

impl Verdict {
    /// Judges a status. Beyond the endpoint, a 401 or 403 on a blob means that the signed address
    /// expired, not that the registry refuses us.
    pub(in crate::upstream) fn of(
        status: StatusCode,
        kind: RequestKind,
        responder: Responder,
    ) -> Self {
        let beyond = responder == Responder::RedirectTarget;
        match status.as_u16() {
            200 => Self::Use,
            206 if kind == RequestKind::Blob => Self::Use,
            301 | 302 | 303 | 307 | 308 => Self::Follow,
            401 if !beyond => Self::Challenged,
            401 | 403 if beyond && kind == RequestKind::Blob => Self::TransientFailure,
            401 | 403 | 451 => Self::Refused,
            404 | 410 => Self::Absent,
            429 => Self::Throttled,
            501 | 505 => Self::PermanentFailure,
            508 => Self::Loop,
            408 | 425 | 500..=599 => Self::TransientFailure,
            400..=499 => Self::PermanentFailure,
            _ => Self::Unexpected,
        }
    }

    /// The metric's label.
    pub(in crate::upstream) fn label(self) -> &'static str {
        match self {
            Self::Use => "ok",
            Self::Follow => "redirect",
            Self::Challenged | Self::TokenRejected => "challenged",
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::TransientFailure | Self::PermanentFailure | Self::Loop => "failed",
            Self::Unexpected => "breach",
        }
    }
}

/// Refuses heads that are too large.
pub(in crate::upstream) fn head_size(headers: &HeaderMap) -> Result<(), ProtocolViolation> {
    let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        // Colon, space and line end.
        name.as_str().len() + value.len() + 4
    };
    let size: usize = headers.iter().map(line).sum();
    if size > HEAD_BYTES_MAX {
        return Err(ProtocolViolation::Head("a head larger than 64 KiB"));
    }
    Ok(())
}

/// Refuses bodies that cannot be content, whatever their status says.
pub(in crate::upstream) fn body_kind(headers: &HeaderMap) -> Result<(), ProtocolViolation> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ProtocolViolation::Encoding);
    }
    if content_type(headers).is_some_and(|found| found.as_str() == "text/html") {
        return Err(ProtocolViolation::WebPage);
    }
    Ok(())
}

/// The declared type, if it is one.
pub(in crate::upstream) fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let value = headers.get(header::CONTENT_TYPE)?;
    value.to_str().ok().and_then(MediaType::from_header)
}

/// The declared length of the body; for HEAD, of the body that GET would give.
pub(in crate::upstream) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// What upstream says of its budget: `ratelimit-remaining: 76;w=21600`.
pub(in crate::upstream) fn rate_limit_remaining(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get("ratelimit-remaining")?.to_str().ok()?;
    value.split(';').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn statuses_mean_what_they_mean() {
        use RequestKind::{Blob, Manifest};
        use Responder::{Endpoint, RedirectTarget};
        let check = |status: u16, kind, responder, want| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                Verdict::of(status, kind, responder),
                want,
                "{status} {kind:?}"
            );
        };
        check(200, Manifest, Endpoint, Verdict::Use);
        check(206, Blob, Endpoint, Verdict::Use);
        check(206, Manifest, Endpoint, Verdict::Unexpected);
        for status in [201, 204, 205, 300, 304, 999] {
            check(status, Blob, Endpoint, Verdict::Unexpected);
        }
        check(401, Blob, Endpoint, Verdict::Challenged);
        check(401, Blob, RedirectTarget, Verdict::TransientFailure);
        check(403, Blob, Endpoint, Verdict::Refused);
        check(403, Blob, RedirectTarget, Verdict::TransientFailure);
        check(403, Manifest, RedirectTarget, Verdict::Refused);
        check(410, Blob, Endpoint, Verdict::Absent);
        for status in [400, 405, 406, 416, 501] {
            check(status, Manifest, Endpoint, Verdict::PermanentFailure);
        }
        check(508, Blob, Endpoint, Verdict::Loop);
        for status in [408, 500, 502, 503, 504, 507, 509, 599] {
            check(status, Manifest, Endpoint, Verdict::TransientFailure);
        }
    }

    #[test]
    fn a_budget_is_read_without_its_window() {
        let mut headers = HeaderMap::new();
        assert_eq!(rate_limit_remaining(&headers), None);
        headers.insert(
            "ratelimit-remaining",
            HeaderValue::from_static("76;w=21600"),
        );
        assert_eq!(rate_limit_remaining(&headers), Some(76));
        headers.insert("ratelimit-remaining", HeaderValue::from_static("-1"));
        assert_eq!(rate_limit_remaining(&headers), None);
    }
}
