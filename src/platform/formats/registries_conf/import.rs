//! The `registries.conf` of podman, skopeo, buildah and CRI-O.

use super::pattern::RegistryPattern;
use crate::{
    oci::Registry,
    platform::{
        model::{
            context::ImportContext,
            endpoint::{HostSettings, MirrorEndpoint},
            imported::Imported,
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            document::{InputDocument, trees},
            node::{Node, Scalar},
        },
    },
    route::{LibraryPrefix, RefKind, TargetText},
};

/// One `[[registry]]`.
struct RegistryTable<'p> {
    prefix: RegistryPattern<'p>,
    /// The location of the names; `None`: as in the names.
    location: Option<RegistryPattern<'p>>,
    mirrors: Vec<RegistryMirror<'p>>,
    proof: TlsVerification,
    is_blocked: bool,
}

struct RegistryMirror<'p> {
    location: RegistryPattern<'p>,
    proof: TlsVerification,
    ref_kind: RefKind,
}

/// Whether the certificate is verified: not with `insecure`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TlsVerification {
    Required,
    Skipped,
}

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["registry"], &["unqualified-search-registries"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut entries: Vec<RegistryTable<'_>> = Vec::new();
    for node in trees(documents) {
        if let Some(old) = node.get("registries") {
            let message = "this is version 1 of registries.conf, which has no mirrors";
            let diagnostic = Diagnostic::new(DiagnosticCode::Kind, &old.location, message);
            into.report(
                diagnostic.fix("write [[registry]] tables with prefix, location and blocked"),
            );
        }
        report_unused(node, into);
        for table in tables(node, "registry", into) {
            if let Some(entry) = RegistryTable::read(table, into) {
                add(entry, &mut entries, into);
            }
        }
    }
    for entry in &entries {
        entry.route(&entries, context, into);
    }
}

/// Reports settings of short names and helpers, which have no effect on full names.
fn report_unused(node: &Node, into: &mut Imported) {
    let search = node.strings("unqualified-search-registries", &mut into.diagnostics);
    if let Some(other) = search.iter().find(|one| one.text != "docker.io") {
        let message = "short names are not searched for: nodes request full names";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, &other.start, message).level(Severity::Note);
        into.report(diagnostic.excerpt(&other.text));
    }
    if let Some((first, _)) = node.get("aliases").and_then(|node| node.entries().next()) {
        let message = "short names are resolved by the nodes, which request full names";
        into.report(
            Diagnostic::new(DiagnosticCode::Skipped, &first.start, message).excerpt(&first.text),
        );
    }
    let helpers = node.strings("credential-helpers", &mut into.diagnostics);
    if let Some(helper) = helpers
        .iter()
        .find(|one| one.text != "containers-auth.json")
    {
        let message = "credentials of helpers are not imported";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, &helper.start, message).excerpt(&helper.text);
        into.report(diagnostic.fix("set it as the helper of a [[credential]]"));
    }
}

/// The tables of a list; reports other values.
fn tables<'n>(node: &'n Node, key: &str, into: &mut Imported) -> Vec<&'n Node> {
    let Some(list) = node.get(key) else {
        return Vec::new();
    };
    let (tables, others): (Vec<_>, Vec<_>) = list.items().iter().partition(|one| one.is_mapping());
    let is_list = matches!(
        list.kind,
        crate::platform::reading::node::NodeKind::Sequence(_)
    );
    for other in others.into_iter().chain((!is_list).then_some(list)) {
        into.report(other.wrong_type(&format!("{key} must be a list of tables, [[{key}]]")));
    }
    tables
}

/// Adds an entry. Of equal prefixes the first in a file, and the last file, take effect.
fn add<'p>(entry: RegistryTable<'p>, entries: &mut Vec<RegistryTable<'p>>, into: &mut Imported) {
    let (pattern, location) = (entry.effective_location(), &entry.prefix.written.start);
    for other in entries
        .iter()
        .filter(|other| other.effective_location() == pattern)
    {
        let differs = |what: &str| {
            let message = format!(
                "the same location is {what} in one place only; the other is {}",
                other.prefix.written.start
            );
            let diagnostic = Diagnostic::new(DiagnosticCode::Duplicate, location, message);
            diagnostic
                .excerpt(&pattern.written.text)
                .fix("use the same value in both")
        };
        if other.proof != entry.proof {
            into.report(differs("insecure"));
        }
        if other.is_blocked != entry.is_blocked {
            into.report(differs("blocked"));
        }
    }
    let known = entries
        .iter_mut()
        .find(|other| other.prefix == entry.prefix);
    let Some(other) = known else {
        entries.push(entry);
        return;
    };
    let before = &other.prefix.written.start;
    let (unused, used) = if before.file == location.file {
        (location, before)
    } else {
        (before, location)
    };
    let message = format!("this prefix has another entry in {used}");
    let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, unused, message);
    into.report(
        diagnostic
            .excerpt(&entry.prefix.written.text)
            .fix("remove one of them"),
    );
    if before.file != location.file {
        *other = entry;
    }
}

impl<'p> RegistryTable<'p> {
    fn read(table: &'p Node, into: &mut Imported) -> Option<Self> {
        let [prefix, location] = ["prefix", "location"].map(|key| text(table, key, into));
        let Some(first) = prefix.or(location) else {
            let message = "a [[registry]] needs a prefix, a location, or both";
            into.report(Diagnostic::new(
                DiagnosticCode::Value,
                &table.location,
                message,
            ));
            return None;
        };
        if let Some(usage) = table.get("pull-from-mirror") {
            let message = "pull-from-mirror is for a [[registry.mirror]]";
            into.report(Diagnostic::new(
                DiagnosticCode::Value,
                &usage.location,
                message,
            ));
        }
        let default = match flag(table, "mirror-by-digest-only", into) {
            Some(true) => RefKind::Digest,
            _ => RefKind::Any,
        };
        let mirrors = tables(table, "mirror", into);
        let mirrors = mirrors.into_iter();
        let mirrors: Vec<_> = mirrors
            .filter_map(|mirror| RegistryMirror::read(mirror, default, into))
            .collect();
        let entry = Self {
            prefix: RegistryPattern::prefix(first, into)?,
            location: match location {
                Some(location) if prefix.is_some() => {
                    Some(RegistryPattern::location(location, into)?)
                }
                _ => None,
            },
            mirrors,
            proof: TlsVerification::read(table, into),
            is_blocked: flag(table, "blocked", into) == Some(true),
        };
        if location.is_none() && !entry.prefix.is_wildcard() {
            let message = "only a prefix *.DOMAIN may omit the location";
            let diagnostic = Diagnostic::new(DiagnosticCode::Value, &first.start, message);
            into.report(diagnostic.fix(format!("location = {:?}", first.text)));
        }
        let tagged = entry.location.iter();
        let mut tagged = tagged.chain(entry.mirrors.iter().map(|mirror| &mirror.location));
        if let Some(pattern) =
            tagged.find(|pattern| pattern.tag.is_some() != entry.prefix.tag.is_some())
        {
            let message = "if the prefix has a tag, the location needs one, and the reverse";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Reference, &pattern.written.start, message);
            into.report(diagnostic.excerpt(&pattern.written.text));
        }
        Some(entry).filter(|entry| entry.prefix.can_match(into))
    }

    /// The location of the names without a mirror.
    fn effective_location(&self) -> &RegistryPattern<'p> {
        self.location.as_ref().unwrap_or(&self.prefix)
    }

    fn is_source(&self) -> bool {
        *self.effective_location() == self.prefix
    }

    fn route(&self, all: &[Self], context: &ImportContext<'_>, into: &mut Imported) {
        let location = &self.prefix.written.start;
        let mut to: Vec<TargetText> = Vec::new();
        for mirror in &self.mirrors {
            let pattern = &mirror.location;
            if is_blocked(pattern, all) {
                let message = "this mirror is itself blocked and not used";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &pattern.written.start, message);
                into.report(
                    diagnostic
                        .excerpt(&pattern.written.text)
                        .fix("unblock or remove it"),
                );
                continue;
            }
            if let Some(target) = pattern_target(pattern, mirror.proof, into) {
                let ref_kind = mirror.ref_kind;
                to.push(TargetText {
                    ref_kind,
                    ..target.as_str().into()
                });
            }
        }
        let pattern = self.effective_location();
        let is_blocked = self.is_blocked || is_blocked(pattern, all);
        if self.is_source() {
            if context.adds_source() || (!is_blocked && context.keeps_source()) {
                self.apply_insecure(into);
                to.push("source".into());
            }
        } else {
            if !is_blocked {
                to.extend(pattern_target(pattern, self.proof, into).map(|to| to.as_str().into()));
            }
            if context.adds_source() {
                to.push("source".into());
            }
        }
        // Nodes request full names only.
        into.route_to(location, &self.prefix.from(), to).library = LibraryPrefix::Keep;
    }

    /// Applies the entry's `insecure` to the registry itself.
    fn apply_insecure(&self, into: &mut Imported) {
        match (self.proof, &self.prefix.registry) {
            (TlsVerification::Required, _) => {}
            (TlsVerification::Skipped, Some(registry)) => {
                insecure_target(registry, self.prefix.written, into);
            }
            (TlsVerification::Skipped, None) => {
                let message = "insecure has no effect for registries that are not named";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &self.prefix.written.start, message);
                into.report(diagnostic.fix("name those that need insecure = true"));
            }
        }
    }
}

impl<'p> RegistryMirror<'p> {
    fn read(table: &'p Node, default: RefKind, into: &mut Imported) -> Option<Self> {
        let Some(location) = text(table, "location", into) else {
            let message = "a [[registry.mirror]] needs a location";
            into.report(Diagnostic::new(
                DiagnosticCode::Value,
                &table.location,
                message,
            ));
            return None;
        };
        let usage = text(table, "pull-from-mirror", into);
        let ref_kind = match usage.map(|usage| usage.text.as_str()) {
            Some(_) if default == RefKind::Digest => {
                let message = "pull-from-mirror cannot be combined with mirror-by-digest-only";
                into.report(
                    Diagnostic::new(DiagnosticCode::Value, &table.location, message)
                        .fix("remove one"),
                );
                RefKind::Digest
            }
            None => default,
            Some("digest-only") => RefKind::Digest,
            Some("tag-only") => RefKind::Tag,
            Some("all") => RefKind::Any,
            Some(other) => {
                let location = usage.map_or(&table.location, |usage| &usage.start);
                let diagnostic = Diagnostic::new(DiagnosticCode::Value, location, "unknown value")
                    .excerpt(other);
                into.report(diagnostic.fix("write all, digest-only or tag-only"));
                RefKind::Any
            }
        };
        Some(Self {
            location: RegistryPattern::location(location, into)?,
            proof: TlsVerification::read(table, into),
            ref_kind,
        })
    }
}

/// A string that is present and not empty.
fn text<'n>(node: &'n Node, key: &str, into: &mut Imported) -> Option<&'n Scalar> {
    let scalar = node.string(key, &mut into.diagnostics)?;
    Some(scalar).filter(|scalar| !scalar.text.is_empty())
}

fn flag(node: &Node, key: &str, into: &mut Imported) -> Option<bool> {
    node.flag(key, &mut into.diagnostics)
}

impl TlsVerification {
    fn read(table: &Node, into: &mut Imported) -> Self {
        match flag(table, "insecure", into) {
            Some(true) => Self::Skipped,
            _ => Self::Required,
        }
    }
}

/// Whether the entry with the longest prefix for a physical location blocks it.
fn is_blocked(pattern: &RegistryPattern<'_>, all: &[RegistryTable<'_>]) -> bool {
    let covering = all.iter().filter(|entry| entry.prefix.covers(pattern));
    let best = covering.max_by_key(|entry| entry.prefix.precision());
    best.is_some_and(|entry| entry.is_blocked)
}

/// The route target of a location.
fn pattern_target(
    pattern: &RegistryPattern<'_>,
    proof: TlsVerification,
    into: &mut Imported,
) -> Option<String> {
    let registry = pattern.registry.as_ref()?;
    let location = &pattern.written.start;
    let upstream = match proof {
        TlsVerification::Skipped => insecure_target(registry, pattern.written, into),
        TlsVerification::Required => into.add_endpoint(
            location,
            &MirrorEndpoint::of(registry),
            &HostSettings::default(),
        ),
    };
    Some(format!("{}{}", upstream?, pattern.path()))
}

/// Adds a registry without certificate verification, or on the local machine without TLS.
fn insecure_target(registry: &Registry, written: &Scalar, into: &mut Imported) -> Option<String> {
    let endpoint = MirrorEndpoint::of(registry);
    let known = into.upstreams.iter();
    let is_new = !known
        .into_iter()
        .any(|known| known.name.as_str() == registry.as_str());
    if endpoint.is_tls && is_new {
        let message = "insecure = true also allows http, which is not tried here";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &written.start, message);
        let fix =
            format!("if it has no TLS: [upstream.\"{registry}\"] url = \"http://{registry}\"");
        into.report(diagnostic.excerpt(registry.as_str()).fix(fix));
    }
    let host_settings = HostSettings {
        is_verified: !endpoint.is_tls,
        ..HostSettings::default()
    };
    into.add_endpoint(&written.start, &endpoint, &host_settings)
}
