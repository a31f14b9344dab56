//! The mirror between real programs: Debian's registry behind it, containerd, dockerd, podman and skopeo in front.
//!
//! Every scene runs the built `roadstead` with a configuration of its own on loopback. A scene whose
//! programs are not installed says so and passes; with `ROADSTEAD_E2E=required` it fails instead.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test helpers: a broken stage ends the scene"
)]

mod canaries;
mod certificates;
mod clients;
mod explain;
mod gate;
mod hostile;
mod http;
mod https;
mod image;
mod load;
mod logins;
mod mirror;
mod noise;
mod platforms;
mod process;
mod proxy;
mod pulls;
mod registry;
mod relay;
mod reload;
mod remount;
mod rendered;
mod renewal;
mod rotation;
mod secrets;
mod shapes;
mod tls;
mod tokens;
mod traffic;
mod web;
