//! What the configuration decides about an upstream.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::credentials::keyring::{CredentialScope, CredentialSource, Keyring, KeyringEntry};
use crate::{
    connect::{NamedBy, ProxySettings, Transport},
    oci::{RepositoryName, UpstreamName},
};

/// Everything about one upstream that the configuration decides; a reload keeps the upstreams whose
/// settings are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name in `to` and in the store's origins.
    pub name: UpstreamName,
    /// What metrics call it: its name, or one word for all whose names come from clients.
    pub label: Arc<str>,
    /// Who named its host. A host that a client names must be on the Internet, so that no client
    /// reaches into our site through us.
    pub named_by: NamedBy,
    /// Equal addresses of one registry, in order of preference; never empty.
    pub endpoints: Vec<EndpointAddress>,
    /// What stands before the repository's name: `/v2` unless configured.
    pub api_path: String,
    /// Whether requests carry `ns=REGISTRY`, for an upstream that is itself a mirror.
    pub send_ns: bool,
    /// The credentials for it, found by its names; see [`Settings::select_credentials`].
    pub keyring: Keyring,
    /// How connections are made: whom we trust, who we are, through which proxy.
    pub transport: Transport,
    /// Hosts, beyond its own registrable domain and the well-known pairs, whose token services may
    /// be sent our credentials.
    pub realm_hosts: Vec<String>,
    /// Who may see what came from here.
    pub access: Access,
    /// Hosts beyond the public ones that its redirects may lead to.
    pub redirect_hosts: Vec<String>,
    /// Most requests at once.
    pub concurrent_max: usize,
    /// Longest wait for a connection.
    pub connect_max: Duration,
    /// Longest silence in a body.
    pub progress_max: Duration,
    /// Most bytes of a manifest, a tag list or a referrers list.
    pub manifest_bytes_max: usize,
}

/// What holds for every upstream unless its own table says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDefaults {
    /// Longest wait for a connection.
    pub connect_max: Duration,
    /// Longest silence in a body.
    pub progress_max: Duration,
    /// Most bytes of a manifest, a tag list or a referrers list.
    pub manifest_bytes_max: usize,
    /// Most requests at once: fast, and below what public registries take for an attack.
    pub concurrent_max: usize,
    /// All credentials.
    pub keyring: Keyring,
    /// The proxies of the process's environment.
    pub proxy: ProxySettings,
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAddress {
    /// `https://HOST[:PORT]`, or `http://…` when written so.
    Url(String),
    /// A Unix socket, written `unix:PATH`; plain HTTP is spoken over it.
    Unix(PathBuf),
}

/// Who may see what came from an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, under any name.
    Public,
    /// All clients that the listener admits, and only under names that this upstream confirms.
    Shared,
}

impl Settings {
    /// The credentials for one of its repositories.
    pub fn credentials_for(&self, name: &RepositoryName) -> Option<&KeyringEntry> {
        self.find_credentials(Some(name))
    }

    /// The credentials for one of its repositories, or for all of it.
    pub(super) fn find_credentials(&self, name: Option<&RepositoryName>) -> Option<&KeyringEntry> {
        let hosts = self.registry_names();
        let entry = match name {
            Some(name) => self.keyring.find(&hosts, name)?,
            None => self.keyring.find_for_registry(&hosts)?,
        };
        // A client that names hosts must neither make us run a program for each, nor have the login
        // of a pattern sent to a host of its own.
        let is_ours = self.named_by == NamedBy::Configuration || entry.scope.host().is_some();
        is_ours.then_some(entry)
    }

    /// Takes from all credentials those for this upstream; its own one is for no other, even if that
    /// has the same address.
    pub fn select_credentials(&mut self, keyring: &Keyring, own: Option<CredentialSource>) {
        let place = CredentialScope::of_upstream(&self.name);
        let own = own.map(|source| KeyringEntry {
            scope: place,
            source,
        });
        self.keyring = keyring.for_registry(&self.registry_names(), own);
    }

    /// Whether there are any credentials for it.
    pub fn has_credentials(&self) -> bool {
        self.keyring.has_any_for(&self.registry_names())
    }

    /// What it is called: its name, and `HOST[:PORT]` of each endpoint.
    fn registry_names(&self) -> Vec<&str> {
        let urls = self.endpoints.iter().filter_map(|endpoint| match endpoint {
            EndpointAddress::Url(url) => Some(url),
            EndpointAddress::Unix(_) => None,
        });
        let authorities = urls.filter_map(|url| Some(url.split_once("://")?.1));
        [self.name.as_str()]
            .into_iter()
            .chain(authorities)
            .collect()
    }
}

impl UpstreamDefaults {
    /// The settings of a host without a table of its own: over https, and public unless there is a
    /// login for it.
    pub fn for_host(&self, name: &UpstreamName) -> Settings {
        let mut settings = Settings {
            name: name.clone(),
            label: name.as_str().into(),
            named_by: NamedBy::Configuration,
            endpoints: vec![EndpointAddress::Url(format!(
                "https://{}",
                default_host(name)
            ))],
            api_path: "/v2".into(),
            send_ns: false,
            keyring: Keyring::default(),
            transport: Transport {
                proxy: self.proxy.clone(),
                ..Transport::default()
            },
            realm_hosts: Vec::new(),
            access: self.access(name),
            redirect_hosts: Vec::new(),
            concurrent_max: self.concurrent_max,
            connect_max: self.connect_max,
            progress_max: self.progress_max,
            manifest_bytes_max: self.manifest_bytes_max,
        };
        settings.select_credentials(&self.keyring, None);
        settings
    }

    /// Who may see what came from a host without a table of its own.
    pub fn access(&self, name: &UpstreamName) -> Access {
        if self
            .keyring
            .has_any_for(&[name.as_str(), default_host(name)])
        {
            Access::Shared
        } else {
            Access::Public
        }
    }
}

/// Where a host without a table is asked.
fn default_host(name: &UpstreamName) -> &str {
    match name.as_str() {
        // The name in references is not the registry's address.
        "docker.io" => "registry-1.docker.io",
        host => host,
    }
}

impl Default for UpstreamDefaults {
    fn default() -> Self {
        Self {
            concurrent_max: 16,
            connect_max: Duration::from_secs(3),
            progress_max: Duration::from_secs(30),
            manifest_bytes_max: 4 * 1024 * 1024,
            keyring: Keyring::default(),
            proxy: ProxySettings::default(),
        }
    }
}
