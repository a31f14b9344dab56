//! Edge hosts' user data.

use super::{
    import::{PaletteImport, located},
    registry::PaletteRegistry,
};
use crate::{
    oci::Registry,
    platform::{
        formats::imageswap::import::LocatedText,
        reading::{
            diagnostic::Diagnostic,
            node::{Node, NodeKind},
        },
    },
};

impl PaletteImport<'_> {
    /// `stylus`: registries, and which prefixes become which.
    pub(super) fn edge(&mut self, stylus: &Node) {
        let external = stylus.get("externalRegistries");
        let listed = external.and_then(|external| external.get("registries"));
        let single = stylus.get("registryCredentials");
        for node in listed.into_iter().flat_map(Node::items).chain(single) {
            let into = &mut *self.routing.into;
            PaletteRegistry::edge(node, &mut into.diagnostics).add_to(into);
        }
        if let Some(node) = listed.filter(|node| !matches!(node.kind, NodeKind::Sequence(_))) {
            self.remark(node.wrong_type("registries is a list"));
        }
        let rules = external.and_then(|external| external.get("registryMappingRules"));
        if let Some(node) = rules.filter(|node| !node.is_mapping()) {
            self.remark(node.wrong_type("registryMappingRules is a mapping"));
        }
        for (source, target) in rules.into_iter().flat_map(Node::entries) {
            let made = match target.scalar() {
                Some(target) => self.rule(&located(source), &located(target)),
                None => Err(target.wrong_type("a prefix becomes another prefix")),
            };
            if let Err(remark) = made {
                self.remark(remark);
            }
        }
    }

    /// The prefix is replaced, by whole elements, and the rest is kept.
    fn rule(&mut self, source: &LocatedText, target: &LocatedText) -> Result<(), Diagnostic> {
        let from = self.routing.prefix(source)?;
        let target = self.routing.target(target, "")?;
        self.routing.route_prefix(&source.spot, &from, &target);
        if let (Ok(registry), Some((_, path))) = (from.parse::<Registry>(), target.split_once('/'))
        {
            self.routing.into.add_alias(&source.spot, path, &registry);
        }
        Ok(())
    }
}
