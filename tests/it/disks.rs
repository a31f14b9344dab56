//! A disk that tests can make full or read-only.

use std::{
    io,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use roadstead::internals::disk::{Disk, File, FileLock, FolderEntry, RealDisk, Stat, VolumeSpace};

/// The real disk with a lid on it; clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct LiddedDisk(Arc<Lid>);

#[derive(Debug)]
struct Lid {
    /// Bytes that may still be written.
    room: AtomicU64,
    /// Free bytes that the volume claims to have.
    free: AtomicU64,
    read_only: AtomicBool,
}

#[derive(Debug)]
struct LiddedFile(Arc<dyn File>, Arc<Lid>);

impl LiddedDisk {
    /// As roomy as the real one.
    pub(crate) fn new() -> Self {
        let (room, free) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        let read_only = AtomicBool::new(false);
        Self(Arc::new(Lid {
            room,
            free,
            read_only,
        }))
    }

    /// From now on so many bytes can be written, whatever the volume claims.
    pub(crate) fn room(&self, bytes: u64) {
        self.0.room.store(bytes, Ordering::SeqCst);
    }

    /// From now on the volume claims so many free bytes.
    pub(crate) fn free(&self, bytes: u64) {
        self.0.free.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn forbid_writing(&self) {
        self.0.read_only.store(true, Ordering::SeqCst);
    }

    pub(crate) fn allow_writing(&self) {
        self.0.read_only.store(false, Ordering::SeqCst);
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(LiddedFile(file, Arc::clone(&self.0)))
    }
}

impl Lid {
    fn writable(&self) -> io::Result<()> {
        if self.read_only.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        self.writable()?;
        let bytes = u64::try_from(bytes).unwrap();
        let take = |room: u64| {
            if room == u64::MAX {
                Some(room)
            } else {
                room.checked_sub(bytes)
            }
        };
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken
            .map(drop)
            .map_err(|_room| io::ErrorKind::StorageFull.into())
    }
}

impl Disk for LiddedDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if !path.is_dir() {
            self.0.writable()?;
        }
        RealDisk.create_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.open(path).map(|file| self.file(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.writable()?;
        RealDisk.create(path).map(|file| self.file(file))
    }

    fn resume(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.writable()?;
        RealDisk.resume(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.writable()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.writable()?;
        RealDisk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_folder(path)
    }

    fn visit(
        &self,
        path: &Path,
        show: &mut dyn FnMut(FolderEntry) -> ControlFlow<()>,
    ) -> io::Result<()> {
        RealDisk.visit(path, show)
    }

    fn space(&self, path: &Path) -> io::Result<VolumeSpace> {
        let real = RealDisk.space(path)?;
        let free = real.free.min(self.0.free.load(Ordering::SeqCst));
        Ok(VolumeSpace { free, ..real })
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        RealDisk.lock(path)
    }
}

impl File for LiddedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.take(bytes.len())?;
        self.0.write_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.1.writable()?;
        self.0.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.0.stat()
    }
}
