//! Roadstead beside alternative servers, side by side on one machine.
//!
//! ```text
//! cargo bench --bench peers
//! cargo bench --bench peers -- --rounds 3 --only small --only tls --output measured.md
//! ```
//!
//! Needed: `nginx` (as peer and as upstream). Used where installed: `docker-registry`, `wrk`,
//! `h2load` with `nghttp` (Debian's nghttp2-client), and zot and angos by `--zot` and `--angos`.
//! All run on free loopback ports in a temporary folder, and end with the bench.
//!
//! How to read the table:
//!
//! - Each round measures all servers one after another, in another order than the round before. A
//!   figure is the median of the rounds; a ratio is the median of the rounds' ratios.
//! - *server CPU* is the time of all processes of that server, *client cores* that of the bench and
//!   the load programs, *idle cores* the unused rest. Without idle cores, client and server share
//!   the processors: a server that costs less leaves the client more.
//! - *bare sendfile* does nothing but send a file. What it reaches is the most the client can take.
//! - Memory is the sum of the peaks of a server's processes, shared pages counted in each of them.
//! - Small bodies and TLS are asked for by `wrk` and `h2load`. Where such a client is as busy as its
//!   threads allow and cores are idle, it is the limit: compare the CPU of a request, not the rate.
//! - Before each measure one client reads the body from that server and compares every byte with
//!   the original, which is named by its sha256. The rate's own bodies are only counted.
//! - Roadstead is the program that Cargo builds along with the bench; `--roadstead` takes another.

mod bodies;
mod cold;
#[path = "../gauge/gauge.rs"]
mod gauge;
mod http;
mod large;
mod machine;
mod options;
mod plan;
mod process;
mod results;
mod servers;
mod small;
mod table;
mod tls;
mod usage;

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Parser;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use bodies::Bodies;
use machine::installed;
use options::{Options, Subject};
use plan::Plan;
use results::{Aim, Bound, Figure, MEMORY, Results};
use servers::{Programs, Site, nginx::Upstream, source};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

type Run = fn(&Plan, &mut Results) -> Fallible<()>;
type Aims = fn() -> Vec<Aim>;

/// Only the owner may read a key.
const SECRET_MODE: u32 = 0o600;
const READING: [&str; 3] = [
    "Large and small: before each measure a client compares every byte of the body with the original.",
    "Cold: a second herd, to another empty server, compares every byte right after each timed one \
     (beyond nginx and Roadstead: after the first).",
    "Bare sendfile is the most that the load client can take from a server that does nothing else.",
];
const MEMORY_MEBIBYTES_MAX: f64 = 128.0;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.source {
        Some(address) => source::serve(address, &options.folder),
        None => run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "peers: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures in a thread of its own, so that a signal can stop all servers at any moment.
fn run(options: Options) -> Fallible<()> {
    let folder = tempfile::Builder::new()
        .prefix("peers")
        .tempdir_in(&options.folder)?;
    let place = folder.path().to_owned();
    let (sender, finished) = oneshot::channel();
    thread::spawn(move || drop(sender.send(measure(&options, &place))));
    let outcome = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(unless_interrupted(finished));
    process::stop_all();
    outcome
}

async fn unless_interrupted(finished: oneshot::Receiver<Fallible<()>>) -> Fallible<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        outcome = finished => outcome?,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
        _ = hangup.recv() => Err("hung up".into()),
    }
}

fn measure(options: &Options, folder: &Path) -> Fallible<()> {
    let nginx = installed("nginx").ok_or("nginx is not installed: apt-get install nginx-light")?;
    let programs = Programs {
        nginx,
        roadstead: options.roadstead.clone(),
        registry: installed("docker-registry"),
        zot: options.zot.clone().or_else(|| installed("zot")),
        angos: options.angos.clone().or_else(|| installed("angos")),
        wrk: installed("wrk"),
        h2load: installed("h2load"),
        nghttp: installed("nghttp"),
    };
    let header = header(options, &programs)?;
    let plan = plan(options, folder, programs)?;
    let mut results = Results::default();
    let mut aims = Vec::new();
    let subjects: [(Subject, Run, Aims); 4] = [
        (Subject::Large, large::run, large::aims),
        (Subject::Small, small::run, small::aims),
        (Subject::Cold, cold::run, cold::aims),
        (Subject::Tls, tls::run, tls::aims),
    ];
    // What was measured is shown even if a later subject fails.
    let mut outcome = Ok(());
    for (subject, run, its_aims) in subjects {
        if options.wants(subject) && outcome.is_ok() {
            outcome = run(&plan, &mut results);
            aims.extend(its_aims());
        }
    }
    aims.push(Aim {
        row: MEMORY.to_owned(),
        figure: Figure::PeakMebibytes,
        peer: None,
        bound: Bound::AtMost(MEMORY_MEBIBYTES_MAX),
    });
    let mut shown = String::new();
    table::write_aims(&mut shown, &results, &aims)?;
    let mut text = String::new();
    table::write(&mut text, &header, &results, &aims)?;
    if let Some(file) = &options.output {
        fs::write(file, text)?;
    } else {
        shown = text;
    }
    io::stdout().write_all(shown.as_bytes())?;
    outcome
}

fn header(options: &Options, programs: &Programs) -> Fallible<Vec<String>> {
    let mut header = machine::describe()?;
    header.extend(machine::versions(programs));
    let Options {
        rounds, seconds, ..
    } = options;
    header.push(format!(
        "{rounds} rounds, {seconds} s for each rate; medians (lowest…highest)"
    ));
    header.extend(READING.map(str::to_owned));
    Ok(header)
}

/// Makes the bodies and the certificate, and starts the upstream.
fn plan(options: &Options, folder: &Path, programs: Programs) -> Fallible<Plan> {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, pair.cert.pem())?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(&key)?;
    file.write_all(pair.signing_key.serialize_pem().as_bytes())?;
    let site = Site {
        folder: folder.to_owned(),
        bodies: Bodies::make(&folder.join("www"))?,
        certificate,
        key,
        programs,
    };
    let upstream = Upstream::start(&site, &cold::LINKS.map(|(bytes, _)| bytes))?;
    Ok(Plan {
        site,
        upstream,
        rounds: options.rounds.try_into()?,
        time: Duration::from_secs(options.seconds),
    })
}
