//! The registries, upstreams and pins of all routes, for commands that list them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    RouteTable, UnmatchedPolicy,
    from::{HostMatch, PathMatch},
    index::RouteEntry,
    pattern::PatternKind,
    public,
};
use crate::oci::{Digest, Registry, Repository, Tag, UpstreamName};

/// The registries that a table serves or refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownRegistries {
    /// Those that can be listed.
    pub named: BTreeSet<Registry>,
    /// The patterns that may match further ones, as written.
    pub patterns: BTreeSet<String>,
}

impl RouteTable {
    /// The registries that some route or the built-in list covers, refused ones included.
    pub fn registries(&self) -> KnownRegistries {
        let mut found = KnownRegistries::default();
        let is_public = match self.unmatched {
            UnmatchedPolicy::Auto => self.routes() == 0,
            UnmatchedPolicy::Deny => false,
            UnmatchedPolicy::Source => true,
        };
        if is_public {
            found.named.extend(public::listed());
        }
        for entry in self.index.all() {
            let PatternKind::From(hosts, _) = &entry.pattern.kind else {
                found.patterns.insert(entry.pattern.written.clone());
                continue;
            };
            let exact = match hosts {
                HostMatch::Exact(registry) => Some(registry.clone()),
                HostMatch::AnyPort(host) => host.parse().ok(),
                HostMatch::Suffix(_) | HostMatch::Any => None,
            };
            if !matches!(hosts, HostMatch::Exact(_)) {
                found.patterns.insert(entry.pattern.written.clone());
            }
            found.named.extend(exact);
        }
        found
    }

    /// The upstreams that routes name: in a target, or as a registry that is its own `source`.
    pub fn upstreams(&self) -> BTreeSet<UpstreamName> {
        let itself = |entry: &RouteEntry| match &entry.pattern.kind {
            PatternKind::From(HostMatch::Exact(registry), _) if entry.rule.can_target_source() => {
                registry.as_str().parse().ok()
            }
            _ => None,
        };
        let entries = self.index.all();
        let all = entries.flat_map(|entry| entry.rule.targets().cloned().chain(itself(entry)));
        all.collect()
    }

    /// The tags that routes pin to a digest.
    pub fn pins(&self) -> BTreeMap<(Repository, Tag), Digest> {
        let pin = |entry: &RouteEntry| {
            let PatternKind::From(hosts, PathMatch::Exactly(name, Some(tag))) = &entry.pattern.kind
            else {
                return None;
            };
            let registry: Registry = match hosts {
                HostMatch::Exact(registry) => registry.clone(),
                HostMatch::AnyPort(host) => host.parse().ok()?,
                HostMatch::Suffix(_) | HostMatch::Any => return None,
            };
            let name = name.clone();
            Some((
                (Repository { registry, name }, tag.clone()),
                entry.rule.pin?,
            ))
        };
        self.index.all().filter_map(pin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            text::{MatchText, RuleText},
            vectors::route,
        },
        *,
    };

    fn table(texts: Vec<RuleText>) -> RouteTable {
        let rules = texts.into_iter().map(|text| text.compile().unwrap());
        RouteTable::new(rules.collect(), UnmatchedPolicy::Auto)
            .unwrap()
            .0
    }

    #[test]
    fn names_every_upstream_once() {
        let table = table(vec![
            route("docker.io", &["harbor.example/hub", "source"]),
            route("quay.io", &["harbor.example/quay"]),
            route("*", &["other.example"]),
            route("*.corp", &["source"]),
        ]);
        let names: Vec<_> = table.upstreams().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io", "harbor.example", "other.example"]);
    }

    #[test]
    fn names_every_registry_and_what_may_be_one() {
        let mut glob = route("docker.io", &["h"]);
        glob.matches = MatchText::Glob("nginx*".to_owned());
        let texts = vec![
            route("docker.io/library", &["h"]),
            route("docker.io/a/b:1", &["h/c"]),
            route("r.example:*", &["h"]),
            route("*.corp", &["h"]),
            glob,
        ];
        let KnownRegistries { named, patterns } = table(texts).registries();
        let named: Vec<_> = named.iter().map(Registry::as_str).collect();
        assert_eq!(named, ["docker.io", "r.example"]);
        let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        assert_eq!(patterns, ["*.corp", "nginx*", "r.example:*"]);
        let bare = table(Vec::new()).registries();
        assert!(bare.named.contains(&"quay.io".parse().unwrap()) && bare.patterns.is_empty());
    }

    #[test]
    fn names_every_pin() {
        let mut pinned = route("docker.io/nginx:1.25", &["source"]);
        let digest = format!("sha256:{}", "a".repeat(64));
        pinned.digest = Some(digest.clone());
        let table = table(vec![pinned, route("docker.io/nginx:1.26", &["source"])]);
        let pins: Vec<_> = table.pins().into_iter().collect();
        let [((repository, tag), found)] = &pins[..] else {
            panic!("{pins:?}")
        };
        assert_eq!(repository.to_string(), "docker.io/library/nginx");
        assert_eq!(
            (tag.to_string(), found.to_string()),
            ("1.25".into(), digest)
        );
    }
}
