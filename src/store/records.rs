//! What the store returns.

use std::sync::Arc;

use bytes::Bytes;

use crate::{disk::File, oci::Digest, wire::GrowingFile};

/// A kept blob, by how much is known of its bytes.
#[derive(Clone, Debug)]
pub enum KeptBlob {
    /// Up to 64 KiB, verified, in memory.
    Small(Bytes),
    /// Proven, and unchanged since: it may leave unread.
    Trusted {
        /// The file, exactly the blob; it stays readable after an eviction.
        file: Arc<dyn File>,
        /// Its size in bytes.
        size: u64,
    },
    /// Being hashed now, once for all who read it; the tail is held back until it is proven.
    Unverified {
        /// The file and how far it is hashed.
        file: GrowingFile,
        /// Its size in bytes.
        size: u64,
    },
}

/// What an origin has to do with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Its upstream has delivered or acknowledged the blob.
    Confirmed,
    /// One of its kept manifests names the blob.
    Referenced,
    /// Nothing that we know of.
    Unknown,
}

/// What a tag meant when it was last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest it named.
    pub digest: Digest,
    /// When that was last confirmed.
    pub checked: jiff::Timestamp,
}
