//! One fill at work: round the sources, from where the bytes stopped, until they are proven.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    job::{FillJob, ReadableBlob, VERIFIED_FIRST_MAX},
    passthrough::FillDisk,
};
use crate::{
    oci::{Digest, Origin, Verified},
    pull::{
        BlobBody, ContentKey, NegativeCache, PullError,
        failure_tally::{FailureKind, FailureTally},
        resolve::{FetchSource, request_context},
    },
    route::Candidate,
    store::{CommitError, KeptBlob, Partial, Store, StoreError},
    telemetry::Metrics,
    upstream::{BlobStream, ProtocolViolation, UpstreamError},
    wire::GrowingFile,
};

/// Most failures in a row without a single new byte, over all sources.
const ATTEMPTS_WITHOUT_PROGRESS_MAX: u32 = 6;
/// Pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A fill at work.
pub(super) struct FillWorker {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    /// What the sources said that failed.
    pub(super) failures: FailureTally,
    pub(super) absences: NegativeCache,
    /// What those who wait are told; silent until bytes may be read.
    pub(super) result: watch::Sender<Option<Result<ReadableBlob, PullError>>>,
    /// A source gave another part than it was asked for: no more ranges, what is known is skipped.
    pub(super) distrusts_ranges: bool,
    pub(super) job: FillJob,
    pub(super) disk: FillDisk,
}

/// What one try at one source came to.
pub(super) enum AttemptOutcome {
    /// All bytes are kept, or on their way past a disk that failed.
    Done,
    /// It does not have the blob, or must not be asked again.
    Exhausted,
    /// It refused us, and those behind it must not be asked either.
    Refused,
    /// It may be tried again from where it stopped; the flag says whether bytes came.
    Interrupted {
        /// At least one new byte.
        progress: bool,
    },
    /// Its bytes were wrong.
    Corrupt,
}

/// Why the round ends or goes on: failures in a row, and wrong bytes.
#[derive(Debug, Default)]
struct RetryBudget {
    without_progress: u32,
    corrupt: u32,
}

impl FillWorker {
    /// Tells those who wait how it went.
    pub(super) async fn run(mut self) {
        let began = Instant::now();
        self.metrics.fill_began();
        let outcome = self.fetch().await;
        self.metrics.fill_ended(began.elapsed());
        if let Err(error) = outcome {
            tracing::warn!(digest = %self.job.digest, %error, "a blob was not fetched");
            if self.is_unread() {
                self.result.send_replace(Some(Err(error)));
            }
        }
    }

    /// Whether nobody was told of any bytes yet.
    pub(super) fn is_unread(&self) -> bool {
        self.result.borrow().is_none()
    }

    /// Goes round the sources until one has delivered, all are exhausted, or too many tries in a
    /// row brought nothing.
    async fn fetch(&mut self) -> Result<(), PullError> {
        let digest = self.job.digest;
        if self.is_stored_already(&digest).await {
            return Ok(());
        }
        let sources = std::mem::take(&mut self.job.sources);
        let mut sources: Vec<_> = sources.into_iter().enumerate().collect();
        // What a killed process left is finished, not fetched again.
        let resumed = self.store.resume(&digest, None).await;
        let mut partial = resumed.unwrap_or_else(|error| {
            self.disk.set_failed(&digest, &error);
            None
        });
        let mut patience = RetryBudget::default();
        while let Some((rank, source)) = sources.first() {
            let rank = *rank;
            match self.attempt(source, &mut partial).await? {
                AttemptOutcome::Done => return Ok(()),
                AttemptOutcome::Exhausted => drop(sources.remove(0)),
                AttemptOutcome::Refused => sources.retain(|(other, _)| *other < rank),
                AttemptOutcome::Interrupted { progress } => {
                    patience.without_progress = if progress {
                        0
                    } else {
                        patience.without_progress + 1
                    };
                    sources.rotate_left(1);
                }
                AttemptOutcome::Corrupt => {
                    patience.corrupt += 1;
                    // Whoever reads already has wrong bytes; only unseen ones can be replaced.
                    if patience.corrupt > 1 || !self.is_unread() {
                        return Err(PullError::Corrupt(digest));
                    }
                    sources.rotate_left(1);
                }
            }
            if !patience.allows_another().await {
                break;
            }
        }
        Err(std::mem::take(&mut self.failures).verdict())
    }

    /// Whether another fill kept the blob between this one's look into the store and its start.
    async fn is_stored_already(&self, digest: &Digest) -> bool {
        let Ok(Some(kept)) = self.store.blob(digest).await else {
            return false;
        };
        let confirmed_by = self.store.confirmed_by(digest).await.unwrap_or_default();
        let Some(origin) = confirmed_by.into_iter().next() else {
            return false;
        };
        let body = BlobBody::Kept(kept);
        self.result
            .send_replace(Some(Ok(ReadableBlob { body, origin })));
        true
    }

    /// One request to one source, from where the file stands to where the bytes stop.
    async fn attempt(
        &mut self,
        (candidate, asked): &(Candidate, FetchSource),
        partial: &mut Option<Partial>,
    ) -> Result<AttemptOutcome, PullError> {
        let digest = self.job.digest;
        let told = self.store.referenced_size(&digest, &asked.origin).await;
        let ask = request_context(candidate, &self.job.via, Instant::now() + self.job.head_max);
        let offset = partial.as_ref().map_or(0, Partial::written);
        if let Some(whole) = partial.take_if(|_| offset > 0 && told == Some(offset)) {
            // The process was killed between the last byte and the commit. The source still has to
            // say that it has the blob: these bytes may be somebody else's.
            return match asked.upstream.blob_head(&ask, &digest).await {
                Ok(_size) => Ok(self.commit(whole, &asked.origin).await),
                Err(error) => Ok(self.record_failure(error, asked)),
            };
        }
        let from = if self.distrusts_ranges { 0 } else { offset };
        let stream = match asked.upstream.blob(&ask, &digest, from).await {
            Ok(stream) => stream,
            Err(error) if from > 0 && is_wrong_range(&error) => {
                self.failures
                    .note(FailureKind::ProtocolViolation, &Arc::new(error));
                self.distrusts_ranges = true;
                if self.is_unread() {
                    // What was left over may not be the beginning of what is there.
                    *partial = None;
                    self.store.discard_partial(&digest).await?;
                }
                return Ok(AttemptOutcome::Interrupted { progress: false });
            }
            Err(error) => return Ok(self.record_failure(error, asked)),
        };
        if let Some((told, size)) = told.zip(stream.size()).filter(|(told, size)| told != size) {
            return Ok(self.record_failure(wrong_length(asked, told, size), asked));
        }
        let size = stream.size().or(told);
        Ok(self.receive(stream, size, asked, partial).await)
    }

    /// Writes an answer's bytes to the file, which is made if there is none; without a disk they
    /// are passed on.
    async fn receive(
        &mut self,
        mut stream: BlobStream,
        size: Option<u64>,
        asked: &FetchSource,
        partial: &mut Option<Partial>,
    ) -> AttemptOutcome {
        let digest = self.job.digest;
        let origin = &asked.origin;
        let mut file = match partial.take() {
            Some(file) => file,
            None if self.disk.has_failed() => {
                return self.pass_through(stream, size, origin.clone()).await;
            }
            None => match self.store.begin(&digest, size).await {
                Ok(file) => file,
                Err(error) => {
                    self.disk.set_failed(&digest, &error);
                    return self.pass_through(stream, size, origin.clone()).await;
                }
            },
        };
        let before = file.written();
        let error = match self.pump(&mut stream, &mut file, size, origin).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) if size.is_some_and(|size| file.written() < size) => cut_short(asked),
            Ok(Ok(())) => return self.commit(file, origin).await,
            Err(error) => return self.disk_failed(&error),
        };
        self.failures.note(FailureKind::Transient, &Arc::new(error));
        // Whatever becomes of the next try, these bytes need not come again.
        if let Err(error) = file.flush().await {
            return self.disk_failed(&error);
        }
        let progress = file.written() > before;
        *partial = Some(file);
        AttemptOutcome::Interrupted { progress }
    }

    async fn commit(&self, file: Partial, origin: &Origin) -> AttemptOutcome {
        let digest = file.digest();
        match file.commit().await {
            Ok(kept) => {
                if let Err(error) = self.store.confirm(&digest, origin).await {
                    tracing::error!(%digest, %origin, %error, "a blob's origin was not kept");
                }
                let (body, origin) = (BlobBody::Kept(kept), origin.clone());
                self.result
                    .send_replace(Some(Ok(ReadableBlob { body, origin })));
                AttemptOutcome::Done
            }
            Err(CommitError::Mismatch(error)) => {
                tracing::error!(%origin, %error, "upstream sent wrong bytes");
                AttemptOutcome::Corrupt
            }
            Err(CommitError::Store(error)) => self.disk_failed(&error),
        }
    }

    /// The disk failed under a file. Who reads it goes on past the disk; if nobody does yet, the
    /// next try does without a file.
    fn disk_failed(&self, error: &StoreError) -> AttemptOutcome {
        self.disk.set_failed(&self.job.digest, error);
        if !self.is_unread() {
            return AttemptOutcome::Done;
        }
        AttemptOutcome::Interrupted { progress: true }
    }

    /// Serves a blob that cannot be written: a small one from memory, verified; of a large one each
    /// reader fetches its own.
    async fn pass_through(
        &mut self,
        stream: BlobStream,
        size: Option<u64>,
        origin: Origin,
    ) -> AttemptOutcome {
        let small = size.is_some_and(|size| size <= VERIFIED_FIRST_MAX);
        let body = if small {
            self.metrics.bypassed();
            match read_small(stream).await {
                Ok(bytes) if Verified::of(self.job.digest, &bytes).is_ok() => {
                    BlobBody::Kept(KeptBlob::Small(bytes))
                }
                Ok(_wrong) => return AttemptOutcome::Corrupt,
                Err(error) => {
                    self.failures.note(FailureKind::Transient, &Arc::new(error));
                    return AttemptOutcome::Interrupted { progress: false };
                }
            }
        } else {
            let file = GrowingFile::broken(Arc::clone(&self.disk.passthrough));
            BlobBody::Arriving { file, size }
        };
        self.result
            .send_replace(Some(Ok(ReadableBlob { body, origin })));
        AttemptOutcome::Done
    }

    fn record_failure(&mut self, error: UpstreamError, asked: &FetchSource) -> AttemptOutcome {
        let heard = FailureKind::of(&error, asked.refusal);
        if heard == FailureKind::Absent {
            let blob = ContentKey::Blob(self.job.digest);
            self.absences.insert((asked.origin.clone(), blob), ());
        }
        self.failures.note(heard, &Arc::new(error));
        match heard {
            FailureKind::Transient => AttemptOutcome::Interrupted { progress: false },
            FailureKind::Refused => AttemptOutcome::Refused,
            FailureKind::Absent
            | FailureKind::Hidden
            | FailureKind::ForwardingLoop
            | FailureKind::ProtocolViolation => AttemptOutcome::Exhausted,
        }
    }
}

impl RetryBudget {
    /// Whether another try is worth it; pauses before one that follows a failure.
    async fn allows_another(&self) -> bool {
        if self.without_progress >= ATTEMPTS_WITHOUT_PROGRESS_MAX {
            return false;
        }
        if self.without_progress > 0 {
            sleep((PAUSE * 2_u32.pow(self.without_progress - 1)).min(PAUSE_MAX)).await;
        }
        true
    }
}

/// All of a small blob; surplus ends it, for then it cannot be right.
async fn read_small(mut stream: BlobStream) -> Result<Bytes, UpstreamError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await? {
        bytes.extend_from_slice(&chunk);
        if u64::try_from(bytes.len()).is_ok_and(|length| length > VERIFIED_FIRST_MAX) {
            break;
        }
    }
    Ok(bytes.freeze())
}

/// Whether an answer was another part than the one asked for, or no part at all.
fn is_wrong_range(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::ProtocolViolation {
            breach: ProtocolViolation::Range,
            ..
        }
    )
}

/// An answer that contradicts a verified manifest.
fn wrong_length(asked: &FetchSource, told: u64, size: u64) -> UpstreamError {
    let breach = ProtocolViolation::Content(format!("{size} bytes, where a manifest says {told}"));
    UpstreamError::ProtocolViolation {
        endpoint: asked.upstream.url().into(),
        breach,
    }
}

/// A body that ended before its announced length.
fn cut_short(asked: &FetchSource) -> UpstreamError {
    let detail = "the body ended early".to_owned();
    UpstreamError::Unreachable {
        endpoint: asked.upstream.url().into(),
        detail,
    }
}
