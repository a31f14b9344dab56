use std::fs;

use tempfile::TempDir;

use super::{
    super::{
        http::digest_of,
        process::{command, run},
    },
    PULL_MAX, Way, registries_conf, write_containers_files,
};

/// skopeo, with `docker.io` behind the mirror it was made with.
pub(crate) struct Skopeo {
    options: Vec<String>,
    folder: TempDir,
}

impl Skopeo {
    pub(crate) fn new(location: &str) -> Self {
        Self::by(location, &Way::Plain)
    }

    pub(crate) fn by(location: &str, way: &Way<'_>) -> Self {
        let mut skopeo = Self::with(&registries_conf(location, way));
        skopeo.options.push(match way {
            Way::Plain => "--src-tls-verify=false".to_owned(),
            Way::Tls(certificates) => format!("--src-cert-dir={}", certificates.display()),
        });
        skopeo
    }

    /// With a `registries.conf` as somebody else wrote it.
    pub(crate) fn with(registries: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_containers_files(folder.path(), registries);
        Self {
            options: Vec::new(),
            folder,
        }
    }

    /// Logs in itself.
    pub(crate) fn login(mut self, username: &str, password: &str) -> Self {
        let option = format!("--src-creds={username}:{password}");
        self.options.push(option);
        self
    }

    /// Copies the linux/amd64 image into a folder, checks every file there by its name and returns the manifest's digest.
    pub(crate) fn pull(&self, reference: &str) -> String {
        self.try_pull(reference)
            .unwrap_or_else(|error| panic!("{reference}\n{error}"))
    }

    /// The same, or skopeo's own words if it fails.
    pub(crate) fn try_pull(&self, reference: &str) -> Result<String, String> {
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
        skopeo
            .args(["copy", "--preserve-digests"])
            .args(&self.options);
        skopeo.arg(format!("docker://{reference}"));
        skopeo.arg(format!("dir:{}", place.path().display()));
        let finished = run("skopeo", &mut skopeo, PULL_MAX);
        if !finished.ok {
            return Err(finished.err);
        }
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
        Ok(manifest)
    }
}
