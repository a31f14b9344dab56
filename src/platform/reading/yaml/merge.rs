//! YAML's merge key, `<<`.

use std::collections::HashSet;

use crate::platform::reading::{
    diagnostic::{Diagnostic, DiagnosticCode},
    node::{Node, NodeKind, Scalar},
};

/// Merges the value of `<<`; the mapping's own keys, which are `known`, take precedence.
pub(super) fn merged(
    mut done: Vec<(Scalar, Node)>,
    mut known: HashSet<String>,
) -> Result<Vec<(Scalar, Node)>, Diagnostic> {
    let is_merge = |(key, _): &(Scalar, Node)| key.is_plain && key.text == "<<";
    let Some(at) = done.iter().position(is_merge) else {
        return Ok(done);
    };
    let (_, value) = done.remove(at);
    let sources = match value.kind {
        NodeKind::Sequence(items) => items,
        _ => vec![value],
    };
    for source in sources {
        let NodeKind::Mapping(more) = source.kind else {
            let message = "the value of << must be a mapping, or a list of mappings";
            return Err(Diagnostic::new(
                DiagnosticCode::Yaml,
                &source.location,
                message,
            ));
        };
        for (key, node) in more {
            if known.insert(key.text.clone()) {
                done.push((key, node));
            }
        }
    }
    Ok(done)
}
