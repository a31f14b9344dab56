//! `[limits]`, `[timeouts]`, `[store]`, `[freshness]` and `[log]`: numbers and words with defaults.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use rustix::process::{Resource, getrlimit};
use tracing::Level;

use super::{problem::ValueError, reader::Section};
use crate::{pull, server, store, telemetry::log};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A wait on the network: shorter is a mistake, longer blocks resources.
const WAIT_MS: RangeInclusive<u64> = 10..=HOUR_MS;
/// How long a stop still accepts connections; orchestrators wait for a minute at most.
const GRACE_MS: RangeInclusive<u64> = 0..=60 * SECOND_MS;
const GRACE: Duration = Duration::from_secs(1);
/// How long an answer counts as fresh; `0s` contacts the upstream each time.
pub(super) const FRESHNESS_MS: RangeInclusive<u64> = 0..=3_650 * DAY_MS;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Bounds of `connections_max`, configured or derived.
const CONNECTIONS: RangeInclusive<usize> = 16..=65_536;
/// Default of concurrent requests: the nodes that one mirror serves, each with a few layers.
const REQUESTS_MAX: usize = 4_096;

/// `[limits]`.
#[expect(clippy::struct_field_names, reason = "every maximum says so")]
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitsTable {
    pub(super) connections_max: usize,
    pub(super) requests_max: usize,
    pub(super) header_bytes_max: usize,
    pub(super) manifest_bytes_max: usize,
    pub(super) small_bodies_max: u64,
}

/// `[timeouts]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    header: Duration,
    idle: Duration,
    pub(super) connect: Duration,
    manifest: Duration,
    blob_head: Duration,
    pub(super) progress: Duration,
    grace: Duration,
    drain: Duration,
}

/// `[freshness]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freshness {
    tag_fresh: Duration,
    tag_stale_max: Duration,
    absent: Duration,
    offline: bool,
}

impl LimitsTable {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let mut limits = root.section("limits");
        let connections = limits.integer_or_auto("connections_max", &CONNECTIONS);
        let read = Self {
            connections_max: connections.unwrap_or_else(connections_by_descriptors),
            requests_max: limits
                .integer("requests_max", &(1..=1_000_000))
                .unwrap_or(REQUESTS_MAX),
            header_bytes_max: bytes(limits.size("header_bytes_max", &(8 * KIB..=MIB)), 64 * KIB),
            manifest_bytes_max: bytes(
                limits.size("manifest_bytes_max", &(MIB..=64 * MIB)),
                4 * MIB,
            ),
            small_bodies_max: limits
                .size("small_bodies_max", &(MIB..=TIB))
                .unwrap_or(64 * MIB),
        };
        limits.finish();
        read
    }

    pub(super) fn server(&self, timeouts: &Timeouts) -> server::Settings {
        server::Settings {
            connections_max: self.connections_max,
            requests_max: self.requests_max,
            header_bytes_max: self.header_bytes_max,
            header_max: timeouts.header,
            idle_max: timeouts.idle,
            progress_max: timeouts.progress,
            grace: timeouts.grace,
            drain_max: timeouts.drain,
        }
    }
}

impl Timeouts {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let mut timeouts = root.section("timeouts");
        let mut wait = |key, seconds| {
            timeouts
                .duration(key, &WAIT_MS)
                .unwrap_or_else(|| Duration::from_secs(seconds))
        };
        let (header, idle) = (wait("header", 10), wait("idle", 60));
        let (connect, manifest) = (wait("connect", 3), wait("manifest", 12));
        let (blob_head, progress) = (wait("blob_head", 20), wait("progress", 30));
        let drain = wait("drain", 30);
        let read = Self {
            header,
            idle,
            connect,
            manifest,
            blob_head,
            progress,
            grace: timeouts.duration("grace", &GRACE_MS).unwrap_or(GRACE),
            drain,
        };
        timeouts.finish();
        read
    }
}

impl Freshness {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let mut freshness = root.section("freshness");
        let mut duration = |key, seconds| {
            freshness
                .duration(key, &FRESHNESS_MS)
                .unwrap_or_else(|| Duration::from_secs(seconds))
        };
        let read = Self {
            tag_fresh: duration("tag_fresh", 5),
            tag_stale_max: duration("tag_stale_max", 30 * 86_400),
            absent: duration("absent", 5),
            offline: freshness.flag("offline").unwrap_or(false),
        };
        freshness.finish();
        read
    }

    pub(super) fn pull(&self, timeouts: &Timeouts) -> pull::Settings {
        pull::Settings {
            tag_fresh: self.tag_fresh,
            tag_stale_max: self.tag_stale_max,
            absent: self.absent,
            offline: self.offline,
            manifest_max: timeouts.manifest,
            blob_head_max: timeouts.blob_head,
        }
    }
}

/// Reads `[store]`; a path from the command line overrides the file's.
pub(super) fn store(
    root: &mut Section<'_>,
    path: Option<&PathBuf>,
    small_bodies_max: u64,
) -> store::Settings {
    let mut store = root.section("store");
    let written = store.parse("path", |text| match text {
        "" => Err(ValueError::new("a path must not be empty")),
        text if text.contains('\0') => Err(ValueError::new("a path must not contain a zero byte")),
        text => Ok(PathBuf::from(text)),
    });
    let read = store::Settings {
        path: path
            .cloned()
            .or(written)
            .unwrap_or_else(|| PathBuf::from("roadstead-data")),
        size_max: store
            .size("size_max", &(MIB..=1_024 * TIB))
            .unwrap_or(50 * GIB),
        free_min: store.size("free_min", &(0..=1_024 * TIB)).unwrap_or(GIB),
        small_bodies_max,
    };
    store.finish();
    read
}

/// Reads `[log]`.
pub(super) fn log(root: &mut Section<'_>) -> log::Settings {
    let mut log = root.section("log");
    let formats = [
        ("auto", log::LogFormat::Auto),
        ("json", log::LogFormat::Json),
        ("text", log::LogFormat::Text),
    ];
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let requests = [
        ("all", log::LoggedRequests::All),
        ("misses", log::LoggedRequests::Misses),
        ("none", log::LoggedRequests::None),
    ];
    let read = log::Settings {
        format: log
            .choice("format", &formats)
            .unwrap_or(log::LogFormat::Auto),
        level: log.choice("level", &levels).unwrap_or(Level::INFO),
        requests: log
            .choice("requests", &requests)
            .unwrap_or(log::LoggedRequests::All),
    };
    log.finish();
    read
}

/// Leaves a quarter of the descriptors to upstreams, the store and the log; a connection takes two
/// of the rest: its socket and the file that it sends.
fn connections_by_descriptors() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = usize::try_from(descriptors / 4 * 3 / 2).unwrap_or(usize::MAX);
    connections.clamp(*CONNECTIONS.start(), *CONNECTIONS.end())
}

fn bytes(read: Option<u64>, default: u64) -> usize {
    usize::try_from(read.unwrap_or(default)).unwrap_or(usize::MAX)
}
