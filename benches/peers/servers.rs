//! The servers: each a process with a folder and free ports of its own, gone when it is dropped.

mod angos;
pub(crate) mod lineup;
pub(crate) mod nginx;
mod registry;
mod roadstead;
pub(crate) mod source;
mod zot;

use std::{fmt, fs, io, net::SocketAddr, path::PathBuf, process::Command, thread, time::Duration};

use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    Fallible,
    bodies::Bodies,
    http::{Connection, connect},
    process::Process,
};

const READY_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What all servers share: a folder, what lies in it, and the programs.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) bodies: Bodies,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) programs: Programs,
}

/// Where the programs are, as far as there are any.
pub(crate) struct Programs {
    pub(crate) nginx: PathBuf,
    pub(crate) roadstead: PathBuf,
    pub(crate) registry: Option<PathBuf>,
    pub(crate) zot: Option<PathBuf>,
    pub(crate) angos: Option<PathBuf>,
    pub(crate) wrk: Option<PathBuf>,
    pub(crate) h2load: Option<PathBuf>,
    pub(crate) nghttp: Option<PathBuf>,
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) plain: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub(crate) tls: Option<SocketAddr>,
    /// After the process, which writes there.
    folder: TempDir,
}

/// Whether a server writes a line about each request to a file.
#[derive(Clone, Copy)]
pub(crate) enum Requests {
    Logged,
    Quiet,
}

impl fmt::Display for Requests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Logged => "requests logged",
            Self::Quiet => "no log",
        })
    }
}

impl Site {
    /// The root of the static files.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("www")
    }

    /// A new folder for a server of this name.
    pub(crate) fn room(&self, name: &str) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(&self.folder)
    }
}

impl Server {
    /// Starts the program and waits until it answers.
    fn start(
        name: &'static str,
        command: &mut Command,
        folder: TempDir,
        plain: SocketAddr,
    ) -> Fallible<Self> {
        let mut server = Self {
            name,
            process: Process::start(command, folder.path())?,
            plain,
            tls: None,
            folder,
        };
        let deadline = Instant::now() + READY_MAX;
        while !answers(plain) {
            if server.process.has_ended()? || Instant::now() > deadline {
                return Err(format!("{name} does not answer:\n{}", server.process.tail()?).into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(server)
    }

    /// A file of the server's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Writes a server's configuration into its folder.
fn configure(folder: &TempDir, text: &str) -> io::Result<PathBuf> {
    let file = folder.path().join("config");
    fs::write(&file, text)?;
    Ok(file)
}

fn answers(address: SocketAddr) -> bool {
    connect(address).is_ok_and(|stream| Connection::over(stream).ask("/v2/").is_ok())
}
