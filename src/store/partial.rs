//! Writing a blob: hashed as it is written, readable as it grows, named only when proven.

mod writer;

use std::{io, mem, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{
    error::{CommitError, StoreError},
    records::KeptBlob,
    state::StoreState,
};
use crate::{oci::Digest, wire::GrowingFile};
use writer::{BlobWriter, FileDisposition};

pub(super) use writer::WriteLock;

/// How much is gathered before it goes to the blocking pool; as much again may be on its way.
const BATCH_BYTES: usize = 256 * 1024;

/// A blob that is being written. Dropped before [`Partial::commit`], it breaks its readers, and
/// the file stays for a later resume if it holds more than 1 MiB.
#[derive(Debug)]
pub struct Partial {
    shelf: Arc<StoreState>,
    digest: Digest,
    path: PathBuf,
    reader: GrowingFile,
    accepted: u64,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    writer: WriterState,
}

/// Where the writing part is now.
#[derive(Debug)]
enum WriterState {
    Idle(Box<BlobWriter>),
    Writing(JoinHandle<(Box<BlobWriter>, Result<(), StoreError>)>),
    /// A write failed; what was accepted is not all there.
    Failed,
}

pub(super) async fn begin(
    shelf: &Arc<StoreState>,
    digest: Digest,
    size: Option<u64>,
) -> Result<Partial, StoreError> {
    let ticket = WriteLock::acquire(shelf, digest).await?;
    let pen = shelf
        .blocking(move |_shelf| BlobWriter::open(ticket, size))
        .await?;
    Ok(Partial {
        shelf: Arc::clone(shelf),
        digest,
        path: pen.path.clone(),
        reader: pen.progress.reader(Arc::clone(&pen.file)),
        accepted: pen.verifier.seen(),
        batch: Vec::new(),
        batch_bytes: 0,
        writer: WriterState::Idle(Box::new(pen)),
    })
}

impl Partial {
    /// The blob's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has; the next one to fetch.
    pub fn written(&self) -> u64 {
        self.accepted
    }

    /// A reader of what is written; it stays good after the commit.
    pub fn reader(&self) -> GrowingFile {
        self.reader.clone()
    }

    /// Takes the next bytes. They are gathered, and written beside the caller's next reads; a
    /// failure may therefore show one call later.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.accepted += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.batch_bytes += chunk.len();
        self.batch.push(chunk);
        if self.batch_bytes >= BATCH_BYTES {
            self.write_batch().await?;
        }
        Ok(())
    }

    /// Writes all that was taken, for readers that would else wait for the next bytes.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if !self.batch.is_empty() {
            self.write_batch().await?;
        }
        self.wait_idle().await?;
        Ok(())
    }

    /// Proves the bytes and gives the file its name. Readers get the rest as soon as the bytes are
    /// proven, even if the file cannot be kept. A blob larger than the store is not kept, but the
    /// answer is good for this flight.
    pub async fn commit(mut self) -> Result<KeptBlob, CommitError> {
        self.flush().await?;
        let WriterState::Idle(pen) = mem::replace(&mut self.writer, WriterState::Failed) else {
            return Err(self.failed().into());
        };
        let done = self.shelf.blocking(move |_shelf| Ok(pen.commit()));
        done.await?
    }

    /// Waits for what is away, then sends the batch after it.
    async fn write_batch(&mut self) -> Result<(), StoreError> {
        self.wait_idle().await?;
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.dispatch(move |pen| pen.write(&batch))
    }

    fn dispatch(
        &mut self,
        work: impl FnOnce(&mut BlobWriter) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let WriterState::Idle(mut pen) = mem::replace(&mut self.writer, WriterState::Failed) else {
            return Err(self.failed());
        };
        self.writer = WriterState::Writing(tokio::task::spawn_blocking(move || {
            let done = work(&mut pen);
            if done.is_err() {
                pen.disposition = FileDisposition::Remove;
            }
            (pen, done)
        }));
        Ok(())
    }

    /// Waits until nothing is away.
    async fn wait_idle(&mut self) -> Result<(), StoreError> {
        if let WriterState::Writing(away) = &mut self.writer {
            let done = away.await;
            self.writer = WriterState::Failed;
            let (pen, done) = done.map_err(|error| StoreError::Io {
                path: self.path.clone(),
                source: io::Error::other(error),
            })?;
            if let Err(error) = done {
                drop_in_background(pen);
                return Err(error);
            }
            self.writer = WriterState::Idle(pen);
        }
        match self.writer {
            WriterState::Idle(_) => Ok(()),
            WriterState::Writing(_) | WriterState::Failed => Err(self.failed()),
        }
    }

    fn failed(&self) -> StoreError {
        StoreError::Io {
            path: self.path.clone(),
            source: io::Error::other("an earlier write failed"),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // A pen that is away is dropped where it is, when it is done.
        if let WriterState::Idle(pen) = mem::replace(&mut self.writer, WriterState::Failed) {
            drop_in_background(pen);
        }
    }
}

/// Drops a pen, which may remove a file, where blocking is allowed.
fn drop_in_background(pen: Box<BlobWriter>) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(pen))),
        Err(_no_runtime) => drop(pen),
    }
}
