//! The files that a path, a folder or a glob of the operator's means.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Most files that one path may mean.
const FILES_MAX: usize = 1_000;
/// Most names that are looked at for that.
const NAMES_MAX: usize = 10_000;
/// Deepest folder below the one that is named. A link to a folder above it ends here as well.
const DEPTH_MAX: usize = 16;

/// Finds them, in the order of their paths.
///
/// A folder means all files in it and below it, but for names that start with a dot: Kubernetes
/// keeps the versions of a mounted volume under such. `*` and `?` stand for any text within one
/// element of the path. Links are followed.
///
/// `look` is told each path that decides the answer, before it is read: when none of them has
/// changed, neither has the answer.
///
/// # Errors
/// The system's; `NotFound` if there is no file.
pub fn gather(pattern: &Path, look: &dyn Fn(&Path)) -> io::Result<Vec<PathBuf>> {
    let mut search = Search {
        look,
        files: Vec::new(),
        names: 0,
    };
    for path in search.expand(pattern)? {
        search.take(&path, 0)?;
    }
    let mut files = search.files;
    if files.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no file there",
        ));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

struct Search<'l> {
    look: &'l dyn Fn(&Path),
    files: Vec<PathBuf>,
    names: usize,
}

impl Search<'_> {
    /// The paths that a pattern names; without a wildcard that is itself, there or not.
    fn expand(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = vec![PathBuf::new()];
        let mut is_guessed = false;
        for element in pattern.components() {
            let wild = match element {
                Component::Normal(name) => name.to_str().filter(|name| name.contains(['*', '?'])),
                _ => None,
            };
            let mut next = Vec::new();
            for path in paths {
                match wild {
                    Some(wild) => {
                        let names = self.names(&path)?.into_iter();
                        next.extend(
                            names
                                .filter(|name| fits(wild, name))
                                .map(|it| path.join(it)),
                        );
                    }
                    None => next.push(path.join(element)),
                }
            }
            is_guessed |= wild.is_some();
            if is_guessed {
                // A name that is not in one folder may be in the next; its coming changes the answer.
                for path in &next {
                    (self.look)(path);
                }
                next.retain(|path| fs::symlink_metadata(path).is_ok());
            }
            paths = next;
        }
        Ok(paths)
    }

    /// Takes a file, or the files below a folder.
    fn take(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        (self.look)(path);
        let found = fs::metadata(path).map_err(|error| at(path, depth, error))?;
        if found.is_dir() {
            if depth == DEPTH_MAX {
                let deep = io::Error::other("the folders are too deep, or lead back");
                return Err(at(path, depth, deep));
            }
            for name in self.names(path)? {
                if !name.starts_with('.') {
                    self.take(&path.join(name), depth + 1)?;
                }
            }
        } else if found.is_file() || depth == 0 {
            self.files.push(path.to_owned());
            if self.files.len() > FILES_MAX {
                let many = format!("there are more than {FILES_MAX} files");
                return Err(io::Error::other(many));
            }
        }
        Ok(())
    }

    /// What a folder holds, in order; nothing where there is no folder.
    fn names(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        (self.look)(folder);
        let entries = match fs::read_dir(folder) {
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            entries => entries.map_err(|error| at(folder, 1, error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            self.names += 1;
            if self.names > NAMES_MAX {
                let many = format!("there are more than {NAMES_MAX} names to look at");
                return Err(io::Error::other(many));
            }
            // A name that is no UTF-8 is nobody's who writes configurations.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Says which path an error is about, unless that is the one that was named.
fn at(path: &Path, depth: usize, error: io::Error) -> io::Error {
    if depth == 0 {
        return error;
    }
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a name fits an element with wildcards. As in a shell, they find no name that starts with
/// a dot unless the dot is written.
fn fits(wild: &str, name: &str) -> bool {
    if name.starts_with('.') && !wild.starts_with('.') {
        return false;
    }
    let (wild, name): (Vec<_>, Vec<_>) = (wild.chars().collect(), name.chars().collect());
    // Which beginnings of the name the wildcards so far can be.
    let mut ends = vec![false; name.len() + 1];
    if let Some(first) = ends.first_mut() {
        *first = true;
    }
    for letter in wild {
        let mut next = vec![false; ends.len()];
        let mut is_any = false;
        let befores = std::iter::once(&false).chain(&ends);
        let letters = std::iter::once(None).chain(name.iter().map(Some));
        for ((next, (now, before)), at) in
            next.iter_mut().zip(ends.iter().zip(befores)).zip(letters)
        {
            is_any |= *now;
            *next = match letter {
                '*' => is_any,
                '?' => *before,
                letter => *before && at == Some(&letter),
            };
        }
        ends = next;
    }
    ends.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeSet, os::unix::fs::symlink};

    use super::*;

    /// A folder with these files, each named with its folders; a link has `name -> target`.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let (name, target) = match file.split_once(" -> ") {
                Some((name, target)) => (name, Some(target)),
                None => (*file, None),
            };
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match target {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, "").unwrap(),
            }
        }
        folder
    }

    /// What is found and what is to be watched, both below the folder.
    fn found(folder: &Path, pattern: &str) -> (io::Result<Vec<String>>, BTreeSet<String>) {
        let short = |path: &Path| {
            let path = path.strip_prefix(folder).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let looked = RefCell::new(BTreeSet::new());
        let look = |path: &Path| {
            looked.borrow_mut().insert(short(path));
        };
        let files = gather(&folder.join(pattern), &look);
        let files = files.map(|files| files.iter().map(|path| short(path)).collect());
        (files, looked.into_inner())
    }

    #[test]
    fn paths_folders_and_globs_mean_their_files() {
        let folder = folder(&[
            "b.yaml",
            "a.yaml",
            "a.toml",
            ".hidden/x.yaml",
            "certs.d/quay.io/hosts.toml",
            "certs.d/docker.io/hosts.toml",
            "certs.d/docker.io/ca.pem",
            "certs.d/empty/.keep",
            "certs.d/note",
            "deep/1/2/x",
        ]);
        let rows: &[(&str, &[&str])] = &[
            ("a.yaml", &["a.yaml"]),
            ("*.yaml", &["a.yaml", "b.yaml"]),
            ("?.toml", &["a.toml"]),
            ("a*a*l", &["a.yaml"]),
            (".h*/x.yaml", &[".hidden/x.yaml"]),
            ("deep", &["deep/1/2/x"]),
            ("de*", &["deep/1/2/x"]),
            (
                "certs.d/*/hosts.toml",
                &["certs.d/docker.io/hosts.toml", "certs.d/quay.io/hosts.toml"],
            ),
            (
                "certs.d",
                &[
                    "certs.d/docker.io/ca.pem",
                    "certs.d/docker.io/hosts.toml",
                    "certs.d/note",
                    "certs.d/quay.io/hosts.toml",
                ],
            ),
        ];
        for (pattern, want) in rows {
            assert_eq!(found(folder.path(), pattern).0.unwrap(), *want, "{pattern}");
        }
        for absent in [
            "c.yaml",
            "z*",
            "c/*",
            "certs.d/empty",
            "*/nothing",
            "a.yaml/*",
        ] {
            let error = found(folder.path(), absent).0.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{absent}");
        }
    }

    #[test]
    fn whatever_may_change_the_answer_is_looked_at() {
        let folder = folder(&["certs.d/quay.io/hosts.toml", "certs.d/docker.io/x"]);
        let rows: &[(&str, &[&str])] = &[
            ("a.yaml", &["a.yaml"]),
            ("c/*/x", &["c"]),
            (
                "certs.d",
                &[
                    "certs.d",
                    "certs.d/docker.io",
                    "certs.d/docker.io/x",
                    "certs.d/quay.io",
                    "certs.d/quay.io/hosts.toml",
                ],
            ),
            (
                "certs.d/*/hosts.toml",
                &[
                    "certs.d",
                    "certs.d/docker.io",
                    "certs.d/docker.io/hosts.toml",
                    "certs.d/quay.io",
                    "certs.d/quay.io/hosts.toml",
                ],
            ),
        ];
        for (pattern, want) in rows {
            let looked = found(folder.path(), pattern).1;
            assert!(looked.iter().eq(*want), "{pattern}: {looked:?}");
        }
    }

    #[test]
    fn a_mounted_volume_is_read_once_and_through_its_links() {
        let folder = folder(&[
            "mount/..2026/maps",
            "mount/..2026/sub",
            "mount/..data -> ..2026",
            "mount/maps -> ..data/maps",
            "other/x",
            "mount/more -> ../other",
        ]);
        let (files, _) = found(folder.path(), "mount");
        assert_eq!(files.unwrap(), ["mount/maps", "mount/more/x"]);
        fs::remove_file(folder.path().join("mount/..2026/maps")).unwrap();
        let error = found(folder.path(), "mount").0.unwrap_err();
        assert!(error.to_string().contains("mount/maps"), "{error}");
    }

    #[test]
    fn folders_that_lead_back_and_crowds_end() {
        let circle = folder(&["a/x", "a/b -> .", "a/c -> ."]);
        assert!(found(circle.path(), "a").0.is_err());
        let crowd = folder(&["x"]);
        for number in 0..=FILES_MAX {
            fs::write(crowd.path().join(number.to_string()), "").unwrap();
        }
        assert!(found(crowd.path(), "").0.is_err());
        assert!(found(crowd.path(), "*").0.is_err());
        assert_eq!(found(crowd.path(), "99?").0.unwrap().len(), 10);
    }
}
