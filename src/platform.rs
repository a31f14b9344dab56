//! Others' formats: what platforms and tools write, in our words.
//!
//! Promises: pure functions from text to our types; an error says where, and never repeats a
//! secret. Called by `config`. Never opens a file.

mod docker_config;

pub use docker_config::{Flaw, docker_config};
