//! A file that grows while others read it: how far they may read, and how it ended.

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;

use super::Pipe;
use crate::disk::File;

/// How much of an unproven body is held back until its digest is right, in bytes: without its tail
/// nobody can take it for whole.
pub const HELD_BACK_BYTES: u64 = 64 * 1024;

/// How far a growing file may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Bytes from the start that readers may have; it never falls.
    pub readable: u64,
    /// Whether more will come.
    pub state: GrowthState,
}

/// Whether a file still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthState {
    /// More may come.
    Growing,
    /// It is whole and proven; `readable` is its size.
    Whole,
    /// It will never be whole. Readers end short, so nobody takes the part for the whole.
    Broken,
}

/// The writer's end. Dropped before [`FileProgress::whole`], it leaves the file broken.
#[derive(Debug)]
pub struct FileProgress {
    watermark: watch::Sender<Watermark>,
}

/// A reader's end; cheap to clone, at any time, at any speed.
#[derive(Clone, Debug)]
pub struct GrowingFile {
    file: Arc<dyn File>,
    watermark: watch::Receiver<Watermark>,
    fallback: Option<Arc<dyn ReaderFallback>>,
}

/// Whoever brings the bytes to a reader whose file broke off although they can still be had.
pub trait ReaderFallback: Debug + Send + Sync {
    /// A reader, for this reader alone, that goes on at `offset`; none if it really is over.
    fn take_over(self: Arc<Self>, broken: GrowingFile, offset: u64) -> FallbackFuture;
}

/// What a [`ReaderFallback`] comes to.
pub type FallbackFuture = Pin<Box<dyn Future<Output = Option<GrowingFile>> + Send>>;

impl FileProgress {
    /// Nothing readable yet.
    pub fn new() -> Self {
        Self {
            watermark: watch::Sender::new(Watermark {
                readable: 0,
                state: GrowthState::Growing,
            }),
        }
    }

    /// Lets readers have the first `readable` bytes.
    pub fn advance(&self, readable: u64) {
        self.watermark.send_if_modified(|level| {
            let rises = level.state == GrowthState::Growing && readable > level.readable;
            if rises {
                level.readable = readable;
            }
            rises
        });
    }

    /// All `size` bytes are there and proven.
    pub fn finish(&self, size: u64) {
        self.watermark.send_replace(Watermark {
            readable: size,
            state: GrowthState::Whole,
        });
    }

    /// A reader of `file`, which this tide speaks of.
    pub fn reader(&self, file: Arc<dyn File>) -> GrowingFile {
        GrowingFile {
            file,
            watermark: self.watermark.subscribe(),
            fallback: None,
        }
    }

    /// A reader of bytes in memory, which this tide speaks of.
    pub fn pipe_reader(&self, ring: &Arc<Pipe>) -> GrowingFile {
        let file: Arc<dyn File> = Arc::<Pipe>::clone(ring);
        self.reader(file)
    }

    /// Waits until there is no reader.
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
    /// The same reader; if its file breaks off, `relief` is asked to go on.
    #[must_use]
    pub fn with_fallback<R: ReaderFallback + 'static>(self, relief: Arc<R>) -> Self {
        let relief: Arc<dyn ReaderFallback> = relief;
        Self {
            fallback: Some(relief),
            ..self
        }
    }

    /// A reader of a file that never was: `relief` brings it all.
    pub fn broken<R: ReaderFallback + 'static>(relief: Arc<R>) -> Self {
        let file: Arc<dyn File> = Arc::new(Pipe::new(0));
        FileProgress::new().reader(file).with_fallback(relief)
    }

    /// A reader that goes on at `offset`, now that this one's file is broken.
    pub(super) async fn fall_back(self, offset: u64) -> Option<Self> {
        let relief = self.fallback.clone()?;
        relief.take_over(self, offset).await
    }

    /// The file; only bytes below [`Watermark::readable`] may be read from it.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// How far it may be read now.
    pub fn watermark(&self) -> Watermark {
        *self.watermark.borrow()
    }

    /// Waits until `offset` may be read or the file ended; the level then.
    pub async fn wait_readable(&mut self, offset: u64) -> Watermark {
        let reached =
            |level: &Watermark| level.readable > offset || level.state != GrowthState::Growing;
        // An error means that the writer is gone; its last word stands.
        let _writer_gone = self.watermark.wait_for(reached).await.is_err();
        self.watermark()
    }
}
