//! Why connections cannot be prepared.

use thiserror::Error;

/// The TLS or HTTP library refused the settings.
#[derive(Clone, Debug, Error)]
#[error("no client: {0}")]
pub struct ClientBuildError(pub String);
