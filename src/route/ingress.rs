//! Which registry and repository a request means: one decision for every path shape that runtimes
//! send, with or without `ns`, with `v2` first, later, twice or absent.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    sync::Arc,
};

use thiserror::Error;

use crate::oci::{InvalidName, Registry, Repository, RepositoryName};

use super::ImageName;

/// One listener's names and aliases, as configured.
#[derive(Clone, Debug, Default)]
pub struct IngressText {
    /// The registry of `/v2/NAME` with neither `ns` nor a prefix.
    pub default_registry: Option<Registry>,
    /// The listener's own host names; never virtual hosts.
    pub names: Vec<String>,
    /// Path prefixes that stand for a registry, or for several equal ones.
    pub aliases: Vec<(String, Vec<Registry>)>,
    /// Host names that stand for a registry, or for several equal ones.
    pub hosts: Vec<(String, Vec<Registry>)>,
}

/// Maps one listener's requests to image names.
#[derive(Clone, Debug)]
pub struct Ingress {
    default_registry: Option<Registry>,
    names: HashSet<Registry>,
    aliases: HashMap<String, RegistryGroup>,
    /// The longest alias: longer prefixes of a path need no lookup.
    alias_bytes_max: usize,
    hosts: HashMap<Registry, RegistryGroup>,
}

/// Why a request has no image name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IngressError {
    /// The path is not a canonical name. It is never repaired: a guess could name another image.
    #[error("the repository's name is not valid: {0}")]
    InvalidName(InvalidName),
    /// `ns` is not a registry, or is empty without a default registry.
    #[error("the parameter ns is not valid: {0}")]
    InvalidNs(InvalidName),
    /// Well-formed, but of an unknown registry.
    #[error(
        "the request names no registry; accepted are /v2/NAME/…?ns=REGISTRY, \
         /v2/REGISTRY/NAME/…, /REGISTRY/v2/NAME/… and the aliases and host names configured here"
    )]
    Unknown,
}

/// An invalid entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {value:?}: {reason}")]
pub struct InvalidIngress {
    /// The entry's table or key: `names`, `aliases` or `hosts`.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Equal registries; the first gives the canonical name.
#[derive(Clone, Debug)]
struct RegistryGroup {
    first: Registry,
    rest: Arc<[Registry]>,
}

impl Ingress {
    /// Checks every entry and reports all errors.
    pub fn new(text: IngressText) -> Result<Self, Vec<InvalidIngress>> {
        let mut problems = Vec::new();
        let names = own_names(&text.names, &mut problems);
        let aliases = aliases(text.aliases, &mut problems);
        let hosts = hosts(text.hosts, &names, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            default_registry: text.default_registry,
            names,
            alias_bytes_max: aliases.keys().map(String::len).max().unwrap_or(0),
            aliases,
            hosts,
        })
    }

    /// Parses one request: `path` is the decoded part before `/manifests/`, `/blobs/` and the like,
    /// with every `v2` in it; `ns` the decoded parameter; `host` the request's authority.
    pub fn resolve(
        &self,
        path: &str,
        ns: Option<&str>,
        host: Option<&str>,
    ) -> Result<ImageName, IngressError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (version, path) = match path.strip_prefix("v2/") {
            Some(below) => (VersionPrefix::Written, below),
            None => (VersionPrefix::Absent, path),
        };
        match ns {
            Some("") if self.default_registry.is_none() => {
                Err(IngressError::InvalidNs(InvalidName::Empty))
            }
            None | Some("") => self.by_path(version, path, host),
            Some(ns) => {
                let registry: Registry = ns.parse().map_err(IngressError::InvalidNs)?;
                if self.is_own(&registry) {
                    // An image written as `MIRROR/REGISTRY/NAME` and pulled through a mirror entry
                    // for all registries: taken at its word, `ns` would make us our own upstream.
                    return self.by_path(version, path, host);
                }
                self.by_ns(registry, path)
            }
        }
    }

    /// Whether a request to this host is for this listener: by one of its own names or as a virtual
    /// host.
    pub fn answers_for(&self, host: &str) -> bool {
        let own = |host: Registry| self.is_own(&host);
        host.parse().is_ok_and(own) || self.virtual_host(host).is_some()
    }

    /// `ns` decides; a prefix of the path is removed only if it means the same registry.
    fn by_ns(&self, registry: Registry, path: &str) -> Result<ImageName, IngressError> {
        let alias = self.alias(path, |group| group.has(&registry));
        let (equal, name) = match alias {
            Some((group, below)) => (group.all_but(&registry), without_version(below)),
            None => (Arc::default(), strip_registry(&registry, path)),
        };
        image_name(registry.clone(), equal, name, Some(registry))
    }

    fn by_path(
        &self,
        version: VersionPrefix,
        path: &str,
        host: Option<&str>,
    ) -> Result<ImageName, IngressError> {
        if let Some((group, below)) = self.alias(path, |_| true) {
            return group.image_name(without_version(below));
        }
        if let Some((first, below)) = first_registry(path) {
            let registry = first.parse().map_err(IngressError::InvalidName)?;
            return image_name(registry, Arc::default(), without_version(below), None);
        }
        if version == VersionPrefix::Absent {
            return Err(unknown(path));
        }
        if let Some(group) = host.and_then(|host| self.virtual_host(host)) {
            return group.image_name(path);
        }
        match &self.default_registry {
            Some(registry) => image_name(registry.clone(), Arc::default(), path, None),
            None => Err(unknown(path)),
        }
    }

    /// The longest alias that `path` starts with and that `fits`, and the non-empty rest of `path`.
    fn alias<'a>(
        &self,
        path: &'a str,
        fits: impl Fn(&RegistryGroup) -> bool,
    ) -> Option<(&RegistryGroup, &'a str)> {
        let ends = path.rmatch_indices('/').map(|(end, _)| end);
        let ends = ends.skip_while(|end| *end > self.alias_bytes_max);
        let mut halves = ends.filter_map(|end| path.split_at_checked(end));
        halves.find_map(|(prefix, below)| {
            let below = below.strip_prefix('/').filter(|below| !below.is_empty())?;
            let group = self.aliases.get(prefix).filter(|group| fits(group))?;
            Some((group, below))
        })
    }

    fn virtual_host(&self, host: &str) -> Option<&RegistryGroup> {
        let host: Registry = host.parse().ok()?;
        if self.is_own(&host) {
            return None;
        }
        let portless = || self.hosts.get(&host.host().parse().ok()?);
        self.hosts.get(&host).or_else(portless)
    }

    /// Whether this is a name of the listener, with any port if it is configured without one.
    fn is_own(&self, host: &Registry) -> bool {
        let portless = |name: Registry| self.names.contains(&name);
        // Most listeners have no name, and every request comes here.
        !self.names.is_empty()
            && (self.names.contains(host) || host.host().parse().is_ok_and(portless))
    }
}

/// Whether the path starts with `v2`. Without it, only a prefix or `ns` makes a registry request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionPrefix {
    Written,
    Absent,
}

impl RegistryGroup {
    fn new(registries: Vec<Registry>) -> Option<Self> {
        let mut registries = registries.into_iter();
        let first = registries.next()?;
        let mut rest: Vec<Registry> = Vec::new();
        for registry in registries {
            if registry != first && !rest.contains(&registry) {
                rest.push(registry);
            }
        }
        let rest = rest.into();
        Some(Self { first, rest })
    }

    fn has(&self, registry: &Registry) -> bool {
        self.first == *registry || self.rest.contains(registry)
    }

    fn all_but(&self, registry: &Registry) -> Arc<[Registry]> {
        if self.first == *registry {
            return Arc::clone(&self.rest);
        }
        let all = std::iter::once(&self.first).chain(self.rest.iter());
        all.filter(|other| *other != registry).cloned().collect()
    }

    fn image_name(&self, name: &str) -> Result<ImageName, IngressError> {
        image_name(self.first.clone(), Arc::clone(&self.rest), name, None)
    }
}

fn image_name(
    registry: Registry,
    equal: Arc<[Registry]>,
    name: &str,
    ns: Option<Registry>,
) -> Result<ImageName, IngressError> {
    let name = name.parse().map_err(IngressError::InvalidName)?;
    Ok(ImageName {
        repository: Repository::canonical(registry, name),
        equal,
        ns,
    })
}

/// A malformed name is the client's error on every listener, so it comes first.
fn unknown(path: &str) -> IngressError {
    match path.parse::<RepositoryName>() {
        Ok(_) => IngressError::Unknown,
        Err(error) => IngressError::InvalidName(error),
    }
}

/// The path's first element, if it can only be a host. An upper-case letter alone does not make it
/// one: in a path that is rather a malformed name, and must not become an unintended registry.
fn first_registry(path: &str) -> Option<(&str, &str)> {
    let (first, below) = path.split_once('/')?;
    let host = first == "localhost" || first.contains(['.', ':']);
    (host && !below.is_empty()).then_some((first, below))
}

fn strip_registry<'a>(registry: &Registry, path: &'a str) -> &'a str {
    match first_registry(path) {
        Some((first, below)) if first.parse().as_ref() == Ok(registry) => without_version(below),
        _ => path,
    }
}

/// Drops a `v2` directly below a prefix, if a name is left.
fn without_version(below: &str) -> &str {
    match below.strip_prefix("v2/") {
        Some(name) if !name.is_empty() => name,
        _ => below,
    }
}

fn own_names(names: &[String], problems: &mut Vec<InvalidIngress>) -> HashSet<Registry> {
    let mut own = HashSet::new();
    for name in names {
        match name.parse::<Registry>() {
            Ok(name) => drop(own.insert(name)),
            Err(error) => problems.push(problem("names", name, &error)),
        }
    }
    own
}

fn aliases(
    written: Vec<(String, Vec<Registry>)>,
    problems: &mut Vec<InvalidIngress>,
) -> HashMap<String, RegistryGroup> {
    let mut aliases = HashMap::new();
    for (prefix, registries) in written {
        match alias_problem(&prefix) {
            Some(problem) => problems.push(problem),
            None => insert("aliases", &prefix, prefix.clone(), registries, &mut aliases)
                .unwrap_or_else(|problem| problems.push(problem)),
        }
    }
    aliases
}

fn alias_problem(prefix: &str) -> Option<InvalidIngress> {
    let bare = prefix.trim_matches('/');
    let bare = bare.strip_prefix("v2/").unwrap_or(bare);
    let mut problem = match prefix.parse::<RepositoryName>() {
        Err(error) => problem("aliases", prefix, &error),
        Ok(name) if name.elements().next() == Some("v2") => {
            let reason = "the first element v2 belongs to the protocol, not to the prefix";
            problem("aliases", prefix, &reason)
        }
        Ok(_) => return None,
    };
    problem.hint = (bare != prefix).then(|| bare.to_owned());
    Some(problem)
}

fn hosts(
    written: Vec<(String, Vec<Registry>)>,
    names: &HashSet<Registry>,
    problems: &mut Vec<InvalidIngress>,
) -> HashMap<Registry, RegistryGroup> {
    let mut hosts = HashMap::new();
    for (host, registries) in written {
        match host.parse::<Registry>() {
            Err(error) => problems.push(problem("hosts", &host, &error)),
            Ok(key) if names.contains(&key) => {
                let reason = "is one of the mirror's own names, which never stand for a registry";
                problems.push(problem("hosts", &host, &reason));
            }
            Ok(key) => insert("hosts", &host, key, registries, &mut hosts)
                .unwrap_or_else(|problem| problems.push(problem)),
        }
    }
    hosts
}

/// Adds an entry; an error if it is a duplicate or names no registry.
fn insert<K: Eq + std::hash::Hash>(
    key: &'static str,
    written: &str,
    name: K,
    registries: Vec<Registry>,
    held: &mut HashMap<K, RegistryGroup>,
) -> Result<(), InvalidIngress> {
    let group = RegistryGroup::new(registries);
    let group = group.ok_or_else(|| problem(key, written, &"names no registry"))?;
    match held.entry(name) {
        Entry::Vacant(free) => {
            free.insert(group);
            Ok(())
        }
        Entry::Occupied(_) => Err(problem(key, written, &"is listed twice")),
    }
}

fn problem(key: &'static str, value: &str, reason: &dyn fmt::Display) -> InvalidIngress {
    InvalidIngress {
        key,
        value: value.to_owned(),
        reason: reason.to_string(),
        hint: None,
    }
}

#[cfg(test)]
mod tests;
