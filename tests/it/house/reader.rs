//! From sources to a [`Crate`]: each file parsed, its tests left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use syn::{
    Attribute, Block, Ident, ImplItemFn, Item, ItemFn, ItemMacro, ItemMod, ItemUse, Macro, Meta,
    MetaList, PatIdent, Path, Stmt, TraitItemFn, UseTree, Visibility,
    buffer::TokenBuffer,
    visit::{self, Visit},
};

use super::{
    model::{
        Binding, CodeFile, Crate, FileId, Mention, MentionKind, Scope, ScopeId, TypeDefinition,
    },
    sources::Source,
    tokens::{Tokens, without_raw},
};

/// Attributes whose arguments name nothing of ours.
const WITHOUT_NAMES: [&str; 5] = ["allow", "cfg", "deny", "doc", "expect"];

/// Reads all sources but those that only tests include.
pub(super) fn read(sources: &[Source]) -> Crate {
    let mut parsed = Vec::new();
    let mut of_tests = Vec::new();
    for source in sources {
        let file = match syn::parse_file(&source.text) {
            Ok(file) => file,
            Err(error) => panic!("{}: {error}", source.path),
        };
        let module = module_of(&source.path);
        find_test_modules(&file.items, &module, &mut of_tests);
        parsed.push((source, module, file));
    }
    parsed.retain(|(_, module, _)| !of_tests.iter().any(|tests| module.starts_with(tests)));

    // All files have a scope before the first is read: paths may lead to any of them.
    let mut code = Crate::default();
    for (id, (source, module, _)) in parsed.iter().enumerate() {
        code.files.push(CodeFile {
            path: source.path.clone(),
            words: BTreeSet::new(),
        });
        code.modules.insert(module.clone(), id);
        code.scopes.push(scope(id, module.clone(), None));
    }
    for (id, (_, _, file)) in parsed.iter().enumerate() {
        let mut reader = Reader {
            code: &mut code,
            file: id,
            scope: id,
            inside: Vec::new(),
            variables: BTreeSet::new(),
        };
        reader.visit_file(file);
    }
    code
}

/// The module of a file: `store::blob` for `src/store/blob.rs`, the root for `src/lib.rs`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

fn scope(file: FileId, module: Vec<String>, around: Option<ScopeId>) -> Scope {
    Scope {
        file,
        module,
        around,
        names: BTreeMap::new(),
        globs: Vec::new(),
    }
}

fn find_test_modules(items: &[Item], module: &[String], found: &mut Vec<Vec<String>>) {
    for item in items {
        let Item::Mod(item) = item else { continue };
        let mut child = module.to_vec();
        child.push(without_raw(&item.ident.to_string()));
        if is_for_tests(&item.attrs) {
            found.push(child);
        } else if let Some((_, items)) = &item.content {
            find_test_modules(items, &child, found);
        }
    }
}

/// Whether `#[cfg(test)]` is among the attributes, alone or with other conditions.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let words = tokens_of(list).words;
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        list.path.is_ident("cfg") && has("test") && !has("not")
    })
}

fn tokens_of(list: &MetaList) -> Tokens {
    Tokens::read(&TokenBuffer::new2(list.tokens.clone()))
}

/// Visits one file.
struct Reader<'c> {
    code: &'c mut Crate,
    file: FileId,
    scope: ScopeId,
    inside: Vec<String>,
    /// Of the function at hand: a variable hides an item of its name.
    variables: BTreeSet<String>,
}

impl Reader<'_> {
    fn bind(&mut self, name: &str, binding: Binding) {
        let names = &mut self.code.scopes[self.scope].names;
        names.entry(name.to_owned()).or_default().push(binding);
    }

    fn mention(&mut self, path: Vec<String>, kind: MentionKind) {
        let scope = self.scope;
        self.code.mentions.push(Mention { scope, path, kind });
    }

    fn define_type(&mut self, keyword: &'static str, name: &str) {
        let name = without_raw(name);
        self.bind(&name, Binding::Item { is_type: true });
        self.code.types.push(TypeDefinition {
            name,
            keyword,
            file: self.file,
            inside: self.inside.clone(),
        });
    }

    fn define_value(&mut self, name: &Ident) {
        let name = without_raw(&name.to_string());
        self.bind(&name, Binding::Item { is_type: false });
    }

    fn define(&mut self, item: &Item) {
        match item {
            Item::Enum(item) => self.define_type("enum", &item.ident.to_string()),
            Item::Struct(item) => self.define_type("struct", &item.ident.to_string()),
            Item::Trait(item) => self.define_type("trait", &item.ident.to_string()),
            Item::Type(item) => self.define_type("type", &item.ident.to_string()),
            Item::Union(item) => self.define_type("union", &item.ident.to_string()),
            Item::Const(item) => self.define_value(&item.ident),
            Item::Fn(item) => self.define_value(&item.sig.ident),
            Item::Static(item) => self.define_value(&item.ident),
            _ => {}
        }
    }

    /// Keeps what a macro's tokens mention.
    fn mention_all(&mut self, tokens: Tokens) {
        self.code.files[self.file].words.extend(tokens.words);
        for path in tokens.paths {
            self.mention(path, MentionKind::Code);
        }
    }

    /// Binds and mentions every path of a `use`.
    fn import(&mut self, tree: &UseTree, before: &[String], kind: MentionKind) {
        let mut path = before.to_vec();
        match tree {
            UseTree::Path(tree) => {
                path.push(without_raw(&tree.ident.to_string()));
                self.import(&tree.tree, &path, kind);
            }
            UseTree::Group(tree) => {
                for tree in &tree.items {
                    self.import(tree, &path, kind);
                }
            }
            UseTree::Glob(_) => {
                self.code.scopes[self.scope].globs.push(path.clone());
                self.mention(path, kind);
            }
            UseTree::Name(tree) => self.import_name(path, &tree.ident, None, kind),
            UseTree::Rename(tree) => {
                self.import_name(path, &tree.ident, Some(&tree.rename), kind);
            }
        }
    }

    fn import_name(
        &mut self,
        mut path: Vec<String>,
        name: &Ident,
        renamed: Option<&Ident>,
        kind: MentionKind,
    ) {
        // `use place::{self}` imports the place.
        if name != "self" || path.is_empty() {
            path.push(without_raw(&name.to_string()));
        }
        let renamed = renamed.map(|name| without_raw(&name.to_string()));
        if let Some(own) = renamed.or_else(|| path.last().cloned()) {
            self.bind(&own, Binding::Import(path.clone()));
        }
        self.mention(path, kind);
    }

    /// Runs a visit in a scope of its own.
    fn in_scope(&mut self, scope: Scope, visit: impl FnOnce(&mut Self)) {
        let outer = mem::replace(&mut self.scope, self.code.scopes.len());
        self.code.scopes.push(scope);
        visit(self);
        self.scope = outer;
    }

    /// Runs the visit of a function, then drops the mentions that were variables.
    fn in_function(&mut self, name: &Ident, visit: impl FnOnce(&mut Self)) {
        let first = self.code.mentions.len();
        let outer = mem::take(&mut self.variables);
        self.inside.push(format!("fn {name}"));
        visit(self);
        self.inside.pop();
        let variables = mem::replace(&mut self.variables, outer);
        let mut own = self.code.mentions.split_off(first);
        own.retain(|mention| match mention.path.as_slice() {
            [name] => mention.kind != MentionKind::Code || !variables.contains(name),
            _ => true,
        });
        self.code.mentions.extend(own);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            self.define(item);
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = without_raw(&item.ident.to_string());
        let mut module = self.code.scopes[self.scope].module.clone();
        module.push(name.clone());
        self.bind(&name, Binding::Module(module.clone()));
        if item.content.is_some() {
            let id = self.code.scopes.len();
            self.code.modules.insert(module.clone(), id);
            self.inside.push(format!("mod {name}"));
            let scope = scope(self.file, module, None);
            self.in_scope(scope, |reader| visit::visit_item_mod(reader, item));
            self.inside.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let kind = match item.vis {
            Visibility::Inherited => MentionKind::Import,
            Visibility::Public(_) | Visibility::Restricted(_) => MentionKind::ReExport,
        };
        // `use ::name` is another crate's.
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], kind);
        }
        visit::visit_item_use(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.in_function(&item.sig.ident, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            let name = &item.sig.ident;
            self.in_function(name, |reader| visit::visit_impl_item_fn(reader, item));
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        let name = &item.sig.ident;
        self.in_function(name, |reader| visit::visit_trait_item_fn(reader, item));
    }

    fn visit_block(&mut self, block: &'ast Block) {
        if block.stmts.iter().any(|stmt| matches!(stmt, Stmt::Item(_))) {
            let module = self.code.scopes[self.scope].module.clone();
            let scope = scope(self.file, module, Some(self.scope));
            self.in_scope(scope, |reader| visit::visit_block(reader, block));
        } else {
            visit::visit_block(self, block);
        }
    }

    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        let name = without_raw(&pattern.ident.to_string());
        if name.starts_with(char::is_uppercase) {
            // A constant or a unit struct that is compared with.
            self.mention(vec![name], MentionKind::Code);
        } else {
            self.variables.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let words = path.segments.iter();
            let words = words.map(|word| without_raw(&word.ident.to_string()));
            self.mention(words.collect(), MentionKind::Code);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // The path of `pub(in …)` imports nothing.
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            let is_silent = WITHOUT_NAMES.iter().any(|name| list.path.is_ident(name));
            if !is_silent {
                self.mention_all(tokens_of(list));
            }
        }
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        if let Some(name) = &item.ident {
            self.define_value(name);
        }
        // A type in such a macro's body is in this file; one in a `macro_rules!` as well.
        let buffer = TokenBuffer::new2(item.mac.tokens.clone());
        for (keyword, name) in Tokens::read(&buffer).types {
            self.define_type(keyword, &name);
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let buffer = TokenBuffer::new2(call.tokens.clone());
        self.mention_all(Tokens::read(&buffer));
        visit::visit_macro(self, call);
    }

    fn visit_ident(&mut self, word: &'ast Ident) {
        let word = without_raw(&word.to_string());
        self.code.files[self.file].words.insert(word);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
