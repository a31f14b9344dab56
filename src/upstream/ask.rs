//! What an upstream can be asked: blobs, manifests, lists, and whether it is there.

pub(super) mod blob;
pub(super) mod list;
mod manifest;
pub(super) mod ping;
