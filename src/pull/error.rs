//! Every failure of a pull, ours or an upstream's, in one list.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::{oci::Digest, store::StoreError, upstream::UpstreamError};

/// Why a pull failed. Cheap to clone: all waiters of a coalesced request get the same one.
#[derive(Clone, Debug, Error)]
pub enum PullError {
    /// No route matches the name.
    #[error("{reason}")]
    Unmatched {
        /// Why neither a route nor the built-in list serves it.
        reason: String,
    },
    /// A route denies it.
    #[error("denied by {rule}")]
    Denied {
        /// The route, as `explain` names it.
        rule: String,
    },
    /// All candidates answered "not found".
    #[error("not found")]
    Absent,
    /// An upstream refused access.
    #[error("refused by upstream")]
    Refused(#[source] Arc<UpstreamError>),
    /// An upstream asks us to wait, and nothing stored can stand in.
    #[error("throttled by upstream")]
    Throttled {
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
        /// Its answer.
        source: Arc<UpstreamError>,
    },
    /// An upstream failed or could not be contacted, and none of the others has it.
    #[error("upstream is unavailable")]
    Unavailable(#[source] Arc<UpstreamError>),
    /// No upstream answered within the budget.
    #[error("upstream did not answer in time")]
    TimedOut(#[source] Option<Arc<UpstreamError>>),
    /// Upstream would send the request back to us, which leaves open whether the content exists.
    #[error("mirrors point at each other")]
    ForwardingLoop(#[source] Arc<UpstreamError>),
    /// An upstream's answer is not what was requested.
    #[error("upstream broke the protocol")]
    ProtocolViolation(#[source] Arc<UpstreamError>),
    /// Docker's schema 1, whose digest is not that of the bytes sent.
    #[error("upstream only has a schema 1 manifest, which cannot be mirrored")]
    Schema1,
    /// An upstream's bytes do not have this digest.
    #[error("upstream's bytes do not hash to {0}")]
    Corrupt(Digest),
    /// Upstream has no referrers API, so clients must fall back to tags.
    #[error("upstream has no referrers API")]
    NoReferrers,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Arc<StoreError>),
    /// The task behind this ended without an answer: a bug, or the process is stopping.
    #[error("the work behind this request was abandoned")]
    Abandoned,
}

impl From<StoreError> for PullError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
