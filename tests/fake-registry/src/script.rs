//! Which fault the next request meets.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::answer::Answer;
use crate::fault::Fault;
use crate::matching::Match;
use crate::record::Recorded;

/// The scripted faults, in the order they were written.
#[derive(Debug, Default)]
pub(crate) struct Script {
    lines: Mutex<Vec<Scripted>>,
}

impl Script {
    pub(crate) fn add(&self, which: Match, fault: Fault) -> Scripted {
        let line = Scripted {
            which,
            fault,
            tally: Arc::new(Mutex::new(Tally {
                met: 0,
                wanted: 1,
                limit: Some(1),
            })),
        };
        self.lines.lock().push(line.clone());
        line
    }

    /// The first fault left that is meant for this request and can be shown in its answer.
    pub(crate) fn take(&self, request: &Recorded, answer: &Answer) -> Option<Fault> {
        self.lines
            .lock()
            .iter()
            .find(|line| {
                line.which.meets(request)
                    && line.fault.fits(request, answer)
                    && line.tally.lock().take()
            })
            .map(|line| line.fault.clone())
    }

    /// What was scripted and not met often enough.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        self.lines
            .lock()
            .iter()
            .filter_map(Scripted::leftover)
            .collect()
    }
}

/// A fault waiting for its request; say here how often it happens.
///
/// By default once, and the registry's drop fails the test if it did not.
#[derive(Debug, Clone)]
pub struct Scripted {
    which: Match,
    fault: Fault,
    tally: Arc<Mutex<Tally>>,
}

#[derive(Debug)]
struct Tally {
    met: usize,
    /// Fewer than this at the end fail the test.
    wanted: usize,
    /// No more than this happen; `None` is for ever.
    limit: Option<usize>,
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "scripting is the effect, the handle a bonus"
)]
impl Scripted {
    /// Happens exactly `count` times.
    pub fn times(self, count: usize) -> Self {
        self.change(|tally| (tally.wanted, tally.limit) = (count, Some(count)));
        self
    }

    /// Happens to every such request, at least one of which must come.
    pub fn always(self) -> Self {
        self.change(|tally| (tally.wanted, tally.limit) = (1, None));
        self
    }

    /// Need not happen at all.
    pub fn optional(self) -> Self {
        self.change(|tally| tally.wanted = 0);
        self
    }

    /// Does not happen again: the outage is over.
    pub fn stop(&self) {
        self.change(|tally| tally.limit = Some(tally.met));
    }

    /// How often it happened.
    pub fn met(&self) -> usize {
        self.tally.lock().met
    }

    fn change(&self, how: impl FnOnce(&mut Tally)) {
        how(&mut self.tally.lock());
    }

    fn leftover(&self) -> Option<String> {
        let tally = self.tally.lock();
        (tally.met < tally.wanted).then(|| {
            format!(
                "{:?} for {:?}: met {} of {}",
                self.fault, self.which, tally.met, tally.wanted
            )
        })
    }
}

impl Tally {
    fn take(&mut self) -> bool {
        let left = self.limit.is_none_or(|limit| self.met < limit);
        self.met += usize::from(left);
        left
    }
}
