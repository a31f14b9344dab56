//! One request over all endpoints and attempts: limits, retries, redirects, and what a status means.

pub(super) mod body;
mod build;
pub(super) mod caller;
mod concurrency;
pub(super) mod endpoint;
pub(super) mod exchange;
pub(super) mod exchange_state;
pub(super) mod failure;
pub(super) mod judge;
pub(super) mod rate_limit;
pub(super) mod request;
pub(super) mod retry;
pub(super) mod retry_after;
pub(super) mod state;
