//! A try that failed, and what a failure below HTTP makes of it.

use std::sync::Arc;

use reqwest::Response;

use super::retry::RetryCause;
use crate::{
    connect::{ProxyHop, TransportFailure, failure_detail},
    upstream::error::{ProtocolViolation, UpstreamError},
};

/// A try that failed; without trouble it is the last one.
pub(in crate::upstream) struct AttemptFailure {
    pub(in crate::upstream) error: UpstreamError,
    pub(in crate::upstream) cause: Option<RetryCause>,
}

impl AttemptFailure {
    pub(in crate::upstream) fn permanent(error: UpstreamError) -> Self {
        Self { error, cause: None }
    }

    pub(in crate::upstream) fn violation(endpoint: Arc<str>, breach: ProtocolViolation) -> Self {
        Self::permanent(UpstreamError::ProtocolViolation { endpoint, breach })
    }
}

/// The answer, if there is one and it is not a word of the proxy on the way.
pub(in crate::upstream) fn checked_response(
    sent: Result<Response, reqwest::Error>,
    endpoint: Arc<str>,
    proxy: Option<&ProxyHop>,
) -> Result<Response, AttemptFailure> {
    let response = sent
        .map_err(|error| transport_failure(&error.without_url(), Arc::clone(&endpoint), proxy))?;
    match proxy.and_then(|proxy| proxy.own_refusal(response.status(), response.headers())) {
        Some(detail) => Err(AttemptFailure {
            error: UpstreamError::Unreachable { endpoint, detail },
            cause: Some(RetryCause::Unreachable),
        }),
        None => Ok(response),
    }
}

/// What a failure below HTTP means.
pub(in crate::upstream) fn transport_failure(
    error: &reqwest::Error,
    endpoint: Arc<str>,
    proxy: Option<&ProxyHop>,
) -> AttemptFailure {
    let cause = match TransportFailure::of(error) {
        TransportFailure::ForbiddenAddress => {
            return AttemptFailure::violation(endpoint, ProtocolViolation::Address);
        }
        TransportFailure::NotHttp => {
            return AttemptFailure::violation(endpoint, ProtocolViolation::Head("no HTTP"));
        }
        TransportFailure::TimedOut => RetryCause::TimedOut,
        TransportFailure::Unreachable => RetryCause::Unreachable,
        TransportFailure::Dropped => RetryCause::Dropped,
    };
    AttemptFailure {
        error: UpstreamError::Unreachable {
            endpoint,
            detail: failure_detail(error, proxy),
        },
        cause: Some(cause),
    }
}
