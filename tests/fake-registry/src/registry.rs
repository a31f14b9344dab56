//! The test's handle of a running registry.

use std::fmt;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::content::{Content, Image, artifact_of, index_of, media_type};
use crate::fault::Fault;
use crate::matching::Match;
use crate::record::{Recorded, Served};
use crate::script::Scripted;
use crate::serve::State;
use crate::shelf::Repository;

/// A running registry; dropping it ends it, and fails the test if a scripted fault was never met
/// or one of its tasks panicked.
pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<State>,
    /// The acceptor, which owns every connection.
    _tasks: JoinSet<()>,
}

impl FakeRegistry {
    /// A registry without authentication on a free port of 127.0.0.1, over plain HTTP/1.1.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A registry with other properties.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(address: SocketAddr, state: Arc<State>, tasks: JoinSet<()>) -> Self {
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.state.host
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub fn url(&self) -> String {
        self.state.origin()
    }
}

/// Content.
impl FakeRegistry {
    /// Keeps a blob under its sha256 digest.
    pub fn blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Content {
        let blob = Content::new(media_type::OCTETS, bytes);
        self.put_blob(repository, &blob);
        blob
    }

    /// Keeps a blob under whatever digest it says.
    pub fn put_blob(&self, repository: &str, blob: &Content) {
        let blob = (blob.digest.clone(), blob.clone());
        self.change(repository, |kept| kept.blobs.extend([blob]));
    }

    /// Keeps a manifest under its sha256 digest, and under a tag.
    pub fn manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Content {
        let manifest = Content::new(media_type, bytes);
        self.put_manifest(repository, tag, &manifest);
        manifest
    }

    /// Keeps a manifest under whatever digest it says, and under a tag.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, manifest: &Content) {
        let digest = &manifest.digest;
        let tag = tag.map(|tag| (tag.to_owned(), digest.clone()));
        let manifest = (digest.clone(), manifest.clone());
        self.change(repository, |kept| {
            kept.manifests.extend([manifest]);
            kept.tags.extend(tag);
        });
    }

    /// Keeps an image over these layers under a tag.
    pub fn image(&self, repository: &str, tag: &str, layers: &[Bytes]) -> Image {
        let image = Image::new(layers);
        self.put_image(repository, Some(tag), &image);
        image
    }

    /// Keeps an image's manifest, configuration and layers.
    pub fn put_image(&self, repository: &str, tag: Option<&str>, image: &Image) {
        for blob in image.layers.iter().chain([&image.config]) {
            self.put_blob(repository, blob);
        }
        self.put_manifest(repository, tag, &image.manifest);
    }

    /// Keeps an index over images, with the images, under a tag.
    pub fn index(&self, repository: &str, tag: &str, images: &[&Image]) -> Content {
        for image in images {
            self.put_image(repository, None, image);
        }
        let index = index_of(images);
        self.put_manifest(repository, Some(tag), &index);
        index
    }

    /// Keeps an artifact that refers to `subject`; its manifest is what referrers list.
    pub fn attach(
        &self,
        repository: &str,
        subject: &Content,
        artifact_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Image {
        let artifact = artifact_of(subject, artifact_type, bytes.into());
        self.put_image(repository, None, &artifact);
        artifact
    }

    /// Serves content at a plain path, as a storage host behind a redirect does.
    pub fn place(&self, path: &str, content: &Content) {
        self.state
            .shelf
            .lock()
            .paths
            .insert(path.to_owned(), content.clone());
    }

    /// Points a tag at a digest.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        let tag = (tag.to_owned(), digest.to_owned());
        self.change(repository, |kept| kept.tags.extend([tag]));
    }

    /// Removes a tag, which must exist.
    pub fn untag(&self, repository: &str, tag: &str) {
        let removed = self.change(repository, |kept| kept.tags.remove(tag));
        assert!(removed.is_some(), "no tag {repository}:{tag} to remove");
    }

    /// Removes a blob, which must exist.
    pub fn remove_blob(&self, repository: &str, digest: &str) {
        let removed = self.change(repository, |kept| kept.blobs.remove(digest));
        assert!(removed.is_some(), "no blob {repository}@{digest} to remove");
    }

    /// Removes a manifest, which must exist; its tags point to nothing.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        let removed = self.change(repository, |kept| kept.manifests.remove(digest));
        assert!(
            removed.is_some(),
            "no manifest {repository}@{digest} to remove"
        );
    }

    fn change<T>(&self, repository: &str, how: impl FnOnce(&mut Repository) -> T) -> T {
        how(self.state.shelf.lock().repository(repository))
    }
}

/// Faults.
impl FakeRegistry {
    /// Scripts a fault for the next such request; see [`Scripted`] for other numbers.
    ///
    /// Of several faults for one request the one written first is met first.
    pub fn next(&self, which: Match, fault: Fault) -> Scripted {
        self.state.script.add(which, fault)
    }

    /// Ends every connection at once, and every later one unanswered, until [`Self::up`].
    pub fn down(&self) {
        self.state.down.store(true, Ordering::SeqCst);
        self.hang_up();
    }

    /// Answers again, on the same port.
    pub fn up(&self) {
        self.state.down.store(false, Ordering::SeqCst);
    }

    /// Ends every connection at once, idle ones too; new ones are welcome.
    pub fn hang_up(&self) {
        self.state.hang_ups.send_replace(());
    }

    /// Requires another password from now on; tokens stay valid.
    pub fn change_password(&self, password: &str) {
        self.state.guard.tokens.change_password(password);
    }

    /// Expires every token issued so far.
    pub fn expire_tokens(&self) {
        self.state.guard.tokens.expire();
    }
}

/// Records.
impl FakeRegistry {
    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log.all()
    }

    /// Such requests so far, in the order of arrival.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every verb here takes its match as written"
    )]
    pub fn asked(&self, which: Match) -> Vec<Recorded> {
        self.state.log.those(&which)
    }

    /// How many such requests arrived.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every verb here takes its match as written"
    )]
    pub fn count(&self, which: Match) -> usize {
        self.state.log.count(&which)
    }

    /// The requests for one blob or manifest, by digest.
    pub fn served(&self, content: &Content) -> Served {
        self.state.log.served(&Match::content(content))
    }

    /// How many bytes of body were sent in all.
    pub fn bytes_sent(&self) -> usize {
        self.state.log.bytes_sent()
    }

    /// Returns when `count` such requests have arrived; panics after 20 s.
    ///
    /// They have arrived, not been answered: a held request counts. Not for paused clocks, which
    /// jump to the deadline while sockets are at work.
    pub async fn until(&self, which: Match, count: usize) {
        self.state.log.until(&which, count).await;
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let panic = self.state.panics.lock().pop();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        let leftovers = self.state.script.leftovers();
        assert!(
            leftovers.is_empty(),
            "faults never met:\n{}",
            leftovers.join("\n")
        );
    }
}

impl fmt::Debug for FakeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRegistry")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
