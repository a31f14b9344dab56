//! Tells whether an operator's file changed since it was read.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The file that a path led to at one moment. Equal fingerprints mean that the file has not
/// changed, as far as can be told without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Option<ResolvedFile>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ResolvedFile {
    /// The path without links. Kubernetes replaces a whole folder by redirecting a link.
    target: PathBuf,
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same for the inode: a corrected mode is a change too.
    changed: (i64, i64),
}

/// Takes the fingerprint of a path, through all links, without reading the file. A missing file has
/// one too, so that its creation is noticed.
pub fn fingerprint(path: &Path) -> Fingerprint {
    let found = || {
        let target = fs::canonicalize(path)?;
        let stat = fs::metadata(&target)?;
        Ok::<_, std::io::Error>(ResolvedFile {
            target,
            device: stat.dev(),
            inode: stat.ino(),
            length: stat.len(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        })
    };
    Fingerprint(found().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_sees_content_replacement_mode_links_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), "same").unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        let path = at("file");
        let mut known = vec![fingerprint(&path)];
        assert_eq!(known[0], fingerprint(&path));
        let mut is_new = |what: &str| {
            let now = fingerprint(&path);
            assert!(!known.contains(&now), "{what}: {now:?}");
            known.push(now);
        };
        symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        is_new("the folder behind the link was exchanged");
        fs::write(&path, "longer").unwrap();
        is_new("the content changed");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        is_new("the mode changed");
        fs::remove_file(at("..2").join("file")).unwrap();
        is_new("the file is gone");
        assert_eq!(fingerprint(&path), fingerprint(&at("never was")));
    }
}
