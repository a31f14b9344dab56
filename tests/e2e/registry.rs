//! Debian's docker-registry as an upstream, with everything it was asked for in its access log.

use std::{cell::Cell, fs, net::SocketAddr, path::Path, rc::Rc, time::Duration};

use tempfile::TempDir;

use super::{
    certificates::PairFiles,
    http::{self, Body},
    image::{Blob, Image},
    noise::Noise,
    process::{Process, command, eventually},
};

const READY_MAX: Duration = Duration::from_secs(20);

/// A registry on a port of its own.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    process: Process,
    fences: Cell<u32>,
    data: Rc<TempDir>,
    _folder: TempDir,
}

/// What a registry wants before it gives anything.
pub(crate) enum Guard<'a> {
    /// A user name and a password out of this file.
    Basic(&'a Path),
    /// A token of this service.
    Token {
        realm: String,
        service: &'a str,
        issuer: &'a str,
        bundle: &'a Path,
    },
    /// A client certificate of this authority; it has one itself.
    Certificate {
        own: &'a PairFiles,
        clients: &'a Path,
    },
}

/// One line of the access log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::open(Rc::new(tempfile::tempdir().unwrap()), "")
    }

    /// A second one with the same content, that wants to know who asks. The first is for pushing.
    pub(crate) fn guarded(&self, guard: &Guard<'_>) -> Self {
        Self::open(Rc::clone(&self.data), &guard.text())
    }

    fn open(data: Rc<TempDir>, guard: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("registry.yml");
        let text = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:0\n{guard}",
            data.path().display()
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
            data,
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

    /// Stores bytes nobody else has, and returns their digest.
    pub(crate) fn push_noise(&self, repository: &str, seed: u64, length: u64) -> String {
        let digest = http::digest_of(&mut Noise::new(seed, length));
        let bytes = &mut Noise::new(seed, length);
        self.push_blob(repository, &digest, Body { length, bytes });
        digest
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
        http::get(self.address, &target);
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

impl Guard<'_> {
    /// The lines after `http`'s address.
    fn text(&self) -> String {
        match self {
            Self::Basic(file) => {
                let file = file.display();
                format!("auth: {{htpasswd: {{realm: harbor, path: {file}}}}}\n")
            }
            Self::Token {
                realm,
                service,
                issuer,
                bundle,
            } => format!(
                "auth:\n  token:\n    realm: {realm}\n    service: {service}\n    issuer: {issuer}\n    \
                 rootcertbundle: {}\n",
                bundle.display()
            ),
            Self::Certificate { own, clients } => format!(
                "  tls:\n    certificate: {}\n    key: {}\n    clientcas: [{}]\n",
                own.certificate.display(),
                own.key.display(),
                clients.display()
            ),
        }
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
    let (address, _) = rest.split_once(['"', ','])?;
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
