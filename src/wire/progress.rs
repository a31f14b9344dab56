//! A file that grows while it is read: how far readers may read, and how it ended.

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;

use super::Pipe;
use crate::disk::File;

/// How many bytes of an unverified body are held back until its digest matches: without its tail no
/// client can take it for whole.
pub const HELD_BACK_BYTES: u64 = 64 * 1024;

/// How far a growing file may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Bytes from the start that readers may read; it never falls.
    pub readable: u64,
    /// Whether the file still grows.
    pub state: GrowthState,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthState {
    /// More bytes may follow.
    Growing,
    /// It is whole and verified; `readable` is its size.
    Whole,
    /// It will never be whole. Readers end short, so that no client takes the part for the whole.
    Broken,
}

/// The writer's end. Dropped before [`FileProgress::finish`], it leaves the file broken.
#[derive(Debug)]
pub struct FileProgress {
    watermark: watch::Sender<Watermark>,
}

/// A reader's end; cheap to clone at any time. Each clone reads at its own speed.
#[derive(Clone, Debug)]
pub struct GrowingFile {
    file: Arc<dyn File>,
    watermark: watch::Receiver<Watermark>,
    fallback: Option<Arc<dyn ReaderFallback>>,
}

/// Continues a reader whose file cannot be finished.
pub trait ReaderFallback: Debug + Send + Sync {
    /// A reader that continues `broken` at `offset`, for it alone; `None` if that is impossible.
    fn take_over(self: Arc<Self>, broken: GrowingFile, offset: u64) -> FallbackFuture;
}

/// The result of a [`ReaderFallback`].
pub type FallbackFuture = Pin<Box<dyn Future<Output = Option<GrowingFile>> + Send>>;

impl FileProgress {
    /// A file of which nothing is readable yet.
    pub fn new() -> Self {
        Self {
            watermark: watch::Sender::new(Watermark {
                readable: 0,
                state: GrowthState::Growing,
            }),
        }
    }

    /// Lets readers read the first `readable` bytes.
    pub fn advance(&self, readable: u64) {
        self.watermark.send_if_modified(|level| {
            let rises = level.state == GrowthState::Growing && readable > level.readable;
            if rises {
                level.readable = readable;
            }
            rises
        });
    }

    /// Marks the file as whole: all `size` bytes are written and verified.
    pub fn finish(&self, size: u64) {
        self.watermark.send_replace(Watermark {
            readable: size,
            state: GrowthState::Whole,
        });
    }

    /// A reader of `file`, whose progress this is.
    pub fn reader(&self, file: Arc<dyn File>) -> GrowingFile {
        GrowingFile {
            file,
            watermark: self.watermark.subscribe(),
            fallback: None,
        }
    }

    /// A reader of `pipe`, whose progress this is.
    pub fn pipe_reader(&self, pipe: &Arc<Pipe>) -> GrowingFile {
        let file: Arc<dyn File> = Arc::<Pipe>::clone(pipe);
        self.reader(file)
    }

    /// Waits until all readers are dropped.
    pub async fn readers_gone(&self) {
        self.watermark.closed().await;
    }
}

impl Default for FileProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        self.watermark.send_modify(|level| {
            if level.state == GrowthState::Growing {
                level.state = GrowthState::Broken;
            }
        });
    }
}

impl GrowingFile {
    /// The same reader with a fallback for the case that its file breaks.
    #[must_use]
    pub fn with_fallback<R: ReaderFallback + 'static>(self, fallback: Arc<R>) -> Self {
        let fallback: Arc<dyn ReaderFallback> = fallback;
        Self {
            fallback: Some(fallback),
            ..self
        }
    }

    /// A reader of a file that is broken from the start: `fallback` supplies all of it.
    pub fn broken<R: ReaderFallback + 'static>(fallback: Arc<R>) -> Self {
        let file: Arc<dyn File> = Arc::new(Pipe::new(0));
        FileProgress::new().reader(file).with_fallback(fallback)
    }

    /// The reader that continues at `offset`, now that this one's file is broken.
    pub(super) async fn fall_back(self, offset: u64) -> Option<Self> {
        let fallback = self.fallback.clone()?;
        fallback.take_over(self, offset).await
    }

    /// The file; only bytes below [`Watermark::readable`] may be read from it.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// How far it may be read now.
    pub fn watermark(&self) -> Watermark {
        *self.watermark.borrow()
    }

    /// Waits until `offset` may be read or the file has ended; returns the watermark then.
    pub async fn wait_readable(&mut self, offset: u64) -> Watermark {
        let reached =
            |level: &Watermark| level.readable > offset || level.state != GrowthState::Growing;
        // An error means that the writer is dropped; its last watermark holds.
        let _writer_gone = self.watermark.wait_for(reached).await.is_err();
        self.watermark()
    }
}
