//! Writes an answer's body to the file, and lets readers in as soon as that is safe.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    job::{ReadableBlob, VERIFIED_FIRST_MAX},
    worker::FillWorker,
};
use crate::{
    oci::Origin,
    pull::BlobBody,
    store::{Partial, StoreError},
    upstream::{BlobStream, UpstreamError},
};

/// How long upstream may pause before readers get the bytes so far.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

impl FillWorker {
    /// Writes the body to the file, and lets readers in as soon as that is safe.
    pub(super) async fn pump(
        &self,
        stream: &mut BlobStream,
        file: &mut Partial,
        size: Option<u64>,
        origin: &Origin,
    ) -> Result<Result<(), UpstreamError>, StoreError> {
        // An upstream that ignores `Range` starts over; the bytes we have are skipped.
        let mut skip = file.written().saturating_sub(stream.start());
        loop {
            let large = size.unwrap_or_else(|| file.written()) > VERIFIED_FIRST_MAX;
            if large && self.is_unread() {
                let body = BlobBody::Arriving {
                    file: file
                        .reader()
                        .with_fallback(Arc::clone(&self.disk.passthrough)),
                    size,
                };
                self.result.send_replace(Some(Ok(ReadableBlob {
                    body,
                    origin: origin.clone(),
                })));
            }
            let next = pin!(stream.next());
            let mut chunk = match next_or_flush(next, file).await? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if skip >= length {
                skip -= length;
                continue;
            }
            drop(chunk.split_to(usize::try_from(skip).unwrap_or_default()));
            skip = 0;
            // Surplus beyond the announced length is ignored.
            let room = size.map_or(u64::MAX, |size| size.saturating_sub(file.written()));
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            file.write(chunk).await?;
            if size == Some(file.written()) {
                break;
            }
        }
        Ok(Ok(()))
    }
}

/// Waits for upstream's next bytes; if it pauses, readers get the bytes so far.
async fn next_or_flush<F>(
    mut next: Pin<&mut F>,
    file: &mut Partial,
) -> Result<F::Output, StoreError>
where
    F: Future,
{
    match timeout(FLUSH_AFTER, &mut next).await {
        Ok(chunk) => Ok(chunk),
        Err(_pause) => {
            file.flush().await?;
            Ok(next.await)
        }
    }
}
