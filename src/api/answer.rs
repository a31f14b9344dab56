//! The answer of a handler.

use http::Response;

use crate::{oci::Origin, wire::Body};

/// A response, with what log and metrics report of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) outcome: &'static str,
    pub(super) origin: Option<Origin>,
}
