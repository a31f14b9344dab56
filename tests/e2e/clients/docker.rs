use std::{fs, net::SocketAddr, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    super::process::{Finished, Process, command, eventually, run},
    Containerd, PULL_MAX, READY_MAX,
};

/// A Docker daemon with one registry mirror and no network of its own.
pub(crate) struct Docker {
    socket: PathBuf,
    _process: Process,
    folder: TempDir,
}

impl Docker {
    pub(crate) fn start(containerd: &Containerd, mirror: SocketAddr) -> Self {
        let mirrors = json!({"registry-mirrors": [format!("http://{mirror}")]});
        Self::with(containerd, mirrors)
    }

    /// With what somebody else wrote into its `daemon.json`.
    pub(crate) fn with(containerd: &Containerd, mut config: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("d.sock");
        let own = json!({
            "data-root": folder.path().join("data"),
            "exec-root": folder.path().join("exec"),
            "pidfile": folder.path().join("d.pid"),
            "hosts": [format!("unix://{}", socket.display())],
            "containerd": containerd.socket,
            "iptables": false,
            "bridge": "none",
            "storage-driver": "vfs",
            "max-download-attempts": 3,
        });
        let own = own.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(own);
        let file = folder.path().join("daemon.json");
        fs::write(&file, config.to_string()).unwrap();
        let mut daemon = command("dockerd");
        daemon.arg("--config-file").arg(&file);
        let client = Self {
            socket,
            _process: Process::spawn("dockerd", &mut daemon, folder.path()),
            folder,
        };
        eventually("dockerd", READY_MAX, || {
            client.docker(&["version"]).ok.then_some(())
        });
        client
    }

    /// Pulls and returns the digest the name has now.
    pub(crate) fn pull(&self, reference: &str) -> String {
        self.docker(&["pull", reference]).succeed(reference);
        let format = "{{index .RepoDigests 0}}";
        let digest = self.docker(&["image", "inspect", "--format", format, reference]);
        let digest = digest.succeed("image inspect");
        digest.trim().rsplit_once('@').unwrap().1.to_owned()
    }

    /// Forgets every image.
    pub(crate) fn forget(&self) {
        self.docker(&["image", "prune", "--all", "--force"])
            .succeed("image prune");
        assert_eq!(
            self.docker(&["image", "ls", "--quiet"]).succeed("image ls"),
            ""
        );
    }

    fn docker(&self, arguments: &[&str]) -> Finished {
        let mut docker = command("docker");
        docker.env("DOCKER_CONFIG", self.folder.path());
        docker
            .arg("--host")
            .arg(format!("unix://{}", self.socket.display()));
        run("docker", docker.args(arguments), PULL_MAX)
    }
}
