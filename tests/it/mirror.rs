//! A mirror in this process, in front of fake registries.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fake_registry::{
    Content, FakeRegistry, Image,
    bare::{Ask, Reply},
};
use roadstead::internals::{
    app::{self, ReloadSummary, Reloader, RunningMirror, StartError},
    config::{self, Environment, LoadContext, Overrides},
    disk::{self, Disk, RealDisk},
    server::ListenAddress,
    store::StoreError,
};

use crate::site::{private, route};

/// The one password of every `password_file` in a test.
pub(crate) const PASSWORD: &str = "canary-password";

/// Every request asks, and nothing absent is remembered.
pub(crate) const ALWAYS_ASK: &str = "[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"";

/// Longest wait of a test for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a mirror is started with.
pub(crate) struct Builder {
    config: String,
    disk: Arc<dyn Disk>,
    folder: Arc<tempfile::TempDir>,
}

/// Every file below a folder; one that is not there holds none.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        path => vec![path],
    };
    entries.flat_map(below).collect()
}

/// A running mirror. Dropped without [`Mirror::stop`], it is left to the runtime.
pub(crate) struct Mirror {
    running: RunningMirror,
    builder: Builder,
}

impl Builder {
    /// Adds to the configuration; a table may be repeated only by its keys' absence.
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Uses other files than the real ones.
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The folder that holds the store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What its text comes to; every mirror needs some tables, a test says what it means by its own.
    fn settings(&self) -> config::Settings {
        let at = self.folder.path().display();
        let mut config = self.config.clone();
        for (table, keys) in [
            ("[server]", "listen = \"127.0.0.1:0\"".to_owned()),
            ("[admin]", "listen = \"127.0.0.1:0\"".to_owned()),
            (
                "[store]",
                format!("path = \"{at}/store\"\nfree_min = \"1MiB\""),
            ),
            ("[timeouts]", "grace = \"0s\"".to_owned()),
        ] {
            match config.split_once(table) {
                Some((before, after)) => config = format!("{before}{table}\n{keys}\n{after}"),
                None => config = format!("{config}\n{table}\n{keys}\n"),
            }
        }
        // What a test wrote is read; every other file is the one password.
        let files = |path: &Path, _content| {
            let written = std::fs::read_to_string(path).ok();
            Ok(written.unwrap_or_else(|| PASSWORD.to_owned()).into_bytes())
        };
        let around = LoadContext {
            read_file: &files,
            find_files: &|path| disk::gather(path, &|_looked| ()),
            environment: &Environment::default(),
        };
        let loaded = config::read(&config, "test.toml", &Overrides::default(), &around);
        loaded
            .unwrap_or_else(|problems| panic!("{problems}\n{config}"))
            .settings
    }

    pub(crate) async fn start(self) -> Mirror {
        let begun = async {
            loop {
                match app::start(self.settings(), Arc::clone(&self.disk)).await {
                    // A stopped mirror in the same process may still be letting go of a file; a
                    // process that has ended is not.
                    Err(StartError::Store(StoreError::Locked { .. })) => {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    started => return started.unwrap(),
                }
            }
        };
        let running = tokio::time::timeout(PATIENCE, begun).await;
        Mirror {
            running: running.expect("the store stayed locked"),
            builder: self,
        }
    }
}

impl Mirror {
    /// A mirror with routes of its own.
    pub(crate) fn with(config: &str) -> Builder {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let disk = Arc::new(RealDisk);
        Builder {
            config: String::new(),
            disk,
            folder,
        }
        .config(config)
    }

    /// A mirror of `docker.io`, whose content `hub` holds under the same names.
    pub(crate) fn of(hub: &FakeRegistry) -> Builder {
        Self::with(&format!(
            "[upstream.hub]\nurl = \"{}\"\n[[route]]\nfrom = \"docker.io\"\nto = [\"hub\"]\n\
             library = \"keep\"\n",
            hub.url(),
        ))
    }

    /// As [`Mirror::of`], but it revalidates each time, with the credentials of `robot`; `more` has
    /// further keys of the upstream's table.
    pub(crate) fn logging_in(hub: &FakeRegistry, more: &str) -> Builder {
        let route = route("docker.io", "\"hub\"", "library = \"keep\"");
        Self::with(&format!("{}{more}\n{route}", private("hub", hub))).config(ALWAYS_ASK)
    }

    /// Pulls an image by its tag and finds every byte right; `what` names the scene.
    pub(crate) async fn pulls(&self, repository: &str, tag: &str, image: &Image, what: &str) {
        let reply = self.manifest(repository, tag).reply().await;
        assert_eq!(reply.body, image.manifest.bytes, "{what}");
        for blob in &image.layers {
            let reply = self.blob(repository, blob).reply().await;
            assert!(reply.body == blob.bytes, "{what}: {}", reply.status);
        }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        match self.running.mirrors().as_slice() {
            [ListenAddress::Tcp(address), ..] => *address,
            other => panic!("no TCP listener in {other:?}"),
        }
    }

    pub(crate) fn get(&self, target: &str) -> Ask {
        Ask::new(self.address(), "GET", target)
    }

    pub(crate) fn head(&self, target: &str) -> Ask {
        Ask::new(self.address(), "HEAD", target)
    }

    /// A blob of `docker.io`'s, as containerd asks for it.
    pub(crate) fn blob(&self, repository: &str, blob: &Content) -> Ask {
        self.get(&format!(
            "/v2/{repository}/blobs/{}?ns=docker.io",
            blob.digest
        ))
    }

    /// A manifest of `docker.io`'s, as containerd asks for it.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Ask {
        self.get(&format!(
            "/v2/{repository}/manifests/{reference}?ns=docker.io"
        ))
    }

    /// What operators ask.
    pub(crate) fn probe(&self, target: &str) -> Ask {
        let ListenAddress::Tcp(address) = self.running.admin() else {
            panic!("no TCP admin")
        };
        Ask::new(*address, "GET", target)
    }

    /// Takes another configuration while it runs; the folder stays.
    pub(crate) async fn adopt(&self, config: &str) -> Result<ReloadSummary, StartError> {
        let (disk, folder) = (Arc::clone(&self.builder.disk), &self.builder.folder);
        let other = Builder {
            config: config.to_owned(),
            disk,
            folder: Arc::clone(folder),
        };
        self.running.reloader().apply(other.settings()).await
    }

    /// Where it listens now.
    pub(crate) fn addresses(&self) -> Vec<ListenAddress> {
        self.running.mirrors()
    }

    /// What gives it new settings.
    pub(crate) fn reloader(&self) -> &Reloader {
        self.running.reloader()
    }

    /// Begins the stop; [`Mirror::stop`] waits for its end.
    pub(crate) fn begin_stop(&self) {
        self.running.stop().begin();
    }

    /// What operators see.
    pub(crate) async fn metrics(&self) -> String {
        let ListenAddress::Tcp(address) = self.running.admin() else {
            panic!("no TCP admin")
        };
        let reply = Ask::new(*address, "GET", "/metrics").reply().await;
        String::from_utf8(reply.body).unwrap()
    }

    /// Waits until the store holds `blobs` blobs, and wrote down which registry gave each of them.
    pub(crate) async fn keeps(&self, blobs: u64) {
        let origins = self.folder().join("store/origins");
        let is_marker = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "_blobs");
        let markers = || {
            files_below(&origins)
                .iter()
                .filter(|path| is_marker(path))
                .count()
        };
        let are_enough = |found: u64| found >= blobs;
        let enough = async {
            while !are_enough(self.blobs()) || !are_enough(u64::try_from(markers()).unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("the blobs were not kept");
    }

    /// The folder that holds the store.
    pub(crate) fn folder(&self) -> &Path {
        self.builder.folder()
    }

    /// Stops in order.
    pub(crate) async fn stop(self) -> Builder {
        self.running.stop().begin();
        tokio::time::timeout(PATIENCE, self.running.finish())
            .await
            .expect("it did not stop");
        self.builder
    }

    /// Blobs kept now: a blob has its name from its commit to its eviction.
    pub(crate) fn blobs(&self) -> u64 {
        let files = files_below(&self.folder().join("store/blobs"));
        u64::try_from(files.len()).unwrap()
    }

    /// Leaves it to its runtime, which the caller ends: the way a killed process stops.
    pub(crate) fn abandon(self) -> Builder {
        self.builder
    }

    /// Stops in order and starts again on the same store.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start().await
    }
}

/// The status and the specification's code of a failing answer.
pub(crate) fn failure(reply: &Reply) -> (u16, String) {
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "{reply:?}"
    );
    let code = &reply.json()["errors"][0]["code"];
    (reply.status, code.as_str().unwrap_or_default().to_owned())
}
