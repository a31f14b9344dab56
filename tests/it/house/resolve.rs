//! Which item a path names, and which file defines it.

use super::model::{Binding, Crate, FileId, ScopeId};

/// The library's name in its own program.
const LIBRARY: &str = "roadstead";

/// What a path leads to.
pub(super) enum Target {
    /// An item, by the name in the file that defines it.
    Item {
        file: FileId,
        name: String,
        is_type: bool,
    },
    Module(ScopeId),
}

/// The imports that a lookup is in the middle of, with the name wanted behind a `*`. An import may
/// lead back to itself; it then adds nothing.
type InProgress = Vec<(ScopeId, Vec<String>, Option<String>)>;

impl Crate {
    /// Everything that a path names, re-exports followed: several targets where a module and a
    /// function share the name, none where the path leaves the crate.
    pub(super) fn resolve(&self, scope: ScopeId, path: &[String]) -> Vec<Target> {
        self.follow(scope, path, &mut Vec::new())
    }

    /// The room that a path passes through as it is written: the word behind `crate`, or behind
    /// as many `super` as lead to the root.
    pub(super) fn room_in(&self, scope: ScopeId, path: &[String]) -> Option<&str> {
        let module = &self.scopes[scope].module;
        let supers = path.iter().take_while(|word| *word == "super").count();
        let room = match path.first()?.as_str() {
            "crate" => path.get(1)?,
            "super" if supers == module.len() => path.get(supers)?,
            LIBRARY if module == &["main"] => path.get(1)?,
            _ => return None,
        };
        let (module, _) = self.modules.get_key_value([room.clone()].as_slice())?;
        module.first().map(String::as_str)
    }

    fn follow(&self, scope: ScopeId, path: &[String], progress: &mut InProgress) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut found = self.first(scope, first, progress);
        for word in rest {
            let before = std::mem::take(&mut found);
            for target in before {
                match target {
                    Target::Module(module) if word == "super" => found.extend(self.parent(module)),
                    Target::Module(module) => found.extend(self.member(module, word, progress)),
                    // Behind a type stand its variants and functions.
                    Target::Item { is_type: true, .. } => found.push(target),
                    Target::Item { is_type: false, .. } => {}
                }
            }
        }
        found
    }

    fn first(&self, scope: ScopeId, word: &str, progress: &mut InProgress) -> Vec<Target> {
        let module = self.modules.get(&self.scopes[scope].module).copied();
        match word {
            "crate" => self.root().into_iter().collect(),
            "self" => module.map(Target::Module).into_iter().collect(),
            "super" => module
                .and_then(|own| self.parent(own))
                .into_iter()
                .collect(),
            _ => {
                let mut next = Some(scope);
                while let Some(at) = next {
                    let found = self.member(at, word, progress);
                    if !found.is_empty() {
                        return found;
                    }
                    next = self.scopes[at].around;
                }
                let root = self.root().filter(|_| word == LIBRARY);
                root.into_iter().collect()
            }
        }
    }

    fn root(&self) -> Option<Target> {
        self.modules.get([].as_slice()).copied().map(Target::Module)
    }

    fn parent(&self, module: ScopeId) -> Option<Target> {
        let (_, parent) = self.scopes[module].module.split_last()?;
        self.modules.get(parent).copied().map(Target::Module)
    }

    /// What a name stands for in one scope.
    fn member(&self, id: ScopeId, name: &str, progress: &mut InProgress) -> Vec<Target> {
        let scope = &self.scopes[id];
        let mut found = Vec::new();
        for binding in scope.names.get(name).into_iter().flatten() {
            match binding {
                Binding::Item { is_type } => found.push(Target::Item {
                    file: scope.file,
                    name: name.to_owned(),
                    is_type: *is_type,
                }),
                Binding::Module(path) => {
                    found.extend(self.modules.get(path).copied().map(Target::Module));
                }
                Binding::Import(path) => found.extend(self.imported(id, path, None, progress)),
            }
        }
        if !scope.names.contains_key(name) {
            for glob in &scope.globs {
                found.extend(self.imported(id, glob, Some(name), progress));
            }
        }
        found
    }

    /// What a `use` imports, or what a name stands for behind its `*`.
    fn imported(
        &self,
        scope: ScopeId,
        path: &[String],
        behind_glob: Option<&str>,
        progress: &mut InProgress,
    ) -> Vec<Target> {
        let lookup = (scope, path.to_vec(), behind_glob.map(str::to_owned));
        if progress.contains(&lookup) {
            return Vec::new();
        }
        progress.push(lookup);
        let mut found = self.follow(scope, path, progress);
        if let Some(name) = behind_glob {
            let globs = std::mem::take(&mut found);
            for target in globs {
                if let Target::Module(module) = target {
                    found.extend(self.member(module, name, progress));
                }
            }
        }
        progress.pop();
        found
    }
}
