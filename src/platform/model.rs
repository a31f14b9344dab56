//! What an import yields and a rendering starts from, in the words of routes and upstreams, and what
//! several formats share. Knows no format.

pub(super) mod auth;
pub(super) mod context;
pub(super) mod docker_auth;
pub(super) mod endpoint;
pub(super) mod finish;
pub(super) mod format;
pub(super) mod imported;
pub(super) mod mirrors;
pub(super) mod options;
pub(super) mod pull_secrets;
pub(super) mod rendering;
