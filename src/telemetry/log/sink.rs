//! Where entries go: those of requests are buffered in memory and written in batches by a thread of
//! their own; all others are written at once, after what was buffered before them.
//!
//! So a request does not wait for the system to take its entry, and a hundred thousand entries per
//! second are far fewer system calls and thread wake-ups. After a pause without requests the next
//! entry is written at once, and those that follow it together, some milliseconds later.

use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of the entry of a request.
pub(super) const REQUEST: &str = "roadstead::request";
/// How long entries are buffered after a batch was written.
const BUFFERING: Duration = Duration::from_millis(5);
/// Most bytes of buffered entries. Beyond it the logging thread waits, so that no entry is lost.
const BUFFERED_BYTES_MAX: usize = 1024 * 1024;
/// Longest wait at the end for a system that accepts nothing.
const END_MAX: Duration = Duration::from_secs(1);

/// Takes entries; clones are the same sink.
#[derive(Clone)]
pub(super) struct Sink(Arc<SinkState>);

pub(super) struct SinkState {
    buffered: Mutex<BufferedEntries>,
    /// Entries are buffered.
    filled: Condvar,
    /// The buffer has room again.
    taken: Condvar,
    output: Mutex<LogOutput>,
}

#[derive(Default)]
struct BufferedEntries {
    entries: Vec<u8>,
    thread: WriterThread,
}

/// The state of the writer thread.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WriterThread {
    /// Looks at the buffer by itself.
    #[default]
    Busy,
    /// Has to be woken.
    Idle,
}

/// The output, with the batch being written.
struct LogOutput {
    system: Box<dyn Write + Send>,
    batch: Vec<u8>,
}

/// Writes one entry.
pub(super) enum EntryWriter<'s> {
    Buffered(&'s SinkState),
    Direct(&'s SinkState),
}

impl Sink {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn open(system: impl Write + Send + 'static) -> io::Result<Self> {
        let sink = Self(Arc::new(SinkState {
            buffered: Mutex::default(),
            filled: Condvar::new(),
            taken: Condvar::new(),
            output: Mutex::new(LogOutput {
                system: Box::new(system),
                batch: Vec::new(),
            }),
        }));
        let inner = Arc::clone(&sink.0);
        // It ends with the process.
        let _thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || inner.keep_writing())?;
        Ok(sink)
    }

    /// Writes the buffered entries, unless the system accepts nothing.
    pub(super) fn flush(&self) {
        if let Some(mut out) = self.0.output.try_lock_for(END_MAX) {
            self.0.write(&mut out, &[]);
        }
    }
}

impl SinkState {
    fn keep_writing(&self) {
        loop {
            let mut buffered = self.buffered.lock();
            while buffered.entries.is_empty() {
                buffered.thread = WriterThread::Idle;
                self.filled.wait(&mut buffered);
            }
            buffered.thread = WriterThread::Busy;
            drop(buffered);
            self.write(&mut self.output.lock(), &[]);
            thread::sleep(BUFFERING);
        }
    }

    /// Writes the buffered entries, then `last`.
    fn write(&self, out: &mut LogOutput, last: &[u8]) {
        mem::swap(&mut self.buffered.lock().entries, &mut out.batch);
        self.taken.notify_all();
        out.batch.extend_from_slice(last);
        // A failed write of the log has nowhere to be reported.
        let _lost = out.system.write_all(&out.batch).is_err();
        out.batch.clear();
    }

    fn buffer(&self, entry: &[u8]) {
        let mut buffered = self.buffered.lock();
        while buffered.entries.len() >= BUFFERED_BYTES_MAX {
            self.taken.wait(&mut buffered);
        }
        buffered.entries.extend_from_slice(entry);
        if mem::replace(&mut buffered.thread, WriterThread::Busy) == WriterThread::Idle {
            self.filled.notify_one();
        }
    }
}

impl Write for EntryWriter<'_> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        match self {
            Self::Buffered(inner) => inner.buffer(entry),
            Self::Direct(inner) => inner.write(&mut inner.output.lock(), entry),
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = EntryWriter<'a>;

    fn make_writer(&'a self) -> EntryWriter<'a> {
        EntryWriter::Direct(&self.0)
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> EntryWriter<'a> {
        if event.target() == REQUEST {
            EntryWriter::Buffered(&self.0)
        } else {
            self.make_writer()
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sink").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes a batch when told to, and reports it.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Sink, Sender<()>, Receiver<Vec<u8>>) {
        let (go, gone) = channel();
        let (wrote, written) = channel();
        (Sink::open(Slow(gone, wrote)).unwrap(), go, written)
    }

    #[test]
    fn what_comes_while_one_batch_is_written_is_the_next_and_order_holds() {
        let (sink, go, written) = slow();
        sink.0.buffer(b"first\n");
        while !sink.0.buffered.lock().entries.is_empty() {
            thread::yield_now();
        }
        sink.0.buffer(b"second\n");
        sink.0.buffer(b"third\n");
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        // Buffered entries are written first.
        sink.make_writer().write_all(b"urgent\n").unwrap();
        let got: Vec<_> = written.try_iter().collect();
        assert_eq!(got[0], b"first\n");
        assert_eq!(got.concat(), b"first\nsecond\nthird\nurgent\n");
        assert!(got.len() < 4, "{got:?}");
    }

    #[test]
    fn entries_wait_for_room_and_none_is_lost() {
        let (sink, go, written) = slow();
        let entry = vec![b'x'; BUFFERED_BYTES_MAX / 4];
        let entries = 20;
        let logger = thread::spawn(move || {
            for _ in 0..entries {
                sink.0.buffer(&entry);
            }
        });
        let mut got = 0;
        while got < entries * BUFFERED_BYTES_MAX / 4 {
            go.send(()).unwrap();
            let batch = written.recv().unwrap();
            assert!(batch.len() < BUFFERED_BYTES_MAX * 2);
            got += batch.len();
        }
        logger.join().unwrap();
    }
}
