//! A body that is played from a list of steps.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use crate::gate::Pause;
use crate::line::{Ending, Line};
use crate::record::Entry;

/// One thing a body does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Bytes),
    /// Sends these bytes for ever.
    Repeat(Bytes),
    /// Sends nothing until the pause is over.
    Pause(Pause),
    /// Sends nothing more.
    Silence,
    /// Ends the connection behind what was sent.
    End(Ending),
}

/// The body hyper polls.
pub(crate) struct Body {
    steps: VecDeque<Step>,
    pausing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    line: Arc<Line>,
    entry: Entry,
}

impl Body {
    pub(crate) fn new(steps: Vec<Step>, line: Arc<Line>, entry: Entry) -> Self {
        Self {
            steps: steps.into(),
            pausing: None,
            line,
            entry,
        }
    }

    /// A frame of at most `FRAME_BYTES_MAX` of `bytes`, the rest put back.
    fn send(&mut self, mut bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = bytes.split_to(bytes.len().min(FRAME_BYTES_MAX));
        if !bytes.is_empty() {
            self.steps.push_front(Step::Send(bytes));
        } else if let Some(Step::End(ending)) = self.steps.front() {
            // Once the announced length is reached hyper does not ask again.
            self.line.end(ending.clone());
        }
        self.entry.sent(frame.len());
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pausing {
                ready!(pause.as_mut().poll(cx));
                self.pausing = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) if bytes.is_empty() => {}
                Some(Step::Send(bytes)) => return self.send(bytes),
                Some(Step::Repeat(bytes)) => {
                    self.steps.push_front(Step::Repeat(bytes.clone()));
                    return self.send(bytes);
                }
                Some(Step::Pause(pause)) => self.pausing = Some(Box::pin(pause.over())),
                Some(Step::Silence) => {
                    self.steps.push_front(Step::Silence);
                    return Poll::Pending;
                }
                Some(Step::End(ending)) => {
                    self.line.end(ending);
                    self.steps.push_front(Step::Silence);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// Small enough that what a departing client was sent is counted closely.
const FRAME_BYTES_MAX: usize = 64 * 1024;
