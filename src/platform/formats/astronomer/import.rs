//! Astronomer's Helm values: the private registry of the platform's images, and the registries of
//! Deployments.

use std::collections::BTreeMap;

use super::{
    credentials::SecretCredentials,
    registry_block::{RegistryBlock, RepositoryPrefix, section},
};
use crate::{
    oci::Registry,
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            document::{InputDocument, trees},
            kube,
            location::Location,
            node::{Node, Scalar},
            placeholder::is_placeholder,
        },
    },
    route::UnmatchedPolicy,
};

/// The default location of the platform's images.
const PLATFORM: &str = "quay.io/astronomer";

/// The default name of a Deployment's first image.
const AIRFLOW: &str = "ap-airflow";

/// The base of Deployments' own images. Sites that mirror the platform need not mirror this.
const RUNTIME: &str = "astro-runtime";

/// The paths of `global`, the current one first.
const GLOBAL: [&[&str]; 2] = [&["global"], &["astronomer", "global"]];

/// The paths of `protectedCustomRegistry`, the current one first. A subchart's own values lack the
/// first key.
const PROTECTED: [&[&str]; 3] = [
    &["astronomer", "houston", "config", "registry"],
    &["astronomer", "houston", "config", "deployments", "registry"],
    &["astronomer", "registry"],
];

/// The block with the location of Deployments' first images.
const BASE: &str = "baseRegistry";

/// The path of the settings of Airflow's own chart.
const AIRFLOW_CHART: &[&str] = &[
    "astronomer",
    "houston",
    "config",
    "deployments",
    "helm",
    "airflow",
];

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["global", "privateRegistry"], &["astronomer"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut found = HelmValues::default();
    for node in trees(documents) {
        if let Some(kind) = kube::kind(node) {
            let message = "this kind of object is not part of Helm values";
            into.report(
                Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
            );
        } else if node.is_mapping() {
            found.read(node, &mut into.diagnostics);
        } else {
            into.report(node.wrong_type("Helm values must be a mapping"));
        }
    }
    let HelmValues {
        private,
        protected,
        airflow,
        built_in,
    } = found;
    let private = first_consistent(private, &mut into.diagnostics);
    let protected = first_consistent(protected, &mut into.diagnostics);
    let mut credentials = SecretCredentials::default();
    for block in private.iter().chain(&protected) {
        credentials.scope(block, context, into);
    }
    credentials.add_unscoped(into);
    let hosts = |blocks: &[RegistryBlock]| -> Vec<RepositoryPrefix> {
        let hosts = blocks.iter().filter_map(|block| block.host.clone());
        hosts.collect()
    };
    let (bases, others): (Vec<_>, Vec<_>) = protected.into_iter().partition(|one| one.key == BASE);
    let bases = [hosts(&bases), airflow].concat();
    let private = hosts(&private);
    route_platform(private.first(), &bases, context, into);
    // Deployments may be updated to any image.
    if context.keeps_source() {
        into.unmatched = Some(UnmatchedPolicy::Source);
    }
    let named = [private, bases, hosts(&others)].concat();
    route_named_registries(&named, built_in, context, into);
}

/// The content of the values, with repetitions.
#[derive(Default)]
struct HelmValues {
    private: Vec<Vec<RegistryBlock>>,
    protected: Vec<Vec<RegistryBlock>>,
    /// Locations of a Deployment's first image in the settings of Airflow's own chart.
    airflow: Vec<RepositoryPrefix>,
    /// The registries that are part of Astronomer.
    built_in: Vec<(Registry, Location)>,
}

impl HelmValues {
    fn read(&mut self, values: &Node, diagnostics: &mut Vec<Diagnostic>) {
        for at in GLOBAL {
            let Some(global) = section(values, at, diagnostics) else {
                continue;
            };
            let moved = (at.len() > 1).then_some("move it to global.privateRegistry");
            self.private(global, moved, diagnostics);
            if let Some(domain) = global.string("baseDomain", diagnostics) {
                self.built_in(domain, diagnostics);
            }
        }
        for (rank, path) in PROTECTED.into_iter().enumerate() {
            let moved = (rank > 0).then_some("move it to astronomer.houston.config.registry");
            for at in with_subchart_path(path) {
                let registry = section(values, at, diagnostics);
                let blocks = registry.map(|registry| protected(registry, moved, diagnostics));
                self.protected
                    .extend(blocks.filter(|blocks| !blocks.is_empty()));
            }
        }
        for at in with_subchart_path(AIRFLOW_CHART) {
            let Some(chart) = section(values, at, diagnostics) else {
                continue;
            };
            let image = section(chart, &["images", "airflow"], diagnostics);
            let named = [
                chart.string("defaultAirflowRepository", diagnostics),
                image.and_then(|image| image.string("repository", diagnostics)),
            ];
            let named = named.into_iter().flatten();
            self.airflow
                .extend(named.filter_map(|scalar| RepositoryPrefix::read(scalar, diagnostics)));
        }
    }

    fn private(&mut self, global: &Node, moved: Option<&str>, diagnostics: &mut Vec<Diagnostic>) {
        let key = "privateRegistry";
        let Some(block) = RegistryBlock::read(global, key, "repository", diagnostics) else {
            return;
        };
        diagnostics.extend(moved.map(|fix| misplaced(&block.location, fix)));
        if block.host.is_none() && !block.names_host {
            let message = "privateRegistry is enabled without a repository";
            let diagnostic = Diagnostic::new(DiagnosticCode::Value, &block.location, message);
            diagnostics.push(diagnostic.fix("add repository: HOST/PATH"));
        }
        self.private.push(vec![block]);
    }

    fn built_in(&mut self, domain: &Scalar, diagnostics: &mut Vec<Diagnostic>) {
        if domain.text.is_empty() || is_placeholder(&domain.text) {
            return;
        }
        match format!("registry.{}", domain.text).parse() {
            Ok(registry) => self.built_in.push((registry, domain.start.clone())),
            Err(invalid) => {
                let message = format!("registry.BASEDOMAIN is not a registry: {invalid}");
                diagnostics.push(Diagnostic::new(
                    DiagnosticCode::Reference,
                    &domain.start,
                    message,
                ));
            }
        }
    }
}

/// Routes the platform's own names. With a private registry the site has no other.
fn route_platform(
    private: Option<&RepositoryPrefix>,
    bases: &[RepositoryPrefix],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let Some(first) = private.or_else(|| bases.first()) else {
        return;
    };
    let below = |name: &str| private.map(|private| format!("{private}/{name}"));
    let source = |may: bool| may.then(|| "source".to_owned());
    let keeps = context.keeps_source();
    let adds_source = context.adds_source() || (private.is_none() && keeps);
    let bases = bases.iter().filter(|base| base.path.is_some());
    let bases = bases.map(RepositoryPrefix::to_string);
    let bases = bases.filter(|base| !base.starts_with(PLATFORM));
    let mut airflow = Vec::new();
    for candidate in bases.chain(below(AIRFLOW)).chain(source(adds_source)) {
        if !airflow.contains(&candidate) {
            airflow.push(candidate);
        }
    }
    let either = |name, may| below(name).into_iter().chain(source(may)).collect();
    let routes: [(String, Vec<String>); 3] = [
        (PLATFORM.to_owned(), either("{name}", adds_source)),
        (format!("{PLATFORM}/{RUNTIME}:*"), either(RUNTIME, keeps)),
        (format!("{PLATFORM}/{AIRFLOW}:*"), airflow),
    ];
    for (from, to) in routes.iter().filter(|(_, to)| !to.is_empty()) {
        let to: Vec<_> = to.iter().map(String::as_str).collect();
        into.route(&first.location, from, &to);
    }
}

/// Routes every named registry under its own name too.
fn route_named_registries(
    named: &[RepositoryPrefix],
    built_in: Vec<(Registry, Location)>,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let named = named
        .iter()
        .map(|one| (one.registry.clone(), one.location.clone()));
    let secrets = context.pull_secrets.all().iter().flat_map(|secret| {
        let hosts = secret.entries.iter().filter_map(|entry| entry.scope.host());
        hosts.filter_map(|host| Some((host.parse().ok()?, secret.location.clone())))
    });
    let mut registries: BTreeMap<Registry, Location> = BTreeMap::new();
    for (registry, location) in named.chain(secrets).chain(built_in) {
        registries.entry(registry).or_insert(location);
    }
    for (registry, location) in registries {
        into.route(&location, registry.as_str(), &["source"]);
    }
}

/// The blocks of one `protectedCustomRegistry` that are in use.
fn protected(
    registry: &Node,
    moved: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<RegistryBlock> {
    let oldest = "protectedCustomRegistryEnabled";
    let enabled = registry.flag(oldest, diagnostics);
    if let Some((key, _)) = registry.entries().find(|(key, _)| key.text == oldest) {
        let fix = "write protectedCustomRegistry with enabled, baseRegistry and updateRegistry";
        diagnostics.push(misplaced(&key.start, fix));
    }
    let key = "protectedCustomRegistry";
    let Some(block) = section(registry, &[key], diagnostics) else {
        return Vec::new();
    };
    let location = registry.entries().find(|(name, _)| name.text == key);
    let location = location.map_or(&block.location, |(key, _)| &key.start);
    diagnostics.extend(moved.map(|fix| misplaced(location, fix)));
    let parts = [BASE, "updateRegistry"];
    if block.flag("enabled", diagnostics).or(enabled) == Some(true) {
        let read = |part| RegistryBlock::read(block, part, "host", diagnostics);
        return parts.into_iter().filter_map(read).collect();
    }
    if parts.iter().any(|part| block.at(&[part, "host"]).is_some()) {
        let message = "protectedCustomRegistry is not enabled: its registries are not used";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, location, message);
        diagnostics.push(diagnostic.fix("write enabled: true, or remove it"));
    }
    Vec::new()
}

/// The first of several locations of one setting; reports differences.
fn first_consistent(
    variants: Vec<Vec<RegistryBlock>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<RegistryBlock> {
    let mut variants = variants.into_iter();
    let Some(first) = variants.next() else {
        return Vec::new();
    };
    for other in variants {
        if let (Some(one), Some(two)) = (first.first(), other.first())
            && !RegistryBlock::are_same(&first, &other)
        {
            let message = format!("this has another value in {}", one.location);
            let code = if one.location.file == two.location.file {
                DiagnosticCode::Misplaced
            } else {
                DiagnosticCode::Duplicate
            };
            let diagnostic = Diagnostic::new(code, &two.location, message);
            diagnostics.push(diagnostic.level(Severity::Error).fix("keep one of them"));
        }
    }
    first
}

fn misplaced(location: &Location, fix: &str) -> Diagnostic {
    let message = "this is the location of older versions";
    Diagnostic::new(DiagnosticCode::Misplaced, location, message).fix(fix)
}

/// A path, and the same path in the values of the subchart alone.
fn with_subchart_path<'p>(path: &'p [&'p str]) -> impl Iterator<Item = &'p [&'p str]> {
    let below = path.split_first().map(|(_, below)| below);
    std::iter::once(path).chain(below)
}
