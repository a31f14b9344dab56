//! Roadstead: one mirror endpoint for every container registry.
//!
//! Promises: a client gets the bytes that its digest names, or an honest failure; each blob is
//! fetched once; what is kept is served without the world behind it. Called by the `roadstead`
//! program through [`cli`], and by tests and benches through [`internals`], so that the compiler
//! names whatever nothing uses. The interface is the program; nothing here is stable.
//!
//! The rooms, from the top, importing downwards only (`docs/ARCHITECTURE.md` has the map):
//!
//! - [`cli`], `app`: commands; the wiring of all rooms
//! - `config`: one text into every room's settings
//! - `server`, `admin`: bytes to HTTP; probes and metrics
//! - `api`, `control`: HTTP to pulls; the store's socket
//! - `pull`, `platform`: what to do about a request; others' formats
//! - `route`, `upstream`, `store`: where a name leads; one registry; what we keep
//! - `oci`, `wire`: the words of the trade; bodies
//! - `telemetry`, `tasks`, `secret`, `tls`, `connect`, `disk`: the cellar

mod admin;
mod api;
mod app;
pub mod cli;
mod config;
mod connect;
mod control;
mod disk;
mod oci;
mod platform;
mod pull;
mod route;
mod secret;
mod server;
mod store;
mod tasks;
mod telemetry;
mod tls;
mod upstream;
mod wire;

/// What tests and benches take from the rooms; a line that none of them needs goes.
#[doc(hidden)]
pub mod internals {
    pub mod api {
        pub use crate::api::ApiRequest;
    }
    pub mod app {
        pub use crate::app::{
            ConfigSource, LoadError, LoadOutcome, LoadRecord, ReloadSummary, Reloader,
            RunningMirror, StartError, start,
        };
    }
    pub mod config {
        pub use crate::config::{Environment, LoadContext, Overrides, Settings, read};
    }
    pub mod disk {
        pub use crate::disk::{
            Disk, File, FileLock, FolderEntry, RealDisk, Stat, VolumeSpace, fingerprint, gather,
        };
    }
    pub mod oci {
        pub use crate::oci::{
            Algorithm, Digest, Manifest, RangeRequest, Reference, Registry, Repository, Verifier,
        };
    }
    pub mod platform {
        pub use crate::platform::{Configures, importable, renderable};
    }
    pub mod route {
        pub use crate::route::{
            ConfigLocation, ImageName, Ingress, IngressText, MatchText, RouteTable, RuleText,
            TargetText, UnmatchedPolicy,
        };
    }
    pub mod server {
        pub use crate::server::{Hangups, ListenAddress};
    }
    pub mod store {
        pub use crate::store::StoreError;
    }
    pub mod tls {
        pub use crate::tls::provider;
    }
}
