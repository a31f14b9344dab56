//! Why a mirror does not start.

use std::io;

use thiserror::Error;

use crate::{server::ListenAddress, store::StoreError, upstream::BuildError};

/// Why a mirror does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken, or not ours to take.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: ListenAddress,
        /// The system's word.
        source: io::Error,
    },
    /// The store's folder cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// An upstream's client cannot be built.
    #[error("cannot use an upstream")]
    Upstream(#[from] BuildError),
    /// The system gives no random numbers.
    #[error("cannot draw a random number")]
    Random(#[source] getrandom::Error),
    /// A metric stands twice: a bug.
    #[error("cannot register the metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}
