//! The file of a Unix socket: private to its owner, replaces a stale one, removed at the end.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Removes its file when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: a successor may have created its own file there meanwhile.
    identity: (u64, u64),
}

/// Listens at `path`.
pub(super) fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    refuse_if_taken(path)?;
    // Created under another name and renamed, so that no client finds it before it has its mode, and
    // a stale file is replaced in one step.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let listener = UnixListener::bind(&aside)?;
    let moved = move_into_place(&aside, path);
    if moved.is_err() {
        drop(fs::remove_file(&aside));
    }
    let identity = moved?;
    let path = path.to_owned();
    Ok((listener, SocketFile { path, identity }))
}

fn move_into_place(aside: &Path, path: &Path) -> io::Result<(u64, u64)> {
    fs::set_permissions(aside, fs::Permissions::from_mode(0o600))?;
    let identity = identity(aside)?;
    fs::rename(aside, path)?;
    Ok(identity)
}

/// Refuses any file but a socket without a listener.
fn refuse_if_taken(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_socket) if UnixStream::connect(path).is_ok() => Err(io::ErrorKind::AddrInUse.into()),
        Ok(_stale) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_replaces_a_dead_one_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // Leaves its file behind, as after a kill.
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, file) = listen(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            listen(&path).unwrap_err().kind(),
            io::ErrorKind::AddrInUse,
            "a socket in use is kept"
        );
        drop(file);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn other_files_are_never_replaced_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(
            listen(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        fs::remove_file(&path).unwrap();
        let (_listener, file) = listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a successor's").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
