use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{
    super::process::{Finished, Process, command, eventually, run},
    PULL_MAX, READY_MAX,
};

/// What needs more of the machine than pulling does.
const DISABLED: &str = r#"["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]"#;

/// A containerd of its own; `ctr` pulls with the `hosts.toml` files written here.
pub(crate) struct Containerd {
    pub(crate) socket: PathBuf,
    _process: Process,
    folder: TempDir,
}

impl Containerd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let text = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
             disabled_plugins = {DISABLED}\n\
             [grpc]\naddress = \"{place}/c.sock\"\n[ttrpc]\naddress = \"{place}/t.sock\"\n"
        );
        let config = folder.path().join("config.toml");
        fs::write(&config, text).unwrap();
        let mut containerd = command("containerd");
        containerd.arg("--config").arg(&config);
        let client = Self {
            socket: folder.path().join("c.sock"),
            _process: Process::spawn("containerd", &mut containerd, folder.path()),
            folder,
        };
        eventually("containerd", READY_MAX, || {
            client.ctr(&["version"]).ok.then_some(())
        });
        client
    }

    /// Sends `docker.io` to one host only; `host` may end in a path, `option` is a further line for it.
    pub(crate) fn set_host(&self, host: &str, option: &str) {
        self.set_url(&format!("http://{host}"), option);
    }

    /// The same for a host with its scheme.
    pub(crate) fn set_url(&self, url: &str, option: &str) {
        let hosts = self.folder.path().join("hosts/docker.io");
        fs::create_dir_all(&hosts).unwrap();
        let text = format!(
            "server = \"http://127.0.0.1:1\"\n[host.\"{url}\"]\n\
             capabilities = [\"pull\", \"resolve\"]\n{option}\n"
        );
        fs::write(hosts.join("hosts.toml"), text).unwrap();
    }

    /// The folder that stands for `/etc/containerd/certs.d`.
    pub(crate) fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    /// Pulls and unpacks, and returns the digest the name has now.
    pub(crate) fn pull(&self, reference: &str) -> String {
        self.try_pull(reference)
            .unwrap_or_else(|error| panic!("{reference}\n{error}"))
    }

    /// The same, or `ctr`'s own words if it fails.
    pub(crate) fn try_pull(&self, reference: &str) -> Result<String, String> {
        let hosts = self.hosts();
        self.pull_by(reference, &["--hosts-dir", hosts.to_str().unwrap()])
    }

    /// The same from the registry that the name says, without TLS.
    pub(crate) fn pull_plain(&self, reference: &str) -> String {
        self.pull_by(reference, &["--plain-http"])
            .unwrap_or_else(|error| panic!("{reference}\n{error}"))
    }

    fn pull_by(&self, reference: &str, way: &[&str]) -> Result<String, String> {
        let pull = [
            "image",
            "pull",
            "--snapshotter",
            "native",
            "--platform",
            "linux/amd64",
        ];
        let pull = [pull.as_slice(), way, &[reference]].concat();
        let pulled = self.ctr(&pull);
        if !pulled.ok {
            return Err(pulled.out + &pulled.err);
        }
        let listed = self
            .ctr(&["image", "ls", &format!("name=={reference}")])
            .succeed("ls");
        let mut words = listed.split_whitespace();
        let digest = words.find(|word| word.starts_with("sha256:"));
        Ok(digest.unwrap().to_owned())
    }

    /// Forgets every image together with its content.
    pub(crate) fn forget(&self) {
        let images = self.ctr(&["image", "ls", "-q"]).succeed("image ls");
        let images: Vec<&str> = images.split_whitespace().collect();
        let remove = [["image", "rm", "--sync"].as_slice(), &images].concat();
        self.ctr(&remove).succeed("image rm");
        assert_eq!(self.ctr(&["content", "ls", "-q"]).succeed("content ls"), "");
    }

    fn ctr(&self, arguments: &[&str]) -> Finished {
        let mut ctr = command("ctr");
        ctr.arg("--address").arg(&self.socket);
        ctr.args(["--namespace", "k8s.io"]).args(arguments);
        run("ctr", &mut ctr, PULL_MAX)
    }
}
