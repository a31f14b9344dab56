//! Which file takes which items from which other file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    model::{Crate, FileId, MentionKind},
    resolve::Target,
};

/// For each file, the files that define the items it names, with the names of those items.
///
/// A re-export makes no edge: its file shows an item and does not depend on it. Code that uses the
/// re-export depends on the file behind it. Method calls make no edge either: they do not say which
/// type they are of.
pub(super) type Imports = BTreeMap<FileId, BTreeMap<FileId, BTreeSet<String>>>;

pub(super) fn imports(code: &Crate) -> Imports {
    let mut imports = Imports::new();
    for mention in &code.mentions {
        if mention.kind == MentionKind::ReExport {
            continue;
        }
        let from = code.scopes[mention.scope].file;
        let targets = code.resolve(mention.scope, &mention.path);
        // Where a module and a function share the name, the code below the import says which.
        let is_module = |target: &Target| matches!(target, Target::Module(_));
        if mention.kind == MentionKind::Import && targets.iter().any(is_module) {
            continue;
        }
        for target in targets {
            if let Target::Item { file, name, .. } = target
                && file != from
            {
                let of_file = imports.entry(from).or_default();
                of_file.entry(file).or_default().insert(name);
            }
        }
    }
    imports
}

/// The paths into this crate that lead to nothing. Each would be an import that the rules miss.
pub(super) fn unresolved(code: &Crate) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for mention in &code.mentions {
        let first = mention.path.first().map(String::as_str);
        let is_ours = mention.path.len() > 1 && matches!(first, Some("crate" | "self" | "super"));
        if is_ours && code.resolve(mention.scope, &mention.path).is_empty() {
            let path = &code.files[code.scopes[mention.scope].file].path;
            wrong.insert(format!("{path}: {}", mention.path.join("::")));
        }
    }
    wrong.into_iter().collect()
}
