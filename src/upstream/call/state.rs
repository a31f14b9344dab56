//! What all clones of an upstream share.

use std::sync::Arc;

use super::{
    build, concurrency::ConcurrencyLimit, endpoint::Endpoint, rate_limit::RateLimit,
    request::UpstreamRequest,
};
use crate::{
    connect::{AddressGuard, HttpClients},
    telemetry::{Metrics, UpstreamHealth},
    upstream::{
        authentication::tokens::Tokens, credentials::helper::CredentialHelpers, error::BuildError,
        settings::Settings,
    },
};

/// Makes an upstream's calls; its parts are in `caller`, `exchange`, `authentication` and
/// `credentials::provider`.
pub(in crate::upstream) struct Caller {
    pub(in crate::upstream) settings: Settings,
    /// Never empty.
    pub(in crate::upstream) endpoints: Vec<Endpoint>,
    pub(in crate::upstream) clients: HttpClients,
    pub(in crate::upstream) guard: Arc<AddressGuard>,
    pub(in crate::upstream) rate_limit: RateLimit,
    pub(in crate::upstream) tokens: Tokens,
    pub(in crate::upstream) helpers: CredentialHelpers,
    pub(super) concurrency: ConcurrencyLimit,
    pub(in crate::upstream) metrics: Arc<Metrics>,
}

impl Caller {
    /// Prepares connections; contacts nothing.
    pub(in crate::upstream) fn new(
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let built = build::build(&settings)?;
        if built.endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        metrics.upstream_up(&settings.label, UpstreamHealth::Up);
        Ok(Self {
            concurrency: ConcurrencyLimit::new(settings.concurrent_max),
            settings,
            endpoints: built.endpoints,
            clients: built.clients,
            guard: built.guard,
            rate_limit: RateLimit::default(),
            tokens: Tokens::default(),
            helpers: CredentialHelpers::default(),
            metrics,
        })
    }

    /// The preferred endpoint.
    #[expect(
        clippy::indexing_slicing,
        reason = "`new` refuses an upstream without endpoints"
    )]
    pub(in crate::upstream) fn preferred_endpoint(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    pub(in crate::upstream) fn count(&self, request: &UpstreamRequest, result: &'static str) {
        let name = &self.settings.label;
        self.metrics
            .upstream_requested(name, request.kind.label(), result);
    }
}
