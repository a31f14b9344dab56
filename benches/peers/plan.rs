//! What a run is: the site, the upstream, how often and how long.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::servers::{Site, nginx::Upstream};

pub(crate) struct Plan {
    pub(crate) site: Site,
    pub(crate) upstream: Upstream,
    pub(crate) rounds: usize,
    /// How long each measure of a rate takes.
    pub(crate) time: Duration,
}

impl Plan {
    /// Says how far the run is.
    pub(crate) fn tell(&self, row: &str, server: &str, round: usize) {
        let line = format!("round {} of {}: {row}: {server}\n", round + 1, self.rounds);
        // The run goes on even if its progress cannot be printed.
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

/// Brings those who take part into another order each round.
pub(crate) fn turned<T>(contestants: &mut [T], round: usize) {
    if round > 0 {
        contestants.rotate_left(1);
    }
}
