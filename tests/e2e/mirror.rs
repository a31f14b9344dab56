//! The built `roadstead`, serving a written configuration.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    http,
    image::Image,
    process::{Finished, Process, Signal, eventually, free_address, run},
    registry::Registry,
};

const READY_MAX: Duration = Duration::from_secs(30);
const EXIT_MAX: Duration = Duration::from_mins(1);
const COMMAND_MAX: Duration = Duration::from_secs(30);
/// What sends other programs through a proxy.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
/// A picked port may be taken by somebody else before the mirror binds it.
const STARTS_MAX: u32 = 5;

/// A mirror with its own ports and its own store.
pub(crate) struct Mirror {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    process: Process,
    config: PathBuf,
    folder: TempDir,
    setup: Setup,
}

/// What a mirror is started with, beside its addresses and its store.
#[derive(Default)]
pub(crate) struct Setup {
    /// Further lines of `[server]`.
    pub(crate) server: String,
    /// The tables after `[store]`.
    pub(crate) rest: String,
    /// Folder with programs that come before all others.
    pub(crate) programs: Option<PathBuf>,
    /// Further variables of its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// The table that makes a registry of the scene known under a host name.
pub(crate) fn upstream(name: &str, registry: &Registry) -> String {
    format!(
        "[upstream.\"{name}\"]\nurl = \"http://{}\"\n",
        registry.address
    )
}

impl Mirror {
    /// Serves once ready; `rest` is the configuration without listeners and store.
    pub(crate) fn start(rest: &str) -> Self {
        Self::start_as(Setup {
            rest: rest.to_owned(),
            ..Setup::default()
        })
    }

    pub(crate) fn start_as(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("roadstead.toml");
        for _ in 0..STARTS_MAX {
            let (address, admin) = (free_address(), free_address());
            let text = setup.text(address, admin, folder.path(), &setup.rest);
            fs::write(&config, text).unwrap();
            let mut process = spawn(&config, &folder, &setup);
            if ready(&mut process, admin) {
                return Self {
                    address,
                    admin,
                    process,
                    config,
                    folder,
                    setup,
                };
            }
            eprintln!(
                "roadstead did not start:\n{}{}",
                process.out(),
                process.err()
            );
        }
        panic!("roadstead did not start {STARTS_MAX} times");
    }

    /// Puts another configuration with the same listeners and store in place, whole at once.
    pub(crate) fn rewrite(&self, rest: &str) {
        let folder = self.folder.path();
        let text = self.setup.text(self.address, self.admin, folder, rest);
        let aside = folder.join("roadstead.toml.new");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, &self.config).unwrap();
    }

    /// Asks it to read its configuration again.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Everything it has said.
    pub(crate) fn log(&self) -> String {
        self.process.out() + &self.process.err()
    }

    /// The folder with its configuration and its store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn metrics(&self) -> String {
        let metrics = http::get(self.admin, "/metrics").expect_status(200, "/metrics");
        String::from_utf8(metrics.bytes()).unwrap()
    }

    /// The sum of all lines of a metric whose labels contain the text.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let metrics = self.metrics();
        let lines = metrics
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }

    /// Pulls `docker.io/REPOSITORY:1.0` with everything in it, and checks every byte.
    pub(crate) fn gives(&self, repository: &str, image: &Image) {
        let manifests = image.manifests.iter().chain([&image.index]);
        let mut places = vec![("manifests/1.0".to_owned(), &image.index.digest)];
        for manifest in manifests {
            places.push((format!("manifests/{}", manifest.digest), &manifest.digest));
        }
        for blob in &image.blobs {
            places.push((format!("blobs/{}", blob.digest), &blob.digest));
        }
        for (place, digest) in places {
            let target = format!("/v2/{repository}/{place}?ns=docker.io");
            let reply = http::get(self.address, &target).expect_status(200, &target);
            assert_eq!(&reply.sha256(|_| ()), digest, "{target}");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of a mirror that was told to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait(EXIT_MAX)
    }

    /// Ends it with the signal and serves the same store on the same ports again.
    pub(crate) fn restart(&mut self, signal: Signal) {
        self.signal(signal);
        let status = self.wait();
        if signal == Signal::TERM {
            assert!(
                status.success(),
                "asked to stop, roadstead ended with {status}"
            );
        }
        self.process = spawn(&self.config, &self.folder, &self.setup);
        assert!(
            ready(&mut self.process, self.admin),
            "{}",
            self.process.err()
        );
    }

    /// Stops it and serves the same store with other variables in its environment.
    pub(crate) fn restart_with(&mut self, environment: Vec<(&'static str, String)>) {
        self.setup.environment = environment;
        self.restart(Signal::TERM);
    }

    /// What `explain --json` says of one reference, or of one request with `--request` before it.
    pub(crate) fn explain(&self, arguments: &[&str]) -> Value {
        let arguments = [["--json"].as_slice(), arguments].concat();
        let out = self.command("explain", &arguments).succeed("explain");
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    /// What another command says of the same configuration.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Finished {
        let mut command = roadstead(&self.folder, &self.setup);
        command.arg(name).arg("--config").arg(&self.config);
        run(name, command.args(arguments), COMMAND_MAX)
    }
}

impl Setup {
    fn text(&self, address: SocketAddr, admin: SocketAddr, folder: &Path, rest: &str) -> String {
        format!(
            "[server]\nlisten = \"{address}\"\n{}\n[admin]\nlisten = \"{admin}\"\n\
             [store]\npath = \"{}\"\nfree_min = \"1MiB\"\n{rest}",
            self.server,
            folder.join("store").display()
        )
    }
}

fn spawn(config: &Path, folder: &TempDir, setup: &Setup) -> Process {
    let mut command = roadstead(folder, setup);
    command.arg("serve").arg("--config").arg(config);
    Process::spawn("roadstead", &mut command, folder.path())
}

/// The built program, out of reach of this machine's proxies.
fn roadstead(folder: &TempDir, setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
    command.current_dir(folder.path());
    for name in PROXIES {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_uppercase());
    }
    let environment = setup.environment.iter().map(|(name, value)| (name, value));
    command.envs(environment);
    if let Some(programs) = &setup.programs {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = [programs.clone()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(places).unwrap());
    }
    command
}

/// False when it ended instead.
fn ready(process: &mut Process, admin: SocketAddr) -> bool {
    eventually("roadstead's readyz", READY_MAX, || {
        if process.exited().is_some() {
            return Some(false);
        }
        let reply = http::send(admin, "GET", "/readyz", &[], None).ok()?;
        (reply.status == 200).then_some(true)
    })
}
