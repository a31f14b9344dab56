//! Kubernetes objects: lists, texts of `ConfigMaps` and Secrets, and the pull Secrets among them.

use std::cell::Cell;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{Location, SourceText},
    node::{Node, NodeKind, Scalar},
};
use crate::{
    platform::model::{docker_auth, imported::Imported},
    upstream::{CredentialScope, KeyringEntry},
};

/// An object's kind.
pub(in crate::platform) fn kind(node: &Node) -> Option<&str> {
    node.get("kind")?.text()
}

/// An object's name.
pub(in crate::platform) fn name(node: &Node) -> Option<&str> {
    node.at(&["metadata", "name"])?.text()
}

/// The namespace that an object says it is in.
pub(in crate::platform) fn namespace(node: &Node) -> Option<&str> {
    node.at(&["metadata", "namespace"])?.text()
}

/// Every object, those in lists one by one.
pub(in crate::platform) fn objects(
    documents: Vec<Node>,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<Node> {
    let mut objects = Vec::new();
    for document in documents {
        split(document, &mut objects, remarks);
    }
    objects
}

/// Lists may hold lists, as deep as a document may be.
fn split(node: Node, objects: &mut Vec<Node>, remarks: &mut Vec<Diagnostic>) {
    let of = kind(&node).and_then(|kind| kind.strip_suffix("List"));
    let (Some(of), true) = (of, node.has("items")) else {
        objects.push(node);
        return;
    };
    let Some(items) = node.get("items") else {
        return;
    };
    if !matches!(items.kind, NodeKind::Sequence(_)) {
        remarks.push(items.wrong_type("items is no list of objects"));
    }
    for item in items.items() {
        let mut item = item.clone();
        let spot = item.spot.clone();
        match &mut item.kind {
            // A `SecretList` need not say of each that it is a Secret.
            NodeKind::Mapping(entries) => {
                if !of.is_empty() && entries.iter().all(|(key, _)| key.text != "kind") {
                    let scalar = |text: &str| Scalar {
                        text: text.to_owned(),
                        start: spot.clone(),
                        is_plain: false,
                        is_verbatim: false,
                    };
                    let kind = NodeKind::Scalar(scalar(of));
                    let spot = spot.clone();
                    entries.push((scalar("kind"), Node { spot, kind }));
                }
                split(item, objects, remarks);
            }
            _ => remarks.push(item.wrong_type("a list of objects holds only such")),
        }
    }
}

/// The text at a key of a `ConfigMap` or a Secret, out of its base64 where that is how it stands.
pub(in crate::platform) fn data<'n>(
    node: &'n Node,
    key: &str,
    remarks: &mut Vec<Diagnostic>,
) -> Option<SourceText<'n>> {
    let (plain, coded) = if is_secret(node) {
        ("stringData", "data")
    } else {
        ("data", "binaryData")
    };
    for part in [plain, coded] {
        let Some(found) = node.get(part) else {
            continue;
        };
        if !found.is_mapping() {
            remarks.push(found.wrong_type(&format!("{part} holds keys and texts")));
            continue;
        }
        let Some(value) = found.get(key) else {
            continue;
        };
        let Some(text) = value.embedded_text() else {
            remarks.push(value.wrong_type(&format!("{key} is no text")));
            return None;
        };
        return if part == plain {
            Some(text)
        } else {
            decode_base64(key, &text, remarks)
        };
    }
    None
}

fn decode_base64(
    key: &str,
    coded: &SourceText<'_>,
    remarks: &mut Vec<Diagnostic>,
) -> Option<SourceText<'static>> {
    let bytes: String = coded.text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(bytes).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    if text.is_none() {
        let message = format!("{key} is no text in base64");
        let fix = "plain text stands under stringData in a Secret, under data in a ConfigMap";
        remarks.push(Diagnostic::new(DiagnosticCode::AuthBase64, &coded.start(), message).fix(fix));
    }
    Some(SourceText::decoded(text?, coded.start()))
}

fn is_secret(node: &Node) -> bool {
    kind(node) == Some("Secret")
}

/// Whether some container's environment says which images to use.
pub(in crate::platform) fn has_image_variables(node: &Node) -> bool {
    let containers = node.at(&["spec", "template", "spec", "containers"]);
    let containers = containers.map(Node::items).unwrap_or_default();
    let variables = containers.iter().filter_map(|one| one.get("env"));
    let mut names = variables
        .flat_map(Node::items)
        .filter_map(|one| one.get("name")?.text());
    names.any(|name| name.ends_with("_IMAGE") || name.starts_with("RELATED_IMAGE_"))
}

/// A Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
#[derive(Debug)]
pub(in crate::platform) struct PullSecret {
    pub(in crate::platform) name: String,
    pub(in crate::platform) namespace: Option<String>,
    /// Where its logins stand.
    pub(in crate::platform) spot: Location,
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
    pub(in crate::platform) fn take(&mut self, node: &Node, remarks: &mut Vec<Diagnostic>) -> bool {
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
        let already = remarks.len();
        if let Some(text) = data(node, key, remarks) {
            let entries = docker_auth::entries(&text, remarks);
            self.0.push(PullSecret {
                name: name(node).unwrap_or_default().to_owned(),
                namespace: namespace(node).map(str::to_owned),
                spot: text.start(),
                entries,
                is_used: Cell::new(false),
            });
        } else if remarks.len() == already {
            let message = format!("a Secret of this type without {key}");
            let fix = "make it by `kubectl create secret docker-registry`";
            remarks.push(Diagnostic::new(DiagnosticCode::Value, &node.spot, message).fix(fix));
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
            let remark =
                Diagnostic::new(DiagnosticCode::SecretReference, named_at, message).excerpt(name);
            into.report(remark.fix("give its manifest as well, or remove the name"));
        }
        found
    }

    /// Makes logins of those that no file named: each is for what its own keys say.
    pub(in crate::platform) fn add_unused(&self, into: &mut Imported) {
        for secret in self.0.iter().filter(|secret| !secret.is_used.get()) {
            for entry in &secret.entries {
                secret.report_string_prefix(&entry.scope, into);
                into.add_credential_entry(&secret.spot, entry.clone());
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
            into.report(string_prefix_diagnostic(&self.spot, &key).excerpt(&target));
        }
    }
}

/// Whether a text goes on behind another one, within the same element.
pub(in crate::platform) fn extends_within_element(text: &str, start: &str) -> bool {
    let rest = text.strip_prefix(start).unwrap_or_default();
    !rest.is_empty() && !rest.starts_with(['/', ':', '@'])
}

/// That kubelet takes a key for what it is not for.
pub(in crate::platform) fn string_prefix_diagnostic(spot: &Location, key: &str) -> Diagnostic {
    let message =
        format!("kubelet compares texts and would use the login for {key} for this as well");
    let fix = "only whole elements count: add a key for this repository if it needs the login";
    Diagnostic::new(DiagnosticCode::StringPrefix, spot, message).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::reading::yaml;

    fn split_text(text: &str) -> (Vec<Node>, Vec<String>) {
        let mut remarks = Vec::new();
        let documents = yaml::documents(&SourceText::file("f", text)).unwrap();
        let objects = objects(documents, &mut remarks);
        (objects, remarks.iter().map(Diagnostic::to_string).collect())
    }

    #[test]
    fn lists_hold_objects_at_any_depth() {
        let text = "\
kind: List
items:
- {kind: A}
- kind: List
  items: [{kind: B}, {kind: SecretList, items: [{type: x}, {kind: C}]}]
- {kind: EmptyList, items: null}
---
{kind: AllowList, spec: {}}
---
{kind: ConfigMapList, items: []}
---
{a: 1}
";
        let (objects, remarks) = split_text(text);
        let kinds: Vec<_> = objects
            .iter()
            .map(|node| kind(node).unwrap_or("-"))
            .collect();
        assert_eq!(kinds, ["A", "B", "Secret", "C", "AllowList", "-"]);
        assert_eq!(remarks, [""; 0]);
        let (objects, remarks) = split_text("{kind: List, items: {kind: A}}");
        assert_eq!(objects.len(), 0);
        assert!(remarks[0].starts_with("f:1:21: E-VALUE"), "{remarks:?}");
        let (objects, remarks) = split_text("{kind: List, items: [{kind: A}, b]}");
        assert_eq!(objects.len(), 1);
        assert!(remarks[0].starts_with("f:1:33: E-VALUE"), "{remarks:?}");
    }

    #[test]
    fn texts_stand_plainly_or_in_base64() {
        for (text, want) in [
            (
                "{kind: Secret, stringData: {k: v}, data: {k: eA==}}",
                Ok("v"),
            ),
            (
                "{kind: Secret, stringData: {l: v}, data: {k: eA==}}",
                Ok("x"),
            ),
            (
                "kind: Secret\ndata:\n  k: |\n    eHh4\n    eHh4\n",
                Ok("xxxxxx"),
            ),
            ("{kind: ConfigMap, data: {k: v}}", Ok("v")),
            ("{kind: ConfigMap, data: {k: eA==}}", Ok("eA==")),
            ("{kind: ConfigMap, binaryData: {k: eA==}}", Ok("x")),
            ("{kind: ConfigMap, data: {k: 5}}", Ok("5")),
            ("{kind: Secret, data: {k: null}}", Err(None)),
            ("{kind: Secret, data: null}", Err(None)),
            (
                "{kind: Secret, stringData: {k: [v]}, data: {k: eA==}}",
                Err(Some("1:32: E-VALUE")),
            ),
            ("{kind: Secret, stringData: v}", Err(Some("1:28: E-VALUE"))),
            ("{kind: Secret, data: {k: {}}}", Err(Some("1:26: E-VALUE"))),
            (
                "{kind: Secret, data: {k: plain text}}",
                Err(Some("1:26: E-AUTHB64")),
            ),
            // Not UTF-8.
            (
                "{kind: Secret, data: {k: /w==}}",
                Err(Some("1:26: E-AUTHB64")),
            ),
        ] {
            let (objects, _) = split_text(text);
            let mut remarks = Vec::new();
            let found = data(&objects[0], "k", &mut remarks);
            let remark = remarks.first().map(Diagnostic::to_string);
            match want {
                Ok(want) => assert_eq!(found.unwrap().text, want, "{text}"),
                Err(None) => assert_eq!((found, remark), (None, None), "{text}"),
                Err(Some(want)) => {
                    assert!(remark.unwrap().starts_with(&format!("f:{want}")), "{text}");
                    assert_eq!(found, None, "{text}");
                }
            }
        }
    }

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
            let (objects, _) = split_text(&text);
            let (mut secrets, mut remarks) = (PullSecrets::default(), Vec::new());
            assert_eq!(secrets.take(&objects[0], &mut remarks), is_one, "{text}");
            let entries = secrets.all().iter().map(|secret| secret.entries.len());
            assert_eq!(entries.sum::<usize>(), count, "{text}");
            // Either it has logins, or it says why not.
            assert_eq!(remarks.is_empty(), !is_one || count == 1, "{text}");
        }
    }
}
