//! `roadstead demo`: a registry, a mirror and three pulls in one process, with no network.
//!
//! The registry and the mirror talk over Unix sockets, so this works where not even loopback does;
//! the mirror also listens on TCP, for trying by hand.

mod image;
mod pull;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use clap::Args;
use reqwest::Client;

use super::{
    exit::Exit,
    output::{eprint_error, print_line},
    runtime::runtime,
};
use crate::{
    app::{self, RunningMirror},
    config::{self, Environment, LoadContext, Overrides},
    disk::RealDisk,
    oci::{ImageReference, Reference, Tag},
    server::{self, ListenAddress},
    telemetry::chain,
};

/// What is pulled: `docker.io/` stands before it, as a node writes it.
const NAME: &str = "roadstead/hello";
const TAG: &str = "1";
/// Where the internal registry keeps it.
const REGISTRY_PATH: &str = "harbor.demo/airgap-images/docker.io";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// End after the three pulls instead of serving on.
    #[arg(long)]
    once: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    match runtime.block_on(demo(arguments)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprint_error(format_args!("the demo failed: {error}"));
            Exit::Failed
        }
    }
}

async fn demo(arguments: &Arguments) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let harbour = start_registry(folder.path()).await?;
    let mirror = start_mirror(folder.path()).await?;
    let tcp = mirror
        .mirrors()
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    print_line(
        "Roadstead demo: an internal registry and a mirror in this one process, no network needed.",
    );
    print_line("");
    print_line("  registry  plays harbor.demo, offline, filled from a small built-in image");
    print_line(format_args!(
        "  mirror    http://{tcp}, with one route: docker.io -> {REGISTRY_PATH}"
    ));
    print_line("");

    let through = pull::client(&folder.path().join("mirror.sock"))?;
    let counter = pull::client(&folder.path().join("harbour-admin.sock"))?;
    step(
        1,
        "the first pull comes from the registry",
        &through,
        Some(&counter),
    )
    .await?;
    step(
        2,
        "the second comes from the store",
        &through,
        Some(&counter),
    )
    .await?;
    harbour.stop().begin();
    harbour.finish().await;
    step(
        3,
        "the registry is gone; the third comes from the store",
        &through,
        None,
    )
    .await?;

    if arguments.once {
        mirror.stop().begin();
        mirror.finish().await;
        return Ok(());
    }
    print_line("Try it by hand, in another terminal:");
    print_line(format_args!(
        "  curl -i 'http://{tcp}/v2/{NAME}/manifests/{TAG}?ns=docker.io'"
    ));
    print_line(format_args!(
        "  skopeo inspect --tls-verify=false docker://{tcp}/docker.io/{NAME}:{TAG}"
    ));
    print_line(format_args!("  curl http://{}/metrics", mirror.admin()));
    print_line("");
    print_line("Serving until Ctrl-C.");
    let signals = server::Signals::listen().map_err(|error| error.to_string())?;
    let signals = signals.obey(mirror.stop().clone());
    tokio::select! {
        () = mirror.finish() => {}
        () = signals => {}
    }
    Ok(())
}

/// One pull, and how often it made the mirror ask the registry.
async fn step(
    number: usize,
    title: &str,
    through: &Client,
    counter: Option<&Client>,
) -> Result<(), String> {
    let asked = |counter| async move {
        match counter {
            Some(counter) => pull::requests_answered(counter).await.map(Some),
            None => Ok(None),
        }
    };
    let before = asked(counter).await?;
    let pulled = pull::image(through, NAME, TAG).await?;
    let after = asked(counter).await?;
    print_line(format_args!("{number}. {title}"));
    print_line(format_args!(
        "     docker.io/{NAME}:{TAG} is {}",
        pulled.digest
    ));
    print_line(format_args!(
        "     1 manifest and {} blobs, {} bytes, every digest right",
        pulled.blobs, pulled.bytes
    ));
    match before.zip(after).map(|(before, after)| after - before) {
        Some(1) => print_line("     the registry was asked once: has the tag moved?"),
        Some(count) => print_line(format_args!("     the registry answered {count} requests")),
        None if pulled.stale => {
            print_line("     the tag is marked stale, for nobody could be asked");
        }
        None => {}
    }
    print_line("");
    Ok(())
}

/// The internal registry: an offline Roadstead that was filled by hand.
async fn start_registry(folder: &Path) -> Result<RunningMirror, String> {
    let at = folder.display();
    let running = start(&format!(
        r#"
        unmatched = "deny"
        [server]
        listen = "unix:{at}/harbour.sock"
        default_registry = "harbor.demo"
        [admin]
        listen = "unix:{at}/harbour-admin.sock"
        [store]
        path = "{at}/harbour"
        [freshness]
        offline = true
        [timeouts]
        grace = "0s"
        "#
    ))
    .await?;
    let inside: ImageReference = format!("{REGISTRY_PATH}/{NAME}:{TAG}")
        .parse()
        .map_err(|_bug| "the demo names no image")?;
    let tag = match inside.reference {
        Reference::Tag(tag) => tag,
        Reference::Digest(_) => Tag::latest(),
    };
    let loaded = image::load(running.store(), inside.repository, &tag).await;
    loaded.map_err(|error| chain(&error))?;
    Ok(running)
}

/// The mirror: what a site would run.
async fn start_mirror(folder: &Path) -> Result<RunningMirror, String> {
    let at = folder.display();
    start(&format!(
        r#"
        [server]
        listen = ["{}", "unix:{at}/mirror.sock"]
        [admin]
        listen = "{}"
        [store]
        path = "{at}/mirror"
        [freshness]
        tag_fresh = "1ms"
        [timeouts]
        grace = "0s"
        [upstream."harbor.demo"]
        url = "unix:{at}/harbour.sock"
        [[route]]
        from = "docker.io"
        to = ["{REGISTRY_PATH}"]
        "#,
        free_address(5000),
        free_address(5001),
    ))
    .await
}

async fn start(config: &str) -> Result<RunningMirror, String> {
    let context = LoadContext {
        read_file: &|_path, _content| Err(std::io::ErrorKind::NotFound.into()),
        find_files: &|_path| Err(std::io::ErrorKind::NotFound.into()),
        environment: &Environment::default(),
    };
    let loaded = config::read(
        config,
        "the demo's configuration",
        &Overrides::default(),
        &context,
    )
    .map_err(|problems| problems.to_string())?;
    app::start(loaded.settings, Arc::new(RealDisk))
        .await
        .map_err(|error| chain(&error))
}

/// The usual port if it is free, else any.
fn free_address(port: u16) -> ListenAddress {
    let usual = SocketAddr::from(([127, 0, 0, 1], port));
    let taken = TcpListener::bind(usual).is_err();
    ListenAddress::Tcp(if taken {
        SocketAddr::from(([127, 0, 0, 1], 0))
    } else {
        usual
    })
}
