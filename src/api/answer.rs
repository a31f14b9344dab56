//! An answer with the facts for log and metrics.

use http::Response;

use crate::{oci::Origin, wire::Body};

/// An answer, and what is told of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) outcome: &'static str,
    pub(super) origin: Option<Origin>,
}
