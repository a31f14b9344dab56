//! Small bodies: how many requests a second, and how long one takes. `wrk` asks.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::{
    Fallible,
    bodies::Body,
    http::{ACCEPT, check},
    plan::{Plan, turned},
    process::Process,
    results::{Aim, Bound, Figure, Results},
    servers::{Requests, lineup},
    usage::{Meter, peak_mebibytes},
};

/// Two threads: a single one would be the bottleneck and leave processors idle.
const THREADS: &str = "-t2";
const CONNECTIONS: &str = "-c64";
const BODIES: [&str; 3] = ["1.2 KB blob", "manifest by tag", "manifest by digest"];

/// What `wrk` found.
struct Load {
    requests: f64,
    per_second: f64,
    p50: f64,
    p99: f64,
}

pub(crate) fn run(plan: &Plan, results: &mut Results) -> Fallible<()> {
    let Some(wrk) = &plan.site.programs.wrk else {
        results.note("Small bodies: not measured, wrk is not installed.");
        return Ok(());
    };
    let upstream = plan.upstream.server.plain;
    let mut contestants = lineup::pair(&plan.site, upstream)?;
    contestants.extend(lineup::others(&plan.site, upstream)?);
    let bodies = &plan.site.bodies;
    for round in 0..plan.rounds {
        turned(&mut contestants, round);
        for (name, body) in
            BODIES
                .into_iter()
                .zip([&bodies.small, &bodies.by_tag, &bodies.by_digest])
        {
            for contestant in &contestants {
                let server = &contestant.server;
                let row = row(name, contestant.requests);
                plan.tell(&row, server.name, round);
                check(server.plain, body)?;
                let meter = Meter::start(&server.process)?;
                let load = ask(plan, wrk, server.plain, body)?;
                let spent = meter.stop()?;
                let cpu = spent.server.as_secs_f64() * 1e6 / load.requests;
                let mut figures = vec![
                    (Figure::RequestsPerSecond, load.per_second),
                    (Figure::CpuMicrosecondsPerRequest, cpu),
                    (Figure::P50Milliseconds, load.p50),
                    (Figure::P99Milliseconds, load.p99),
                ];
                figures.extend(spent.shares());
                results.add(&row, server.name, &figures);
                results.peak(server.name, peak_mebibytes(&server.process)?);
            }
        }
    }
    Ok(())
}

pub(crate) fn aims() -> Vec<Aim> {
    let mut aims = Vec::new();
    for name in BODIES {
        for requests in [Requests::Logged, Requests::Quiet] {
            for (figure, bound) in [
                (Figure::RequestsPerSecond, Bound::AtLeast(1.1)),
                (Figure::P99Milliseconds, Bound::AtMost(1.05)),
            ] {
                let row = row(name, requests);
                let peer = Some("nginx");
                aims.push(Aim {
                    row,
                    figure,
                    peer,
                    bound,
                });
            }
        }
    }
    aims
}

fn row(name: &str, requests: Requests) -> String {
    format!("{name}, {requests}")
}

fn ask(plan: &Plan, wrk: &Path, address: SocketAddr, body: &Body) -> Fallible<Load> {
    let folder = plan.site.room("wrk")?;
    let mut command = Command::new(wrk);
    command
        .args([THREADS, CONNECTIONS, "--latency", "-H", ACCEPT, "-d"])
        .arg(format!("{}s", plan.time.as_secs()))
        .arg(format!("http://{address}{}", body.target));
    let printed = Process::start(&mut command, folder.path())?.finish()?;
    let printed = String::from_utf8(printed)?;
    read(&printed).ok_or_else(|| printed.into())
}

/// Parses the output of `wrk`; failed requests do not count.
fn read(printed: &str) -> Option<Load> {
    if printed.contains("Non-2xx") || printed.contains("Socket errors") {
        return None;
    }
    let mut load = Load {
        requests: 0.0,
        per_second: 0.0,
        p50: 0.0,
        p99: 0.0,
    };
    for line in printed.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["Requests/sec:", rate] => load.per_second = rate.parse().ok()?,
            ["50%", latency] => load.p50 = milliseconds(latency)?,
            ["99%", latency] => load.p99 = milliseconds(latency)?,
            [count, "requests", "in", ..] => load.requests = count.parse().ok()?,
            _ => {}
        }
    }
    (load.p99 > 0.0 && load.requests > 0.0 && load.per_second > 0.0).then_some(load)
}

fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}
