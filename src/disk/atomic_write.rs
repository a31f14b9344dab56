//! Writes the operator's files atomically.

use std::{
    ffi::OsString,
    fs, io,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Who may read the written file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadableBy {
    /// Its owner only.
    Owner,
    /// Everyone, as far as the process's umask admits.
    Everyone,
}

/// The content of a path, compared with an expected text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingFile {
    /// No file.
    Absent,
    /// The same text.
    Same,
    /// Another text, or not a regular file.
    Other,
}

/// Compares a file with a text.
///
/// # Errors
/// Those of the system.
pub fn existing_file(path: &Path, text: &str) -> io::Result<ExistingFile> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ExistingFile::Absent),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(ExistingFile::Other),
        Ok(_) => {}
    }
    let mut there = Vec::new();
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    fs::File::open(path)?
        .take(length.saturating_add(1))
        .read_to_end(&mut there)?;
    Ok(if there == text.as_bytes() {
        ExistingFile::Same
    } else {
        ExistingFile::Other
    })
}

/// Writes a file and creates its folders. A concurrent reader sees the old text or the new one; a
/// link in its place is replaced, not followed.
///
/// # Errors
/// Those of the system; the old file is then unchanged.
pub fn atomic_write(path: &Path, text: &str, readable_by: ReadableBy) -> io::Result<()> {
    let (folder_mode, mode) = match readable_by {
        ReadableBy::Owner => (0o700, 0o600),
        ReadableBy::Everyone => (0o777, 0o666),
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(folder_mode)
        .create(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut beside = OsString::from(format!(".{}-", std::process::id()));
    beside.push(name);
    let beside = folder.join(beside);
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _gone = fs::remove_file(&beside).is_ok();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_put_is_whole_private_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        assert_eq!(existing_file(&path, "one").unwrap(), ExistingFile::Absent);
        atomic_write(&path, "one", ReadableBy::Owner).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(existing_file(&path, "one").unwrap(), ExistingFile::Same);
        for other in ["", "on", "one more"] {
            assert_eq!(
                existing_file(&path, other).unwrap(),
                ExistingFile::Other,
                "{other}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        atomic_write(&path, "two", ReadableBy::Owner).unwrap();
        assert_eq!(
            (mode(&path), fs::read_to_string(&path).unwrap().as_str()),
            (0o600, "two")
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_a_folder_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("file"));
        fs::write(&target, "far").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert_eq!(existing_file(&path, "far").unwrap(), ExistingFile::Other);
        atomic_write(&path, "near", ReadableBy::Everyone).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "far");
        let inner = folder.path().join("folder");
        fs::create_dir(&inner).unwrap();
        assert_eq!(existing_file(&inner, "").unwrap(), ExistingFile::Other);
        atomic_write(&inner, "", ReadableBy::Everyone).unwrap_err();
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            3,
            "nothing is left over"
        );
    }
}
