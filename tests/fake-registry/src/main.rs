//! `cargo run -p fake-registry -- --listen 127.0.0.1:5999`: one sample image, requests on stdout.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program to be watched by hand"
)]

use std::net::SocketAddr;
use std::process::ExitCode;

use fake_registry::{FakeRegistry, MIB, random_bytes, tar};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let listen = match arguments.as_slice() {
        [] => "127.0.0.1:5999",
        ["--listen", address] => address,
        _ => return usage(),
    };
    let Ok(listen) = listen.parse::<SocketAddr>() else {
        return usage();
    };
    let hub = FakeRegistry::builder()
        .listen(listen)
        .on_answer(|request| println!("{request}"))
        .start();
    let hub = hub.await;
    let image = hub.image(
        "library/sample",
        "latest",
        &[
            tar(&[("etc/motd", b"fair winds\n")]),
            tar(&[("var/cargo", &random_bytes(3 * MIB, 1))]),
            tar(&[("var/ballast", &random_bytes(20 * MIB, 2))]),
        ],
    );
    println!(
        "{}/library/sample:latest is {}",
        hub.host(),
        image.manifest.digest
    );
    std::future::pending().await
}

fn usage() -> ExitCode {
    eprintln!("usage: fake-registry [--listen ADDRESS:PORT]");
    ExitCode::from(64)
}
