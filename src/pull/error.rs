//! What can go wrong with a pull, on either side, as one list.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::{oci::Digest, store::StoreError, upstream::UpstreamError};

/// Why a pull has no answer. Cheap to clone: all waiters of one flight get the same one.
#[derive(Clone, Debug, Error)]
pub enum PullError {
    /// No rule knows the registry.
    #[error("{reason}")]
    Unmatched {
        /// Which registry, and what would help.
        reason: String,
    },
    /// A rule says deny.
    #[error("denied by {rule}")]
    Denied {
        /// The rule, as `explain` names it.
        rule: String,
    },
    /// Everyone who was asked says there is no such thing.
    #[error("not found")]
    Absent,
    /// An upstream does not let us see it.
    #[error("refused by upstream")]
    Refused(#[source] Arc<UpstreamError>),
    /// An upstream asks to wait, and nothing kept can stand in.
    #[error("throttled by upstream")]
    Throttled {
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
        /// What it said.
        source: Arc<UpstreamError>,
    },
    /// No upstream could be asked, or one failed and nobody else has it.
    #[error("upstream is unavailable")]
    Unavailable(#[source] Arc<UpstreamError>),
    /// No upstream answered within the budget.
    #[error("upstream did not answer in time")]
    TimedOut(#[source] Option<Arc<UpstreamError>>),
    /// Upstream would ask us for the very same. It is no word on whether there is such a thing.
    #[error("mirrors point at each other")]
    ForwardingLoop(#[source] Arc<UpstreamError>),
    /// What an upstream sent is not what was asked for.
    #[error("upstream broke the protocol")]
    ProtocolViolation(#[source] Arc<UpstreamError>),
    /// Docker's schema 1, whose digest names other bytes than are sent.
    #[error("upstream only has a schema 1 manifest, which cannot be mirrored")]
    Schema1,
    /// What an upstream sent does not hash to this.
    #[error("upstream's bytes do not hash to {0}")]
    Corrupt(Digest),
    /// Upstream keeps no referrers, so that clients must look for tags instead.
    #[error("upstream has no referrers API")]
    NoReferrers,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Arc<StoreError>),
    /// The work behind this ended without an answer: a bug, or the process is stopping.
    #[error("the work behind this request was abandoned")]
    Abandoned,
}

impl From<StoreError> for PullError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
