//! Integration tests: fake registries with scripted faults, a whole mirror in this process, a bare
//! client.
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

mod answers;
mod arriving;
mod blobs;
mod coalescing;
mod command;
mod conformance;
mod credentials;
mod disks;
mod documents;
mod drain;
mod failures;
mod framing;
mod headers;
mod herd;
mod hostile;
mod house;
mod importing;
mod imports;
mod keeping;
mod limits;
mod listing;
mod logins;
mod loops;
mod manifests;
mod mirror;
mod nginx;
mod offline;
mod online;
mod operators;
mod origins;
mod pages;
mod program;
mod pulls;
mod quirks_content;
mod quirks_load;
mod quirks_login;
mod quirks_redirects;
mod ranges;
mod realms;
mod reload;
mod rendering;
mod requests;
mod restart;
mod resume;
mod routes;
mod rows;
mod secured;
mod shapes;
mod shipped;
mod site;
mod tags;
