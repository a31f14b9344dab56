use tempfile::TempDir;

use super::{
    super::process::{Finished, command, run},
    PULL_MAX, Way, registries_conf, write_containers_files,
};

/// podman, with `docker.io` behind the mirror it was made with.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    pub(crate) fn new(location: &str) -> Self {
        Self::with(&registries_conf(location, &Way::Plain))
    }

    /// With a `registries.conf` as somebody else wrote it.
    pub(crate) fn with(registries: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_containers_files(folder.path(), registries);
        Self { folder }
    }

    /// Pulls into its own storage, and returns the digest the name has now.
    pub(crate) fn pull(&self, reference: &str) -> String {
        let policy = self.folder.path().join("policy.json");
        let policy = policy.to_str().unwrap();
        let pull = [
            "pull",
            "--quiet",
            "--platform",
            "linux/amd64",
            "--signature-policy",
            policy,
        ];
        self.podman(&[pull.as_slice(), &[reference]].concat())
            .succeed(reference);
        let format = "{{range .RepoDigests}}{{.}} {{end}}";
        let digests = self.podman(&["image", "inspect", "--format", format, reference]);
        digests.succeed("image inspect")
    }

    /// Forgets every image.
    pub(crate) fn forget(&self) {
        self.podman(&["image", "rm", "--all", "--force"])
            .succeed("image rm");
    }

    fn podman(&self, arguments: &[&str]) -> Finished {
        let at = |name: &str| self.folder.path().join(name);
        let mut podman = command("podman");
        podman.env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"));
        podman.env("REGISTRY_AUTH_FILE", at("auth.json"));
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        podman
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"));
        run("podman", podman.args(arguments), PULL_MAX)
    }
}
