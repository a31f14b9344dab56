//! Finds an upstream by its name.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;

use crate::{
    connect::{NamedBy, Transport},
    oci::UpstreamName,
    route::{RefusalPolicy, RouteTable},
    telemetry::Metrics,
    upstream::{Access, BuildError, Settings, Upstream, UpstreamDefaults},
};

/// Most upstreams without an `[upstream]` table. Only a route from `*` to `source` can need more
/// than a handful; those beyond are built for one request and dropped.
const IMPLICIT_MAX: usize = 1000;

/// The metrics' label of upstreams whose names come from clients.
const OTHER: &str = "other";

/// All upstreams: the configured ones, and those that have only a name.
pub struct UpstreamDirectory {
    configured: HashMap<UpstreamName, KnownUpstream>,
    implicit: Mutex<ImplicitUpstreams>,
    defaults: UpstreamDefaults,
    metrics: Arc<Metrics>,
}

/// The upstreams without a table.
#[derive(Default)]
struct ImplicitUpstreams {
    /// Those in use, with the current settings.
    current: HashMap<UpstreamName, KnownUpstream>,
    /// Those of the previous directory that were not used since.
    earlier: HashMap<UpstreamName, KnownUpstream>,
}

/// An upstream, and what its refusals mean unless a target says otherwise.
#[derive(Clone, Debug)]
pub struct KnownUpstream {
    /// The upstream.
    pub upstream: Upstream,
    /// What a 401 or 403 from it means.
    pub refused: RefusalPolicy,
}

impl UpstreamDirectory {
    /// Builds the configured upstreams; the others are built on first use. An upstream of
    /// `previous` with equal settings is kept, with its connections, tokens and health.
    ///
    /// # Errors
    /// An upstream whose client cannot be built.
    pub fn new(
        configured: Vec<(Settings, RefusalPolicy)>,
        defaults: UpstreamDefaults,
        metrics: Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let build = |(settings, refused): (Settings, RefusalPolicy)| {
            let name = settings.name.clone();
            let kept = previous.and_then(|previous| previous.reusable(&settings));
            let upstream = match kept {
                Some(upstream) => upstream,
                None => Upstream::new(settings, Arc::clone(&metrics))?,
            };
            Ok((name, KnownUpstream { upstream, refused }))
        };
        let configured: HashMap<_, _> = configured
            .into_iter()
            .map(build)
            .collect::<Result<_, BuildError>>()?;
        let directory = Self {
            implicit: Mutex::new(ImplicitUpstreams {
                current: HashMap::new(),
                earlier: previous.map(Self::all).unwrap_or_default(),
            }),
            configured,
            defaults,
            metrics,
        };
        directory.export_metrics(previous);
        Ok(directory)
    }

    /// The upstream of this name; `table` tells configured names from those of clients.
    ///
    /// # Errors
    /// Its client cannot be built.
    pub fn find(
        &self,
        name: &UpstreamName,
        table: &RouteTable,
    ) -> Result<KnownUpstream, BuildError> {
        if let Some(known) = self.configured.get(name) {
            return Ok(known.clone());
        }
        if let Some(known) = self.implicit.lock().current.get(name) {
            return Ok(known.clone());
        }
        let mut settings = self.defaults.for_host(name);
        if !table.names_upstream(name) {
            settings.label = OTHER.into();
            settings.named_by = NamedBy::Client;
        }
        let earlier = self.implicit.lock().earlier.remove(name);
        let known = match earlier {
            Some(known) if *known.upstream.settings() == settings => known,
            _ => KnownUpstream {
                upstream: Upstream::new(settings, Arc::clone(&self.metrics))?,
                refused: RefusalPolicy::Auto,
            },
        };
        let mut implicit = self.implicit.lock();
        if implicit.current.len() < IMPLICIT_MAX {
            let known = implicit.current.entry(name.clone()).or_insert(known);
            return Ok(known.clone());
        }
        drop(implicit);
        Ok(known)
    }

    /// Whether an upstream's content may be served under any name.
    pub fn is_public(&self, name: &UpstreamName) -> bool {
        let access = match self.configured.get(name) {
            Some(known) => known.upstream.settings().access,
            None => self.defaults.access(name),
        };
        access == Access::Public
    }

    /// Whether all upstreams are as in `other`.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        self.changes_since(other) == (0, 0, 0) && self.defaults == other.defaults
    }

    /// How many of the configured upstreams are new, changed and gone since `other`.
    pub fn changes_since(&self, other: &Self) -> (usize, usize, usize) {
        let before = |known: &KnownUpstream| other.configured.get(known.upstream.name());
        let pairs = self
            .configured
            .values()
            .filter_map(|now| Some((now, before(now)?)));
        let (stayed, changed) = pairs.fold((0, 0), |(stayed, changed), (now, before)| {
            let is_same = now.upstream.settings() == before.upstream.settings();
            (stayed + 1, changed + usize::from(!is_same))
        });
        let new = self.configured.len().saturating_sub(stayed);
        let gone = other.configured.len().saturating_sub(stayed);
        (new, changed, gone)
    }

    /// The upstream with exactly these settings.
    fn reusable(&self, settings: &Settings) -> Option<Upstream> {
        let same = |known: &KnownUpstream| {
            let upstream = &known.upstream;
            (upstream.settings() == settings).then(|| upstream.clone())
        };
        let name = &settings.name;
        if let Some(known) = self.configured.get(name) {
            return same(known);
        }
        let implicit = self.implicit.lock();
        let known = implicit
            .current
            .get(name)
            .or_else(|| implicit.earlier.get(name));
        known.and_then(same)
    }

    /// What the next directory may reuse, each as a host without a table.
    fn all(&self) -> HashMap<UpstreamName, KnownUpstream> {
        let implicit = self.implicit.lock();
        // The bound holds over any number of reloads.
        let room = IMPLICIT_MAX.saturating_sub(implicit.current.len());
        // A later entry of the same name wins.
        let newest_last = implicit.earlier.iter().take(room).chain(&implicit.current);
        let all = newest_last.map(|(name, known)| (name.clone(), known.clone()));
        all.collect()
    }

    /// Exports what operators should know about the configured upstreams' transports.
    fn export_metrics(&self, previous: Option<&Self>) {
        let plain = Transport::default();
        let gone = previous.into_iter().flat_map(|previous| {
            let configured = previous.configured.values();
            configured.map(|known| (known.upstream.settings(), &plain))
        });
        let present = self.configured.values().map(|known| {
            let settings = known.upstream.settings();
            (settings, &settings.transport)
        });
        for (settings, transport) in gone.chain(present) {
            self.export_transport(settings, transport);
        }
    }

    fn export_transport(&self, settings: &Settings, transport: &Transport) {
        let label = &settings.label;
        if transport.is_verified {
            self.metrics.upstream_verified(label);
        } else {
            self.metrics.upstream_unverified(label);
        }
        let ends = transport
            .identity
            .as_ref()
            .map(|identity| identity.validity().not_after);
        self.metrics
            .certificate_expires(&format!("upstream {label}"), ends);
    }
}

impl fmt::Debug for UpstreamDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamDirectory")
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connect::ProxySettings, route::UnmatchedPolicy, tls::Identity, upstream::EndpointAddress,
    };

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new().unwrap())
    }

    fn table() -> RouteTable {
        RouteTable::new(Vec::new(), UnmatchedPolicy::Auto)
            .unwrap()
            .0
    }

    fn name(text: &str) -> UpstreamName {
        text.parse().unwrap()
    }

    /// A configured upstream, changed.
    fn one(text: &str, change: impl FnOnce(&mut Settings)) -> (Settings, RefusalPolicy) {
        let mut settings = UpstreamDefaults::default().for_host(&name(text));
        change(&mut settings);
        (settings, RefusalPolicy::Auto)
    }

    fn next(
        configured: Vec<(Settings, RefusalPolicy)>,
        defaults: UpstreamDefaults,
        previous: &UpstreamDirectory,
    ) -> UpstreamDirectory {
        let metrics = Arc::clone(&previous.metrics);
        UpstreamDirectory::new(configured, defaults, metrics, Some(previous)).unwrap()
    }

    /// Whether both know the very same upstream of this name.
    fn shares(one: &UpstreamDirectory, other: &UpstreamDirectory, host: &str) -> bool {
        let find =
            |directory: &UpstreamDirectory| directory.find(&name(host), &table()).unwrap().upstream;
        std::ptr::eq(find(one).settings(), find(other).settings())
    }

    #[test]
    fn unchanged_upstreams_are_kept() {
        let changed = |settings: &mut Settings| settings.concurrent_max = 3;
        let configured = vec![one("a.example", |_| {}), one("b.example", |_| {})];
        let first =
            UpstreamDirectory::new(configured, UpstreamDefaults::default(), metrics(), None)
                .unwrap();
        for host in ["quay.io", "ghcr.io", "c.example"] {
            assert!(shares(&first, &first, host));
        }
        let configured = vec![
            (one("a.example", |_| {}).0, RefusalPolicy::Stop),
            one("b.example", changed),
            one("quay.io", |_| {}),
            one("ghcr.io", changed),
        ];
        let second = next(configured, UpstreamDefaults::default(), &first);
        for (host, want) in [
            ("a.example", true),
            ("b.example", false),
            // A table with the default settings changes nothing.
            ("quay.io", true),
            ("ghcr.io", false),
            ("c.example", true),
        ] {
            assert_eq!(shares(&first, &second, host), want, "{host}");
        }
        assert_eq!(second.changes_since(&first), (2, 1, 0));
        assert!(!second.is_equivalent(&first) && first.is_equivalent(&first));
        let refused = |directory: &UpstreamDirectory| {
            let known = directory.find(&name("a.example"), &table());
            known.unwrap().refused
        };
        assert_eq!(
            (refused(&first), refused(&second)),
            (RefusalPolicy::Auto, RefusalPolicy::Stop)
        );
        // An upstream that was not used in between is not lost.
        let third = next(Vec::new(), UpstreamDefaults::default(), &first);
        let fourth = next(Vec::new(), UpstreamDefaults::default(), &third);
        assert!(shares(&first, &fourth, "c.example"));
    }

    #[test]
    fn other_defaults_make_other_upstreams() {
        let first =
            UpstreamDirectory::new(Vec::new(), UpstreamDefaults::default(), metrics(), None)
                .unwrap();
        assert!(shares(&first, &first, "quay.io"));
        let proxied = UpstreamDefaults {
            proxy: ProxySettings {
                no_proxy: Some("corp".into()),
                ..ProxySettings::default()
            },
            ..UpstreamDefaults::default()
        };
        let second = next(Vec::new(), proxied, &first);
        assert!(!shares(&first, &second, "quay.io"));
        let find = |directory: &UpstreamDirectory, host| {
            let known = directory.find(&name(host), &table()).unwrap();
            known.upstream.settings().clone()
        };
        let direct = find(&second, "quay.io").transport.proxy.no_proxy;
        assert_eq!(direct.as_deref(), Some("corp"));
        assert_eq!(find(&second, "quay.io").named_by, NamedBy::Configuration);
        let strange = find(&second, "strange.example");
        assert_eq!(
            (strange.named_by, &*strange.label),
            (NamedBy::Client, OTHER)
        );
    }

    #[test]
    fn operators_see_what_is_weak_and_what_ends() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let weak = one("a.example", |settings| {
            settings.endpoints = vec![EndpointAddress::Url("https://a.example".into())];
            settings.transport.is_verified = false;
            settings.transport.identity = Some(Identity::from_pem(&chain, &key).unwrap());
        });
        let plain = one("b.example", |_| {});
        let metrics = metrics();
        let configured = vec![weak, plain];
        let first = UpstreamDirectory::new(
            configured,
            UpstreamDefaults::default(),
            Arc::clone(&metrics),
            None,
        )
        .unwrap();
        let seen = |what: &str| metrics.render().contains(what);
        assert!(seen("tls_unverified{upstream=\"a.example\"} 1"));
        assert!(seen("expires_seconds{owner=\"upstream a.example\"}"));
        assert!(!seen("tls_unverified{upstream=\"b.example\"}"));
        let second = next(Vec::new(), UpstreamDefaults::default(), &first);
        assert!(!seen("tls_unverified") && !seen("expires_seconds"));
        assert!(second.configured.is_empty());
    }
}
