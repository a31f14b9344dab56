//! What programs cost, from `/proc`: processor time, memory, and what the machine had left.

use std::{fs, time::Duration};

use tokio::time::Instant;

use crate::{
    Fallible,
    gauge::{mebibytes, processor_time, ticks},
    process::Process,
    results::Figure,
};

/// Idle and waiting for disks in the first line of `/proc/stat`, counted behind its name.
const IDLE: [usize; 2] = [3, 4];

/// A measure that has begun.
pub(crate) struct Meter<'a> {
    server: &'a Process,
    begin: Reading,
}

/// What a measure cost.
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    /// Processor time of the server's processes.
    pub(crate) server: Duration,
    /// The same of this program and the load programs that it ran.
    pub(crate) client: Duration,
    /// What the processors did not use, summed over them.
    pub(crate) idle: Duration,
}

impl Spent {
    /// The figures of a measure in which so many bytes came.
    pub(crate) fn of_bytes(&self, bytes: u64) -> Vec<(Figure, f64)> {
        let gigabytes = float(bytes) / 1e9;
        let mut figures = vec![
            (
                Figure::GigabytesPerSecond,
                gigabytes / self.wall.as_secs_f64(),
            ),
            (
                Figure::CpuSecondsPerGigabyte,
                self.server.as_secs_f64() / gigabytes,
            ),
        ];
        figures.extend(self.shares());
        figures
    }

    /// How busy the client and how idle the machine was.
    pub(crate) fn shares(&self) -> [(Figure, f64); 2] {
        let share = |time: Duration| time.as_secs_f64() / self.wall.as_secs_f64();
        [
            (Figure::ClientCores, share(self.client)),
            (Figure::IdleCores, share(self.idle)),
        ]
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "what is counted here stays far below 2^53"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

struct Reading {
    at: Instant,
    server: Duration,
    client: Duration,
    idle: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Process) -> Fallible<Self> {
        let begin = Reading::take(server)?;
        Ok(Self { server, begin })
    }

    pub(crate) fn stop(self) -> Fallible<Spent> {
        let (begin, end) = (self.begin, Reading::take(self.server)?);
        Ok(Spent {
            wall: end.at - begin.at,
            server: end.server.saturating_sub(begin.server),
            client: end.client.saturating_sub(begin.client),
            idle: end.idle.saturating_sub(begin.idle),
        })
    }
}

impl Reading {
    fn take(server: &Process) -> Fallible<Self> {
        let machine = fs::read_to_string("/proc/stat")?;
        let line = machine.lines().next().unwrap_or_default();
        Ok(Self {
            server: family(server.id())
                .into_iter()
                .map(|pid| processor_time(&pid.to_string()))
                .sum::<Fallible<Duration>>()?,
            client: processor_time("self")?,
            idle: ticks(line.split_whitespace().skip(1), &IDLE)?,
            at: Instant::now(),
        })
    }
}

/// The most mebibytes that each process of a server had resident at once, summed.
pub(crate) fn peak_mebibytes(server: &Process) -> Fallible<f64> {
    let peaks = family(server.id()).into_iter();
    peaks.map(|pid| mebibytes(pid, "VmHWM:")).sum()
}

/// A process, its children and theirs.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in children.unwrap_or_default().split_whitespace() {
        all.extend(child.parse().map(family).unwrap_or_default());
    }
    all
}
