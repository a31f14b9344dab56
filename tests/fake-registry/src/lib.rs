//! A small, correct registry in the test's own process, with scripted faults and a recorder.
//!
//! Promises: without a fault it answers the pull half of the distribution specification as real
//! registries do; with one it misbehaves exactly as scripted, once, and fails on drop if no request
//! met the fault.
//! Called by tests, benches and by hand (`cargo run -p fake-registry`). It never sleeps to wait,
//! never touches a file, and never uses anything of Roadstead's.
//!
//! ```
//! use fake_registry::{FakeRegistry, Fault, MIB, Match, random_bytes};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let hub = FakeRegistry::start().await;
//! let layer = hub.blob("library/nginx", random_bytes(3 * MIB, 7));
//! hub.next(Match::blob(&layer), Fault::CutAfter(MIB)).optional();
//! // … let something pull from hub.url() …
//! assert_eq!(hub.served(&layer).requests(), 0);
//! # }
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a broken assumption must fail the test, loudly and at once"
)]

mod answer;
mod auth;
pub mod bare;
mod base64;
mod body;
mod builder;
mod canary;
pub mod certificates;
mod content;
mod fault;
mod gate;
mod line;
mod matching;
mod proxy;
mod record;
mod registry;
mod script;
mod serve;
mod shelf;
mod target;
mod tokens;

pub use auth::{ChallengeOn, StaleToken};
pub use builder::Builder;
pub use canary::Canary;
pub use content::{Content, Image, KIB, MIB, media_type, random_bytes, tar};
pub use fault::{Fault, Link};
pub use gate::{Gate, Pause};
pub use matching::Match;
pub use proxy::{FakeProxy, Proxied};
pub use record::{Recorded, Served};
pub use registry::FakeRegistry;
pub use script::Scripted;
pub use tokens::TokenHabit;
