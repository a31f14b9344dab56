//! Large blobs over HTTP/1.1: what a byte costs, and how fast it is.

use std::{net::SocketAddr, thread, time::Duration};

use tokio::time::Instant;

use crate::{
    Fallible,
    http::{Connection, check, connect},
    plan::{Plan, turned},
    results::{Aim, Bound, Figure, Results},
    servers::{
        Requests,
        lineup::{self, Contestant},
        source,
    },
    usage::{Meter, peak_mebibytes},
};

const BIG_READERS: usize = 8;
const MIDDLE_READERS: usize = 16;

pub(crate) fn run(plan: &Plan, results: &mut Results) -> Fallible<()> {
    let upstream = plan.upstream.server.plain;
    let mut contestants = lineup::pair(&plan.site, upstream)?;
    contestants.extend(lineup::others(&plan.site, upstream)?);
    contestants.push(Contestant {
        server: source::start(&plan.site)?,
        requests: Requests::Quiet,
    });
    let bodies = &plan.site.bodies;
    for round in 0..plan.rounds {
        turned(&mut contestants, round);
        for (name, body, readers) in [
            ("300 MB", &bodies.big, BIG_READERS),
            ("5 MB", &bodies.middle, MIDDLE_READERS),
        ] {
            for contestant in &contestants {
                let server = &contestant.server;
                let row = row(name, readers, contestant.requests);
                plan.tell(&row, server.name, round);
                check(server.plain, body)?;
                let meter = Meter::start(&server.process)?;
                let bytes = read(server.plain, &body.target, readers, plan.time)?;
                let spent = meter.stop()?;
                results.add(&row, server.name, &spent.of_bytes(bytes));
                results.peak(server.name, peak_mebibytes(&server.process)?);
            }
        }
    }
    Ok(())
}

pub(crate) fn aims() -> Vec<Aim> {
    let mut aims = Vec::new();
    for (name, readers) in [("300 MB", BIG_READERS), ("5 MB", MIDDLE_READERS)] {
        for requests in [Requests::Logged, Requests::Quiet] {
            for (figure, bound) in [
                (Figure::CpuSecondsPerGigabyte, Bound::AtMost(1.05)),
                (Figure::GigabytesPerSecond, Bound::AtLeast(0.95)),
            ] {
                aims.push(Aim {
                    row: row(name, readers, requests),
                    figure,
                    peer: Some("nginx"),
                    bound,
                });
            }
        }
    }
    aims
}

fn row(name: &str, readers: usize, requests: Requests) -> String {
    format!("{name} blob × {readers} readers, {requests}")
}

/// Reads a body over and over on so many connections for a time. Returns the bytes that came.
fn read(address: SocketAddr, target: &str, readers: usize, time: Duration) -> Fallible<u64> {
    let deadline = Instant::now() + time;
    let one = || -> Fallible<u64> {
        let mut connection = Connection::over(connect(address)?);
        let mut sum = 0;
        while Instant::now() < deadline {
            let answer = connection.ask(target)?;
            sum += connection.discard(&answer, |_| Instant::now() < deadline)?;
        }
        Ok(sum.try_into()?)
    };
    thread::scope(|scope| {
        #[expect(clippy::needless_collect, reason = "all run before one is waited for")]
        let threads: Vec<_> = (0..readers).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a reader panicked".into()))
            })
            .sum()
    })
}
