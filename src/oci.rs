//! The registry vocabulary: digests, names, tags, references, media types, ranges, proofs.
//!
//! Promises: a value of one of these types is well-formed; text from outside is parsed here once
//! and not checked again. Called by every room. Never does I/O, never waits, reads no clock.

mod digest;
mod error_code;
mod manifest;
mod media_type;
mod origin;
mod range;
mod reference;
mod repository;
mod verify;
mod via;

pub use digest::{Algorithm, Digest, InvalidDigest};
pub use error_code::ErrorCode;
pub use manifest::{InvalidManifest, Manifest};
pub use media_type::MediaType;
pub use origin::{InvalidUpstreamName, Origin, UpstreamName};
pub use range::{ByteRange, RangeOutcome, RangeRequest};
pub use reference::{ImageReference, InvalidReference, Reference, Tag};
pub use repository::{InvalidName, Registry, Repository, RepositoryName};
pub use verify::{Mismatch, Verified, Verifier};
pub use via::{ForwardingLoop, Instance, Via};
