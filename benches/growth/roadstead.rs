//! The program of this tree, and what it costs by `/proc`.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::time::{Instant, sleep};

use crate::{
    Fallible,
    client::Client,
    gauge::{free_address, mebibytes, processor_time},
    store::REPOSITORY,
};

const POLL: Duration = Duration::from_millis(1);
/// How long it must have done nothing to be called settled: longer than a sync takes, and shorter
/// than its own rounds.
const QUIET: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_mins(10);
/// More than any scene has.
const CONNECTIONS_MAX: u32 = 12_000;

/// A running mirror, killed at the end.
pub(crate) struct Roadstead {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it was ready.
    pub(crate) ready: Duration,
}

/// Lets this program, and those that it starts, open as many sockets as they may.
pub(crate) fn allow_descriptors() -> Fallible<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, all)?)
}

impl Roadstead {
    /// Serves the store in a folder by so many routes, of which the last is that of all blobs.
    pub(crate) async fn start(folder: &Path, routes: u32) -> Fallible<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let config = folder.join("roadstead.toml");
        fs::write(&config, configuration(folder, (address, admin), routes)?)?;
        let log = File::create(folder.join("log"))?;
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_roadstead"))
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut started = Self {
            child,
            address,
            ready: Duration::ZERO,
        };
        while !is_ready(admin).await {
            if started.child.try_wait()?.is_some() || began.elapsed() > WAIT_MAX {
                return Err(fs::read_to_string(folder.join("log"))?.into());
            }
            sleep(POLL).await;
        }
        started.ready = began.elapsed();
        Ok(started)
    }

    /// Waits until it has nothing more to do.
    pub(crate) async fn settle(&self) -> Fallible<()> {
        let began = Instant::now();
        let mut before = self.cpu()?;
        loop {
            sleep(QUIET).await;
            let now = self.cpu()?;
            if now == before {
                return Ok(());
            }
            if began.elapsed() > WAIT_MAX {
                return Err("it does not settle".into());
            }
            before = now;
        }
    }

    /// Processor time, user and system.
    pub(crate) fn cpu(&self) -> Fallible<Duration> {
        processor_time(&self.child.id().to_string())
    }

    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> Fallible<f64> {
        mebibytes(self.child.id(), "VmRSS:")
    }

    /// Ends it with a signal and waits for that.
    pub(crate) fn end(mut self, signal: Signal) -> Fallible<()> {
        kill_process(Pid::from_child(&self.child), signal)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Roadstead {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(
    folder: &Path,
    (address, admin): (SocketAddr, SocketAddr),
    routes: u32,
) -> Fallible<String> {
    let mut text = format!(
        "unmatched = \"deny\"\n\
         [server]\nlisten = \"{address}\"\n\
         [admin]\nlisten = \"{admin}\"\n\
         [limits]\nconnections_max = {CONNECTIONS_MAX}\n\
         [timeouts]\nidle = \"1h\"\ngrace = \"0s\"\n\
         [freshness]\noffline = true\n\
         [log]\nrequests = \"none\"\n\
         [upstream.up]\nurl = \"http://127.0.0.1:9\"\n\
         [store]\npath = \"{store}\"\n",
        store = folder.join("store").display(),
    );
    let others = (1..routes).map(|number| format!("team{number}"));
    for name in others.chain([REPOSITORY.to_owned()]) {
        write!(
            text,
            "[[route]]\nfrom = \"registry.example/{name}\"\nto = [\"up/{name}\"]\n"
        )?;
    }
    Ok(text)
}

async fn is_ready(admin: SocketAddr) -> bool {
    match Client::connect(admin).await {
        Ok(mut client) => client.hit("/readyz").await.is_ok(),
        Err(_not_yet) => false,
    }
}
