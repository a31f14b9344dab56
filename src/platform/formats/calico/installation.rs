//! `Installation`: a registry, a folder and a prefix for every image.

use std::collections::BTreeSet;

use super::sources::{FOLDERS, SOURCES, candidates};
use crate::{
    oci::{ImageReference, RepositoryName},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
            name_part,
            node::{Node, Scalar},
        },
    },
    route::{MatchText, RewriteText, RuleText},
};

/// Registry, path and prefix overrides; `None` keeps the image's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Installation {
    registry: Option<InstallationField>,
    path: Option<InstallationField>,
    prefix: Option<InstallationField>,
    /// Its location, if there is one.
    location: Option<Location>,
}

#[derive(Clone, Debug)]
struct InstallationField {
    text: String,
    location: Location,
}

impl Installation {
    pub(super) fn read(node: &Node, context: &ImportContext<'_>, into: &mut Imported) -> Self {
        let mut installation = Self {
            location: Some(node.location.clone()),
            ..Self::default()
        };
        let Some(spec) = node.mapping("spec", &mut into.diagnostics) else {
            return installation;
        };
        for (key, _) in spec.entries().filter(|(key, _)| key.text.starts_with('<')) {
            let message = "this is HTML: the key is not read";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Reference, &key.start, message).excerpt(&key.text);
            into.report(diagnostic.fix("remove the tags: `<b>` and `</b>`"));
        }
        variant(spec, &mut into.diagnostics);
        let diagnostics = &mut into.diagnostics;
        installation.registry = part(
            spec,
            "registry",
            diagnostics,
            |text, location, diagnostics| {
                // A trailing slash makes no difference.
                let text = text.strip_suffix('/').unwrap_or(text);
                let text = name_part::registry(text, location, diagnostics)?;
                let example: Result<ImageReference, _> = format!("{text}/a").parse();
                validated(example, text, location, diagnostics)
            },
        );
        installation.path = part(
            spec,
            "imagePath",
            diagnostics,
            |text, location, diagnostics| {
                let text = name_part::name_part(text, location, diagnostics)?;
                let example: Result<RepositoryName, _> = text.parse();
                validated(example, text, location, diagnostics)
            },
        );
        installation.prefix = part(
            spec,
            "imagePrefix",
            diagnostics,
            |text, location, diagnostics| {
                // A slash would make it a folder; any name may follow.
                let example: Result<RepositoryName, _> =
                    format!("{text}a").replace('/', "//").parse();
                validated(example, text.to_owned(), location, diagnostics)
            },
        );
        secrets(spec, context, into);
        installation
    }

    /// Overrides fields with those that the other sets.
    pub(super) fn overlay(&mut self, other: &Self) {
        let over = |own: &mut Option<InstallationField>, other: &Option<InstallationField>| {
            if other.is_some() {
                own.clone_from(other);
            }
        };
        over(&mut self.registry, &other.registry);
        over(&mut self.path, &other.path);
        over(&mut self.prefix, &other.prefix);
        if self.location.is_none() {
            self.location.clone_from(&other.location);
        }
    }

    /// The location of an image of a source's folder.
    pub(super) fn image(&self, source: &str, folder: &str, name: &str) -> String {
        let registry = self.registry.as_ref().map_or(source, |part| &part.text);
        let folder = self.path.as_ref().map_or(folder, |part| &part.text);
        format!("{registry}/{folder}/{}{name}", self.prefix())
    }

    fn prefix(&self) -> &str {
        self.prefix.as_ref().map_or("", |part| &part.text)
    }

    fn first_part(&self) -> Option<&InstallationField> {
        let parts = [&self.registry, &self.path, &self.prefix];
        parts.into_iter().flatten().next()
    }

    /// Routes all images to their location.
    pub(super) fn add_routes(&self, context: &ImportContext<'_>, into: &mut Imported) {
        let start = Location::start("-");
        let location = self
            .first_part()
            .map(|part| &part.location)
            .or(self.location.as_ref());
        let location = location.unwrap_or(&start);
        if self.first_part().is_none() && !into.is_refused() {
            let message = "neither registry nor imagePath nor imagePrefix is set: images come from \
                           their own registries";
            into.report(Diagnostic::new(DiagnosticCode::Skipped, location, message));
        }
        if let Some(path) = &self.path {
            let message = "images of the same name in calico/ and tigera/, such as \
                           key-cert-provisioner, become one repository here";
            let diagnostic = Diagnostic::new(DiagnosticCode::Collide, &path.location, message)
                .excerpt(&path.text);
            into.report(diagnostic.fix("omit imagePath to keep the two folders"));
        }
        let mut known = BTreeSet::new();
        for source in SOURCES {
            for folder in FOLDERS {
                let from = format!("{source}/{folder}");
                let to = self.image(source, folder, "{name}");
                let to = if to == format!("{from}/{{name}}") {
                    "source".to_owned()
                } else {
                    to
                };
                route(into, location, &from, &candidates(to, source, context));
                known.insert(from);
            }
            self.route_operator(location, source, context, into);
        }
        if self.first_part().is_some() {
            self.route_own_names(location, &known, context, into);
        }
    }

    /// Routes the operator's own image, which Calico's documentation pushes without folder and
    /// prefix.
    fn route_operator(
        &self,
        location: &Location,
        source: &str,
        context: &ImportContext<'_>,
        into: &mut Imported,
    ) {
        let governed = self.image(source, "tigera", "operator");
        let registry = self.registry.as_ref().map_or(source, |part| &part.text);
        let pushed = format!("{registry}/tigera/operator");
        if governed == pushed {
            return;
        }
        let from = format!("{source}/tigera/operator:*");
        let mut to = candidates(governed, source, context);
        let is_source = registry == source;
        let pushed = if is_source {
            "source".to_owned()
        } else {
            pushed
        };
        if !to.contains(&pushed) {
            to.insert(1, pushed);
        }
        route(into, location, &from, &to);
    }

    /// Routes the names that an operator with this installation requests.
    fn route_own_names(
        &self,
        location: &Location,
        known: &BTreeSet<String>,
        context: &ImportContext<'_>,
        into: &mut Imported,
    ) {
        let registries = match &self.registry {
            Some(part) => vec![part.text.as_str()],
            None => SOURCES.to_vec(),
        };
        let path = self.path.as_ref().map(|part| part.text.as_str());
        let folders: BTreeSet<_> = path.into_iter().chain(FOLDERS).collect();
        for registry in registries {
            for folder in &folders {
                let from = format!("{registry}/{folder}");
                let is_meant = path.is_none_or(|path| path == *folder);
                if !known.contains(&from) {
                    let route = route(into, location, &from, &pulled(folder, context));
                    route.rewrite = self.unprefixed();
                } else if is_meant && !self.prefix().is_empty() {
                    // Names that already have the prefix get no second one.
                    let glob = MatchText::Glob(format!("{from}/{}*", self.prefix()));
                    into.route_matching(location, glob, &["source"]);
                }
            }
        }
    }

    /// Removes the prefix.
    fn unprefixed(&self) -> Vec<RewriteText> {
        let prefix = regex::escape(self.prefix());
        let rewrite = RewriteText {
            regex: format!("(^|/){prefix}([^/]+)$"),
            with: "${1}${2}".to_owned(),
        };
        let has_prefix = !prefix.is_empty();
        has_prefix.then_some(rewrite).into_iter().collect()
    }
}

/// The targets of an image that is requested by its new name.
fn pulled(folder: &str, context: &ImportContext<'_>) -> Vec<String> {
    let mut to = vec!["source".to_owned()];
    if context.adds_source() {
        let folders = FOLDERS.iter().filter(|known| **known == folder);
        let mut folders: Vec<_> = folders.copied().collect();
        if folders.is_empty() {
            folders.extend(FOLDERS);
        }
        for folder in folders {
            to.extend(SOURCES.map(|source| format!("{source}/{folder}/{{name}}")));
        }
    }
    to
}

/// Adds a route.
pub(super) fn route<'i>(
    into: &'i mut Imported,
    location: &Location,
    from: &str,
    to: &[String],
) -> &'i mut RuleText {
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    into.route(location, from, &to)
}

/// The field at a key, if it is not the operator's default.
fn part(
    spec: &Node,
    key: &str,
    diagnostics: &mut Vec<Diagnostic>,
    read: impl FnOnce(&str, &Location, &mut Vec<Diagnostic>) -> Option<String>,
) -> Option<InstallationField> {
    let Scalar { text, start, .. } = spec.string(key, diagnostics)?;
    if text.is_empty() || text == "UseDefault" {
        return None;
    }
    let text = read(text, start, diagnostics).filter(|text| !text.is_empty())?;
    let location = start.clone();
    Some(InstallationField { text, location })
}

/// The text, if an example of its use is a valid reference.
fn validated<T, E: std::fmt::Display>(
    example: Result<T, E>,
    text: String,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let Err(invalid) = example else {
        return Some(text);
    };
    let message = format!("this does not form an image reference: {invalid}");
    let diagnostic = Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(&text);
    diagnostics.push(
        diagnostic.fix("use lower-case letters, digits, . _ and - in registries and folders"),
    );
    None
}

fn variant(spec: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let known = ["", "Calico", "CalicoEnterprise", "TigeraSecureEnterprise"];
    let Some(variant) = spec.string("variant", diagnostics) else {
        return;
    };
    if !known.contains(&variant.text.as_str()) {
        let message = "unknown variant";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Value, &variant.start, message).excerpt(&variant.text);
        diagnostics.push(diagnostic.fix("write Calico or CalicoEnterprise"));
    }
}

/// Adds the credentials of the named pull Secrets: those in the operator's namespace, if there are
/// any.
fn secrets(spec: &Node, context: &ImportContext<'_>, into: &mut Imported) {
    let Some(list) = spec.get("imagePullSecrets") else {
        return;
    };
    if list.scalar().is_some() || list.is_mapping() {
        let diagnostic = list.wrong_type("imagePullSecrets must be a list");
        into.report(diagnostic.fix("write `- name: SECRET` below it"));
    }
    for item in list.items() {
        let Some(named) = item.string("name", &mut into.diagnostics) else {
            if !item.has("name") {
                into.report(item.wrong_type("a pull Secret must be named by `name: SECRET`"));
            }
            continue;
        };
        let mut found = context
            .pull_secrets
            .by_name(&named.text, &named.start, into);
        let is_own = |namespace: Option<&str>| namespace == Some("tigera-operator");
        if found
            .iter()
            .any(|secret| is_own(secret.namespace.as_deref()))
        {
            found.retain(|secret| is_own(secret.namespace.as_deref()));
        }
        for secret in found {
            for entry in &secret.entries {
                into.add_credential_entry(&secret.location, entry.clone());
            }
        }
    }
}
