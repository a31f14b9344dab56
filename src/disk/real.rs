//! The real file system, on Unix.

use std::{
    fs, io,
    ops::ControlFlow,
    os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::{FlockOperation, OFlags};
#[cfg(target_os = "linux")]
use rustix::{fd::BorrowedFd, io::ReadWriteFlags};

#[cfg(target_os = "linux")]
use super::SendFile;
use super::{Disk, File, FileLock, FolderEntry, Stat, VolumeSpace};

/// Most bytes of one write. For more, the kernel allocates larger pages, which a virtual machine
/// with free page reporting has returned to its host: getting them back may cost ten times the
/// write.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(fs::File);

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            self.create_folder(parent)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        path.parent()
            .map_or(Ok(()), |parent| self.sync_folder(parent))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        open(path, fs::OpenOptions::new().read(true))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        open(
            path,
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true),
        )
    }

    fn resume(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        open(
            path,
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false),
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        fs::File::open(path)?.sync_all()
    }

    fn visit(
        &self,
        path: &Path,
        show: &mut dyn FnMut(FolderEntry) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let folder = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        for entry in folder {
            let entry = entry?;
            let kind = entry.file_type()?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_folder = kind.is_dir();
            if (is_folder || kind.is_file()) && show(FolderEntry { name, is_folder }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<VolumeSpace> {
        let found = rustix::fs::statvfs(path)?;
        Ok(VolumeSpace {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(FileLock { _file: file })
    }
}

/// Largest operator's file.
const OPERATOR_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads an operator's file, such as a configuration. Links are followed: Kubernetes mounts its
/// files through them.
///
/// # Errors
/// As [`read_bytes`], and `InvalidData` if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path, |_mode| Ok(()))?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads an operator's file that may hold a secret, if `admit` accepts its mode.
///
/// # Errors
/// Those of the system and of `admit`; also for a pipe, and for more than 16 MiB.
pub fn read_bytes(path: &Path, admit: fn(u32) -> io::Result<()>) -> io::Result<Vec<u8>> {
    // Reading a pipe may block forever, and a reload would find it empty.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    if found.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe, not a file"));
    }
    admit(found.mode())?;
    let mut bytes = Vec::new();
    let read = io::Read::read_to_end(
        &mut io::Read::take(file, OPERATOR_BYTES_MAX + 1),
        &mut bytes,
    )?;
    if u64::try_from(read).is_ok_and(|read| read <= OPERATOR_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + u64::try_from(done).unwrap_or(u64::MAX);
            match self.0.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        // Only Linux can tell that a page is not in memory, and not for every file system.
        #[cfg(target_os = "linux")]
        {
            let mut buffers = [io::IoSliceMut::new(buffer)];
            let flags = ReadWriteFlags::NOWAIT;
            let read = rustix::io::preadv2(&self.0, &mut buffers, offset, flags);
            read.ok().filter(|read| *read > 0)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _unknown = (buffer, offset);
            None
        }
    }

    #[cfg(target_os = "linux")]
    fn sendfile(&self) -> Option<&dyn SendFile> {
        Some(self)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for chunk in bytes.chunks(WRITE_BYTES_MAX) {
            self.0.write_all_at(chunk, at)?;
            at += u64::try_from(chunk.len()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn stat(&self) -> io::Result<Stat> {
        let found = self.0.metadata()?;
        let time =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Ok(Stat {
            length: found.len(),
            inode: found.ino(),
            modified_ns: time(found.mtime(), found.mtime_nsec()),
            changed_ns: time(found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Bytes per read that only loads the page cache.
#[cfg(target_os = "linux")]
const LOAD_BYTES: usize = 64 * 1024;

#[cfg(target_os = "linux")]
impl SendFile for RealFile {
    fn is_cached(&self, offset: u64, length: usize) -> bool {
        let last = offset + u64::try_from(length.saturating_sub(1)).unwrap_or_default();
        // Read-ahead loads pages in order, so both ends stand for the rest. Where the file system
        // cannot tell, sending waits for the device.
        [offset, last].into_iter().all(|at| {
            let mut byte = [0];
            let mut buffers = [io::IoSliceMut::new(&mut byte)];
            let read = rustix::io::preadv2(&self.0, &mut buffers, at, ReadWriteFlags::NOWAIT);
            read != Err(rustix::io::Errno::AGAIN)
        })
    }

    fn load(&self, offset: u64, length: usize) -> io::Result<()> {
        let mut unwanted = vec![0; length.min(LOAD_BYTES)];
        let mut done = 0;
        while done < length {
            let at = offset + u64::try_from(done).unwrap_or_default();
            match File::read_at(self, &mut unwanted, at)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(())
    }

    fn send(&self, socket: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(rustix::fs::sendfile(
            socket,
            &self.0,
            Some(&mut offset),
            length,
        )?)
    }
}

fn open(path: &Path, options: &mut fs::OpenOptions) -> io::Result<Arc<dyn File>> {
    let file = options.mode(0o600).custom_flags(no_follow()).open(path);
    let file = file.map_err(link_is_invalid_input)?;
    if file.metadata()?.is_file() {
        Ok(Arc::new(RealFile(file)))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// A link is not a regular file, as a folder is not; callers need one kind for both.
fn link_is_invalid_input(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    } else {
        error
    }
}

/// A link planted in the store is an error, not an escape from it. Opening a FIFO must not hang.
fn no_follow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_in_an_operators_files_place_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        drop(std::thread::spawn(move || tell.send(read_text(&path))));
        let read = told.recv_timeout(std::time::Duration::from_secs(10));
        let refused = read.expect("it waits").unwrap_err();
        assert_eq!(refused.to_string(), "it is a pipe, not a file");
    }
}
