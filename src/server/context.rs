//! State shared by all listeners and their connections.

use std::sync::Arc;

use super::{drain::Stop, limits::ConnectionLimit, live_settings::LiveSettings};
use crate::{tasks::Tasks, telemetry::Metrics};

/// State shared by all listeners of one process.
#[derive(Clone, Debug)]
pub struct ServerContext {
    /// Timeouts and limits; a connection keeps those that it began with.
    pub settings: LiveSettings,
    /// The limit of connections over all listeners.
    pub connections: ConnectionLimit,
    /// Says when to stop.
    pub stop: Stop,
    /// Runs the connections; shutdown waits for them there.
    pub tasks: Tasks,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
}
