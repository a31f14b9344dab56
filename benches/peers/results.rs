//! What was measured, and whether it reaches what it should.

use std::collections::BTreeMap;

/// The row of the servers' memory over all other rows.
pub(crate) const MEMORY: &str = "Peak resident memory";

/// What is measured. The order is that of the columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    GigabytesPerSecond,
    CpuSecondsPerGigabyte,
    RequestsPerSecond,
    CpuMicrosecondsPerRequest,
    P50Milliseconds,
    P99Milliseconds,
    UpstreamGets,
    WallSeconds,
    FirstByteMilliseconds,
    /// Processors that the load client kept busy.
    ClientCores,
    /// Idle processors.
    IdleCores,
    PeakMebibytes,
}

impl Figure {
    /// The heading of its column, and its decimals.
    pub(crate) const fn heading(self) -> (&'static str, usize) {
        match self {
            Self::GigabytesPerSecond => ("GB/s", 2),
            Self::CpuSecondsPerGigabyte => ("server CPU s/GB", 3),
            Self::RequestsPerSecond => ("requests/s", 0),
            Self::CpuMicrosecondsPerRequest => ("server CPU µs/request", 1),
            Self::P50Milliseconds => ("p50 ms", 2),
            Self::P99Milliseconds => ("p99 ms", 2),
            Self::UpstreamGets => ("upstream GETs", 0),
            Self::WallSeconds => ("wall s", 2),
            Self::FirstByteMilliseconds => ("latest first byte ms", 0),
            Self::ClientCores => ("client cores", 2),
            Self::IdleCores => ("idle cores", 2),
            Self::PeakMebibytes => ("MiB", 0),
        }
    }
}

/// All that was measured: for each row and server a figure of each round, in the order of arrival.
#[derive(Default)]
pub(crate) struct Results {
    measured: Vec<Measured>,
    /// What else a reader has to know.
    pub(crate) notes: Vec<String>,
}

pub(crate) struct Measured {
    pub(crate) row: String,
    pub(crate) server: String,
    pub(crate) figures: BTreeMap<Figure, Vec<f64>>,
}

/// What Roadstead has to reach in a row.
pub(crate) struct Aim {
    pub(crate) row: String,
    pub(crate) figure: Figure,
    /// The server to compare with; `None` if the figure itself has a bound.
    pub(crate) peer: Option<&'static str>,
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// How an aim was met: the medians, and what is judged: their ratio, or ours alone.
pub(crate) struct Verdict {
    pub(crate) ours: f64,
    pub(crate) theirs: Option<f64>,
    pub(crate) judged: f64,
    pub(crate) is_reached: bool,
}

impl Results {
    pub(crate) fn add(&mut self, row: &str, server: &str, figures: &[(Figure, f64)]) {
        let known = |one: &Measured| one.row == row && one.server == server;
        let place = self.measured.iter().position(known).unwrap_or_else(|| {
            self.measured.push(Measured {
                row: row.to_owned(),
                server: server.to_owned(),
                figures: BTreeMap::new(),
            });
            self.measured.len() - 1
        });
        if let Some(measured) = self.measured.get_mut(place) {
            for (figure, value) in figures {
                measured.figures.entry(*figure).or_default().push(*value);
            }
        }
    }

    /// Keeps the most memory that a server needed in any measure.
    pub(crate) fn peak(&mut self, server: &str, mebibytes: f64) {
        self.add(MEMORY, server, &[(Figure::PeakMebibytes, mebibytes)]);
        for measured in self.measured.iter_mut().filter(|one| one.row == MEMORY) {
            for peaks in measured.figures.values_mut() {
                let highest = peaks.iter().copied().fold(0.0, f64::max);
                *peaks = vec![highest];
            }
        }
    }

    /// Says something once.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|known| known == text) {
            self.notes.push(text.to_owned());
        }
    }

    /// The rows in the order in which they came, and memory.
    pub(crate) fn rows(&self) -> Vec<&str> {
        let mut rows = Vec::new();
        for measured in &self.measured {
            if !rows.contains(&measured.row.as_str()) {
                rows.push(&measured.row);
            }
        }
        rows.sort_by_key(|row| *row == MEMORY);
        rows
    }

    pub(crate) fn of_row<'a>(&'a self, row: &'a str) -> impl Iterator<Item = &'a Measured> {
        self.measured.iter().filter(move |one| one.row == row)
    }

    /// Judges an aim; `None` if it was not measured.
    pub(crate) fn judge(&self, aim: &Aim) -> Option<Verdict> {
        let ours = self.median(aim, "Roadstead")?;
        let theirs = match aim.peer {
            None => None,
            Some(peer) => Some(self.median(aim, peer)?),
        };
        let judged = theirs.map_or(ours, |theirs| ours / theirs);
        let is_reached = match aim.bound {
            Bound::AtMost(most) => judged <= most,
            Bound::AtLeast(least) => judged >= least,
        };
        Some(Verdict {
            ours,
            theirs,
            judged,
            is_reached,
        })
    }

    fn median(&self, aim: &Aim, server: &str) -> Option<f64> {
        let mut all = self.measured.iter();
        let measured = all.find(|one| one.row == aim.row && one.server == server)?;
        median(measured.figures.get(&aim.figure)?)
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}
