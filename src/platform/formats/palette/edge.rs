//! User data of edge hosts.

use super::{parts::located, registry::PaletteRegistry};
use crate::{
    oci::Registry,
    platform::{
        formats::imageswap::{map::LocatedText, router::SwapRouter},
        reading::{
            diagnostic::Diagnostic,
            node::{Node, NodeKind},
        },
    },
};

/// `stylus`: registries, and replacements of prefixes.
pub(super) fn edge(stylus: &Node, router: &mut SwapRouter<'_>) {
    let external = stylus.get("externalRegistries");
    let listed = external.and_then(|external| external.get("registries"));
    let single = stylus.get("registryCredentials");
    for node in listed.into_iter().flat_map(Node::items).chain(single) {
        PaletteRegistry::edge(node, &mut router.into.diagnostics).add_to(router.into);
    }
    if let Some(node) = listed.filter(|node| !matches!(node.kind, NodeKind::Sequence(_))) {
        router
            .into
            .report(node.wrong_type("registries must be a list"));
    }
    let rules = external.and_then(|external| external.get("registryMappingRules"));
    if let Some(node) = rules.filter(|node| !node.is_mapping()) {
        router
            .into
            .report(node.wrong_type("registryMappingRules must be a mapping"));
    }
    for (source, target) in rules.into_iter().flat_map(Node::entries) {
        let made = match target.scalar() {
            Some(target) => rule(&located(source), &located(target), router),
            None => Err(target.wrong_type("the replacement of a prefix must be a string")),
        };
        if let Err(diagnostic) = made {
            router.into.report(diagnostic);
        }
    }
}

/// Replaces a prefix of whole path elements and keeps the rest.
fn rule(
    source: &LocatedText,
    target: &LocatedText,
    router: &mut SwapRouter<'_>,
) -> Result<(), Diagnostic> {
    let from = router.prefix(source)?;
    let target = router.target(target, "")?;
    router.route_prefix(&source.location, &from, &target);
    if let (Ok(registry), Some((_, path))) = (from.parse::<Registry>(), target.split_once('/')) {
        router.into.add_alias(&source.location, path, &registry);
    }
    Ok(())
}
