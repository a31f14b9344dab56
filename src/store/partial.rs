//! Writes a blob: hashed as it is written, readable as it grows, named only once verified.

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

/// Bytes buffered before they go to the blocking pool; as many again may be in flight.
const BATCH_BYTES: usize = 256 * 1024;

/// A blob being written. Dropped before [`Partial::commit`], it breaks its readers; the file is
/// kept for a later resume if it holds more than 1 MiB.
#[derive(Debug)]
pub struct Partial {
    state: Arc<StoreState>,
    digest: Digest,
    path: PathBuf,
    reader: GrowingFile,
    accepted: u64,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    writer: WriterState,
}

/// Where the writer is now.
#[derive(Debug)]
enum WriterState {
    Idle(Box<BlobWriter>),
    Writing(JoinHandle<(Box<BlobWriter>, Result<(), StoreError>)>),
    /// A write failed; not all accepted bytes are in the file.
    Failed,
}

pub(super) async fn begin(
    state: &Arc<StoreState>,
    digest: Digest,
    size: Option<u64>,
) -> Result<Partial, StoreError> {
    let lock = WriteLock::acquire(state, digest).await?;
    let writer = state
        .blocking(move |_state| BlobWriter::open(lock, size))
        .await?;
    Ok(Partial {
        state: Arc::clone(state),
        digest,
        path: writer.path.clone(),
        reader: writer.progress.reader(Arc::clone(&writer.file)),
        accepted: writer.verifier.seen(),
        batch: Vec::new(),
        batch_bytes: 0,
        writer: WriterState::Idle(Box::new(writer)),
    })
}

impl Partial {
    /// The blob's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The number of bytes it has, which is the offset of the next one to fetch.
    pub fn written(&self) -> u64 {
        self.accepted
    }

    /// A reader of the written bytes; it remains valid after the commit.
    pub fn reader(&self) -> GrowingFile {
        self.reader.clone()
    }

    /// Takes the next bytes. They are buffered and written while the caller reads on, so an error
    /// may be reported one call later.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.accepted += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.batch_bytes += chunk.len();
        self.batch.push(chunk);
        if self.batch_bytes >= BATCH_BYTES {
            self.write_batch().await?;
        }
        Ok(())
    }

    /// Writes all buffered bytes, for readers that would otherwise wait for the next ones.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if !self.batch.is_empty() {
            self.write_batch().await?;
        }
        self.wait_idle().await?;
        Ok(())
    }

    /// Verifies the bytes and gives the file its name. Readers get the rest as soon as the bytes
    /// are verified, even if the file cannot be kept. A blob larger than the store is not kept, but
    /// the returned one remains readable.
    pub async fn commit(mut self) -> Result<KeptBlob, CommitError> {
        self.flush().await?;
        let WriterState::Idle(writer) = mem::replace(&mut self.writer, WriterState::Failed) else {
            return Err(self.failed().into());
        };
        let done = self.state.blocking(move |_state| Ok(writer.commit()));
        done.await?
    }

    /// Waits for the running write, then starts the next batch.
    async fn write_batch(&mut self) -> Result<(), StoreError> {
        self.wait_idle().await?;
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.dispatch(move |writer| writer.write(&batch))
    }

    fn dispatch(
        &mut self,
        work: impl FnOnce(&mut BlobWriter) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let WriterState::Idle(mut writer) = mem::replace(&mut self.writer, WriterState::Failed)
        else {
            return Err(self.failed());
        };
        self.writer = WriterState::Writing(tokio::task::spawn_blocking(move || {
            let done = work(&mut writer);
            if done.is_err() {
                writer.disposition = FileDisposition::Remove;
            }
            (writer, done)
        }));
        Ok(())
    }

    /// Waits for the running write.
    async fn wait_idle(&mut self) -> Result<(), StoreError> {
        if let WriterState::Writing(write) = &mut self.writer {
            let done = write.await;
            self.writer = WriterState::Failed;
            let (writer, done) = done.map_err(|error| StoreError::Io {
                path: self.path.clone(),
                source: io::Error::other(error),
            })?;
            if let Err(error) = done {
                drop_in_background(writer);
                return Err(error);
            }
            self.writer = WriterState::Idle(writer);
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
        // A running write drops the writer on the blocking pool when it ends.
        if let WriterState::Idle(writer) = mem::replace(&mut self.writer, WriterState::Failed) {
            drop_in_background(writer);
        }
    }
}

/// Drops a writer on the blocking pool, as it may remove a file.
fn drop_in_background(writer: Box<BlobWriter>) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(writer))),
        Err(_no_runtime) => drop(writer),
    }
}
