//! Activity of a connection, and how long it may make no progress: a pure rule.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Settings, client_stream::ClientStream};

/// What the stream and the responses of a connection report to its watchdog. All of them run on one
/// task, so the lock is never contended.
#[derive(Debug, Default)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    /// The stream, once hyper has dropped it.
    pub(super) returned_stream: Mutex<Option<ClientStream>>,
}

/// The state of a connection at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ActivityState {
    /// Requests whose response has not been sent completely.
    pub(super) responses: usize,
    /// Those of them with a chunk that waits for the client: in HTTP/2 each stream has its own flow
    /// control.
    pub(super) responses_blocked: usize,
    /// Counts writes taken by the client and responses ended; any change is progress.
    pub(super) progress: u64,
    /// Whether a head has begun and not ended.
    pub(super) within_head: bool,
    /// State of the two directions.
    pub(super) transport: TransportState,
}

/// State of the two directions of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TransportState {
    /// Both are open, and writing does not block.
    #[default]
    Ready,
    /// The client takes no bytes at the moment.
    Blocked,
    /// The client has ended its direction, or the connection is broken.
    Closed,
    /// The client sent a malformed head.
    Malformed,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// For the client's next request.
    Idle,
    /// For the rest of a head.
    Head,
    /// For the handler, which has timeouts of its own.
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

    /// Records the state at `now`; returns when this connection times out unless it makes progress.
    pub(super) fn update(
        &mut self,
        state: ActivityState,
        now: Instant,
        settings: &Settings,
    ) -> Option<Instant> {
        let phase = ConnectionPhase::of(state);
        if (phase, state.progress) != (self.phase, self.progress) {
            *self = Self {
                phase,
                progress: state.progress,
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
    fn of(state: ActivityState) -> Self {
        let waits_for_client = state.responses > 0 && state.responses_blocked == state.responses;
        if state.transport == TransportState::Blocked || waits_for_client {
            Self::Blocked
        } else if state.responses > 0 {
            Self::Answering
        } else if state.within_head {
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

    fn state(
        (responses, within_head, transport, progress): (usize, bool, TransportState, u64),
    ) -> ActivityState {
        ActivityState {
            responses,
            responses_blocked: 0,
            progress,
            within_head,
            transport,
        }
    }

    #[test]
    fn each_phase_has_its_own_timeout_and_progress_renews_it() {
        let settings = Settings {
            idle_max: Duration::from_mins(1),
            header_max: Duration::from_secs(10),
            progress_max: Duration::from_secs(30),
            ..settings()
        };
        let start = Instant::now();
        let mut timer = PhaseTimer::new(start);
        let idle = |progress| state((0, NO_HEAD, TransportState::Ready, progress));
        // (second, state, the second it times out)
        let rows = [
            (0, idle(0), Some(60)),
            (5, idle(0), Some(60)),
            (7, state((0, HEAD, TransportState::Ready, 0)), Some(17)),
            (9, state((0, HEAD, TransportState::Ready, 0)), Some(17)),
            (10, state((1, NO_HEAD, TransportState::Ready, 0)), None),
            (
                11,
                state((1, NO_HEAD, TransportState::Blocked, 0)),
                Some(41),
            ),
            (
                12,
                state((1, NO_HEAD, TransportState::Blocked, 0)),
                Some(41),
            ),
            (
                13,
                state((1, NO_HEAD, TransportState::Blocked, 1)),
                Some(43),
            ),
            // The time of a head that began during a response counts from the response's end.
            (14, state((1, HEAD, TransportState::Ready, 1)), None),
            (15, state((0, HEAD, TransportState::Ready, 2)), Some(25)),
            (16, idle(2), Some(76)),
            // A whole request between two updates.
            (20, idle(4), Some(80)),
            // The last bytes of a response are not taken.
            (
                21,
                state((0, NO_HEAD, TransportState::Blocked, 5)),
                Some(51),
            ),
        ];
        for (second, state, due) in rows {
            let at = |second| start + Duration::from_secs(second);
            let deadline = timer.update(state, at(second), &settings);
            assert_eq!(deadline, due.map(at), "second {second}");
        }
    }
}
