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
    /// Where its logins stand.
    pub(in crate::platform) location: Location,
    pub(in crate::platform) entries: Vec<KeyringEntry>,
    /// Whether some platform's file names it, and so decided what it is for.
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
    /// Takes in an object if it is a pull Secret.
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
            let message = format!("a Secret of this type without {key}");
            let fix = "make it by `kubectl create secret docker-registry`";
            diagnostics
                .push(Diagnostic::new(DiagnosticCode::Value, &node.location, message).fix(fix));
        }
        true
    }

    /// All of them.
    pub(in crate::platform) fn all(&self) -> &[PullSecret] {
        &self.0
    }

    /// The Secrets of this name, one for each namespace: a platform's file names them, and says
    /// what they are for. None of that name is `E-SECRETREF`.
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
            let message = "the pull Secret that is named here is not among the files";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::SecretReference, named_at, message).excerpt(name);
            into.report(diagnostic.fix("give its manifest as well, or remove the name"));
        }
        found
    }

    /// Makes logins of those that no file named: each is for what its own keys say.
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
    /// Kubelet compares texts, we compare elements: says so where that makes a difference for a
    /// repository that the files name.
    fn report_string_prefix(&self, place: &CredentialScope, into: &mut Imported) {
        if place.path().is_none() {
            return;
        }
        let key = place.to_string();
        let mut targets = into.routes.iter().flat_map(|route| &route.to);
        let quirk = targets
            .find(|to| extends_within_element(&to.target, &key))
            .map(|to| to.target.clone());
        if let Some(target) = quirk {
            into.report(string_prefix_diagnostic(&self.location, &key).excerpt(&target));
        }
    }
}

/// Whether a text goes on behind another one, within the same element.
pub(in crate::platform) fn extends_within_element(text: &str, start: &str) -> bool {
    let rest = text.strip_prefix(start).unwrap_or_default();
    !rest.is_empty() && !rest.starts_with(['/', ':', '@'])
}

/// That kubelet takes a key for what it is not for.
pub(in crate::platform) fn string_prefix_diagnostic(location: &Location, key: &str) -> Diagnostic {
    let message =
        format!("kubelet compares texts and would use the login for {key} for this as well");
    let fix = "only whole elements count: add a key for this repository if it needs the login";
    Diagnostic::new(DiagnosticCode::StringPrefix, location, message).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::reading::{location::SourceText, yaml};

    #[test]
    fn pull_secrets_are_known_by_type_or_key() {
        let login = r#"'{"auths": {"a.b": {"auth": "bWU6cHc="}}}'"#;
        for (text, is_one, count) in [
            (
                format!("{{kind: Secret, stringData: {{.dockerconfigjson: {login}}}}}"),
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
                format!("{{kind: ConfigMap, data: {{.dockerconfigjson: {login}}}}}"),
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
            // Either it has logins, or it says why not.
            assert_eq!(diagnostics.is_empty(), !is_one || count == 1, "{text}");
        }
    }
}
