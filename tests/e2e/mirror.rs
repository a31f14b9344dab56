//! The built `roadstead`, serving a written configuration.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    http,
    process::{Process, Signal, eventually, free_address, run},
    registry::Registry,
};

const READY_MAX: Duration = Duration::from_secs(30);
const EXIT_MAX: Duration = Duration::from_mins(1);
const EXPLAIN_MAX: Duration = Duration::from_secs(30);
/// A picked port may be taken by somebody else before the mirror binds it.
const STARTS_MAX: u32 = 5;

/// A mirror with its own ports and its own store.
pub(crate) struct Mirror {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    process: Process,
    config: PathBuf,
    folder: TempDir,
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
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("roadstead.toml");
        for _ in 0..STARTS_MAX {
            let (address, admin) = (free_address(), free_address());
            let store = folder.path().join("store");
            let text = format!(
                "[server]\nlisten = \"{address}\"\n\
                 [admin]\nlisten = \"{admin}\"\n\
                 [store]\npath = \"{}\"\nfree_min = \"1MiB\"\n{rest}",
                store.display()
            );
            fs::write(&config, text).unwrap();
            let mut process = spawn(&config, &folder);
            if ready(&mut process, admin) {
                return Self {
                    address,
                    admin,
                    process,
                    config,
                    folder,
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
        self.process = spawn(&self.config, &self.folder);
        assert!(
            ready(&mut self.process, self.admin),
            "{}",
            self.process.err()
        );
    }

    /// What `explain --json` says of one reference, or of one request with `--request` before it.
    pub(crate) fn explain(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
        command.arg("explain").arg("--config").arg(&self.config);
        command.arg("--json").args(arguments);
        let out = run("explain", &mut command, EXPLAIN_MAX).succeed("explain");
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error} in {out}"))
    }
}

fn spawn(config: &PathBuf, folder: &TempDir) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
    command.arg("serve").arg("--config").arg(config);
    command.current_dir(folder.path());
    Process::spawn("roadstead", &mut command, folder.path())
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
