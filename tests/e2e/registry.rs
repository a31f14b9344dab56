//! Debian's docker-registry as an upstream, with everything it was asked for in its access log.

use std::{cell::Cell, fs, net::SocketAddr, time::Duration};

use tempfile::TempDir;

use super::{
    http::{self, Body},
    image::{Blob, Image},
    process::{Process, command, eventually},
};

const READY_MAX: Duration = Duration::from_secs(20);

/// A registry on a port of its own.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    process: Process,
    fences: Cell<u32>,
    _folder: TempDir,
}

/// One line of the access log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("registry.yml");
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let process = Process::spawn(
            "docker-registry",
            command("docker-registry").arg("serve").arg(&config),
            folder.path(),
        );
        let address = eventually("docker-registry's port", READY_MAX, || {
            listening_on(&process.err())
        });
        Self {
            address,
            process,
            fences: Cell::new(0),
            _folder: folder,
        }
    }

    /// Stores the whole image; the tag names its index.
    pub(crate) fn push(&self, repository: &str, tag: &str, image: &Image) {
        for blob in &image.blobs {
            self.push_blob(repository, &blob.digest, whole(&mut blob.bytes.as_slice()));
        }
        for manifest in &image.manifests {
            self.push_manifest(repository, &manifest.digest, manifest);
        }
        self.push_manifest(repository, tag, &image.index);
    }

    pub(crate) fn push_blob(&self, repository: &str, digest: &str, body: Body<'_>) {
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let begun = self
            .write("POST", &uploads, "text/plain", whole(&mut [].as_slice()))
            .expect_status(202, &uploads);
        let location = begun.header("location").unwrap();
        let (_, target) = location.split_once(&self.address.to_string()).unwrap();
        let target = format!("{target}&digest={digest}");
        self.write("PUT", &target, "application/octet-stream", body)
            .expect_status(201, &target);
    }

    pub(crate) fn push_manifest(&self, repository: &str, reference: &str, manifest: &Blob) {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let mut bytes = manifest.bytes.as_slice();
        self.write("PUT", &target, manifest.media_type, whole(&mut bytes))
            .expect_status(201, &target);
    }

    /// Everything asked so far. A request of our own marks the end, so that no line is still being written.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let fence = self.fences.get() + 1;
        self.fences.set(fence);
        let target = format!("/v2/?fence={fence}");
        http::get(self.address, &target).expect_status(200, &target);
        let log = eventually("the access log", READY_MAX, || {
            let log = self.process.out();
            log.contains(&format!("{target} ")).then_some(log)
        });
        log.lines().filter_map(parse_line).collect()
    }

    /// How often a blob was read, and which ones, since `from` lines were in the log.
    pub(crate) fn blob_gets(&self, from: usize) -> Vec<String> {
        let asked = self.asked();
        asked[from..]
            .iter()
            .filter(|line| line.method == "GET" && line.path.contains("/blobs/"))
            .map(|line| line.path.clone())
            .collect()
    }

    fn write(&self, method: &str, target: &str, media_type: &str, body: Body<'_>) -> http::Reply {
        let headers = [("Content-Type", media_type)];
        http::send(self.address, method, target, &headers, Some(body)).unwrap()
    }
}

/// Everything left of a slice as a request's body.
pub(crate) fn whole<'a>(bytes: &'a mut &[u8]) -> Body<'a> {
    Body {
        length: u64::try_from(bytes.len()).unwrap(),
        bytes,
    }
}

fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    let (address, _) = rest.split_once('"')?;
    address.parse().ok()
}

fn parse_line(line: &str) -> Option<Asked> {
    let (_, rest) = line.split_once('"')?;
    let mut words = rest.split(' ');
    Some(Asked {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
    })
}
