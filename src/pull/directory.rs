//! From an upstream's name to the upstream itself.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;

use crate::{
    oci::UpstreamName,
    route::{Refused, Table},
    telemetry::Metrics,
    upstream::{Access, BuildError, Defaults, Settings, Upstream},
};

/// Most upstreams without an `[upstream]` table. Only a route from `*` to `source` can lead to
/// more than a handful; the ones beyond are made for one request and forgotten.
const OTHERS_MAX: usize = 1000;

/// What metrics call upstreams whose names come from clients.
const OTHER: &str = "other";

/// All upstreams: those of the configuration, and those that routes name without more.
pub struct Directory {
    configured: HashMap<UpstreamName, Known>,
    others: Mutex<HashMap<UpstreamName, Known>>,
    defaults: Defaults,
    metrics: Arc<Metrics>,
}

/// An upstream, and what its refusals mean unless a target says otherwise.
#[derive(Clone, Debug)]
pub struct Known {
    /// The upstream.
    pub upstream: Upstream,
    /// What a 401 or 403 from it means.
    pub refused: Refused,
}

impl Directory {
    /// Builds the configured upstreams; the others come when they are first asked for.
    ///
    /// # Errors
    /// An upstream whose client cannot be built.
    pub fn new(
        configured: Vec<(Settings, Refused)>,
        defaults: Defaults,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let build = |(settings, refused): (Settings, Refused)| {
            let name = settings.name.clone();
            let upstream = Upstream::new(settings, Arc::clone(&metrics))?;
            Ok((name, Known { upstream, refused }))
        };
        let configured = configured
            .into_iter()
            .map(build)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            configured,
            others: Mutex::default(),
            defaults,
            metrics,
        })
    }

    /// The upstream of this name; `table` tells names of the configuration from a client's own.
    ///
    /// # Errors
    /// Its client cannot be built.
    pub fn find(&self, name: &UpstreamName, table: &Table) -> Result<Known, BuildError> {
        if let Some(known) = self.configured.get(name) {
            return Ok(known.clone());
        }
        if let Some(known) = self.others.lock().get(name) {
            return Ok(known.clone());
        }
        let mut settings = self.defaults.for_host(name);
        if !table.knows(name) {
            settings.label = OTHER.into();
        }
        let upstream = Upstream::new(settings, Arc::clone(&self.metrics))?;
        let known = Known {
            upstream,
            refused: Refused::Auto,
        };
        let mut others = self.others.lock();
        if others.len() < OTHERS_MAX {
            return Ok(others.entry(name.clone()).or_insert(known).clone());
        }
        drop(others);
        Ok(known)
    }

    /// Whether what came from an upstream may be seen under any name.
    pub fn is_public(&self, name: &UpstreamName) -> bool {
        let access = |known: &Known| known.upstream.settings().access == Access::Public;
        // A host without a table has no credentials, so what it gave us it gives everyone.
        self.configured.get(name).is_none_or(access)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Directory")
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}
