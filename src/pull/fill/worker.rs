//! One fill at work: takes the sources in turn, resuming after the last byte, until the blob is
//! verified.

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

/// Most consecutive failures without a new byte, over all sources.
const ATTEMPTS_WITHOUT_PROGRESS_MAX: u32 = 6;
/// Pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A fill at work.
pub(super) struct FillWorker {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    /// The failures of the sources so far.
    pub(super) failures: FailureTally,
    pub(super) absences: NegativeCache,
    /// What the waiting requests get; none until bytes may be read.
    pub(super) result: watch::Sender<Option<Result<ReadableBlob, PullError>>>,
    /// A source sent another range than was requested: no more ranges, known bytes are skipped.
    pub(super) distrusts_ranges: bool,
    pub(super) job: FillJob,
    pub(super) disk: FillDisk,
}

/// The outcome of one attempt at one source.
pub(super) enum AttemptOutcome {
    /// The blob is stored, or passed through past a failed disk.
    Done,
    /// The source does not have the blob, or must not be asked again.
    Exhausted,
    /// The source's refusal is final: those after it must not be asked either.
    Refused,
    /// The source may be asked again, from where it stopped.
    Interrupted {
        /// Whether new bytes came.
        progress: bool,
    },
    /// The source's bytes were wrong.
    Corrupt,
}

/// How many attempts remain: counts consecutive failures and wrong bytes.
#[derive(Debug, Default)]
struct RetryBudget {
    without_progress: u32,
    corrupt: u32,
}

impl FillWorker {
    /// Fetches the blob and tells the waiting requests of a failure.
    pub(super) async fn run(mut self) {
        let began = Instant::now();
        self.metrics.fill_began();
        let outcome = self.fetch().await;
        self.metrics.fill_ended(began.elapsed());
        if let Err(error) = outcome {
            tracing::warn!(digest = %self.job.digest, %error, "cannot fetch a blob");
            if self.is_unread() {
                self.result.send_replace(Some(Err(error)));
            }
        }
    }

    /// Whether no reader has been let in yet.
    pub(super) fn is_unread(&self) -> bool {
        self.result.borrow().is_none()
    }

    /// Takes the sources in turn until one has delivered, all are exhausted, or too many attempts
    /// in a row brought no byte.
    async fn fetch(&mut self) -> Result<(), PullError> {
        let digest = self.job.digest;
        if self.is_stored_already(&digest).await {
            return Ok(());
        }
        let sources = std::mem::take(&mut self.job.sources);
        let mut sources: Vec<_> = sources.into_iter().enumerate().collect();
        // A partial file of an earlier process is continued, not fetched again.
        let resumed = self.store.resume(&digest, None).await;
        let mut partial = resumed.unwrap_or_else(|error| {
            self.disk.set_failed(&digest, &error);
            None
        });
        let mut budget = RetryBudget::default();
        while let Some((rank, source)) = sources.first() {
            let rank = *rank;
            match self.attempt(source, &mut partial).await? {
                AttemptOutcome::Done => return Ok(()),
                AttemptOutcome::Exhausted => drop(sources.remove(0)),
                AttemptOutcome::Refused => sources.retain(|(other, _)| *other < rank),
                AttemptOutcome::Interrupted { progress } => {
                    budget.without_progress = if progress {
                        0
                    } else {
                        budget.without_progress + 1
                    };
                    sources.rotate_left(1);
                }
                AttemptOutcome::Corrupt => {
                    budget.corrupt += 1;
                    // Readers may have received wrong bytes; only unread ones can be replaced.
                    if budget.corrupt > 1 || !self.is_unread() {
                        return Err(PullError::Corrupt(digest));
                    }
                    sources.rotate_left(1);
                }
            }
            if !budget.allows_another().await {
                break;
            }
        }
        Err(std::mem::take(&mut self.failures).verdict())
    }

    /// Whether another fill stored the blob between this one's lookup and its start.
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

    /// One request to one source, from the end of the file to where the bytes stop.
    async fn attempt(
        &mut self,
        (candidate, source): &(Candidate, FetchSource),
        partial: &mut Option<Partial>,
    ) -> Result<AttemptOutcome, PullError> {
        let digest = self.job.digest;
        let expected = self.store.referenced_size(&digest, &source.origin).await;
        let context = request_context(candidate, &self.job.via, Instant::now() + self.job.head_max);
        let offset = partial.as_ref().map_or(0, Partial::written);
        if let Some(whole) = partial.take_if(|_| offset > 0 && expected == Some(offset)) {
            // The process was killed between the last byte and the commit. The source must still
            // confirm that it has the blob: these bytes may come from another one.
            return match source.upstream.blob_head(&context, &digest).await {
                Ok(_size) => Ok(self.commit(whole, &source.origin).await),
                Err(error) => Ok(self.record_failure(error, source)),
            };
        }
        let from = if self.distrusts_ranges { 0 } else { offset };
        let stream = match source.upstream.blob(&context, &digest, from).await {
            Ok(stream) => stream,
            Err(error) if from > 0 && is_wrong_range(&error) => {
                self.failures
                    .note(FailureKind::ProtocolViolation, &Arc::new(error));
                self.distrusts_ranges = true;
                if self.is_unread() {
                    // The partial file may not be the beginning of this blob.
                    *partial = None;
                    self.store.discard_partial(&digest).await?;
                }
                return Ok(AttemptOutcome::Interrupted { progress: false });
            }
            Err(error) => return Ok(self.record_failure(error, source)),
        };
        if let Some((expected, size)) = expected
            .zip(stream.size())
            .filter(|(expected, size)| expected != size)
        {
            return Ok(self.record_failure(wrong_length(source, expected, size), source));
        }
        let size = stream.size().or(expected);
        Ok(self.receive(stream, size, source, partial).await)
    }

    /// Writes an answer's bytes to the file, creating it if necessary; without a working disk they
    /// are passed through.
    async fn receive(
        &mut self,
        mut stream: BlobStream,
        size: Option<u64>,
        source: &FetchSource,
        partial: &mut Option<Partial>,
    ) -> AttemptOutcome {
        let digest = self.job.digest;
        let origin = &source.origin;
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
            Ok(Ok(())) if size.is_some_and(|size| file.written() < size) => cut_short(source),
            Ok(Ok(())) => return self.commit(file, origin).await,
            Err(error) => return self.disk_failed(&error),
        };
        self.failures.note(FailureKind::Transient, &Arc::new(error));
        // These bytes need not be fetched again, whatever the next attempt brings.
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
                    tracing::error!(%digest, %origin, %error, "cannot store a blob's origin");
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

    /// The disk failed under a file. Its readers continue with the passthrough; if there are none
    /// yet, the next attempt does without a file.
    fn disk_failed(&self, error: &StoreError) -> AttemptOutcome {
        self.disk.set_failed(&self.job.digest, error);
        if !self.is_unread() {
            return AttemptOutcome::Done;
        }
        AttemptOutcome::Interrupted { progress: true }
    }

    /// Serves a blob that cannot be written: a small one from memory, verified; a large one by a
    /// fetch for each reader.
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

    fn record_failure(&mut self, error: UpstreamError, source: &FetchSource) -> AttemptOutcome {
        let kind = FailureKind::of(&error, source.refusal);
        if kind == FailureKind::Absent {
            let blob = ContentKey::Blob(self.job.digest);
            self.absences.insert((source.origin.clone(), blob), ());
        }
        self.failures.note(kind, &Arc::new(error));
        match kind {
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
    /// Whether another attempt is allowed; pauses before one that follows a failure.
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

/// All of a small blob; stops at surplus bytes, for then it cannot be right.
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

/// Whether an answer was another range than the one requested, or not a range.
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
fn wrong_length(source: &FetchSource, expected: u64, size: u64) -> UpstreamError {
    let breach =
        ProtocolViolation::Content(format!("{size} bytes, where a manifest says {expected}"));
    UpstreamError::ProtocolViolation {
        endpoint: source.upstream.url().into(),
        breach,
    }
}

/// A body that ended before its announced length.
fn cut_short(source: &FetchSource) -> UpstreamError {
    let detail = "the body ended early".to_owned();
    UpstreamError::Unreachable {
        endpoint: source.upstream.url().into(),
        detail,
    }
}
