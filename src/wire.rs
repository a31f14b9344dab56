//! Bodies: bytes, windows of a file, and windows of a file that is still growing.
//!
//! Promises: a body is exactly as long as it says, or it breaks so that no client can take the part
//! for the whole. Called by `api` (answers) and `store` (files). Never knows what the bytes are.

mod body;
mod buffer_pool;
mod pipe;
mod progress;
mod sendfile_queue;

pub use body::{Body, Broken, Part};
pub use pipe::Ring;
pub use progress::{Growing, HELD_BACK_BYTES, Level, Relief, Relieved, State, Tide};
pub use sendfile_queue::{Lane, is_window, stray};
