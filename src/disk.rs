//! Files: the only room that calls the file system.
//!
//! Promises: only regular files are opened (links are not followed, modes are private), and synced
//! content survives a power cut. Called by `store` and `wire` through a [`Disk`], which tests
//! replace by one that fails on purpose, and by the command line for the operator's files. Never
//! knows what a file means.
//!
//! Every call blocks, and callers run it on the blocking pool, except for those that do not wait
//! for a device: [`File::read_cached`], [`SendFile::is_cached`] and [`SendFile::send`].

mod atomic_write;
mod fingerprint;
mod gather;
mod real;

use std::{fmt::Debug, io, ops::ControlFlow, os::fd::BorrowedFd, path::Path, sync::Arc};

pub use atomic_write::{ExistingFile, ReadableBy, atomic_write, existing_file};
pub use fingerprint::{Fingerprint, fingerprint};
pub use gather::gather;
pub use real::{RealDisk, read_bytes, read_text};

/// The file system operations that the crate uses.
pub trait Disk: Debug + Send + Sync {
    /// Creates a folder and its missing parents, mode 0700, and syncs the folders that it changed.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a regular file for reading. Here as elsewhere, a link or anything else but a regular
    /// file is `InvalidInput`.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Creates a file for writing, mode 0600; fails with `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing, with its content; creates it if it is missing.
    fn resume(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file on the same volume; replaces an existing file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; succeeds if it does not exist.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes renames and removals in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Passes the entries of a folder to `show`, unordered, until it breaks; a missing folder is
    /// empty.
    fn visit(
        &self,
        path: &Path,
        show: &mut dyn FnMut(FolderEntry) -> ControlFlow<()>,
    ) -> io::Result<()>;

    /// All entries of a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<FolderEntry>> {
        let mut entries = Vec::new();
        self.visit(path, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    /// Space on the volume that holds `path`.
    fn space(&self, path: &Path) -> io::Result<VolumeSpace>;

    /// Takes the exclusive lock at `path` until the returned value is dropped. It is a kernel lock,
    /// so it ends with a killed process. `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<FileLock>;
}

/// An open file. Every call takes an offset, so readers and the writer share one handle.
pub trait File: Debug + Send + Sync {
    /// Reads into `buffer` from `offset`; reads less than its length only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads at `offset` what is in the page cache; `None` if nothing is, or the system cannot
    /// tell. Never waits for a device, so it may be called anywhere.
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> Option<usize> {
        None
    }

    /// The file as the kernel can send it to a socket, if the system supports that for this file.
    fn sendfile(&self) -> Option<&dyn SendFile> {
        None
    }

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Truncates or extends the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Its current metadata.
    fn stat(&self) -> io::Result<Stat>;
}

/// A file that the kernel can send without copying its bytes to the process.
pub trait SendFile {
    /// Whether this range is in the page cache, as far as the system can tell.
    fn is_cached(&self, offset: u64, length: usize) -> bool;

    /// Loads this range into the page cache.
    fn load(&self, offset: u64, length: usize) -> io::Result<()>;

    /// Sends at most `length` bytes; returns how many, zero only at the end of the file.
    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<usize>;
}

/// Metadata that identifies a file's content without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub length: u64,
    /// Inode number.
    pub inode: u64,
    /// Time of the last change of content, nanoseconds since 1970.
    pub modified_ns: i128,
    /// Time of the last change of the inode, nanoseconds since 1970.
    pub changed_ns: i128,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name; entries whose name is not UTF-8 are not listed.
    pub name: String,
    /// Whether it is a folder. Anything but folders and regular files is not listed.
    pub is_folder: bool,
}

/// Space on a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpace {
    /// Available to a process without privileges.
    pub free: u64,
    /// Total.
    pub total: u64,
}

/// A lock, held until this is dropped.
#[derive(Debug)]
pub struct FileLock {
    /// Closing the file releases it.
    _file: std::fs::File,
}

/// Reads a whole small file; one longer than `bytes_max` is `FileTooLarge`.
pub fn read_whole(disk: &dyn Disk, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = usize::try_from(file.stat()?.length).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
