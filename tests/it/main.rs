//! Scenes: fake registries with scripted faults, the whole mirror in this process, a bare client.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "test helpers: a broken stage ends the scene"
)]

mod arriving;
mod coalescing;
mod command;
mod conformance;
mod disks;
mod drain;
mod failures;
mod framing;
mod headers;
mod herd;
mod house;
mod keeping;
mod limits;
mod listing;
mod manifests;
mod mirror;
mod offline;
mod operators;
mod origins;
mod program;
mod pulls;
mod ranges;
mod requests;
mod restart;
mod resume;
mod routes;
mod rows;
mod shapes;
mod site;
mod tags;
