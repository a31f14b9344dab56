//! Files: the one room that touches them.
//!
//! Promises: what is opened is a regular file of ours (links are not followed, modes are private),
//! and what is synced survives a power cut. Called by `store` and `wire`, which are handed a
//! [`Disk`] and so can be handed one that fails on purpose, and by the command line for the
//! operator's files. Never knows what a file means.
//!
//! Every call blocks, and callers run them on the blocking pool, but for those that say that they
//! do not wait for a device: [`File::read_near`], [`SendFile::is_near`] and [`SendFile::send`].

mod atomic_write;
mod fingerprint;
mod gather;
mod real;

use std::{fmt::Debug, io, ops::ControlFlow, os::fd::BorrowedFd, path::Path, sync::Arc};

pub use atomic_write::{ExistingFile, ReadableBy, atomic_write, existing_file};
pub use fingerprint::{Fingerprint, fingerprint};
pub use gather::gather;
pub use real::{RealDisk, read_bytes, read_text};

/// The file system as this house uses it.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder and its missing parents, mode 0700, and syncs what it changed.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a regular file for reading. Here as elsewhere, a link or anything else that is no
    /// regular file is `InvalidInput`.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Makes a file for writing, mode 0600; fails with `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing where another stopped; makes it if it is missing.
    fn resume(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name on the same volume, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; one that is already gone is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes renames and removals in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Shows what lies in a folder, in no order, until told to stop; an absent folder is empty.
    fn visit(
        &self,
        path: &Path,
        show: &mut dyn FnMut(FolderEntry) -> ControlFlow<()>,
    ) -> io::Result<()>;

    /// All that lies in a folder.
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

    /// Takes the exclusive lock at `path` for as long as the answer lives. It is a kernel lock, so
    /// a killed holder leaves none behind. `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<FileLock>;
}

/// An open file. Positions are always given, so readers and the writer share one handle.
pub trait File: Debug + Send + Sync {
    /// Reads into `buffer` from `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads at `offset` what needs no waiting for a device; none if nothing is so near, or nobody
    /// can tell. It may be called anywhere.
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> Option<usize> {
        None
    }

    /// The way from here straight to a socket, if the system has one for this file.
    fn sendfile(&self) -> Option<&dyn SendFile> {
        None
    }

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// What the file system knows of it now.
    fn stat(&self) -> io::Result<Stat>;
}

/// A file whose bytes the kernel can send without bringing them here.
pub trait SendFile {
    /// Whether this stretch can be sent without waiting for a device, as far as can be told.
    fn is_cached(&self, offset: u64, length: usize) -> bool;

    /// Waits until the device has brought this stretch.
    fn load(&self, offset: u64, length: usize) -> io::Result<()>;

    /// Sends at most `length` bytes; how many there went, zero only at the end of the file.
    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<usize>;
}

/// What identifies a file's content without reading it.
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

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name; entries whose name is no UTF-8 are not ours and not listed.
    pub name: String,
    /// Whether it is a folder. Anything that is neither folder nor regular file is not listed.
    pub is_folder: bool,
}

/// Space on a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpace {
    /// What a process without privileges may still use.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct FileLock {
    /// Closing the file releases it.
    _file: std::fs::File,
}

/// Reads a whole small file; longer than `bytes_max` is `FileTooLarge`.
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
