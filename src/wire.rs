//! Bodies: bytes, ranges of a file, and ranges of a file that is still growing.
//!
//! Promises: a body has exactly its announced length, or it breaks so that no client takes a part
//! for the whole. Called by `api` (answers) and `store` (files). Never knows what the bytes mean.

mod body;
mod buffer_pool;
mod pipe;
mod progress;
mod sendfile_queue;

pub use body::{Body, BodyPart};
pub use pipe::Pipe;
pub use progress::{
    FallbackFuture, FileProgress, GrowingFile, GrowthState, HELD_BACK_BYTES, ReaderFallback,
    Watermark,
};
pub use sendfile_queue::{SendfileQueue, is_placeholder, unexpected_placeholder};
