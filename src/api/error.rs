//! Error responses. No other file picks a failing status.
//!
//! Status, code, headers and the metric's label of a failure are one row, so they cannot disagree.
//! The body says what the client may know; hosts, files and causes stay in the log.
#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use thiserror::Error;

use super::header::DISTRIBUTION_VERSION;
use crate::{
    oci::{ErrorCode, ForwardingLoop, InvalidDigest},
    pull::PullError,
    route::IngressError,
    wire::Body,
};

/// Longest `Retry-After` sent to clients, in seconds.
const RETRY_AFTER_SECONDS_MAX: u64 = 3600;
/// Used without a `Retry-After` from upstream: long enough for a short outage, short enough for the
/// retries of a node.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// Why a request fails.
#[derive(Debug, Error)]
pub enum ApiError {
    /// Not GET and not HEAD.
    #[error("a mirror only reads: use GET or HEAD")]
    Method,
    /// The request target is longer than 8 KiB.
    #[error("the request target is longer than 8 KiB")]
    TargetTooLong,
    /// The path is ambiguous.
    #[error("the path has encoded slashes, control characters or text that is not UTF-8")]
    BadPath,
    /// A query value is invalid.
    #[error("the query cannot be read: {0}")]
    BadQuery(&'static str),
    /// A query key is repeated.
    #[error("the query names {0} twice")]
    RepeatedKey(&'static str),
    /// Not an endpoint of the specification.
    #[error("no such endpoint; images are at /v2/NAME/manifests/REFERENCE")]
    UnknownPath,
    /// The list of all repositories, which a mirror cannot know.
    #[error("a mirror has no catalog")]
    NoCatalog,
    /// A tag that cannot exist.
    #[error("no tag can have this name")]
    NoSuchTag,
    /// A malformed digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// The name is malformed, or belongs to no known registry.
    #[error(transparent)]
    Ingress(#[from] IngressError),
    /// More ranges than one response may have.
    #[error("more than 64 separate ranges")]
    TooManyRanges,
    /// No requested byte exists.
    #[error("the range lies outside of the {size} bytes")]
    RangeOutside {
        /// The whole size, in bytes.
        size: u64,
    },
    /// The request's framing cannot be trusted, or it carries a body.
    #[error("{0}")]
    Request(&'static str),
    /// Too many requests at once.
    #[error("too many requests at once; try again")]
    Shed,
    /// A bug.
    #[error("internal error")]
    Panicked,
    /// The request came from this mirror itself, through other mirrors or another of its names.
    #[error(transparent)]
    ForwardingLoop(#[from] ForwardingLoop),
    /// The pull failed.
    #[error("{0}")]
    Pull(PullError, ContentKind),
}

/// The kind of content requested, which decides the code of "not found".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
    /// A list of a repository's tags.
    Tags,
}

/// Everything that the kind of failure decides.
#[derive(Clone, Copy, Debug)]
struct ErrorRow {
    status: StatusCode,
    code: ErrorCode,
    /// Who caused it: the metric's label and the log's `outcome`.
    outcome: &'static str,
    extra: ErrorHeader,
}

/// Headers of some failures.
#[derive(Clone, Copy, Debug)]
enum ErrorHeader {
    Nothing,
    /// The allowed methods, and the connection closes: the bytes that follow may not be a request.
    Allow,
    /// The connection closes, because its framing cannot be trusted.
    Close,
    /// The whole size, in bytes.
    Size(u64),
    /// When to try again.
    RetryAfter(Duration),
}

impl ApiError {
    /// Who caused it: the metric's label and the log's `outcome`.
    pub fn outcome(&self) -> &'static str {
        self.row().outcome
    }

    /// The complete response.
    pub fn response(&self) -> Response<Body> {
        let row = self.row();
        let errors = json!({"errors": [{
            "code": row.code.as_str(), "message": self.to_string(), "detail": null,
        }]});
        let mut response = Response::new(Body::bytes(Bytes::from(errors.to_string())));
        *response.status_mut() = row.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(DISTRIBUTION_VERSION.0, DISTRIBUTION_VERSION.1);
        let extra = match row.extra {
            ErrorHeader::Nothing | ErrorHeader::Close => None,
            ErrorHeader::Allow => Some((header::ALLOW, HeaderValue::from_static("GET, HEAD"))),
            ErrorHeader::Size(size) => HeaderValue::try_from(format!("bytes */{size}"))
                .ok()
                .map(|range| (header::CONTENT_RANGE, range)),
            ErrorHeader::RetryAfter(wait) => {
                let seconds = wait.as_secs().clamp(1, RETRY_AFTER_SECONDS_MAX);
                Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
            }
        };
        headers.extend(extra);
        if matches!(row.extra, ErrorHeader::Allow | ErrorHeader::Close) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn row(&self) -> ErrorRow {
        use ErrorCode as C;
        let client = |status, code| ErrorRow::new(status, code, "client");
        match self {
            Self::Method => {
                client(StatusCode::METHOD_NOT_ALLOWED, C::Unsupported).with(ErrorHeader::Allow)
            }
            Self::TargetTooLong => client(StatusCode::URI_TOO_LONG, C::NameInvalid),
            Self::BadPath
            | Self::RepeatedKey(_)
            | Self::Ingress(IngressError::InvalidName(_) | IngressError::InvalidNs(_)) => {
                client(StatusCode::BAD_REQUEST, C::NameInvalid)
            }
            Self::BadQuery(_) | Self::TooManyRanges => {
                client(StatusCode::BAD_REQUEST, C::Unsupported)
            }
            Self::Request(_) => {
                client(StatusCode::BAD_REQUEST, C::Unsupported).with(ErrorHeader::Close)
            }
            Self::Digest(_) => client(StatusCode::BAD_REQUEST, C::DigestInvalid),
            Self::UnknownPath | Self::Ingress(IngressError::Unknown) => {
                client(StatusCode::NOT_FOUND, C::NameUnknown)
            }
            Self::NoCatalog => client(StatusCode::NOT_FOUND, C::Unsupported),
            Self::NoSuchTag => client(StatusCode::NOT_FOUND, C::ManifestUnknown),
            Self::RangeOutside { size } => {
                client(StatusCode::RANGE_NOT_SATISFIABLE, C::SizeInvalid)
                    .with(ErrorHeader::Size(*size))
            }
            Self::Shed => {
                ErrorRow::new(StatusCode::SERVICE_UNAVAILABLE, C::TooManyRequests, "self")
                    .with(ErrorHeader::RetryAfter(Duration::from_secs(1)))
            }
            // Mirrors on the way pass it on, so that none of them retries.
            Self::ForwardingLoop(ForwardingLoop) => {
                ErrorRow::new(StatusCode::LOOP_DETECTED, C::Unsupported, "refused")
            }
            Self::Panicked => {
                ErrorRow::new(StatusCode::INTERNAL_SERVER_ERROR, C::Unavailable, "self")
            }
            Self::Pull(error, kind) => ErrorRow::of_pull(error, *kind),
        }
    }
}

impl ErrorRow {
    fn new(status: StatusCode, code: ErrorCode, outcome: &'static str) -> Self {
        Self {
            status,
            code,
            outcome,
            extra: ErrorHeader::Nothing,
        }
    }

    fn with(self, extra: ErrorHeader) -> Self {
        Self { extra, ..self }
    }

    fn of_pull(error: &PullError, kind: ContentKind) -> Self {
        use ErrorCode as C;
        let upstream = |status| Self::new(status, C::Unavailable, "upstream");
        match error {
            PullError::Unmatched { .. } => {
                Self::new(StatusCode::NOT_FOUND, C::NameUnknown, "refused")
            }
            PullError::Denied { .. } => Self::new(StatusCode::FORBIDDEN, C::Denied, "refused"),
            PullError::Refused(_) => Self::new(StatusCode::FORBIDDEN, C::Denied, "upstream"),
            PullError::Absent => Self::new(StatusCode::NOT_FOUND, kind.unknown_code(), "absent"),
            PullError::Schema1 => Self::new(StatusCode::NOT_FOUND, C::ManifestUnknown, "upstream"),
            PullError::NoReferrers => Self::new(StatusCode::NOT_FOUND, C::Unsupported, "absent"),
            // A 429 would make containerd try six times without a pause.
            PullError::Throttled { retry_after, .. } => upstream(StatusCode::SERVICE_UNAVAILABLE)
                .with(ErrorHeader::RetryAfter(
                    retry_after.unwrap_or(RETRY_AFTER_DEFAULT),
                )),
            PullError::Unavailable(_) => upstream(StatusCode::SERVICE_UNAVAILABLE)
                .with(ErrorHeader::RetryAfter(RETRY_AFTER_DEFAULT)),
            PullError::TimedOut(_) => upstream(StatusCode::GATEWAY_TIMEOUT),
            PullError::ForwardingLoop(_) => {
                Self::new(StatusCode::LOOP_DETECTED, C::Unsupported, "upstream")
            }
            PullError::ProtocolViolation(_) | PullError::Corrupt(_) => {
                upstream(StatusCode::BAD_GATEWAY)
            }
            PullError::Store(_) | PullError::Abandoned => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, C::Unavailable, "self")
            }
        }
    }
}

impl ContentKind {
    /// The code for "not found".
    fn unknown_code(self) -> ErrorCode {
        match self {
            Self::Manifest => ErrorCode::ManifestUnknown,
            Self::Blob => ErrorCode::BlobUnknown,
            Self::Tags => ErrorCode::NameUnknown,
        }
    }
}
