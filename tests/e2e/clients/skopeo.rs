use std::fs;

use tempfile::TempDir;

use super::{
    super::{
        http::digest_of,
        process::{command, run},
    },
    PULL_MAX, write_containers_conf,
};

/// skopeo, with `docker.io` behind the mirror it was made with.
pub(crate) struct Skopeo {
    folder: TempDir,
}

impl Skopeo {
    pub(crate) fn new(location: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_containers_conf(folder.path(), location);
        Self { folder }
    }

    /// Copies the linux/amd64 image into a folder, checks every file there by its name and returns the manifest's digest.
    pub(crate) fn pull(&self, reference: &str) -> String {
        let place = tempfile::tempdir_in(self.folder.path()).unwrap();
        let mut skopeo = command("skopeo");
        skopeo.env("REGISTRY_AUTH_FILE", self.folder.path().join("auth.json"));
        skopeo
            .arg("--policy")
            .arg(self.folder.path().join("policy.json"));
        skopeo
            .arg("--registries-conf")
            .arg(self.folder.path().join("registries.conf"));
        skopeo.args(["--override-os", "linux", "--override-arch", "amd64"]);
        skopeo.args(["copy", "--src-tls-verify=false", "--preserve-digests"]);
        skopeo.arg(format!("docker://{reference}"));
        skopeo.arg(format!("dir:{}", place.path().display()));
        run("skopeo", &mut skopeo, PULL_MAX).succeed(reference);
        let mut manifest = String::new();
        for entry in fs::read_dir(place.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let digest = digest_of(&mut fs::File::open(entry.path()).unwrap());
            match name.as_str() {
                "manifest.json" => manifest = digest,
                "version" => (),
                _ => assert_eq!(digest, format!("sha256:{name}")),
            }
        }
        manifest
    }
}
