//! What only shows when all files were read: routes that cannot hold, contradict, or lead back.

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

/// Checks the whole, and puts the remarks into the order of the files.
///
/// `hint` is the advice for files that say nothing.
pub(in crate::platform) fn finish(
    into: &mut Imported,
    inputs: &[Input<'_>],
    hint: &str,
    options: &ImportOptions<'_>,
) {
    for route in &mut into.routes {
        route.to.iter_mut().for_each(canonicalize_registry);
    }
    let spots = locations(into);
    let mut rules = Vec::new();
    for route in &into.routes {
        let spot = spots
            .get(&route.location)
            .cloned()
            .unwrap_or_else(|| Location::start("-"));
        if let Some(rule) = compile(route, &spot, &mut into.diagnostics) {
            let targets = route.to.iter().map(|to| to.target.as_str()).collect();
            let leading = TargetCheck {
                rule: &rule,
                spot: &spot,
                targets,
            };
            leading.check(&into.upstreams, options, &mut into.diagnostics);
            rules.push(rule);
        }
    }
    into.upstreams.retain(|upstream| !upstream.is_plain());
    for ImportedUpstream {
        name, urls, spot, ..
    } in &into.upstreams
    {
        if urls.is_empty() && !Registry::looks_like(name.as_str()) {
            into.diagnostics.push(no_host(name.as_str(), spot));
        }
    }
    match RouteTable::new(rules, UnmatchedPolicy::Auto) {
        Ok(_table) => {}
        Err(conflicts) => {
            for conflict in conflicts {
                let spot = spots.get(&conflict.second);
                let spot = spot.cloned().unwrap_or_else(|| Location::start("-"));
                let remark =
                    Diagnostic::new(DiagnosticCode::Duplicate, &spot, conflict.to_string());
                into.diagnostics.push(remark.fix("remove one of them"));
            }
        }
    }
    if is_empty(into) && !into.is_refused() {
        let spot = Location::start(inputs.first().map_or("-", |input| input.name));
        let message = "nothing here says where images come from";
        into.diagnostics
            .push(Diagnostic::new(DiagnosticCode::Kind, &spot, message).fix(hint));
    }
    let files = inputs.iter().enumerate().rev();
    let files: BTreeMap<_, _> = files.map(|(at, input)| (input.name, at)).collect();
    let at = |remark: &Diagnostic| {
        let file = files.get(&*remark.location.file).copied();
        (
            file,
            remark.location.line,
            remark.location.column,
            remark.level,
        )
    };
    into.diagnostics.sort_by_cached_key(at);
    into.diagnostics.dedup();
    dedup_placeholders(&mut into.diagnostics);
}

/// Says each placeholder once, and not that it is no name.
fn dedup_placeholders(remarks: &mut Vec<Diagnostic>) {
    let is_one = |remark: &&Diagnostic| remark.code == DiagnosticCode::Placeholder;
    let spots = remarks.iter().filter(is_one);
    let spots: HashSet<_> = spots.map(|remark| remark.location.clone()).collect();
    let mut said = HashSet::new();
    remarks.retain(|remark| match remark.code {
        DiagnosticCode::Placeholder => said.insert(remark.location.clone()),
        DiagnosticCode::Reference => !spots.contains(&remark.location),
        _ => true,
    });
}

/// Calls a registry as routes and tables do: `index.docker.io` is `docker.io`.
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

/// Routes know their place as text only; these are those texts' places.
fn locations(into: &Imported) -> BTreeMap<ConfigLocation, Location> {
    let spot = |place: &ConfigLocation| Some((place.clone(), place.0.parse().ok()?));
    into.routes
        .iter()
        .filter_map(|route| spot(&route.location))
        .collect()
}

fn compile(route: &RuleText, spot: &Location, remarks: &mut Vec<Diagnostic>) -> Option<Rule> {
    let told = |flaw: InvalidRule| {
        let code = match flaw.key {
            "rewrite" | "from_regex" => DiagnosticCode::Regex,
            "from_glob" => DiagnosticCode::Glob,
            "digest" => DiagnosticCode::Digest,
            _ => DiagnosticCode::Reference,
        };
        Diagnostic::of_rule(code, spot, &flaw).excerpt(&flaw.value)
    };
    let compiled = route.clone().compile();
    compiled
        .map_err(|flaws| remarks.extend(flaws.into_iter().map(told)))
        .ok()
}

/// `E-REF` for a name that may be a word as well.
fn no_host(name: &str, spot: &Location) -> Diagnostic {
    let message = "a registry is written HOST or HOST:PORT, with a dot or a port";
    let remark = Diagnostic::new(DiagnosticCode::Reference, spot, message).excerpt(name);
    remark.fix("write the registry's full name")
}

/// A route and where it leads.
struct TargetCheck<'r> {
    rule: &'r Rule,
    spot: &'r Location,
    targets: Vec<&'r str>,
}

impl TargetCheck<'_> {
    /// `E-LOOP` for every target that is the mirror itself, `E-REF` for those that lead nowhere.
    fn check(
        &self,
        upstreams: &[ImportedUpstream],
        options: &ImportOptions<'_>,
        remarks: &mut Vec<Diagnostic>,
    ) {
        for target in self.rule.targets() {
            let known = upstreams.iter().find(|upstream| upstream.name == *target);
            let own = options.own;
            let leads_back = match known {
                Some(upstream) => upstream.hosts().any(|host| own(&host)),
                None => target.as_str().parse().is_ok_and(|registry| own(&registry)),
            };
            let target = target.as_str();
            let is_explained = known.is_some_and(|upstream| !upstream.urls.is_empty());
            if !is_explained && !Registry::looks_like(target) {
                remarks.push(no_host(target, self.spot));
            } else if leads_back {
                let has_api = known.is_some_and(|upstream| upstream.api_path.is_some());
                let may_be_another =
                    options.is_own_guessed && (has_api || self.is_foreign_folder(target));
                let (level, message) = if may_be_another {
                    (
                        Severity::Warning,
                        "this is where the mirror itself listens unless told otherwise",
                    )
                } else {
                    (
                        Severity::Error,
                        "this leads back to the mirror itself, which would ask itself for ever",
                    )
                };
                let fix = "import the file that was in use before it pointed at the mirror, \
                           or let the mirror listen elsewhere";
                let remark =
                    Diagnostic::new(DiagnosticCode::Loop, self.spot, message).excerpt(target);
                remarks.push(remark.level(level).fix(fix));
            }
        }
    }

    /// Whether only folders are named there that are no registry: of what we render, none is so.
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
