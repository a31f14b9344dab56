//! The real program as a child process, for what must be killed or measured.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use fake_registry::{Content, FakeRegistry, bare::Ask};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

/// A started program, ended with the test.
pub(crate) struct Program {
    child: Child,
    mirror: SocketAddr,
    admin: SocketAddr,
    /// The part of the configuration that no test changes.
    base: String,
    file: PathBuf,
    said: PathBuf,
}

/// A program that is ready.
pub(crate) struct Roadstead(Program);

impl Program {
    /// Starts it in `folder`, in front of `hub`; it may fail.
    pub(crate) fn spawn(folder: &Path, hub: &FakeRegistry) -> Self {
        let routes = format!(
            "[upstream.hub]\nurl = \"{}\"\n\
             [[route]]\nfrom = \"docker.io\"\nto = [\"hub\"]\nlibrary = \"keep\"\n",
            hub.url(),
        );
        Self::with(folder, None, &routes)
    }

    /// Starts it in `folder` with these routes; the configuration is `file`, or one of its own.
    pub(crate) fn with(folder: &Path, file: Option<PathBuf>, routes: &str) -> Self {
        let (mirror, admin) = (free_address(), free_address());
        let base = format!(
            "[server]\nlisten = \"{mirror}\"\n[admin]\nlisten = \"{admin}\"\n\
             [store]\npath = \"{}\"\nfree_min = \"1MiB\"\n[timeouts]\ngrace = \"0s\"\n",
            folder.join("store").display(),
        );
        let said = folder.join(format!("{}.err", mirror.port()));
        let file = file.unwrap_or_else(|| said.with_extension("toml"));
        fs::write(&file, format!("{base}{routes}")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_roadstead"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            mirror,
            admin,
            base,
            file,
            said,
        }
    }

    /// Waits for its own end.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, fs::read_to_string(&self.said).unwrap())
    }
}

impl Roadstead {
    /// Starts it and waits until it accepts.
    pub(crate) async fn start(folder: &Path, hub: &FakeRegistry) -> Self {
        Self::ready(Program::spawn(folder, hub)).await
    }

    /// Waits until it accepts, which takes two seconds at the very most.
    pub(crate) async fn ready(mut program: Program) -> Self {
        for _look in 0..2000 {
            if TcpStream::connect(program.mirror).await.is_ok() {
                // It has the address before it has the store.
                let ping = Ask::new(program.mirror, "GET", "/v2/").reply().await;
                assert_eq!(ping.status, 200, "{ping:?}");
                return Self(program);
            }
            let ended = program.child.try_wait().unwrap().is_some();
            assert!(!ended, "{:?}", program.end());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it does not start");
    }

    pub(crate) fn blob(&self, name: &str, blob: &Content) -> Ask {
        let target = format!("/v2/{name}/blobs/{}?ns=docker.io", blob.digest);
        Ask::new(self.0.mirror, "GET", &target)
    }

    pub(crate) fn get(&self, target: &str) -> Ask {
        Ask::new(self.0.mirror, "GET", target)
    }

    /// The whole configuration with these routes.
    pub(crate) fn text(&self, routes: &str) -> String {
        format!("{}{routes}", self.0.base)
    }

    /// Its configuration's file.
    pub(crate) fn file(&self) -> &Path {
        &self.0.file
    }

    /// Asks it to read its configuration anew.
    pub(crate) fn hang_up(&self) {
        let pid = i32::try_from(self.0.child.id()).unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// Where it listens.
    pub(crate) fn mirror(&self) -> SocketAddr {
        self.0.mirror
    }

    /// What a probe is answered.
    pub(crate) async fn probe(&self, target: &str) -> String {
        let reply = Ask::new(self.0.admin, "GET", target).reply().await;
        String::from_utf8(reply.body).unwrap()
    }

    /// What a metric says; zero if there is none.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.probe("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.0.said).unwrap()
    }

    /// As a power cut would, but for the files.
    pub(crate) fn kill(mut self) {
        self.0.child.kill().unwrap();
        self.0.child.wait().unwrap();
    }

    /// The most memory it had resident so far, in KiB, if the system tells.
    pub(crate) fn resident_kib_max(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A free loopback port.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}
