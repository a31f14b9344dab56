//! What every listener and connection is handed.

use std::sync::Arc;

use super::{drain::Stop, limits::ConnectionLimit, live_settings::LiveSettings};
use crate::{tasks::Tasks, telemetry::Metrics};

/// What all listeners of one process share.
#[derive(Clone, Debug)]
pub struct ServerContext {
    /// Deadlines and limits; a connection keeps those that it began with.
    pub settings: LiveSettings,
    /// The places for connections, counted over all listeners.
    pub connections: ConnectionLimit,
    /// Says when to stop.
    pub stop: Stop,
    /// Where connections run; the end waits for them there.
    pub tasks: Tasks,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}
