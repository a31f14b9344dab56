//! `ImageContentSourcePolicy`, `ImageDigestMirrorSet` and `ImageTagMirrorSet`.

use std::collections::BTreeMap;

use super::{order, route::has_known_version};
use crate::{
    oci::{Registry, RepositoryName},
    platform::{
        model::{
            context::ImportContext,
            endpoint::{HostSettings, MirrorEndpoint},
            imported::Imported,
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
            name_part::reject_scheme,
            node::{Node, Scalar},
        },
    },
    route::{LibraryPrefix, RefKind},
};

/// A kind of mirror set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MirrorSetKind {
    Policy,
    Digest,
    Tag,
}

impl MirrorSetKind {
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind {
            "ImageContentSourcePolicy" => Some(Self::Policy),
            "ImageDigestMirrorSet" => Some(Self::Digest),
            "ImageTagMirrorSet" => Some(Self::Tag),
            _ => None,
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Policy => "operator.openshift.io/v1alpha1",
            Self::Digest | Self::Tag => "config.openshift.io/v1",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Policy => "repositoryDigestMirrors",
            Self::Digest => "imageDigestMirrors",
            Self::Tag => "imageTagMirrors",
        }
    }
}

/// All mirror sets, by source: nodes merge the sets of one source.
#[derive(Debug, Default)]
pub(super) struct MirrorSets(BTreeMap<String, SourceMirrors>);

#[derive(Debug)]
struct SourceMirrors {
    location: Location,
    /// The mirrors for digests, a list from each set.
    digests: Vec<Vec<String>>,
    /// The mirrors for tags.
    tags: Vec<Vec<String>>,
    is_blocked: bool,
}

impl MirrorSets {
    pub(super) fn add(&mut self, kind: MirrorSetKind, node: &Node, into: &mut Imported) {
        if !has_known_version(node, &[kind.version()], into) {
            return;
        }
        let Some(spec) = node.get("spec") else {
            into.report(node.wrong_type("a mirror set needs a spec with its mirrors"));
            return;
        };
        for foreign in [
            MirrorSetKind::Policy,
            MirrorSetKind::Digest,
            MirrorSetKind::Tag,
        ] {
            if let Some(list) = spec.get(foreign.list()).filter(|_| foreign != kind) {
                let message = "this kind of mirror set lists its mirrors under another key";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Misplaced, &list.location, message);
                let fix = format!("write {}", kind.list());
                into.report(diagnostic.excerpt(foreign.list()).fix(fix));
            }
        }
        let Some(list) = spec.get(kind.list()) else {
            return;
        };
        if list.items().is_empty() && list.scalar().is_some() || list.is_mapping() {
            into.report(list.wrong_type(&format!("{} is a list", kind.list())));
        }
        for entry in list.items() {
            self.entry(kind, entry, into);
        }
    }

    fn entry(&mut self, kind: MirrorSetKind, entry: &Node, into: &mut Imported) {
        let diagnostics = &mut into.diagnostics;
        let Some(written) = entry.string("source", diagnostics) else {
            if !entry.has("source") {
                diagnostics.push(entry.wrong_type("an entry needs a source and mirrors"));
            }
            return;
        };
        let mirrors = entry.strings("mirrors", diagnostics);
        let policy = entry.string("mirrorSourcePolicy", diagnostics);
        let is_blocked = policy.is_some_and(|policy| match policy.text.as_str() {
            "NeverContactSource" if kind == MirrorSetKind::Policy => {
                let message = "an ImageContentSourcePolicy has no mirrorSourcePolicy";
                let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &policy.start, message);
                diagnostics.push(diagnostic.fix("make it an ImageDigestMirrorSet"));
                false
            }
            "NeverContactSource" => true,
            "AllowContactingSource" | "" => false,
            other => {
                let message = "unknown policy";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Value, &policy.start, message).excerpt(other);
                diagnostics.push(diagnostic.fix("AllowContactingSource or NeverContactSource"));
                false
            }
        });
        let Some(source) = source(written, diagnostics) else {
            return;
        };
        let count = mirrors.len();
        let mirrors = mirrors.into_iter();
        let read = |mirror| scope(mirror, diagnostics);
        let mirrors: Vec<String> = mirrors.filter_map(read).collect();
        if mirrors.len() < count {
            return;
        }
        if mirrors.iter().all(|mirror| *mirror == source) {
            let message = "an entry whose only mirror is its source has no effect, and neither \
                           has its mirrorSourcePolicy";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Ignored, &written.start, message).excerpt(&source);
            diagnostics.push(diagnostic.fix("name a mirror, or remove the entry"));
            return;
        }
        for mirror in &mirrors {
            let host = mirror.split('/').next().unwrap_or_default();
            if let Ok(registry) = host.parse()
                && !Registry::looks_like(host)
            {
                // A lone word is a host here, and needs an upstream to say so.
                let endpoint = MirrorEndpoint::of(&registry);
                into.add_endpoint(&written.start, &endpoint, &HostSettings::default());
            }
        }
        let table = self.0.entry(source).or_insert_with(|| SourceMirrors {
            location: written.start.clone(),
            digests: Vec::new(),
            tags: Vec::new(),
            is_blocked: false,
        });
        table.is_blocked |= is_blocked;
        match kind {
            MirrorSetKind::Tag => table.tags.push(mirrors),
            MirrorSetKind::Policy | MirrorSetKind::Digest => table.digests.push(mirrors),
        }
    }

    /// Adds one route for each source. Only the longest match takes effect, on the nodes as here.
    pub(super) fn routes(&self, context: &ImportContext<'_>, into: &mut Imported) {
        for (source, table) in &self.0 {
            let digests = order::merge_orders(source, &table.digests);
            let tags = order::merge_orders(source, &table.tags);
            let of_kind = |kind, mirrors: Vec<_>| mirrors.into_iter().map(move |one| (one, kind));
            let mut to: Vec<(&str, RefKind)> = if digests == tags {
                of_kind(RefKind::Any, digests).collect()
            } else {
                let digests = of_kind(RefKind::Digest, digests);
                digests.chain(of_kind(RefKind::Tag, tags)).collect()
            };
            if context.adds_source() || (!table.is_blocked && context.keeps_source()) {
                to.push((source, RefKind::Any));
            } else {
                to.retain(|(mirror, _)| mirror != source);
            }
            let target = |mirror| if mirror == source { "source" } else { mirror };
            let texts: Vec<&str> = to.iter().map(|(mirror, _)| target(*mirror)).collect();
            let route = into.route(&table.location, source, &texts);
            for (target, (_, kind)) in route.to.iter_mut().zip(to) {
                target.ref_kind = kind;
            }
            route.library = LibraryPrefix::Keep;
            if let Some((parent, hidden)) = self.parent(source) {
                into.diagnostics
                    .extend(shadow(source, table, parent, hidden));
            }
        }
    }

    /// The table that would take effect without this source's own.
    fn parent(&self, source: &str) -> Option<(&str, &SourceMirrors)> {
        let (host, _) = source.split_once('/').unwrap_or((source, ""));
        let paths =
            std::iter::successors(source.rsplit_once('/'), |(path, _)| path.rsplit_once('/'));
        let paths = paths.map(|(path, _)| path.to_owned());
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let domain = |host: &str| host.split_once('.').map(|(_, domain)| domain.to_owned());
        let domains =
            std::iter::successors(domain(host.strip_prefix("*.").unwrap_or(host)), |below| {
                domain(below)
            });
        let mut wider = paths.chain(domains.map(|domain| format!("*.{domain}")));
        wider.find_map(|wider| {
            let (source, table) = self.0.get_key_value(&wider)?;
            Some((source.as_str(), table))
        })
    }
}

/// `W-SHADOW`: settings of a shorter source that this one does not have.
fn shadow(
    source: &str,
    table: &SourceMirrors,
    parent: &str,
    hidden: &SourceMirrors,
) -> Option<Diagnostic> {
    let lost = [
        (!hidden.digests.is_empty() && table.digests.is_empty()).then_some("mirrors for digests"),
        (!hidden.tags.is_empty() && table.tags.is_empty()).then_some("mirrors for tags"),
        (hidden.is_blocked && !table.is_blocked).then_some("NeverContactSource"),
    ];
    let lost: Vec<&str> = lost.into_iter().flatten().collect();
    if lost.is_empty() {
        return None;
    }
    let lost = lost.join(" and ");
    let message = format!("{source} hides what {parent} has, and has no {lost} of its own");
    let diagnostic = Diagnostic::new(DiagnosticCode::Shadow, &table.location, message);
    Some(diagnostic.fix(format!("set it for {source} too, or remove {source}")))
}

/// A source: also `*.DOMAIN`, for which a mirror replaces the whole host.
fn source(written: &Scalar, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let Some(domain) = written.text.strip_prefix("*.") else {
        return scope(written, diagnostics);
    };
    let domain = domain.parse::<Registry>();
    let flawed = |_: &_| {
        let message = "a source with * is a whole domain, *.DOMAIN";
        let diagnostic = Diagnostic::new(DiagnosticCode::Reference, &written.start, message);
        diagnostics.push(diagnostic.excerpt(&written.text));
    };
    let domain = domain.inspect_err(flawed).ok()?;
    Some(format!("*.{domain}"))
}

/// `HOST[:PORT][/PATH]`, normalized.
fn scope(written: &Scalar, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let text = written.text.as_str();
    if let Err(diagnostic) = reject_scheme(text, &written.start) {
        diagnostics.push(diagnostic);
        return None;
    }
    let parsed = match text.split_once('/') {
        Some((host, path)) => host.parse::<Registry>().and_then(|host| {
            let path: RepositoryName = path.parse()?;
            Ok(format!("{host}/{path}"))
        }),
        None => text.parse::<Registry>().map(|host| host.to_string()),
    };
    let flawed = |invalid: &_| {
        let message = format!("this is neither HOST nor HOST/PATH: {invalid}");
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Reference, &written.start, message).excerpt(text);
        diagnostics.push(diagnostic.fix("name a registry or a folder in it, without a tag"));
    };
    parsed.inspect_err(flawed).ok()
}
