//! Settings that may be exchanged while we serve.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Settings;

/// The settings that hold now; clones say the same.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<ArcSwap<Settings>>);

impl LiveSettings {
    /// These hold.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// What holds now.
    pub fn now(&self) -> Settings {
        **self.0.load()
    }

    /// From now on these hold, for new connections. The limits of [`super::ConnectionLimit`] and
    /// [`super::RequestLimit`] stay what they were.
    pub fn set(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }
}
