//! tinyproxy, the only way to an upstream whose name resolves nowhere.

use std::{fs, net::SocketAddr, time::Duration};

use tempfile::TempDir;

use super::{
    http,
    process::{Process, command, eventually, free_address},
};

const READY_MAX: Duration = Duration::from_secs(20);
/// A picked port may be taken by somebody else first.
const STARTS_MAX: u32 = 5;

/// A proxy with a log.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Proxy {
    /// Whatever host it is asked for, it passes the request to `to`, if it is asked with the login.
    pub(crate) fn start(to: SocketAddr, login: Option<(&str, &str)>) -> Self {
        let login = login.map(|(username, password)| format!("BasicAuth {username} {password}\n"));
        let login = login.unwrap_or_default();
        for _ in 0..STARTS_MAX {
            let folder = tempfile::tempdir().unwrap();
            let address = free_address();
            let config = folder.path().join("tinyproxy.conf");
            let text = format!(
                "Listen 127.0.0.1\nPort {}\nTimeout 60\nMaxClients 50\nLogLevel Connect\n\
                 Allow 127.0.0.1\n{login}Upstream http {to}\n",
                address.port()
            );
            fs::write(&config, text).unwrap();
            let mut tinyproxy = command("tinyproxy");
            tinyproxy.arg("-d").arg("-c").arg(&config);
            let mut process = Process::spawn("tinyproxy", &mut tinyproxy, folder.path());
            let started = eventually("tinyproxy", READY_MAX, || {
                if process.exited().is_some() {
                    return Some(false);
                }
                http::send(address, "GET", "/", &[], None)
                    .ok()
                    .map(|_| true)
            });
            if started {
                return Self {
                    address,
                    process,
                    _folder: folder,
                };
            }
        }
        panic!("tinyproxy did not start {STARTS_MAX} times");
    }

    /// The requests it was asked for, a line each.
    pub(crate) fn log(&self) -> String {
        self.process.out()
    }
}
