//! The store from outside, on real files, with a disk that fails on purpose.

mod blobs;
mod faults;
mod origins;
mod restarts;

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::{CommitError, KeptBlob, Settings, Store, StoreError, blob_file, state::Ledger};
use crate::{
    disk::{Disk, File, FileLock, FolderEntry, RealDisk, Stat, VolumeSpace},
    oci::{Algorithm, Digest},
    tasks::Tasks,
    telemetry::Metrics,
    wire::{Body, BodyPart},
};

const MIB: u64 = 1024 * 1024;

/// One store in a folder of its own.
struct Scene {
    folder: Arc<tempfile::TempDir>,
    disk: Arc<Scripted>,
    settings: Settings,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    store: Store,
}

impl Scene {
    async fn new(size_max: u64) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let settings = Settings {
            path: folder.path().join("store"),
            size_max,
            free_min: 0,
            small_bodies_max: MIB,
        };
        Self::open(folder, Arc::default(), settings).await
    }

    async fn open(folder: Arc<tempfile::TempDir>, disk: Arc<Scripted>, settings: Settings) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let tasks = Tasks::new(Arc::clone(&metrics));
        let store = loop {
            let (disk, tasks) = (Arc::clone(&disk), tasks.clone());
            match Store::open(settings.clone(), disk, tasks, Arc::clone(&metrics)).await {
                // Work of the previous store may still run on the blocking pool.
                Err(StoreError::Locked { .. }) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        };
        Self {
            folder,
            disk,
            settings,
            tasks,
            metrics,
            store,
        }
    }

    /// Drops the store without closing it and opens it again; `between` runs while it is down.
    async fn crash(self, between: impl FnOnce(&Path)) -> Self {
        let Self {
            folder,
            disk,
            settings,
            tasks,
            store,
            ..
        } = self;
        drop(store);
        assert!(tasks.wait(Duration::from_secs(10)).await);
        between(&settings.path);
        Self::open(folder, disk, settings).await
    }

    async fn restart(self, between: impl FnOnce(&Path)) -> Self {
        self.store.close().await;
        self.crash(between).await
    }

    async fn caught_up(&self) {
        self.until(|scene| scene.store.state.caught_up.load(Ordering::Acquire))
            .await;
    }

    async fn until(&self, met: impl Fn(&Self) -> bool) {
        let wait = async {
            while !met(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .unwrap();
    }

    async fn put(&self, bytes: &[u8]) -> Digest {
        self.try_put(bytes).await.unwrap();
        digest(bytes)
    }

    async fn try_put(&self, bytes: &[u8]) -> Result<KeptBlob, CommitError> {
        let size = u64::try_from(bytes.len()).unwrap();
        let mut partial = self.store.begin(&digest(bytes), Some(size)).await?;
        let rest = usize::try_from(partial.written()).unwrap();
        for chunk in bytes[rest..].chunks(100_000) {
            partial.write(Bytes::copy_from_slice(chunk)).await?;
        }
        partial.commit().await
    }

    fn ledger(&self) -> Ledger {
        *self.store.state.ledger.lock()
    }

    async fn has(&self, digest: &Digest) -> bool {
        self.store.blob(digest).await.unwrap().is_some()
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.store.state.layout.blob(digest)
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.store.state.layout.partial(digest)
    }

    fn damaged(&self) -> bool {
        !self
            .metrics
            .render()
            .contains("roadstead_store_damaged_total 0")
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Bytes that differ from offset to offset and from seed to seed.
fn noise(seed: u8, length: u64) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let next = |_at| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// All bytes of a kept blob as a client would get them; `None` if the body breaks.
async fn read(kept: KeptBlob) -> Option<Vec<u8>> {
    let body = match kept {
        KeptBlob::Small(bytes) => Body::bytes(bytes),
        KeptBlob::Trusted { file, size } => Body::from_parts(
            [BodyPart::File {
                file,
                offset: 0,
                length: size,
            }]
            .into(),
        ),
        KeptBlob::Unverified { file, size } => Body::from_parts(
            [BodyPart::Growing {
                file,
                offset: 0,
                end: Some(size),
            }]
            .into(),
        ),
    };
    let body = body.collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}

/// The real disk, except that operation number `fail_at` fails, and space and boot id are scripted.
#[derive(Debug, Default)]
struct Scripted {
    done: Arc<AtomicU64>,
    fail_at: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<io::ErrorKind>>>,
    free: Mutex<Option<u64>>,
    boot: Mutex<Option<PathBuf>>,
}

impl Scripted {
    /// Lets the `number`th operation from now fail, counted from one; zero: none.
    fn fail(&self, number: u64, fault: io::ErrorKind) {
        *self.fault.lock() = Some(fault);
        self.done.store(0, Ordering::SeqCst);
        self.fail_at.store(number, Ordering::SeqCst);
    }

    fn step(&self) -> io::Result<()> {
        step(&self.done, &self.fail_at, &self.fault)
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(ScriptedFile {
            file,
            done: Arc::clone(&self.done),
            fail_at: Arc::clone(&self.fail_at),
            fault: Arc::clone(&self.fault),
        })
    }
}

fn step(
    done: &AtomicU64,
    fail_at: &AtomicU64,
    fault: &Mutex<Option<io::ErrorKind>>,
) -> io::Result<()> {
    if done.fetch_add(1, Ordering::SeqCst) + 1 == fail_at.load(Ordering::SeqCst) {
        return Err(fault.lock().unwrap_or(io::ErrorKind::Other).into());
    }
    Ok(())
}

#[derive(Debug)]
struct ScriptedFile {
    file: Arc<dyn File>,
    done: Arc<AtomicU64>,
    fail_at: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<io::ErrorKind>>>,
}

impl ScriptedFile {
    fn step(&self) -> io::Result<()> {
        step(&self.done, &self.fail_at, &self.fault)
    }
}

impl File for ScriptedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.step()?;
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.step() {
            // A failing disk has often written a part.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.step()?;
        self.file.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.step()?;
        self.file.sync()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.step()?;
        self.file.stat()
    }
}

impl Disk for Scripted {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.create_folder(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.step()?;
        let boot = self.boot.lock().clone();
        let path = boot
            .filter(|_| path.ends_with("boot_id"))
            .unwrap_or_else(|| path.to_path_buf());
        Ok(self.wrap(RealDisk.open(&path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.step()?;
        Ok(self.wrap(RealDisk.create(path)?))
    }

    fn resume(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.step()?;
        Ok(self.wrap(RealDisk.resume(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.sync_folder(path)
    }

    fn visit(
        &self,
        path: &Path,
        show: &mut dyn FnMut(FolderEntry) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.step()?;
        RealDisk.visit(path, show)
    }

    fn space(&self, path: &Path) -> io::Result<VolumeSpace> {
        let real = RealDisk.space(path)?;
        let free = self.free.lock().unwrap_or(real.free);
        Ok(VolumeSpace { free, ..real })
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        RealDisk.lock(path)
    }
}
