//! How long a connection may stay as it is: a pure rule over what its line saw.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Settings, client_stream::Stream};

/// What the line and the answers of one connection tell its watcher. All of them run on one task,
/// so the lock is never waited for.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    beat: Mutex<Beat>,
    /// The stream, when the HTTP library has let go of it.
    pub(super) returned: Mutex<Option<Stream>>,
}

/// The state of a connection at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beat {
    /// Requests whose answer has not left yet.
    pub(super) answers: usize,
    /// Those of them that have a piece at hand which the client does not want yet: in HTTP/2 it
    /// says how much it takes of each.
    pub(super) offered: usize,
    /// Counts bytes taken by the client and answers ended; any change is progress.
    pub(super) progress: u64,
    /// Whether a head has begun and not ended.
    pub(super) within_head: bool,
    /// How the two directions are.
    pub(super) way: Way,
}

/// How the two directions of a connection are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// Both are free.
    #[default]
    Free,
    /// The client takes nothing at the moment.
    Blocked,
    /// The client has ended its direction, or the connection is broken.
    Ended,
    /// The client broke the rules of a head.
    Refused,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the client's next request.
    Idle,
    /// For the rest of a head.
    Head,
    /// For ourselves; whoever answers has limits of its own.
    Answering,
    /// For the client to take bytes.
    Blocked,
}

/// Since when a connection has been in its phase without progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stillness {
    phase: Phase,
    progress: u64,
    since: Instant,
}

impl Pulse {
    /// Changes the state.
    pub(super) fn note(&self, change: impl FnOnce(&mut Beat)) {
        change(&mut self.beat.lock());
    }

    /// The state now.
    pub(super) fn beat(&self) -> Beat {
        *self.beat.lock()
    }
}

impl Stillness {
    /// A new connection is idle.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Idle,
            progress: 0,
            since: now,
        }
    }

    /// Takes the state at `now` in; when this connection's patience ends, unless something moves.
    pub(super) fn settle(
        &mut self,
        beat: Beat,
        now: Instant,
        settings: &Settings,
    ) -> Option<Instant> {
        let phase = Phase::of(beat);
        if (phase, beat.progress) != (self.phase, self.progress) {
            *self = Self {
                phase,
                progress: beat.progress,
                since: now,
            };
        }
        Some(self.since + phase.patience(settings)?)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }
}

impl Phase {
    fn of(beat: Beat) -> Self {
        let waits_for_client = beat.answers > 0 && beat.offered == beat.answers;
        if beat.way == Way::Blocked || waits_for_client {
            Self::Blocked
        } else if beat.answers > 0 {
            Self::Answering
        } else if beat.within_head {
            Self::Head
        } else {
            Self::Idle
        }
    }

    fn patience(self, settings: &Settings) -> Option<Duration> {
        match self {
            Self::Idle => Some(settings.idle_max),
            Self::Head => Some(settings.header_max),
            Self::Answering => None,
            Self::Blocked => Some(settings.progress_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scenes::settings;

    const HEAD: bool = true;
    const NO_HEAD: bool = false;

    fn beat((answers, within_head, way, progress): (usize, bool, Way, u64)) -> Beat {
        Beat {
            answers,
            offered: 0,
            progress,
            within_head,
            way,
        }
    }

    #[test]
    fn each_phase_has_its_own_patience_and_progress_renews_it() {
        let settings = Settings {
            idle_max: Duration::from_mins(1),
            header_max: Duration::from_secs(10),
            progress_max: Duration::from_secs(30),
            ..settings()
        };
        let start = Instant::now();
        let mut stillness = Stillness::new(start);
        let idle = |progress| beat((0, NO_HEAD, Way::Free, progress));
        // (second, state, the second its patience ends)
        let rows = [
            (0, idle(0), Some(60)),
            (5, idle(0), Some(60)),
            (7, beat((0, HEAD, Way::Free, 0)), Some(17)),
            (9, beat((0, HEAD, Way::Free, 0)), Some(17)),
            (10, beat((1, NO_HEAD, Way::Free, 0)), None),
            (11, beat((1, NO_HEAD, Way::Blocked, 0)), Some(41)),
            (12, beat((1, NO_HEAD, Way::Blocked, 0)), Some(41)),
            (13, beat((1, NO_HEAD, Way::Blocked, 1)), Some(43)),
            // A head that began during an answer has its time from the answer's end on.
            (14, beat((1, HEAD, Way::Free, 1)), None),
            (15, beat((0, HEAD, Way::Free, 2)), Some(25)),
            (16, idle(2), Some(76)),
            // A whole request between two looks.
            (20, idle(4), Some(80)),
            // The last bytes of an answer are not taken.
            (21, beat((0, NO_HEAD, Way::Blocked, 5)), Some(51)),
        ];
        for (second, beat, due) in rows {
            let at = |second| start + Duration::from_secs(second);
            let settled = stillness.settle(beat, at(second), &settings);
            assert_eq!(settled, due.map(at), "second {second}");
        }
    }
}
