//! `roadstead demo`: a registry, a mirror and three pulls in one process, without a network.
//!
//! The registry and the mirror are connected by Unix sockets, so that this works even without
//! loopback; the mirror also listens on TCP, for manual requests.

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

/// The image that is pulled, on `docker.io`.
const NAME: &str = "roadstead/hello";
const TAG: &str = "1";
/// Its prefix in the internal registry.
const REGISTRY_PATH: &str = "harbor.demo/airgap-images/docker.io";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Exit after the three pulls instead of serving on.
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
    let registry = start_registry(folder.path()).await?;
    let mirror = start_mirror(folder.path()).await?;
    let tcp = mirror
        .mirrors()
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    print_line(
        "Roadstead demo: an internal registry and a mirror in one process, without a network.",
    );
    print_line("");
    print_line("  registry  harbor.demo, offline, with one small built-in image");
    print_line(format_args!(
        "  mirror    http://{tcp}, with one route: docker.io -> {REGISTRY_PATH}"
    ));
    print_line("");

    let through = pull::client(&folder.path().join("mirror.sock"))?;
    let counter = pull::client(&folder.path().join("registry-admin.sock"))?;
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
    registry.stop().begin();
    registry.finish().await;
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

/// One pull, with the number of requests that it caused at the registry.
async fn step(
    number: usize,
    title: &str,
    through: &Client,
    counter: Option<&Client>,
) -> Result<(), String> {
    let count = |counter| async move {
        match counter {
            Some(counter) => pull::requests_answered(counter).await.map(Some),
            None => Ok(None),
        }
    };
    let before = count(counter).await?;
    let pulled = pull::image(through, NAME, TAG).await?;
    let after = count(counter).await?;
    print_line(format_args!("{number}. {title}"));
    print_line(format_args!(
        "     docker.io/{NAME}:{TAG} is {}",
        pulled.digest
    ));
    print_line(format_args!(
        "     1 manifest and {} blobs, {} bytes, all digests verified",
        pulled.blobs, pulled.bytes
    ));
    match before.zip(after).map(|(before, after)| after - before) {
        Some(1) => print_line("     the registry answered 1 request: has the tag moved?"),
        Some(count) => print_line(format_args!("     the registry answered {count} requests")),
        None if pulled.stale => {
            print_line("     the tag is marked stale: the registry cannot be reached");
        }
        None => {}
    }
    print_line("");
    Ok(())
}

/// The internal registry: an offline Roadstead with the built-in image.
async fn start_registry(folder: &Path) -> Result<RunningMirror, String> {
    let at = folder.display();
    let running = start(&format!(
        r#"
        unmatched = "deny"
        [server]
        listen = "unix:{at}/registry.sock"
        default_registry = "harbor.demo"
        [admin]
        listen = "unix:{at}/registry-admin.sock"
        [store]
        path = "{at}/registry"
        [freshness]
        offline = true
        [timeouts]
        grace = "0s"
        "#
    ))
    .await?;
    let image: ImageReference = format!("{REGISTRY_PATH}/{NAME}:{TAG}")
        .parse()
        .map_err(|_bug| "the demo's image reference is invalid")?;
    let tag = match image.reference {
        Reference::Tag(tag) => tag,
        Reference::Digest(_) => Tag::latest(),
    };
    let loaded = image::load(running.store(), image.repository, &tag).await;
    loaded.map_err(|error| chain(&error))?;
    Ok(running)
}

/// The mirror, as a site would run it.
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
        url = "unix:{at}/registry.sock"
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

/// The default port if it is free, else any.
fn free_address(port: u16) -> ListenAddress {
    let default = SocketAddr::from(([127, 0, 0, 1], port));
    let taken = TcpListener::bind(default).is_err();
    ListenAddress::Tcp(if taken {
        SocketAddr::from(([127, 0, 0, 1], 0))
    } else {
        default
    })
}
