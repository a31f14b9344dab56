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
    /// Where the names really are; none: where they say.
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

/// Whether a registry has to show a certificate that holds: `insecure` says no.
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
            let message = "this is version 1 of registries.conf, which knows no mirrors";
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

/// What says nothing about names that are written out, as nodes ask for them.
fn report_unused(node: &Node, into: &mut Imported) {
    let search = node.strings("unqualified-search-registries", &mut into.diagnostics);
    if let Some(other) = search.iter().find(|one| one.text != "docker.io") {
        let message = "short names are not searched for here: nodes ask for names written out";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, &other.start, message).level(Severity::Note);
        into.report(diagnostic.excerpt(&other.text));
    }
    if let Some((first, _)) = node.get("aliases").and_then(|node| node.entries().next()) {
        let message = "short names are the nodes' own: they ask for names written out";
        into.report(
            Diagnostic::new(DiagnosticCode::Skipped, &first.start, message).excerpt(&first.text),
        );
    }
    let helpers = node.strings("credential-helpers", &mut into.diagnostics);
    if let Some(helper) = helpers
        .iter()
        .find(|one| one.text != "containers-auth.json")
    {
        let message = "logins of helpers are not taken over";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Ignored, &helper.start, message).excerpt(&helper.text);
        into.report(diagnostic.fix("name it as the helper of a [[credential]]"));
    }
}

/// The tables of a list; whatever else stands there is remarked on.
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
        into.report(other.wrong_type(&format!("{key} is a list of tables, [[{key}]]")));
    }
    tables
}

/// Keeps an entry, unless its prefix is decided already: by the first of one file, by the last of
/// several files.
fn add<'p>(entry: RegistryTable<'p>, entries: &mut Vec<RegistryTable<'p>>, into: &mut Imported) {
    let (place, location) = (entry.effective_location(), &entry.prefix.written.start);
    for other in entries
        .iter()
        .filter(|other| other.effective_location() == place)
    {
        let differs = |what: &str| {
            let message = format!(
                "the same location is {what} in one place only; the other is {}",
                other.prefix.written.start
            );
            let diagnostic = Diagnostic::new(DiagnosticCode::Duplicate, location, message);
            diagnostic
                .excerpt(&place.written.text)
                .fix("say the same in both")
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
    let message = format!("this prefix is decided elsewhere, in {used}");
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
            let message = "a [[registry]] has a prefix, a location, or both";
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
        let usual = match flag(table, "mirror-by-digest-only", into) {
            Some(true) => RefKind::Digest,
            _ => RefKind::Any,
        };
        let mirrors = tables(table, "mirror", into);
        let mirrors = mirrors.into_iter();
        let mirrors: Vec<_> = mirrors
            .filter_map(|mirror| RegistryMirror::read(mirror, usual, into))
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
            let message = "only a prefix *.DOMAIN can do without a location";
            let diagnostic = Diagnostic::new(DiagnosticCode::Value, &first.start, message);
            into.report(diagnostic.fix(format!("location = {:?}", first.text)));
        }
        let tagged = entry.location.iter();
        let mut tagged = tagged.chain(entry.mirrors.iter().map(|mirror| &mirror.location));
        if let Some(place) = tagged.find(|place| place.tag.is_some() != entry.prefix.tag.is_some())
        {
            let message = "a tag is replaced by a tag: the prefix has one, or none has";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Reference, &place.written.start, message);
            into.report(diagnostic.excerpt(&place.written.text));
        }
        Some(entry).filter(|entry| entry.prefix.can_match(into))
    }

    /// Where the names are if no mirror has them.
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
            let place = &mirror.location;
            if is_blocked(place, all) {
                let message = "this mirror is itself blocked, and not asked";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &place.written.start, message);
                into.report(
                    diagnostic
                        .excerpt(&place.written.text)
                        .fix("unblock or remove it"),
                );
                continue;
            }
            if let Some(target) = pattern_target(place, mirror.proof, into) {
                let ref_kind = mirror.ref_kind;
                to.push(TargetText {
                    ref_kind,
                    ..target.as_str().into()
                });
            }
        }
        let place = self.effective_location();
        let is_blocked = self.is_blocked || is_blocked(place, all);
        if self.is_source() {
            if context.adds_source() || (!is_blocked && context.keeps_source()) {
                self.apply_insecure(into);
                to.push("source".into());
            }
        } else {
            if !is_blocked {
                to.extend(pattern_target(place, self.proof, into).map(|to| to.as_str().into()));
            }
            if context.adds_source() {
                to.push("source".into());
            }
        }
        // Nodes write names out, and ask for nothing else.
        into.route_to(location, &self.prefix.from(), to).library = LibraryPrefix::Keep;
    }

    /// Meets the registry itself as the entry says.
    fn apply_insecure(&self, into: &mut Imported) {
        match (self.proof, &self.prefix.registry) {
            (TlsVerification::Required, _) => {}
            (TlsVerification::Skipped, Some(registry)) => {
                insecure_target(registry, self.prefix.written, into);
            }
            (TlsVerification::Skipped, None) => {
                let message = "registries that are not named cannot be trusted unseen";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &self.prefix.written.start, message);
                into.report(diagnostic.fix("name those that need insecure = true"));
            }
        }
    }
}

impl<'p> RegistryMirror<'p> {
    fn read(table: &'p Node, usual: RefKind, into: &mut Imported) -> Option<Self> {
        let Some(location) = text(table, "location", into) else {
            let message = "a [[registry.mirror]] has a location";
            into.report(Diagnostic::new(
                DiagnosticCode::Value,
                &table.location,
                message,
            ));
            return None;
        };
        let usage = text(table, "pull-from-mirror", into);
        let ref_kind = match usage.map(|usage| usage.text.as_str()) {
            Some(_) if usual == RefKind::Digest => {
                let message = "beside mirror-by-digest-only there is no pull-from-mirror";
                into.report(
                    Diagnostic::new(DiagnosticCode::Value, &table.location, message)
                        .fix("remove one"),
                );
                RefKind::Digest
            }
            None => usual,
            Some("digest-only") => RefKind::Digest,
            Some("tag-only") => RefKind::Tag,
            Some("all") => RefKind::Any,
            Some(other) => {
                let location = usage.map_or(&table.location, |usage| &usage.start);
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Value, location, "there is no such usage")
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

/// A text that is there and not empty.
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

/// Whether the entry with the longest prefix for a place, where it is physically, blocks it.
fn is_blocked(place: &RegistryPattern<'_>, all: &[RegistryTable<'_>]) -> bool {
    let covering = all.iter().filter(|entry| entry.prefix.covers(place));
    let best = covering.max_by_key(|entry| entry.prefix.precision());
    best.is_some_and(|entry| entry.is_blocked)
}

/// The target of a route that leads to a place.
fn pattern_target(
    place: &RegistryPattern<'_>,
    proof: TlsVerification,
    into: &mut Imported,
) -> Option<String> {
    let registry = place.registry.as_ref()?;
    let location = &place.written.start;
    let upstream = match proof {
        TlsVerification::Skipped => insecure_target(registry, place.written, into),
        TlsVerification::Required => into.add_endpoint(
            location,
            &MirrorEndpoint::of(registry),
            &HostSettings::default(),
        ),
    };
    Some(format!("{}{}", upstream?, place.path()))
}

/// A registry whose certificate is not checked; on this machine, one without TLS.
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
    let manner = HostSettings {
        is_verified: !endpoint.is_tls,
        ..HostSettings::default()
    };
    into.add_endpoint(&written.start, &endpoint, &manner)
}
