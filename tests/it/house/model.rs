//! What the rules know about the crate: its modules, the names in them, and the paths in its code.

use std::collections::{BTreeMap, BTreeSet};

/// Index in [`Crate::files`].
pub(super) type FileId = usize;
/// Index in [`Crate::scopes`].
pub(super) type ScopeId = usize;

/// The code that is built without tests.
#[derive(Default)]
pub(super) struct Crate {
    /// In the order of the sources.
    pub(super) files: Vec<CodeFile>,
    pub(super) scopes: Vec<Scope>,
    /// The scope of each module, by its path from the root.
    pub(super) modules: BTreeMap<Vec<String>, ScopeId>,
    pub(super) mentions: Vec<Mention>,
    pub(super) types: Vec<TypeDefinition>,
}

/// A file without its tests.
pub(super) struct CodeFile {
    pub(super) path: String,
    /// Every identifier, those in macro bodies included; comments and string literals are not.
    pub(super) words: BTreeSet<String>,
}

/// A module, or a block with items of its own.
pub(super) struct Scope {
    pub(super) file: FileId,
    /// The path from the crate's root; a block has its module's.
    pub(super) module: Vec<String>,
    /// The scope around a block, searched next. A module has none: it does not see its parent's
    /// names.
    pub(super) around: Option<ScopeId>,
    /// Several bindings where a module and a function share a name.
    pub(super) names: BTreeMap<String, Vec<Binding>>,
    /// The paths before `::*`.
    pub(super) globs: Vec<Vec<String>>,
}

/// What a name stands for in its scope.
pub(super) enum Binding {
    /// An item that is defined here.
    Item { is_type: bool },
    /// A child module, by its path from the root.
    Module(Vec<String>),
    /// An import, by the path as written.
    Import(Vec<String>),
}

/// Where a path is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MentionKind {
    /// In a private `use`.
    Import,
    /// In a `pub use` or `pub(…) use`.
    ReExport,
    /// Anywhere else, macro bodies included.
    Code,
}

/// A path as written, and the scope that it is looked up in.
pub(super) struct Mention {
    pub(super) scope: ScopeId,
    pub(super) path: Vec<String>,
    pub(super) kind: MentionKind,
}

/// The definition of a struct, enum, union, trait or type alias.
pub(super) struct TypeDefinition {
    pub(super) name: String,
    pub(super) keyword: &'static str,
    pub(super) file: FileId,
    /// The functions and inline modules around it, outermost first.
    pub(super) inside: Vec<String>,
}
