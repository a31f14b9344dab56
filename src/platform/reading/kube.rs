//! Kubernetes objects: lists, and the data of `ConfigMaps` and Secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::SourceText,
    node::{Node, NodeKind, Scalar},
};

/// An object's kind.
pub(in crate::platform) fn kind(node: &Node) -> Option<&str> {
    node.get("kind")?.text()
}

/// An object's name.
pub(in crate::platform) fn name(node: &Node) -> Option<&str> {
    node.at(&["metadata", "name"])?.text()
}

/// An object's namespace, if it is set.
pub(in crate::platform) fn namespace(node: &Node) -> Option<&str> {
    node.at(&["metadata", "namespace"])?.text()
}

/// All objects, including those in lists.
pub(in crate::platform) fn objects(
    documents: Vec<Node>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Node> {
    let mut objects = Vec::new();
    for document in documents {
        split(document, &mut objects, diagnostics);
    }
    objects
}

/// Lists may hold lists, as deep as a document may be.
fn split(node: Node, objects: &mut Vec<Node>, diagnostics: &mut Vec<Diagnostic>) {
    let of = kind(&node).and_then(|kind| kind.strip_suffix("List"));
    let (Some(of), true) = (of, node.has("items")) else {
        objects.push(node);
        return;
    };
    let Some(items) = node.get("items") else {
        return;
    };
    if !matches!(items.kind, NodeKind::Sequence(_)) {
        diagnostics.push(items.wrong_type("items must be a list of objects"));
    }
    for item in items.items() {
        let mut item = item.clone();
        let location = item.location.clone();
        match &mut item.kind {
            // The items of a `SecretList` need no `kind`.
            NodeKind::Mapping(entries) => {
                if !of.is_empty() && entries.iter().all(|(key, _)| key.text != "kind") {
                    let scalar = |text: &str| Scalar {
                        text: text.to_owned(),
                        start: location.clone(),
                        is_plain: false,
                        is_verbatim: false,
                    };
                    let kind = NodeKind::Scalar(scalar(of));
                    let location = location.clone();
                    entries.push((scalar("kind"), Node { location, kind }));
                }
                split(item, objects, diagnostics);
            }
            _ => diagnostics.push(item.wrong_type("a list of objects must hold objects only")),
        }
    }
}

/// The text at a key of a `ConfigMap` or a Secret, decoded if it is in base64.
pub(in crate::platform) fn data<'n>(
    node: &'n Node,
    key: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<SourceText<'n>> {
    let (plain, encoded) = if is_secret(node) {
        ("stringData", "data")
    } else {
        ("data", "binaryData")
    };
    for part in [plain, encoded] {
        let Some(found) = node.get(part) else {
            continue;
        };
        if !found.is_mapping() {
            diagnostics.push(found.wrong_type(&format!(
                "{part} must be a mapping of keys to \
                                                        strings"
            )));
            continue;
        }
        let Some(value) = found.get(key) else {
            continue;
        };
        let Some(text) = value.embedded_text() else {
            diagnostics.push(value.wrong_type(&format!("{key} must be a string")));
            return None;
        };
        return if part == plain {
            Some(text)
        } else {
            decode_base64(key, &text, diagnostics)
        };
    }
    None
}

fn decode_base64(
    key: &str,
    encoded: &SourceText<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<SourceText<'static>> {
    let bytes: String = encoded.text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(bytes).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    if text.is_none() {
        let message = format!("{key} is not text in base64");
        let fix = "plain text belongs under stringData in a Secret and under data in a ConfigMap";
        diagnostics
            .push(Diagnostic::new(DiagnosticCode::AuthBase64, &encoded.start(), message).fix(fix));
    }
    Some(SourceText::decoded(text?, encoded.start()))
}

/// Whether an object is a Secret.
pub(in crate::platform) fn is_secret(node: &Node) -> bool {
    kind(node) == Some("Secret")
}

/// Whether a `ConfigMap` or a Secret has a key.
pub(in crate::platform) fn has_data_key(node: &Node, key: &str) -> bool {
    let mut parts = ["data", "stringData", "binaryData"].iter();
    parts.any(|part| node.at(&[part, key]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::reading::yaml;

    fn split_text(text: &str) -> (Vec<Node>, Vec<String>) {
        let mut diagnostics = Vec::new();
        let documents = yaml::documents(&SourceText::file("f", text)).unwrap();
        let objects = objects(documents, &mut diagnostics);
        (
            objects,
            diagnostics.iter().map(Diagnostic::to_string).collect(),
        )
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
        let (objects, diagnostics) = split_text(text);
        let kinds: Vec<_> = objects
            .iter()
            .map(|node| kind(node).unwrap_or("-"))
            .collect();
        assert_eq!(kinds, ["A", "B", "Secret", "C", "AllowList", "-"]);
        assert_eq!(diagnostics, [""; 0]);
        let (objects, diagnostics) = split_text("{kind: List, items: {kind: A}}");
        assert_eq!(objects.len(), 0);
        assert!(
            diagnostics[0].starts_with("f:1:21: E-VALUE"),
            "{diagnostics:?}"
        );
        let (objects, diagnostics) = split_text("{kind: List, items: [{kind: A}, b]}");
        assert_eq!(objects.len(), 1);
        assert!(
            diagnostics[0].starts_with("f:1:33: E-VALUE"),
            "{diagnostics:?}"
        );
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
            let mut diagnostics = Vec::new();
            let found = data(&objects[0], "k", &mut diagnostics);
            let diagnostic = diagnostics.first().map(Diagnostic::to_string);
            match want {
                Ok(want) => assert_eq!(found.unwrap().text, want, "{text}"),
                Err(None) => assert_eq!((found, diagnostic), (None, None), "{text}"),
                Err(Some(want)) => {
                    assert!(
                        diagnostic.unwrap().starts_with(&format!("f:{want}")),
                        "{text}"
                    );
                    assert_eq!(found, None, "{text}");
                }
            }
        }
    }
}
