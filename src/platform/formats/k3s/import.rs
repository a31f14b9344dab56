//! The `registries.yaml` of k3s and RKE2.

use crate::{
    platform::{
        SourceFallback,
        model::{
            context::ImportContext,
            endpoint::{ApiPathRule, MirrorEndpoint, SchemeDefault},
            imported::{Imported, route_location},
            mirrors::{self, HostSettingsMap, MirroredRegistry},
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            document::{InputDocument, trees},
            node::{Node, Scalar},
        },
    },
    route::{MatchText, RewriteText, RuleText},
};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["mirrors"], &["configs"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let nodes = trees(documents);
    let mut settings = HostSettingsMap::default();
    for configs in nodes.clone().filter_map(|node| node.get("configs")) {
        for (name, config) in mirrors::mappings(configs, &mut into.diagnostics) {
            self::config(name, config, &mut settings, into);
        }
    }
    for mirrors in nodes.filter_map(|node| node.get("mirrors")) {
        if context.options.fallback == SourceFallback::Auto {
            let message = "the registries themselves are used last, as on nodes without \
                           --disable-default-registry-endpoint";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &mirrors.location, message)
                .level(Severity::Note);
            into.report(diagnostic.fix("import with fallback = \"deny\" if the nodes set it"));
        }
        for (name, mirror) in mirrors::mappings(mirrors, &mut into.diagnostics) {
            self::mirror(name, mirror, &settings, context, into);
        }
    }
    settings.add_unused(into);
}

/// `configs.HOST`: credentials, and TLS settings.
fn config<'p>(
    name: &'p Scalar,
    config: &'p Node,
    settings: &mut HostSettingsMap<'p>,
    into: &mut Imported,
) {
    if name.text == "*" {
        let message = "settings for all hosts are not imported";
        let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &name.start, message);
        into.report(diagnostic.fix("repeat them for each host that needs them"));
        return;
    }
    if let Some(auth) = config.get("auth") {
        mirrors::credentials(name, auth, "identity_token", into);
    }
    mirrors::tls_settings(name, config, settings, into);
}

/// `mirrors.REGISTRY`: its endpoints, then the registry itself.
fn mirror(
    name: &Scalar,
    mirror: &Node,
    settings: &HostSettingsMap<'_>,
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let Some(whose) = MirroredRegistry::read(name, into) else {
        return;
    };
    let rewrite = rewrites(mirror, into);
    let endpoints = mirror.strings("endpoint", &mut into.diagnostics);
    if endpoints.is_empty() {
        if !rewrite.is_empty() {
            let message = "rewrite applies to endpoints only, and there are none";
            into.report(
                Diagnostic::new(DiagnosticCode::Ignored, &name.start, message).excerpt(&name.text),
            );
        }
        // It lets nodes share images among themselves, which needs no mirror.
        if whose == MirroredRegistry::Any {
            return;
        }
    }
    let mut to: Vec<String> = Vec::new();
    let mut ends_with_own = false;
    for scalar in endpoints {
        let endpoint = match MirrorEndpoint::read(
            scalar,
            SchemeDefault::HttpIfLocal,
            ApiPathRule::AsIsBelowRoot,
        ) {
            Ok(endpoint) => endpoint,
            Err(diagnostic) => {
                into.report(diagnostic);
                continue;
            }
        };
        let own = whose.registry();
        ends_with_own = own.is_some_and(|own| endpoint.is_tls && endpoint.is_whole(own));
        let host_settings = settings.get(&endpoint.host);
        let target = into.add_mirror(&scalar.start, own, &endpoint, host_settings);
        to.extend(match target.as_deref() {
            // As an endpoint it receives the rewritten name.
            Some("source") if !rewrite.is_empty() => Some(endpoint.host.to_string()),
            _ => target,
        });
    }
    if !ends_with_own {
        to.extend(whose.source(name, settings, into));
    }
    let to = to.iter().map(|target| target.as_str().into()).collect();
    into.route_mirrors(&name.start, whose.registry(), to, context);
    if let Some(route) = into.routes.last_mut() {
        route.rewrite = rewrite;
    }
}

/// `rewrite`, in the order of the file: k3s defines none.
fn rewrites(mirror: &Node, into: &mut Imported) -> Vec<RewriteText> {
    let Some(node) = mirror.get("rewrite") else {
        return Vec::new();
    };
    if !node.is_mapping() {
        into.report(node.wrong_type("rewrite must be a mapping of regular expressions"));
    }
    let mut rewrites = Vec::new();
    for (regex, with) in node.entries() {
        let Some(text) = with.text() else {
            into.report(with.wrong_type("a replacement must be a string"));
            continue;
        };
        let rewrite = RewriteText {
            regex: regex.text.clone(),
            with: text.to_owned(),
        };
        // Compiled alone, so that an error has its own location.
        let from = MatchText::From(vec!["*".to_owned()]);
        let mut alone = RuleText::new(from, vec!["source".into()], route_location(&regex.start));
        alone.rewrite.push(rewrite.clone());
        match alone.compile() {
            Ok(_) => rewrites.push(rewrite),
            Err(all_invalid) => {
                let report =
                    |invalid| Diagnostic::of_rule(DiagnosticCode::Regex, &regex.start, invalid);
                let report = all_invalid.iter().map(report);
                into.diagnostics
                    .extend(report.map(|diagnostic| diagnostic.excerpt(&regex.text)));
            }
        }
    }
    rewrites
}
