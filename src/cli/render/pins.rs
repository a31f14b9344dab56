//! Digests that the mirror keeps for an operator's images, under the names that nodes ask for.

use std::collections::BTreeMap;

use crate::{
    control::KeptTag,
    oci::{Origin, Reference, Repository, Tag},
    platform::DigestPin,
    pull::store_keys,
    route::{ImageName, RouteTable},
};

/// The names that an image may have whose last element is this one.
type LikelyNames = fn(&str) -> Vec<Repository>;

/// Those of the kept tags that are of images with likely names: each image and tag once.
pub(super) fn kept_pins(
    table: &RouteTable,
    kept: &[KeptTag],
    likely_names: LikelyNames,
) -> Vec<DigestPin> {
    let mut pins = BTreeMap::new();
    for (origin, reference, digest) in kept {
        let Reference::Tag(tag) = reference else {
            continue;
        };
        if let Some(repository) = image_of(table, origin, tag, likely_names) {
            let key = (repository.name.to_string(), tag.to_string());
            pins.entry(key).or_insert_with(|| DigestPin {
                repository,
                tag: tag.clone(),
                digest: *digest,
            });
        }
    }
    pins.into_values().collect()
}

/// The name whose bytes an origin has: routes only lead there, so likely names are tried. A site
/// may have put something before the image's own name.
fn image_of(
    table: &RouteTable,
    origin: &Origin,
    tag: &Tag,
    likely_names: LikelyNames,
) -> Option<Repository> {
    let there = match origin {
        Origin::Upstream { name, .. } => name,
        Origin::Local(repository) => &repository.name,
    };
    let last = there.elements().next_back()?;
    let after_dash = last
        .match_indices('-')
        .filter_map(|(at, _)| last.get(at + 1..));
    std::iter::once(last)
        .chain(after_dash)
        .flat_map(likely_names)
        .find(|repository| {
            let named = ImageName::from(repository.clone());
            let wanted = Reference::Tag(tag.clone());
            let places = store_keys(table, &named, &wanted);
            places.iter().any(|(place, _)| place == origin)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{ConfigLocation, MatchText, RuleText, TargetText, UnmatchedPolicy};

    fn table(from: &[&str], to: &str) -> RouteTable {
        let from = MatchText::From(from.iter().map(|from| (*from).to_owned()).collect());
        let route = RuleText::new(from, vec![TargetText::from(to)], ConfigLocation("t".into()));
        RouteTable::new(vec![route.compile().unwrap()], UnmatchedPolicy::Auto)
            .unwrap()
            .0
    }

    #[test]
    fn kept_tags_are_found_under_the_names_that_nodes_use() {
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let mut formats = crate::platform::renderable();
        let (_, calico) = formats.find(|(name, _)| *name == "calico").unwrap();
        let likely_names = calico.pins.unwrap();
        let tag = || Reference::Tag("v3.30.4".parse().unwrap());
        let check = |table: &RouteTable, origin: &str, want: Option<&str>| {
            let (upstream, name) = origin.split_once('/').unwrap();
            let origin = Origin::Upstream {
                upstream: upstream.parse().unwrap(),
                name: name.parse().unwrap(),
            };
            let kept = [(origin.clone(), tag(), digest), (origin, tag(), digest)];
            let pins = kept_pins(table, &kept, likely_names);
            let names: Vec<_> = pins.iter().map(|pin| pin.repository.to_string()).collect();
            assert_eq!(names, Vec::from_iter(want), "{name}");
        };
        let both = ["quay.io", "docker.io"];
        let direct = table(&both, "source");
        check(&direct, "quay.io/calico/node", Some("quay.io/calico/node"));
        check(
            &direct,
            "docker.io/calico/node",
            Some("docker.io/calico/node"),
        );
        check(&direct, "quay.io/prometheus/node", None);
        check(&direct, "gcr.io/calico/node", None);
        let folded = table(&["quay.io/calico", "quay.io/tigera"], "h.corp/c/cal-{name}");
        check(
            &folded,
            "h.corp/c/cal-kube-controllers",
            Some("quay.io/calico/kube-controllers"),
        );
        check(
            &folded,
            "h.corp/c/cal-operator",
            Some("quay.io/tigera/operator"),
        );
        check(&folded, "h.corp/c/node", None);
    }
}
