//! Roadstead: one mirror endpoint for every container registry.
//!
//! Promises: a client gets the bytes that its digest names, or an honest failure; each blob is
//! fetched once; what is kept is served without the world behind it. Called by the `roadstead`
//! program and by tests; the interface is the program, so nothing here is stable.
//!
//! The rooms, from the top, importing downwards only (`docs/ARCHITECTURE.md` has the map):
//!
//! - [`cli`], [`app`]: commands; the wiring of all rooms
//! - [`config`]: one text into every room's settings
//! - [`server`], [`admin`]: bytes to HTTP; probes and metrics
//! - [`api`], [`control`]: HTTP to pulls; the store's socket
//! - [`pull`], [`platform`]: what to do about a request; others' formats
//! - [`route`], [`upstream`], [`store`]: where a name leads; one registry; what we keep
//! - [`oci`], [`wire`]: the words of the trade; bodies
//! - [`telemetry`], [`tasks`], [`secret`], [`tls`], [`connect`], [`disk`]: the cellar

pub mod admin;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod connect;
pub mod control;
pub mod disk;
pub mod oci;
pub mod platform;
pub mod pull;
pub mod route;
pub mod secret;
pub mod server;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod wire;
