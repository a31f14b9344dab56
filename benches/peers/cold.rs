//! The 300 MB blob before it is cached: many clients at once, and one alone.
//!
//! Each measure has a server of its own with an empty store. In a measure the clients count the
//! bytes; a herd that compares each of them with what they should be comes after each timed one, to
//! another empty server (for others than nginx and Roadstead only in the first round).

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    sync::Barrier,
    thread,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    Fallible,
    bodies::Body,
    http::{Connection, connect},
    plan::{Plan, turned},
    results::{Aim, Bound, Figure, Results},
    servers::{lineup::Mirror, nginx::Asked},
    usage::{float, peak_mebibytes},
};

const CLIENTS: usize = 50;
const HERD: &str = "50 clients × one cold 300 MB blob";
const ALONE: &str = "1 client × cold 300 MB blob";
/// Links to an upstream, in bytes a second, and what one client does over each.
pub(crate) const LINKS: [(u32, &str); 2] = [
    (
        125_000_000,
        "1 client × cold 300 MB blob, upstream at 1 Gbit/s",
    ),
    (
        312_500_000,
        "1 client × cold 300 MB blob, upstream at 2.5 Gbit/s",
    ),
];
const DIRECT: &str = "direct download";

/// The blob in the page cache, and as much again on its way.
const WARM_PIECES: usize = 10_000;
const WARM_PIECE_BYTES: usize = 64 * 1024;

const LOGGED_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What one client saw, in seconds since 1970.
struct Seen {
    first_byte: f64,
    end: f64,
}

/// What a client does with what it gets.
#[derive(Clone, Copy)]
enum Bytes {
    Counted,
    Compared,
}

pub(crate) fn run(plan: &Plan, results: &mut Results) -> Fallible<()> {
    // zot fetches whole images, when a manifest is asked for.
    let mut mirrors = Mirror::present(&plan.site.programs);
    mirrors.retain(|mirror| *mirror != Mirror::Zot);
    for round in 0..plan.rounds {
        turned(&mut mirrors, round);
        for mirror in &mirrors {
            herd(plan, *mirror, round, results)?;
        }
        let links = LINKS.iter().map(|(_, row)| *row).zip(&plan.upstream.links);
        for (row, &upstream) in [(ALONE, &plan.upstream.server.plain)]
            .into_iter()
            .chain(links)
        {
            plan.tell(row, DIRECT, round);
            results.add(
                row,
                DIRECT,
                &[(Figure::WallSeconds, alone(plan, upstream)?)],
            );
            for mirror in &mirrors {
                let server = mirror.start(&plan.site, upstream)?;
                plan.tell(row, server.name, round);
                let wall = alone(plan, server.plain)?;
                results.add(row, server.name, &[(Figure::WallSeconds, wall)]);
                results.peak(server.name, peak_mebibytes(&server.process)?);
            }
        }
    }
    Ok(())
}

pub(crate) fn aims() -> Vec<Aim> {
    let aim = |row: &str, figure, peer, bound| Aim {
        row: row.to_owned(),
        figure,
        peer,
        bound,
    };
    let mut aims = vec![
        aim(HERD, Figure::UpstreamGets, None, Bound::AtMost(1.0)),
        aim(
            HERD,
            Figure::WallSeconds,
            Some("nginx proxy_cache"),
            Bound::AtMost(1.05),
        ),
        aim(
            HERD,
            Figure::FirstByteMilliseconds,
            None,
            Bound::AtMost(100.0),
        ),
        // Not against the direct download, which neither hashes nor keeps anything: without a link
        // in between, the processors are what bounds both.
        aim(
            ALONE,
            Figure::WallSeconds,
            Some("nginx proxy_cache"),
            Bound::AtMost(1.05),
        ),
    ];
    aims.extend(LINKS.map(|(_, row)| {
        let bound = Bound::AtMost(1.1);
        aim(row, Figure::WallSeconds, Some(DIRECT), bound)
    }));
    aims
}

/// One timed herd, and one whose bytes are compared.
fn herd(plan: &Plan, mirror: Mirror, round: usize, results: &mut Results) -> Fallible<()> {
    let body = &plan.site.bodies.big;
    // Fifty whole fetches take long where a herd is not gathered.
    let is_compared = round == 0 || matches!(mirror, Mirror::Cache | Mirror::Roadstead);
    for bytes in [Bytes::Counted, Bytes::Compared] {
        if matches!(bytes, Bytes::Compared) && !is_compared {
            continue;
        }
        plan.upstream.forget()?;
        let server = mirror.start(&plan.site, plan.upstream.server.plain)?;
        plan.tell(HERD, server.name, round);
        warm_memory(plan)?;
        let begin = now()?;
        let seen = clients(server.plain, body, CLIENTS, bytes)?;
        let latest = |of: fn(&Seen) -> f64| seen.iter().map(of).fold(0.0, f64::max);
        let (first_byte, end) = (latest(|one| one.first_byte), latest(|one| one.end));
        let name = server.name;
        results.peak(name, peak_mebibytes(&server.process)?);
        drop(server);
        let asked = asked(plan)?;
        let upstream = asked.iter().map(|one| one.at).fold(f64::INFINITY, f64::min);
        if matches!(bytes, Bytes::Counted) {
            let figures = [
                (Figure::UpstreamGets, float(asked.len().try_into()?)),
                (Figure::WallSeconds, end - begin),
                (Figure::FirstByteMilliseconds, (first_byte - upstream) * 1e3),
            ];
            results.add(HERD, name, &figures);
        }
    }
    Ok(())
}

/// Has the kernel hold a file of the size that the work will need, and removes it: on a virtual
/// machine unused memory comes from the host, at ten times the cost of writing it, and the first
/// server measured would pay for all.
fn warm_memory(plan: &Plan) -> Fallible<()> {
    let folder = plan.site.room("warm")?;
    let mut file = File::create(folder.path().join("file"))?;
    let piece = vec![1; WARM_PIECE_BYTES];
    for _ in 0..WARM_PIECES {
        file.write_all(&piece)?;
    }
    Ok(())
}

/// One client; returns the seconds until it has all.
fn alone(plan: &Plan, address: SocketAddr) -> Fallible<f64> {
    warm_memory(plan)?;
    let begin = now()?;
    let seen = clients(address, &plan.site.bodies.big, 1, Bytes::Counted)?;
    Ok(seen.iter().map(|one| one.end - begin).sum())
}

/// All ask at once, and each reads to the end.
fn clients(address: SocketAddr, body: &Body, count: usize, bytes: Bytes) -> Fallible<Vec<Seen>> {
    let barrier = Barrier::new(count);
    let one = || -> Fallible<Seen> {
        let stream = connect(address);
        barrier.wait();
        let mut connection = Connection::over(stream?);
        let answer = connection.ask(&body.target)?;
        let mut first_byte = None;
        match bytes {
            Bytes::Compared => connection.compare(&answer, &body.bytes)?,
            Bytes::Counted => {
                let count = connection.discard(&answer, |count| {
                    if count > 0 && first_byte.is_none() {
                        first_byte = Some(now());
                    }
                    true
                })?;
                if count != body.bytes.len() {
                    return Err("a body of another length".into());
                }
            }
        }
        let end = now()?;
        Ok(Seen {
            first_byte: first_byte.unwrap_or(Ok(end))?,
            end,
        })
    };
    thread::scope(|scope| {
        #[expect(clippy::needless_collect, reason = "all run before one is waited for")]
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a client panicked".into()))
            })
            .collect()
    })
}

/// What the upstream was asked for. The mirror is gone, so that all its requests end.
fn asked(plan: &Plan) -> Fallible<Vec<Asked>> {
    let path = plan.site.bodies.big.path();
    let name = path.rsplit('/').next().unwrap_or_default();
    let deadline = Instant::now() + LOGGED_MAX;
    let mut before = 0;
    loop {
        thread::sleep(POLL_INTERVAL);
        let asked = plan.upstream.asked(name)?;
        if !asked.is_empty() && asked.len() == before {
            return Ok(asked);
        }
        if Instant::now() > deadline {
            return Err("the upstream logged nothing".into());
        }
        before = asked.len();
    }
}

fn now() -> Fallible<f64> {
    Ok(SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs_f64())
}
