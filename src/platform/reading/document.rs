//! The documents of a text in any syntax.

use super::{
    diagnostic::Diagnostic, json, kube, location::SourceText, node::Node, syntax::Syntax, toml,
    yaml,
};

/// A document, as importers receive it.
#[derive(Clone, Debug)]
pub(in crate::platform) enum InputDocument<'t> {
    /// A YAML, JSON or TOML document, or one object of a Kubernetes list.
    Tree(Node),
    /// A map of `SOURCE::TARGET`.
    Map(SourceText<'t>),
}

impl InputDocument<'_> {
    /// The kind of a Kubernetes object.
    pub(in crate::platform) fn kind(&self) -> Option<&str> {
        match self {
            Self::Tree(node) => kube::kind(node),
            Self::Map(_) => None,
        }
    }

    /// Whether a document that is not a Kubernetes object has a value below any of these paths.
    pub(in crate::platform) fn has_any(&self, paths: &[&[&str]]) -> bool {
        match self {
            Self::Tree(node) => kube::kind(node).is_none() && node.has_any(paths),
            Self::Map(_) => false,
        }
    }
}

/// The trees among documents, for formats without maps.
pub(in crate::platform) fn trees<'p>(
    documents: &'p [InputDocument<'_>],
) -> impl Iterator<Item = &'p Node> + Clone {
    documents.iter().filter_map(|document| match document {
        InputDocument::Tree(node) => Some(node),
        InputDocument::Map(_) => None,
    })
}

/// Parses a text into its documents.
pub(in crate::platform) fn parse<'t>(
    text: SourceText<'t>,
    syntax: Syntax,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<InputDocument<'t>> {
    let read = match syntax {
        Syntax::Yaml => yaml::documents(&text).map_err(|diagnostic| vec![diagnostic]),
        Syntax::Json => json::document(&text).map_err(|diagnostic| vec![diagnostic]),
        Syntax::Toml => toml::document(&text).map(|node| vec![node]),
        Syntax::Map => return vec![InputDocument::Map(text)],
    };
    match read {
        Ok(documents) => kube::objects(documents, diagnostics)
            .into_iter()
            .map(InputDocument::Tree)
            .collect(),
        Err(found) => {
            diagnostics.extend(found);
            Vec::new()
        }
    }
}
