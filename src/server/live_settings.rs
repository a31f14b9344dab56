//! Settings that a reload replaces while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Settings;

/// The current settings; clones share them.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<ArcSwap<Settings>>);

impl LiveSettings {
    /// Starts with `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// The current settings.
    pub fn now(&self) -> Settings {
        **self.0.load()
    }

    /// Replaces the settings for new connections. The limits of [`super::ConnectionLimit`] and
    /// [`super::RequestLimit`] stay as they were.
    pub fn set(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }
}
