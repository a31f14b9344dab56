//! Expands an operator's path, folder or glob to files.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Most files that one path may expand to.
const FILES_MAX: usize = 1_000;
/// Most names that one expansion examines.
const NAMES_MAX: usize = 10_000;
/// Deepest folder below the named one. It also ends a cycle of links.
const DEPTH_MAX: usize = 16;

/// Returns the files, sorted by path.
///
/// A folder expands to all files in and below it except for names that start with a dot, under
/// which Kubernetes keeps the versions of a mounted volume. `*` and `?` match within one element of
/// the path. Links are followed.
///
/// `look` is called with each path that decides the result, before it is read: as long as none of
/// them changes, neither does the result.
///
/// # Errors
/// Those of the system; `NotFound` if no file matches.
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
        return Err(io::Error::new(io::ErrorKind::NotFound, "no such file"));
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
    /// The paths that match a pattern; without a wildcard the pattern itself, whether it exists or
    /// not.
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
                // A name may exist in some of the folders only; creating it changes the result.
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
                let deep = io::Error::other("folders are nested too deeply, or a link leads back");
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
                let many = format!("more than {FILES_MAX} files");
                return Err(io::Error::other(many));
            }
        }
        Ok(())
    }

    /// The names in a folder, sorted; none if the folder does not exist.
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
                let many = format!("more than {NAMES_MAX} names to examine");
                return Err(io::Error::other(many));
            }
            // Names that are not UTF-8 are skipped: no configuration file has one.
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

/// Adds the path to an error, unless it is the named one.
fn at(path: &Path, depth: usize, error: io::Error) -> io::Error {
    if depth == 0 {
        return error;
    }
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a name matches an element with wildcards. As in a shell, a leading dot has to be
/// written.
fn fits(wild: &str, name: &str) -> bool {
    if name.starts_with('.') && !wild.starts_with('.') {
        return false;
    }
    let (wild, name): (Vec<_>, Vec<_>) = (wild.chars().collect(), name.chars().collect());
    // The prefixes of the name that the pattern so far matches, by length.
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

    /// A folder with these files, given as paths; a link is `name -> target`.
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

    /// The files found and the paths looked at, relative to the folder.
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
