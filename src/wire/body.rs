//! The body type of all answers.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use thiserror::Error;

use super::{GrowingFile, GrowthState, SendfileQueue, Watermark, buffer_pool};
use crate::disk::File;

/// An answer's body: parts, sent one after the other.
pub struct Body {
    parts: VecDeque<BodyPart>,
    /// Bytes still to be sent; `None` while the end of a part is unknown.
    left: Option<u64>,
    reading: Option<PendingRead>,
    /// The queue of its connection, if the kernel can send file ranges there.
    queue: Option<SendfileQueue>,
    sent: u64,
    on_end: Option<OnEnd>,
}

/// One part of a body.
#[derive(Clone, Debug)]
pub enum BodyPart {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a whole file.
    File {
        /// The file.
        file: Arc<dyn File>,
        /// The start of the range.
        offset: u64,
        /// The length of the range.
        length: u64,
    },
    /// A range of a file that may still grow.
    Growing {
        /// The file and how far it may be read.
        file: GrowingFile,
        /// The start of the range.
        offset: u64,
        /// The end of the range (exclusive); `None` for the end of the file.
        end: Option<u64>,
    },
}

/// The body cannot be finished: the connection must close before the announced length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body broke off")]
pub struct IncompleteBody;

type PendingRead = Pin<Box<dyn Future<Output = Result<ReadStep, IncompleteBody>> + Send>>;
type OnEnd = Box<dyn FnOnce(u64, bool) + Send>;

/// The result of one read: a chunk, the end of a growing file, or a file that continues it.
enum ReadStep {
    Chunk(Bytes),
    End,
    Replaced(GrowingFile),
}

/// The next chunk of the first part.
enum NextChunk {
    Ready(Bytes),
    Pending(PendingRead),
}

impl Body {
    /// An empty body.
    pub fn empty() -> Self {
        Self::from_parts(VecDeque::new())
    }

    /// Bytes in memory.
    pub fn bytes(bytes: Bytes) -> Self {
        Self::from_parts(VecDeque::from([BodyPart::Bytes(bytes)]))
    }

    /// Several parts, one after the other.
    pub fn from_parts(parts: VecDeque<BodyPart>) -> Self {
        let left = parts.iter().map(BodyPart::length).sum();
        Self {
            parts,
            left,
            reading: None,
            queue: None,
            sent: 0,
            on_end: None,
        }
    }

    /// Calls `watch` once when the body ends or is dropped, with the number of bytes sent and
    /// whether they were all.
    #[must_use]
    pub fn on_end(mut self, watch: impl FnOnce(u64, bool) + Send + 'static) -> Self {
        self.on_end = Some(Box::new(watch));
        self
    }

    /// Sets how the body is sent: with a queue it may yield placeholders, which only the queue's
    /// own connection can send; without one it yields bytes in memory. Each connection sets this on
    /// every body that it sends.
    #[must_use]
    pub fn with_sendfile(mut self, queue: Option<SendfileQueue>) -> Self {
        self.queue = queue;
        self
    }

    /// The remaining length, if it is known.
    pub fn length(&self) -> Option<u64> {
        self.left
    }

    /// Takes the next chunk of the first part, or starts to read it.
    fn front(&mut self) -> Option<NextChunk> {
        loop {
            match self.parts.front_mut()? {
                BodyPart::Bytes(bytes) if bytes.is_empty() => drop(self.parts.pop_front()),
                BodyPart::Bytes(bytes) => return Some(NextChunk::Ready(bytes.clone())),
                BodyPart::File { length: 0, .. } => drop(self.parts.pop_front()),
                BodyPart::File {
                    file,
                    offset,
                    length,
                } => {
                    let (file, offset, length) = (Arc::clone(file), *offset, *length);
                    return Some(
                        match ready_chunk(self.queue.as_ref(), &file, offset, length) {
                            Some(chunk) => NextChunk::Ready(chunk),
                            None => NextChunk::Pending(Box::pin(read_chunk(
                                self.queue.clone(),
                                file,
                                offset,
                                length,
                            ))),
                        },
                    );
                }
                BodyPart::Growing {
                    offset,
                    end: Some(end),
                    ..
                } if *offset >= *end => {
                    drop(self.parts.pop_front());
                }
                BodyPart::Growing { file, offset, end } => {
                    let (offset, end, queue) = (*offset, *end, self.queue.as_ref());
                    let readable = readable_length(file.watermark(), offset, end);
                    let chunk =
                        readable.and_then(|length| ready_chunk(queue, file.file(), offset, length));
                    return Some(match chunk {
                        Some(chunk) => NextChunk::Ready(chunk),
                        None => NextChunk::Pending(Box::pin(follow(
                            queue.cloned(),
                            file.clone(),
                            offset,
                            end,
                        ))),
                    });
                }
            }
        }
    }

    /// Moves past a step of the first part.
    fn advance(&mut self, step: &ReadStep) {
        let chunk = match step {
            ReadStep::Chunk(chunk) => chunk,
            ReadStep::End => {
                self.parts.pop_front();
                self.left = self.parts.iter().map(BodyPart::length).sum();
                return;
            }
            ReadStep::Replaced(to) => {
                if let Some(BodyPart::Growing { file, .. }) = self.parts.front_mut() {
                    *file = to.clone();
                }
                return;
            }
        };
        let taken = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.sent += taken;
        self.left = self.left.map(|left| left.saturating_sub(taken));
        match self.parts.front_mut() {
            Some(BodyPart::File { offset, length, .. }) => {
                *offset += taken;
                *length = length.saturating_sub(taken);
            }
            Some(BodyPart::Growing { offset, .. }) => *offset += taken,
            Some(BodyPart::Bytes(_)) => drop(self.parts.pop_front()),
            None => {}
        }
    }
}

impl BodyPart {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).ok(),
            Self::File { length, .. } => Some(*length),
            Self::Growing { offset, end, .. } => Some((*end)?.saturating_sub(*offset)),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = IncompleteBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncompleteBody>>> {
        let body = self.get_mut();
        loop {
            let step = if let Some(reading) = &mut body.reading {
                let step = ready!(reading.as_mut().poll(context));
                body.reading = None;
                step
            } else {
                match body.front() {
                    Some(NextChunk::Ready(chunk)) => Ok(ReadStep::Chunk(chunk)),
                    Some(NextChunk::Pending(reading)) => {
                        body.reading = Some(reading);
                        continue;
                    }
                    None => return Poll::Ready(None),
                }
            };
            let Ok(step) = step else {
                body.parts.clear();
                body.left = None;
                return Poll::Ready(Some(Err(IncompleteBody)));
            };
            body.advance(&step);
            if let ReadStep::Chunk(chunk) = step {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(watch) = self.on_end.take() {
            watch(self.sent, self.left == Some(0));
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Body")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// At most one chunk of a readable range, or a placeholder for it, if that needs no waiting.
fn ready_chunk(
    queue: Option<&SendfileQueue>,
    file: &Arc<dyn File>,
    offset: u64,
    length: u64,
) -> Option<Bytes> {
    match queue {
        Some(queue) if file.sendfile().is_some() => {
            queue.placeholder_if_cached(file, offset, length)
        }
        _ => buffer_pool::read_cached(&**file, offset, length),
    }
}

/// Waits for one chunk of a readable range, or a placeholder for it.
async fn read_chunk(
    queue: Option<SendfileQueue>,
    file: Arc<dyn File>,
    offset: u64,
    length: u64,
) -> Result<ReadStep, IncompleteBody> {
    if let Some(queue) = queue
        && let Some(placeholder) = queue
            .load_placeholder(&file, offset, length)
            .await
            .or(Err(IncompleteBody))?
    {
        return Ok(ReadStep::Chunk(placeholder));
    }
    match tokio::task::spawn_blocking(move || buffer_pool::read(&*file, offset, length)).await {
        Ok(Ok(chunk)) if !chunk.is_empty() => Ok(ReadStep::Chunk(chunk)),
        // Truncated since the head of the answer was made, unreadable, or the pool is shut down.
        _ => Err(IncompleteBody),
    }
}

/// How many bytes of a range are readable now; `None` if it has to wait.
fn readable_length(level: Watermark, offset: u64, end: Option<u64>) -> Option<u64> {
    let until = end.unwrap_or(u64::MAX).min(level.readable);
    until.checked_sub(offset).filter(|length| *length > 0)
}

/// Waits for a range of a growing file, then reads it.
async fn follow(
    queue: Option<SendfileQueue>,
    mut file: GrowingFile,
    offset: u64,
    end: Option<u64>,
) -> Result<ReadStep, IncompleteBody> {
    let level = file.wait_readable(offset).await;
    if let Some(length) = readable_length(level, offset, end) {
        return match ready_chunk(queue.as_ref(), file.file(), offset, length) {
            Some(chunk) => Ok(ReadStep::Chunk(chunk)),
            None => read_chunk(queue, Arc::clone(file.file()), offset, length).await,
        };
    }
    match level.state {
        GrowthState::Whole if end.is_none() => Ok(ReadStep::End),
        GrowthState::Broken => file
            .fall_back(offset)
            .await
            .map(ReadStep::Replaced)
            .ok_or(IncompleteBody),
        GrowthState::Whole | GrowthState::Growing => Err(IncompleteBody),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        disk::{Disk, RealDisk},
        wire::FileProgress,
    };

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Arc<dyn File>) {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("f")).unwrap();
        file.write_at(bytes, 0).unwrap();
        (folder, file)
    }

    async fn whole(body: Body) -> Option<Vec<u8>> {
        body.collect().await.ok().map(|got| got.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn parts_follow_each_other() {
        let (_folder, file) = file(b"0123456789");
        let range = |offset, length| BodyPart::File {
            file: Arc::clone(&file),
            offset,
            length,
        };
        let parts = [
            range(1, 2),
            BodyPart::Bytes(Bytes::from_static(b"-")),
            range(8, 2),
        ];
        let body = Body::from_parts(parts.into());
        assert_eq!(body.length(), Some(5));
        assert_eq!(whole(body).await.unwrap(), b"12-89");
    }

    #[tokio::test]
    async fn a_file_shorter_than_promised_breaks_the_body() {
        let (_folder, file) = file(b"0123");
        let parts = [BodyPart::File {
            file,
            offset: 0,
            length: 5,
        }];
        assert_eq!(whole(Body::from_parts(parts.into())).await, None);
    }

    #[tokio::test]
    async fn readers_of_a_growing_file_get_all_of_it() {
        let (_folder, file) = file(b"0123456789");
        let progress = FileProgress::new();
        let read = |offset, end| {
            let file = progress.reader(Arc::clone(&file));
            whole(Body::from_parts(
                [BodyPart::Growing { file, offset, end }].into(),
            ))
        };
        let readers = async { tokio::join!(read(0, Some(10)), read(0, None), read(2, Some(4))) };
        let writer = async {
            progress.advance(4);
            tokio::task::yield_now().await;
            progress.finish(10);
        };
        let ((known, unknown, range), ()) = tokio::join!(readers, writer);
        assert_eq!(known.unwrap(), b"0123456789");
        assert_eq!(unknown.unwrap(), b"0123456789");
        assert_eq!(range.unwrap(), b"23");
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_breaks_the_body() {
        let (_folder, file) = file(b"0123456789");
        let progress = FileProgress::new();
        let parts = [BodyPart::Growing {
            file: progress.reader(file),
            offset: 0,
            end: Some(10),
        }];
        progress.advance(4);
        drop(progress);
        assert_eq!(whole(Body::from_parts(parts.into())).await, None);
    }
}
