//! Why a mirror does not start.

use std::io;

use thiserror::Error;

use crate::{server::ListenAddress, store::StoreError, upstream::BuildError};

/// Why a mirror does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is in use or not available.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: ListenAddress,
        /// The system's error.
        source: io::Error,
    },
    /// The store's folder cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// An upstream's client cannot be built.
    #[error("cannot use an upstream")]
    Upstream(#[from] BuildError),
    /// The system provides no random numbers.
    #[error("cannot get random numbers")]
    Random(#[source] getrandom::Error),
    /// A metric is registered twice: a bug.
    #[error("cannot register the metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}
