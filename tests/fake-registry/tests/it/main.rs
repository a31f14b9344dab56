//! Tests of the registry from outside, over bare sockets.
#![expect(
    clippy::unwrap_used,
    reason = "test helpers: a broken stage ends the scene"
)]

mod canaries;
mod client;
mod faults;
mod guards;
mod secured;
mod serving;
mod tokens;
