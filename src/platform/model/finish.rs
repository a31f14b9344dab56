//! Checks of the import as a whole: routes that are invalid, contradict, or lead back to the
//! mirror.

use std::collections::{BTreeMap, HashSet};

use super::imported::ImportedUpstream;
use crate::{
    oci::Registry,
    platform::{
        model::{imported::Imported, options::ImportOptions},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            input::Input,
            location::Location,
        },
    },
    route::{ConfigLocation, InvalidRule, RouteTable, Rule, RuleText, TargetText, UnmatchedPolicy},
};

/// Checks the import as a whole, and sorts the diagnostics by file.
///
/// `hint` is the advice for an import without content.
pub(in crate::platform) fn finish(
    into: &mut Imported,
    inputs: &[Input<'_>],
    hint: &str,
    options: &ImportOptions<'_>,
) {
    for route in &mut into.routes {
        route.to.iter_mut().for_each(canonicalize_registry);
    }
    let locations = locations(into);
    let mut rules = Vec::new();
    for route in &into.routes {
        let location = locations
            .get(&route.location)
            .cloned()
            .unwrap_or_else(|| Location::start("-"));
        if let Some(rule) = compile(route, &location, &mut into.diagnostics) {
            let targets = route.to.iter().map(|to| to.target.as_str()).collect();
            let check_targets = TargetCheck {
                rule: &rule,
                location: &location,
                targets,
            };
            check_targets.check(&into.upstreams, options, &mut into.diagnostics);
            rules.push(rule);
        }
    }
    into.upstreams.retain(|upstream| !upstream.is_plain());
    for ImportedUpstream {
        name,
        urls,
        location,
        ..
    } in &into.upstreams
    {
        if urls.is_empty() && !Registry::looks_like(name.as_str()) {
            into.diagnostics.push(no_host(name.as_str(), location));
        }
    }
    match RouteTable::new(rules, UnmatchedPolicy::Auto) {
        Ok(_table) => {}
        Err(conflicts) => {
            for conflict in conflicts {
                let location = locations.get(&conflict.second);
                let location = location.cloned().unwrap_or_else(|| Location::start("-"));
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Duplicate, &location, conflict.to_string());
                into.diagnostics.push(diagnostic.fix("remove one of them"));
            }
        }
    }
    if is_empty(into) && !into.is_refused() {
        let location = Location::start(inputs.first().map_or("-", |input| input.name));
        let message = "nothing here says where images come from";
        into.diagnostics
            .push(Diagnostic::new(DiagnosticCode::Kind, &location, message).fix(hint));
    }
    let files = inputs.iter().enumerate().rev();
    let files: BTreeMap<_, _> = files.map(|(at, input)| (input.name, at)).collect();
    let at = |diagnostic: &Diagnostic| {
        let file = files.get(&*diagnostic.location.file).copied();
        (
            file,
            diagnostic.location.line,
            diagnostic.location.column,
            diagnostic.level,
        )
    };
    into.diagnostics.sort_by_cached_key(at);
    into.diagnostics.dedup();
    dedup_placeholders(&mut into.diagnostics);
}

/// Reports each placeholder once, and not also as an invalid name.
fn dedup_placeholders(diagnostics: &mut Vec<Diagnostic>) {
    let is_one = |diagnostic: &&Diagnostic| diagnostic.code == DiagnosticCode::Placeholder;
    let locations = diagnostics.iter().filter(is_one);
    let locations: HashSet<_> = locations
        .map(|diagnostic| diagnostic.location.clone())
        .collect();
    let mut reported = HashSet::new();
    diagnostics.retain(|diagnostic| match diagnostic.code {
        DiagnosticCode::Placeholder => reported.insert(diagnostic.location.clone()),
        DiagnosticCode::Reference => !locations.contains(&diagnostic.location),
        _ => true,
    });
}

/// Canonicalizes a target's registry as the route table does: `index.docker.io` is `docker.io`.
fn canonicalize_registry(to: &mut TargetText) {
    let first = to.target.split('/').next().unwrap_or_default();
    let Ok(registry) = first.parse::<Registry>() else {
        return;
    };
    if Registry::looks_like(first) && registry.as_str() != first {
        let rest = to.target.strip_prefix(first).unwrap_or_default();
        to.target = format!("{registry}{rest}");
    }
}

fn is_empty(into: &Imported) -> bool {
    into.routes.is_empty()
        && into.upstreams.is_empty()
        && into.credentials.is_empty()
        && into.aliases.is_empty()
}

/// Routes have their location as text only; this parses those texts.
fn locations(into: &Imported) -> BTreeMap<ConfigLocation, Location> {
    let location = |text: &ConfigLocation| Some((text.clone(), text.0.parse().ok()?));
    into.routes
        .iter()
        .filter_map(|route| location(&route.location))
        .collect()
}

fn compile(
    route: &RuleText,
    location: &Location,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Rule> {
    let report = |invalid: InvalidRule| {
        let code = match invalid.key {
            "rewrite" | "from_regex" => DiagnosticCode::Regex,
            "from_glob" => DiagnosticCode::Glob,
            "digest" => DiagnosticCode::Digest,
            _ => DiagnosticCode::Reference,
        };
        Diagnostic::of_rule(code, location, &invalid).excerpt(&invalid.value)
    };
    let compiled = route.clone().compile();
    compiled
        .map_err(|all| diagnostics.extend(all.into_iter().map(report)))
        .ok()
}

/// `E-REF` for a name that might be a plain word.
fn no_host(name: &str, location: &Location) -> Diagnostic {
    let message = "a registry is written HOST or HOST:PORT, with a dot or a port";
    let diagnostic = Diagnostic::new(DiagnosticCode::Reference, location, message).excerpt(name);
    diagnostic.fix("write the registry's full name")
}

/// A route and its targets.
struct TargetCheck<'r> {
    rule: &'r Rule,
    location: &'r Location,
    targets: Vec<&'r str>,
}

impl TargetCheck<'_> {
    /// Reports `E-LOOP` for every target that is the mirror itself, and `E-REF` for those without a
    /// host.
    fn check(
        &self,
        upstreams: &[ImportedUpstream],
        options: &ImportOptions<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        for target in self.rule.targets() {
            let known = upstreams.iter().find(|upstream| upstream.name == *target);
            let own = options.own;
            let is_own = match known {
                Some(upstream) => upstream.hosts().any(|host| own(&host)),
                None => target.as_str().parse().is_ok_and(|registry| own(&registry)),
            };
            let target = target.as_str();
            let is_explained = known.is_some_and(|upstream| !upstream.urls.is_empty());
            if !is_explained && !Registry::looks_like(target) {
                diagnostics.push(no_host(target, self.location));
            } else if is_own {
                let has_api = known.is_some_and(|upstream| upstream.api_path.is_some());
                let may_be_another =
                    options.is_own_guessed && (has_api || self.is_foreign_folder(target));
                let (level, message) = if may_be_another {
                    (
                        Severity::Warning,
                        "this is the default address of the mirror itself",
                    )
                } else {
                    (
                        Severity::Error,
                        "this is the mirror itself, which would send requests to itself",
                    )
                };
                let fix = "import the file as it was before it pointed at the mirror, or change \
                           the mirror's address";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Loop, self.location, message).excerpt(target);
                diagnostics.push(diagnostic.level(level).fix(fix));
            }
        }
    }

    /// Whether all folders of the target are plain words: rendered paths begin with a registry.
    fn is_foreign_folder(&self, target: &str) -> bool {
        let paths = self
            .targets
            .iter()
            .filter_map(|text| text.strip_prefix(target));
        let mut folders = paths.map(|path| path.split('/').nth(1).unwrap_or_default());
        folders.all(|folder| {
            !folder.is_empty() && !folder.contains('{') && !Registry::looks_like(folder)
        })
    }
}
