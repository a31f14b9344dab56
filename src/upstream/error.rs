//! What can go wrong between an upstream and us.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::connect::{ClientBuildError, ForbiddenAddress, RedirectError};

/// Why an upstream did not give what was asked. Each names the endpoint (or the host that it
/// redirected to) as `SCHEME://HOST[:PORT]`: no path, no query, no secret.
#[derive(Clone, Debug, Error)]
pub enum UpstreamError {
    /// No connection, or one that broke off.
    #[error("{endpoint} could not be reached: {detail}")]
    Unreachable {
        /// Who.
        endpoint: Arc<str>,
        /// What happened, for the log.
        detail: String,
    },
    /// A deadline passed, or a body stood still.
    #[error("{endpoint} took longer than {waited:?}")]
    TimedOut {
        /// Who.
        endpoint: Arc<str>,
        /// How long we waited.
        waited: Duration,
    },
    /// It does not have that: 404 or 410.
    #[error("{endpoint} does not have it")]
    Absent {
        /// Who.
        endpoint: Arc<str>,
    },
    /// 401 or 403 after our login, if there is one.
    #[error("{endpoint} refused us: {detail}")]
    Refused {
        /// Who.
        endpoint: Arc<str>,
        /// Whether we have credentials for it.
        with_credentials: bool,
        /// What it said, for the log.
        detail: &'static str,
    },
    /// 429, or we know from an earlier one that it would be.
    #[error("{endpoint} asks to wait")]
    Throttled {
        /// Who.
        endpoint: Arc<str>,
        /// For how long, if known.
        retry_after: Option<Duration>,
    },
    /// A status that says nothing about the content: mostly 5xx.
    #[error("{endpoint} failed with status {status}")]
    Failed {
        /// Who.
        endpoint: Arc<str>,
        /// The status.
        status: u16,
    },
    /// 508: it, or a mirror behind it, has asked us for this, or will not go round once more.
    #[error("{endpoint} reports a forwarding loop: mirrors point at each other")]
    Loop {
        /// Who.
        endpoint: Arc<str>,
    },
    /// An answer that must not be used.
    #[error("{endpoint} broke the protocol: {breach}")]
    ProtocolViolation {
        /// Who.
        endpoint: Arc<str>,
        /// How.
        breach: ProtocolViolation,
    },
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolViolation {
    /// The bytes do not have the digest they were asked for, or were said to have.
    #[error("the bytes have another digest")]
    Digest,
    /// Docker's schema 1, which cannot be mirrored by digest.
    #[error("a schema 1 manifest, which cannot be mirrored by digest")]
    Schema1,
    /// No manifest, tag list or index, or an ambiguous one.
    #[error("{0}")]
    Content(String),
    /// A page for people, such as a captive portal's.
    #[error("a web page instead of content")]
    WebPage,
    /// More bytes than a body of this kind may have.
    #[error("more than {bytes_max} bytes")]
    TooLarge {
        /// How many it may have.
        bytes_max: usize,
    },
    /// A `Content-Encoding` although none was asked for.
    #[error("an encoded body, though none was asked for")]
    Encoding,
    /// A part that is not the one asked for.
    #[error("another range than the one asked for")]
    Range,
    /// A redirect that must not be followed.
    #[error("a redirect that must not be followed: {0}")]
    Redirect(&'static str),
    /// A token service that must not be asked, or not with our login.
    #[error("a token service that must not be asked: {0}")]
    Realm(String),
    /// A token service's answer without a token that could be sent.
    #[error("no token: {0}")]
    Token(&'static str),
    /// A name that stands for an address that must not be contacted.
    #[error("an address that must not be contacted")]
    Address,
    /// A status that makes no sense here, or a head that is none.
    #[error("{0}")]
    Head(&'static str),
}

/// Why no upstream can be made of its settings.
#[derive(Clone, Debug, Error)]
pub enum BuildError {
    /// There is none.
    #[error("an upstream needs at least one endpoint")]
    NoEndpoint,
    /// An endpoint is not written as one; its text is left out, for it may hold a password.
    #[error("endpoint {number}: {reason}")]
    Endpoint {
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: &'static str,
    },
    /// TLS or the client could not be set up.
    #[error(transparent)]
    Client(#[from] ClientBuildError),
}

impl UpstreamError {
    /// Whether asking again later may help: nothing was learnt about the content.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Throttled { .. }
            | Self::Failed { .. }
            | Self::Loop { .. } => true,
            Self::Absent { .. } | Self::Refused { .. } | Self::ProtocolViolation { .. } => false,
        }
    }

    /// Whether a login that we have was not accepted.
    pub fn is_refused_credentials(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                with_credentials: true,
                ..
            }
        )
    }

    /// Whether a body that failed so may well be better at a second try: it broke off, a bit
    /// flipped, or a cache on the way gave an encoded copy.
    pub(super) fn is_retryable_body(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::ProtocolViolation { breach, .. } => matches!(
                breach,
                ProtocolViolation::Digest | ProtocolViolation::Encoding
            ),
            _ => false,
        }
    }
}

impl From<ForbiddenAddress> for ProtocolViolation {
    fn from(_: ForbiddenAddress) -> Self {
        Self::Address
    }
}

impl From<RedirectError> for ProtocolViolation {
    fn from(error: RedirectError) -> Self {
        match error {
            RedirectError::Address(_) => Self::Address,
            RedirectError::Refused(why) => Self::Redirect(why),
        }
    }
}
