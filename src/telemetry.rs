//! What the house tells of itself: metrics and the log.
//!
//! Promises: labels come from configuration or small enums, never from a request; log lines parse.
//! Called by every room but `oci`. Never decides anything.

pub mod log;
mod metrics;

pub use metrics::{Metrics, Reload, Request, Standing};
