//! How long a connection may stay as it is: a pure rule over what its line saw.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Settings, client_stream::ClientStream};

/// What the line and the answers of one connection tell its watcher. All of them run on one task,
/// so the lock is never waited for.
#[derive(Debug, Default)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    /// The stream, when the HTTP library has let go of it.
    pub(super) returned_stream: Mutex<Option<ClientStream>>,
}

/// The state of a connection at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ActivityState {
    /// Requests whose answer has not left yet.
    pub(super) responses: usize,
    /// Those of them that have a piece at hand which the client does not want yet: in HTTP/2 it
    /// says how much it takes of each.
    pub(super) responses_blocked: usize,
    /// Counts bytes taken by the client and answers ended; any change is progress.
    pub(super) progress: u64,
    /// Whether a head has begun and not ended.
    pub(super) within_head: bool,
    /// How the two directions are.
    pub(super) transport: TransportState,
}

/// How the two directions of a connection are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TransportState {
    /// Both are free.
    #[default]
    Ready,
    /// The client takes nothing at the moment.
    Blocked,
    /// The client has ended its direction, or the connection is broken.
    Closed,
    /// The client broke the rules of a head.
    Malformed,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
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
pub(super) struct PhaseTimer {
    phase: ConnectionPhase,
    progress: u64,
    since: Instant,
}

impl Activity {
    /// Changes the state.
    pub(super) fn update(&self, change: impl FnOnce(&mut ActivityState)) {
        change(&mut self.state.lock());
    }

    /// The state now.
    pub(super) fn state(&self) -> ActivityState {
        *self.state.lock()
    }
}

impl PhaseTimer {
    /// A new connection is idle.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: ConnectionPhase::Idle,
            progress: 0,
            since: now,
        }
    }

    /// Takes the state at `now` in; when this connection's patience ends, unless something moves.
    pub(super) fn update(
        &mut self,
        beat: ActivityState,
        now: Instant,
        settings: &Settings,
    ) -> Option<Instant> {
        let phase = ConnectionPhase::of(beat);
        if (phase, beat.progress) != (self.phase, self.progress) {
            *self = Self {
                phase,
                progress: beat.progress,
                since: now,
            };
        }
        Some(self.since + phase.timeout(settings)?)
    }

    pub(super) fn phase(&self) -> ConnectionPhase {
        self.phase
    }
}

impl ConnectionPhase {
    fn of(beat: ActivityState) -> Self {
        let waits_for_client = beat.responses > 0 && beat.responses_blocked == beat.responses;
        if beat.transport == TransportState::Blocked || waits_for_client {
            Self::Blocked
        } else if beat.responses > 0 {
            Self::Answering
        } else if beat.within_head {
            Self::Head
        } else {
            Self::Idle
        }
    }

    fn timeout(self, settings: &Settings) -> Option<Duration> {
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

    fn beat(
        (answers, within_head, way, progress): (usize, bool, TransportState, u64),
    ) -> ActivityState {
        ActivityState {
            responses: answers,
            responses_blocked: 0,
            progress,
            within_head,
            transport: way,
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
        let mut stillness = PhaseTimer::new(start);
        let idle = |progress| beat((0, NO_HEAD, TransportState::Ready, progress));
        // (second, state, the second its patience ends)
        let rows = [
            (0, idle(0), Some(60)),
            (5, idle(0), Some(60)),
            (7, beat((0, HEAD, TransportState::Ready, 0)), Some(17)),
            (9, beat((0, HEAD, TransportState::Ready, 0)), Some(17)),
            (10, beat((1, NO_HEAD, TransportState::Ready, 0)), None),
            (11, beat((1, NO_HEAD, TransportState::Blocked, 0)), Some(41)),
            (12, beat((1, NO_HEAD, TransportState::Blocked, 0)), Some(41)),
            (13, beat((1, NO_HEAD, TransportState::Blocked, 1)), Some(43)),
            // A head that began during an answer has its time from the answer's end on.
            (14, beat((1, HEAD, TransportState::Ready, 1)), None),
            (15, beat((0, HEAD, TransportState::Ready, 2)), Some(25)),
            (16, idle(2), Some(76)),
            // A whole request between two looks.
            (20, idle(4), Some(80)),
            // The last bytes of an answer are not taken.
            (21, beat((0, NO_HEAD, TransportState::Blocked, 5)), Some(51)),
        ];
        for (second, beat, due) in rows {
            let at = |second| start + Duration::from_secs(second);
            let settled = stillness.update(beat, at(second), &settings);
            assert_eq!(settled, due.map(at), "second {second}");
        }
    }
}
