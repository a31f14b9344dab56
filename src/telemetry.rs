//! What the process reports about itself: metrics and the log.
//!
//! Promises: labels come from configuration or small enums, never from a request; log lines parse.
//! Called by every room but `oci`. Never decides anything.

pub mod log;
mod metrics;

use std::error::Error;

pub use metrics::{AnsweredRequest, Metrics, Reload, UpstreamHealth};

/// An error and its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
