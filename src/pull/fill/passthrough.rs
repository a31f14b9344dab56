//! Passthrough: how a blob is still served when the store fails, for the disk is an optimisation.
//!
//! Each reader then gets a fetch of its own. It hashes the bytes in the file, which this reader may
//! have received, and continues from there; the tail is held back until the whole is verified.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::job::FillJob;
use crate::{
    oci::{Digest, Verifier},
    pull::resolve::request_context,
    store::StoreError,
    tasks::Tasks,
    telemetry::Metrics,
    upstream::{BlobStream, UpstreamError},
    wire::{
        FallbackFuture, FileProgress, GrowingFile, HELD_BACK_BYTES, Pipe, ReaderFallback, Watermark,
    },
};

/// Most consecutive failures without a new byte, over all sources.
const ATTEMPTS_WITHOUT_PROGRESS_MAX: u32 = 3;
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the file that are read and hashed at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The fallback of one fill's readers if its disk fails.
#[derive(Debug)]
pub(super) struct Passthrough {
    job: FillJob,
    /// True once the disk has failed; closed without that, the fill ended for another reason.
    disk_failed: watch::Receiver<bool>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

/// Whether the disk failed in this fill, and the way past it.
#[derive(Debug)]
pub(super) struct FillDisk {
    has_failed: watch::Sender<bool>,
    /// The fallback of each reader.
    pub(super) passthrough: Arc<Passthrough>,
}

impl FillDisk {
    pub(super) fn new(job: &FillJob, tasks: Tasks, metrics: Arc<Metrics>) -> Self {
        let (has_failed, disk_failed) = watch::channel(false);
        let passthrough = Arc::new(Passthrough {
            job: job.clone(),
            disk_failed,
            tasks,
            metrics,
        });
        Self {
            has_failed,
            passthrough,
        }
    }

    pub(super) fn set_failed(&self, digest: &Digest, error: &StoreError) {
        tracing::error!(%digest, %error, "cannot store a blob; passing it through");
        self.has_failed.send_replace(true);
    }

    pub(super) fn has_failed(&self) -> bool {
        *self.has_failed.borrow()
    }
}

/// One reader's own fetch.
struct PassthroughFetch {
    passthrough: Arc<Passthrough>,
    verifier: Verifier,
    /// The first byte that the reader wants.
    from: u64,
    pipe: Arc<Pipe>,
    progress: FileProgress,
}

impl ReaderFallback for Passthrough {
    fn take_over(self: Arc<Self>, broken: GrowingFile, offset: u64) -> FallbackFuture {
        Box::pin(async move {
            let mut failed = self.disk_failed.clone();
            // An error: the fill ended for another reason than its disk.
            failed.wait_for(|failed| *failed).await.ok()?;
            let verifier = hash_existing(self.job.digest, broken).await?;
            let pipe = Arc::new(Pipe::new(offset));
            let progress = FileProgress::new();
            let growing = progress.pipe_reader(&pipe);
            let fetch = PassthroughFetch {
                passthrough: Arc::clone(&self),
                verifier,
                from: offset,
                pipe,
                progress,
            };
            self.metrics.bypassed();
            drop(self.tasks.spawn("blob passthrough", fetch.run()));
            Some(growing)
        })
    }
}

/// The hash of a broken file's readable bytes; none if they cannot be read.
async fn hash_existing(digest: Digest, broken: GrowingFile) -> Option<Verifier> {
    let work = move || {
        let Watermark { readable, .. } = broken.watermark();
        let mut verifier = Verifier::new(digest);
        let mut buffer = vec![0; CHUNK_BYTES];
        while verifier.seen() < readable {
            let left = usize::try_from(readable - verifier.seen()).unwrap_or(CHUNK_BYTES);
            let part = buffer.get_mut(..left.min(CHUNK_BYTES))?;
            let read = broken.file().read_at(part, verifier.seen()).ok()?;
            verifier.update(part.get(..read).filter(|read| !read.is_empty())?);
        }
        Some(verifier)
    };
    tokio::task::spawn_blocking(work).await.ok()?
}

impl PassthroughFetch {
    /// Ends with the blob, with its reader, or with the last allowed attempt. `progress`, dropped
    /// before the blob is verified, breaks the reader's body.
    async fn run(mut self) {
        let mut without_progress = 0;
        let passthrough = Arc::clone(&self.passthrough);
        let FillJob {
            digest,
            sources,
            via,
            head_max,
            generation: _,
        } = &passthrough.job;
        for (candidate, source) in sources.iter().cycle() {
            let before = self.verifier.seen();
            let context = request_context(candidate, via, Instant::now() + *head_max);
            let fetched = match source.upstream.blob(&context, digest, before).await {
                Ok(stream) => self.forward(stream).await,
                Err(error) => Err(error),
            };
            let Err(error) = fetched else {
                return self.verify();
            };
            tracing::debug!(upstream = %candidate.upstream, %error, "blob passthrough: attempt failed");
            without_progress = if self.verifier.seen() > before {
                0
            } else {
                without_progress + 1
            };
            if without_progress >= ATTEMPTS_WITHOUT_PROGRESS_MAX {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Forwards one answer's bytes.
    async fn forward(&mut self, mut stream: BlobStream) -> Result<(), UpstreamError> {
        let mut skip = self.verifier.seen().saturating_sub(stream.start());
        while let Some(mut chunk) = stream.next().await? {
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let known = skip.min(length);
            skip -= known;
            drop(chunk.split_to(usize::try_from(known).unwrap_or_default()));
            let unwanted = self.from.saturating_sub(self.verifier.seen());
            self.verifier.update(&chunk);
            let unwanted = usize::try_from(unwanted).unwrap_or(usize::MAX);
            let wanted = chunk.split_off(unwanted.min(chunk.len()));
            if !wanted.is_empty() {
                let push = pin!(self.pipe.push(wanted));
                let readers_gone = pin!(self.progress.readers_gone());
                if let Either::Right(_) = select(push, readers_gone).await {
                    // The reader has gone: done.
                    return Ok(());
                }
            }
            let readable = self.verifier.seen().saturating_sub(HELD_BACK_BYTES);
            self.progress.advance(readable);
        }
        Ok(())
    }

    fn verify(self) {
        match self.verifier.finish() {
            Ok(proof) => self.progress.finish(proof.size()),
            Err(error) => tracing::debug!(%error, "blob passthrough failed"),
        }
    }
}
