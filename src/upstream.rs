//! One registry that we contact: requests, authentication, retries.
//!
//! Promises: what it returns is verified or counted, bounded and free of credentials; a failure
//! says whose fault it is. Called by `pull`. Never knows what is kept, nor which client asked.

mod ask;
mod authentication;
mod call;
mod credentials;
mod error;
#[cfg(test)]
mod scene;
mod settings;

use std::{fmt, sync::Arc};

use crate::{
    oci::{RepositoryName, UpstreamName},
    telemetry::Metrics,
};
use call::state::Caller;

pub use ask::{
    blob::BlobStream,
    list::{Referrers, TagPageRequest},
    ping::PingOutcome,
};
pub use call::request::RequestContext;
pub use credentials::keyring::{
    Credential, CredentialScope, CredentialSource, Keyring, KeyringEntry,
};
pub use error::{BuildError, ProtocolViolation, UpstreamError};
pub use settings::{Access, EndpointAddress, Settings, UpstreamDefaults};

/// One registry; clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Caller>);

impl Upstream {
    /// Prepares connections; contacts nothing.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, BuildError> {
        Caller::new(settings, metrics).map(|shared| Self(Arc::new(shared)))
    }

    /// What the configuration decided.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Its name in `to` and in the store's origins.
    pub fn name(&self) -> &UpstreamName {
        &self.0.settings.name
    }

    /// Host and port of the first endpoint; a socket's path.
    pub fn authority(&self) -> String {
        self.0.preferred_endpoint().authority()
    }

    /// The first endpoint as it is configured, for people; holds no secret.
    pub fn url(&self) -> String {
        self.0.preferred_endpoint().label.to_string()
    }

    /// The credentials for one of its repositories.
    pub fn credentials_for(&self, name: &RepositoryName) -> Option<&KeyringEntry> {
        self.0.settings.credentials_for(name)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Upstream")
            .field(self.name())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::NamedBy;
    use tokio::time::Instant;

    use crate::secret::Secret;

    #[test]
    fn a_host_without_a_table_is_asked_over_https() {
        let url = |name: &str| {
            let settings = UpstreamDefaults::default().for_host(&name.parse().unwrap());
            let upstream = Upstream::new(settings, Arc::new(Metrics::new().unwrap())).unwrap();
            (upstream.url(), upstream.authority())
        };
        let pair = |url: &str, authority: &str| (url.to_owned(), authority.to_owned());
        assert_eq!(
            url("docker.io"),
            pair("https://registry-1.docker.io", "registry-1.docker.io")
        );
        assert_eq!(url("quay.io"), pair("https://quay.io", "quay.io"));
        assert_eq!(url("[::1]:5000"), pair("https://[::1]:5000", "[::1]:5000"));
    }

    #[test]
    fn endpoints_that_cannot_be_asked_are_refused() {
        let build = |endpoints: Vec<EndpointAddress>| {
            let mut settings = UpstreamDefaults::default().for_host(&"a".parse().unwrap());
            settings.endpoints = endpoints;
            Upstream::new(settings, Arc::new(Metrics::new().unwrap())).map(|_| ())
        };
        assert!(matches!(build(vec![]), Err(BuildError::NoEndpoint)));
        for bad in [
            "ftp://a",
            "a:5000",
            "https://user:pw@a",
            "https://a/path",
            "https://a?x",
            "https://",
        ] {
            let endpoint = EndpointAddress::Url(bad.into());
            assert!(
                matches!(build(vec![endpoint]), Err(BuildError::Endpoint { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_host_that_a_client_named_gets_only_the_login_of_its_own_name() {
        let login = |place: &str, named_by| {
            let password = Secret::new("canary");
            let username = "me".to_owned();
            let source = CredentialSource::Static(Credential::Password { username, password });
            let place = place.parse().unwrap();
            let mut settings =
                UpstreamDefaults::default().for_host(&"evil.azurecr.io".parse().unwrap());
            settings.select_credentials(
                &Keyring::new(vec![KeyringEntry {
                    scope: place,
                    source,
                }]),
                None,
            );
            settings.named_by = named_by;
            settings.credentials_for(&"a/b".parse().unwrap()).is_some()
        };
        assert!(login("*.azurecr.io", NamedBy::Configuration));
        assert!(!login("*.azurecr.io", NamedBy::Client));
        assert!(login("evil.azurecr.io", NamedBy::Client));
    }

    #[test]
    fn questions_may_be_asked_from_any_task() {
        fn sendable<T: Send>(_: T) {}
        let settings = UpstreamDefaults::default().for_host(&"a".parse().unwrap());
        let upstream = Upstream::new(settings, Arc::new(Metrics::new().unwrap())).unwrap();
        let (name, registry) = ("a".parse().unwrap(), "b".parse().unwrap());
        let ask = RequestContext {
            name: &name,
            registry: &registry,
            via: &crate::oci::Via::default(),
            deadline: Instant::now(),
        };
        let digest = crate::oci::Digest::Sha256([0; 32]);
        let reference = crate::oci::Reference::Digest(digest);
        sendable(upstream.manifest_head(&ask, &reference));
        sendable(upstream.manifest(&ask, &reference));
        sendable(upstream.blob_head(&ask, &digest));
        sendable(upstream.blob(&ask, &digest, 0));
        sendable(upstream.tags(&ask, &TagPageRequest::default()));
        sendable(upstream.referrers(&ask, &digest, None));
    }
}
