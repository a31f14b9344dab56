//! Child processes that end with the scene: each is owned by a guard, stopped by its own id and waited for.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

pub(crate) use rustix::process::Signal;
use tokio::time::Instant;

use super::gate;

const POLL_INTERVAL: Duration = Duration::from_millis(10);
const STOP_MAX: Duration = Duration::from_secs(20);

/// A running program whose output goes to two files in its folder.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts the program with its output in `folder/NAME.out` and `folder/NAME.err`.
    pub(crate) fn spawn(name: &str, command: &mut Command, folder: &Path) -> Self {
        let out = folder.join(format!("{name}.out"));
        let err = folder.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            out,
            err,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the program's own end; one that takes longer fails the scene.
    pub(crate) fn wait(&mut self, max: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, max, || self.exited())
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap()).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned()
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if self.exited().is_some() {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.stop();
        }
        if thread::panicking() {
            eprintln!("--- {}, last lines\n{}", self.name, tail(&self.err()));
        }
    }
}

/// What a client program printed and how it ended.
pub(crate) struct Finished {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Ends the scene with the program's own words unless it succeeded.
    pub(crate) fn succeed(self, what: &str) -> String {
        assert!(self.ok, "{what}\n{}{}", self.out, self.err);
        self.out
    }
}

/// Runs a program to its end.
pub(crate) fn run(name: &str, command: &mut Command, max: Duration) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::spawn(name, command, folder.path());
    let ok = process.wait(max).success();
    Finished {
        ok,
        out: process.out(),
        err: process.err(),
    }
}

/// A command for an installed program.
pub(crate) fn command(name: &str) -> Command {
    Command::new(gate::program(name).unwrap_or_else(|| panic!("{name} is not installed")))
}

/// Asks again and again until there is an answer or the time is over.
pub(crate) fn eventually<T>(what: &str, max: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + max;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {max:?} for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// A loopback port nobody listens on now. Whoever starts on it must be ready to find it taken.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .unwrap()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
