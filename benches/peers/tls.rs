//! The 300 MB blob by TLS, over HTTP/1.1 and over HTTP/2. `h2load` reads, and all use one cipher.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::{
    Fallible,
    bodies::Body,
    http::{Connection, connect},
    plan::{Plan, turned},
    process::Process,
    results::{Aim, Bound, Figure, Results},
    servers::lineup,
    usage::{Meter, peak_mebibytes},
};

const CIPHER: &str = "TLS_AES_128_GCM_SHA256";
/// Bodies that are read for each second that a rate is to take. A count, for h2load may go on for
/// ever after the time it was given.
const BODIES_PER_SECOND: u64 = 8;
/// HTTP/1.1 with 8 connections, HTTP/2 with 8 streams on 2.
const HTTP1: (&str, [&str; 3]) = (
    "300 MB blob × 8 readers, TLS, HTTP/1.1",
    ["--h1", "-c8", "-m1"],
);
const HTTP2: (&str, [&str; 3]) = (
    "300 MB blob × 8 readers, TLS, HTTP/2",
    ["--npn-list=h2", "-c2", "-m4"],
);

pub(crate) fn run(plan: &Plan, results: &mut Results) -> Fallible<()> {
    let (Some(h2load), Some(nghttp)) = (&plan.site.programs.h2load, &plan.site.programs.nghttp)
    else {
        results.note("TLS: not measured, h2load and nghttp (nghttp2-client) are not installed.");
        return Ok(());
    };
    let body = &plan.site.bodies.big;
    let mut servers = lineup::by_tls(&plan.site, plan.upstream.server.plain)?;
    for round in 0..plan.rounds {
        turned(&mut servers, round);
        for (row, arguments) in [HTTP1, HTTP2] {
            for (server, address) in &servers {
                plan.tell(row, server.name, round);
                if row == HTTP1.0 {
                    check_http1(plan, *address, body)?;
                } else {
                    check_http2(plan, nghttp, *address, body)?;
                }
                let meter = Meter::start(&server.process)?;
                let bytes = read(plan, h2load, &arguments, &url(*address, body))?;
                let spent = meter.stop()?;
                results.add(row, server.name, &spent.of_bytes(bytes));
                results.peak(server.name, peak_mebibytes(&server.process)?);
            }
        }
    }
    Ok(())
}

pub(crate) fn aims() -> Vec<Aim> {
    [
        (HTTP1.0, Figure::CpuSecondsPerGigabyte, Bound::AtMost(1.05)),
        (HTTP1.0, Figure::GigabytesPerSecond, Bound::AtLeast(0.95)),
        (HTTP2.0, Figure::GigabytesPerSecond, Bound::AtLeast(0.7)),
    ]
    .into_iter()
    .map(|(row, figure, bound)| Aim {
        row: row.to_owned(),
        figure,
        peer: Some("nginx"),
        bound,
    })
    .collect()
}

fn url(address: SocketAddr, body: &Body) -> String {
    format!("https://{address}{}", body.target)
}

/// Reads some bodies and returns how many bytes came.
fn read(plan: &Plan, h2load: &Path, arguments: &[&str], url: &str) -> Fallible<u64> {
    let folder = plan.site.room("h2load")?;
    let bodies = plan.time.as_secs() * BODIES_PER_SECOND;
    let mut command = Command::new(h2load);
    command
        .args(arguments)
        .args(["-t2", "-n", &bodies.to_string()])
        .arg(format!("--tls13-ciphers={CIPHER}"))
        .arg(url);
    let printed = Process::start(&mut command, folder.path())?.finish()?;
    let printed = String::from_utf8(printed)?;
    let bytes = printed.lines().find_map(|line| {
        let (_, rest) = line.strip_prefix("traffic: ")?.split_once('(')?;
        rest.split(')').next()?.parse().ok()
    });
    let is_fine = printed.contains(CIPHER) && printed.contains(" 0 failed, 0 errored");
    match bytes {
        Some(bytes) if is_fine && bytes > 0 => Ok(bytes),
        _ => Err(printed.into()),
    }
}

fn check_http1(plan: &Plan, address: SocketAddr, body: &Body) -> Fallible<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&plan.site.certificate)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
    let mut connection = Connection::over(StreamOwned::new(tls, connect(address)?));
    let answer = connection.ask(&body.target)?;
    connection.compare(&answer, &body.bytes)
}

fn check_http2(plan: &Plan, nghttp: &Path, address: SocketAddr, body: &Body) -> Fallible<()> {
    let folder = plan.site.room("nghttp")?;
    let mut command = Command::new(nghttp);
    command.args([
        "--no-verify-peer",
        "--window-bits=30",
        "--connection-window-bits=30",
    ]);
    command.arg(url(address, body));
    let got = Process::start(&mut command, folder.path())?.finish()?;
    if got == body.bytes {
        Ok(())
    } else {
        Err("wrong bytes in a body over HTTP/2".into())
    }
}
