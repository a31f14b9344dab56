//! Writing a blob: hashed as it is written, readable as it grows, named only when proven.

mod writer;

use std::{io, mem, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{CommitError, KeptBlob, StoreError, state::StoreState};
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
    seat: WriterState,
}

/// Where the writing part is now.
#[derive(Debug)]
enum WriterState {
    Here(Box<BlobWriter>),
    Away(JoinHandle<(Box<BlobWriter>, Result<(), StoreError>)>),
    /// A write failed; what was accepted is not all there.
    Gone,
}

pub(super) async fn begin(
    shelf: &Arc<StoreState>,
    digest: Digest,
    size: Option<u64>,
) -> Result<Partial, StoreError> {
    let ticket = WriteLock::take(shelf, digest).await?;
    let pen = shelf
        .blocking(move |_shelf| BlobWriter::open(ticket, size))
        .await?;
    Ok(Partial {
        shelf: Arc::clone(shelf),
        digest,
        path: pen.path.clone(),
        reader: pen.tide.reader(Arc::clone(&pen.file)),
        accepted: pen.verifier.seen(),
        batch: Vec::new(),
        batch_bytes: 0,
        seat: WriterState::Here(Box::new(pen)),
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
            self.send().await?;
        }
        Ok(())
    }

    /// Writes all that was taken, for readers that would else wait for the next bytes.
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        if !self.batch.is_empty() {
            self.send().await?;
        }
        self.rest().await?;
        Ok(())
    }

    /// Goes back to the first byte; `Seen` if readers may already have one.
    pub async fn restart(&mut self) -> Result<(), StoreError> {
        self.batch.clear();
        self.batch_bytes = 0;
        self.rest().await?;
        if self.reader.level().readable > 0 {
            return Err(StoreError::Seen {
                digest: self.digest,
            });
        }
        self.dispatch(BlobWriter::restart)?;
        self.rest().await?;
        self.accepted = 0;
        Ok(())
    }

    /// Proves the bytes and gives the file its name. Readers get the rest as soon as the bytes are
    /// proven, even if the file cannot be kept. A blob larger than the store is not kept, but the
    /// answer is good for this flight.
    pub async fn commit(mut self) -> Result<KeptBlob, CommitError> {
        self.flush().await?;
        let WriterState::Here(pen) = mem::replace(&mut self.seat, WriterState::Gone) else {
            return Err(self.failed().into());
        };
        let done = self.shelf.blocking(move |_shelf| Ok(pen.commit()));
        done.await?
    }

    /// Waits for what is away, then sends the batch after it.
    async fn send(&mut self) -> Result<(), StoreError> {
        self.rest().await?;
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.dispatch(move |pen| pen.write(&batch))
    }

    fn dispatch(
        &mut self,
        work: impl FnOnce(&mut BlobWriter) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let WriterState::Here(mut pen) = mem::replace(&mut self.seat, WriterState::Gone) else {
            return Err(self.failed());
        };
        self.seat = WriterState::Away(tokio::task::spawn_blocking(move || {
            let done = work(&mut pen);
            if done.is_err() {
                pen.end = FileDisposition::Remove;
            }
            (pen, done)
        }));
        Ok(())
    }

    /// Waits until nothing is away.
    async fn rest(&mut self) -> Result<(), StoreError> {
        if let WriterState::Away(away) = &mut self.seat {
            let done = away.await;
            self.seat = WriterState::Gone;
            let (pen, done) = done.map_err(|error| StoreError::Io {
                path: self.path.clone(),
                source: io::Error::other(error),
            })?;
            if let Err(error) = done {
                drop_in_background(pen);
                return Err(error);
            }
            self.seat = WriterState::Here(pen);
        }
        match self.seat {
            WriterState::Here(_) => Ok(()),
            WriterState::Away(_) | WriterState::Gone => Err(self.failed()),
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
        if let WriterState::Here(pen) = mem::replace(&mut self.seat, WriterState::Gone) {
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
