//! The pull Secrets among the files.

use std::cell::Cell;

use super::{docker_auth, imported::Imported};
use crate::{
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        kube::{data, is_secret, name, namespace},
        location::Location,
        node::Node,
    },
    upstream::{CredentialScope, KeyringEntry},
};

/// A Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
#[derive(Debug)]
pub(in crate::platform) struct PullSecret {
    pub(in crate::platform) name: String,
    pub(in crate::platform) namespace: Option<String>,
    /// The location of its credentials.
    pub(in crate::platform) location: Location,
    pub(in crate::platform) entries: Vec<KeyringEntry>,
    /// Whether a platform's file names it, and so sets its scope.
    is_used: Cell<bool>,
}

/// Every pull Secret among the files.
#[derive(Debug, Default)]
pub(in crate::platform) struct PullSecrets(Vec<PullSecret>);

/// The types of pull Secrets, and the keys of their texts.
const PULL_SECRETS: [(&str, &str); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ("kubernetes.io/dockercfg", ".dockercfg"),
];

impl PullSecrets {
    /// Takes an object if it is a pull Secret; returns whether it is.
    pub(in crate::platform) fn take(
        &mut self,
        node: &Node,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        if !is_secret(node) {
            return false;
        }
        let says = node.get("type").and_then(Node::text);
        let holds = |key: &str| {
            let mut parts = ["stringData", "data"].iter();
            parts.any(|part| node.at(&[part, key]).is_some())
        };
        let mut known = PULL_SECRETS.iter();
        let found = known.find(|(_, key)| holds(key));
        let typed = PULL_SECRETS.iter().find(|(name, _)| says == Some(*name));
        let Some((_, key)) = found.or(typed) else {
            return false;
        };
        let already = diagnostics.len();
        if let Some(text) = data(node, key, diagnostics) {
            let entries = docker_auth::entries(&text, diagnostics);
            self.0.push(PullSecret {
                name: name(node).unwrap_or_default().to_owned(),
                namespace: namespace(node).map(str::to_owned),
                location: text.start(),
                entries,
                is_used: Cell::new(false),
            });
        } else if diagnostics.len() == already {
            let message = format!("a Secret of this type must have {key}");
            let fix = "create it with `kubectl create secret docker-registry`";
            diagnostics
                .push(Diagnostic::new(DiagnosticCode::Value, &node.location, message).fix(fix));
        }
        true
    }

    /// All of them.
    pub(in crate::platform) fn all(&self) -> &[PullSecret] {
        &self.0
    }

    /// The Secrets of this name, one for each namespace, for a platform's file that names them and
    /// sets their scope. A missing one is `E-SECRETREF`.
    pub(in crate::platform) fn by_name(
        &self,
        name: &str,
        named_at: &Location,
        into: &mut Imported,
    ) -> Vec<&PullSecret> {
        let found: Vec<_> = self.0.iter().filter(|secret| secret.name == name).collect();
        for secret in &found {
            secret.is_used.set(true);
        }
        if found.is_empty() {
            let message = "the pull Secret named here is not among the files";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::SecretReference, named_at, message).excerpt(name);
            into.report(diagnostic.fix("import its manifest too, or remove the name"));
        }
        found
    }

    /// Adds the credentials of the Secrets that no file named: their own keys are the scope.
    pub(in crate::platform) fn add_unused(&self, into: &mut Imported) {
        for secret in self.0.iter().filter(|secret| !secret.is_used.get()) {
            for entry in &secret.entries {
                secret.report_string_prefix(&entry.scope, into);
                into.add_credential_entry(&secret.location, entry.clone());
            }
        }
    }
}

impl PullSecret {
    /// Kubelet compares strings, we compare path elements: reports repositories of the files for
    /// which this makes a difference.
    fn report_string_prefix(&self, scope: &CredentialScope, into: &mut Imported) {
        if scope.path().is_none() {
            return;
        }
        let key = scope.to_string();
        let mut targets = into.routes.iter().flat_map(|route| &route.to);
        let extended = targets
            .find(|to| extends_within_element(&to.target, &key))
            .map(|to| to.target.clone());
        if let Some(target) = extended {
            into.report(string_prefix_diagnostic(&self.location, &key).excerpt(&target));
        }
    }
}

/// Whether a text continues another one within the same path element.
pub(in crate::platform) fn extends_within_element(text: &str, start: &str) -> bool {
    let rest = text.strip_prefix(start).unwrap_or_default();
    !rest.is_empty() && !rest.starts_with(['/', ':', '@'])
}

/// `W-STRINGPREFIX`: kubelet would use a key beyond its scope.
pub(in crate::platform) fn string_prefix_diagnostic(location: &Location, key: &str) -> Diagnostic {
    let message =
        format!("kubelet compares strings and would use the credentials for {key} for this too");
    let fix = "only whole path elements count: add a key for this repository if it needs the \
               credentials";
    Diagnostic::new(DiagnosticCode::StringPrefix, location, message).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::reading::{location::SourceText, yaml};

    #[test]
    fn pull_secrets_are_known_by_type_or_key() {
        let config = r#"'{"auths": {"a.b": {"auth": "bWU6cHc="}}}'"#;
        for (text, is_one, count) in [
            (
                format!("{{kind: Secret, stringData: {{.dockerconfigjson: {config}}}}}"),
                true,
                1,
            ),
            (
                "{kind: Secret, data: {.dockercfg: eyJhLmIiOiB7ImF1dGgiOiAiYldVNmNIYz0ifX0=}}"
                    .to_owned(),
                true,
                1,
            ),
            (
                format!("{{kind: ConfigMap, data: {{.dockerconfigjson: {config}}}}}"),
                false,
                0,
            ),
            (
                "{kind: Secret, type: kubernetes.io/dockercfg}".to_owned(),
                true,
                0,
            ),
            (
                "{kind: Secret, type: Opaque, data: {k: eA==}}".to_owned(),
                false,
                0,
            ),
            (
                "{kind: Secret, stringData: {.dockerconfigjson: '{'}}".to_owned(),
                true,
                0,
            ),
        ] {
            let objects = yaml::documents(&SourceText::file("f", &text)).unwrap();
            let (mut secrets, mut diagnostics) = (PullSecrets::default(), Vec::new());
            assert_eq!(
                secrets.take(&objects[0], &mut diagnostics),
                is_one,
                "{text}"
            );
            let entries = secrets.all().iter().map(|secret| secret.entries.len());
            assert_eq!(entries.sum::<usize>(), count, "{text}");
            // It has credentials, or a diagnostic.
            assert_eq!(diagnostics.is_empty(), !is_one || count == 1, "{text}");
        }
    }
}
