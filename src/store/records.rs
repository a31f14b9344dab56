//! What the store returns.

use std::sync::Arc;

use bytes::Bytes;

use crate::{disk::File, oci::Digest, wire::GrowingFile};

/// A kept blob, by how far its bytes are verified.
#[derive(Clone, Debug)]
pub enum KeptBlob {
    /// Up to 64 KiB, verified, in memory.
    Small(Bytes),
    /// Verified, and unchanged since: it is sent without being read.
    Trusted {
        /// The file, exactly the blob; it remains readable after an eviction.
        file: Arc<dyn File>,
        /// Its size in bytes.
        size: u64,
    },
    /// Being hashed now, once for all readers; the tail is held back until it is verified.
    Unverified {
        /// The file and how much of it is hashed.
        file: GrowingFile,
        /// Its size in bytes.
        size: u64,
    },
}

/// How an origin is known to have a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Its upstream delivered or acknowledged the blob.
    Confirmed,
    /// One of its kept manifests references the blob.
    Referenced,
    /// No evidence for it.
    Unknown,
}

/// A tag's manifest as of its last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest that it named.
    pub digest: Digest,
    /// When upstream last confirmed it.
    pub checked: jiff::Timestamp,
}
