//! `ImageSet`: the digests of one release's images.

use super::{
    installation::{Installation, route},
    sources::{FOLDERS, SOURCES, candidates},
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            location::Location,
            node::Node,
        },
    },
};

/// One release's images.
#[derive(Debug)]
pub(super) struct ImageSet {
    release: Tag,
    images: Vec<PinnedImage>,
}

/// An image by its original folder and name.
#[derive(Debug)]
struct PinnedImage {
    folder: String,
    name: String,
    digest: Digest,
    location: Location,
}

impl ImageSet {
    pub(super) fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let images = node.at(&["spec", "images"]);
        let list = images.map(Node::items).unwrap_or_default();
        if list.is_empty() {
            let location = images.map_or(&node.location, |images| &images.location);
            let message = "spec.images must be a list of images with digests";
            let diagnostic = Diagnostic::new(DiagnosticCode::Value, location, message);
            diagnostics.push(diagnostic.fix("write `- image: calico/node` and `digest: sha256:…`"));
        }
        let images = list
            .iter()
            .filter_map(|item| image(item, diagnostics))
            .collect();
        let release = release(node, diagnostics)?;
        Some(Self { release, images })
    }

    /// Pins the release's tag of every image in all its sources.
    pub(super) fn pin(
        &self,
        installation: &Installation,
        context: &ImportContext<'_>,
        into: &mut Imported,
    ) {
        let Self { release, images } = self;
        for PinnedImage {
            folder,
            name,
            digest,
            location,
        } in images
        {
            for source in SOURCES {
                let own = format!("{source}/{folder}/{name}");
                let to = installation.image(source, folder, name);
                let to = if to == own { "source".to_owned() } else { to };
                let to = candidates(to, source, context);
                let route = route(into, location, &format!("{own}:{release}"), &to);
                route.digest = Some(digest.to_string());
            }
        }
    }
}

/// The release, which is part of the set's name and the tag of its images.
fn release(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Tag> {
    let name = node.at(&["metadata", "name"]);
    let text = name.and_then(Node::text).unwrap_or_default();
    let release = ["calico-", "enterprise-"]
        .iter()
        .find_map(|variant| text.strip_prefix(variant));
    let release = release.and_then(|release| release.parse().ok());
    if release.is_none() {
        let location = name.map_or(&node.location, |name| &name.location);
        let message = "the operator finds an ImageSet by the release in its name";
        let diagnostic = Diagnostic::new(DiagnosticCode::Value, location, message).excerpt(text);
        diagnostics.push(diagnostic.fix("name it calico-RELEASE or enterprise-RELEASE"));
    }
    release
}

fn image(item: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<PinnedImage> {
    if !(item.has("image") && item.has("digest")) {
        let fix = "write `image: calico/node` and `digest: sha256:…`";
        diagnostics.push(
            item.wrong_type("an image of a set needs a name and a digest")
                .fix(fix),
        );
        return None;
    }
    let (image, digest) = (
        item.string("image", diagnostics),
        item.string("digest", diagnostics),
    );
    let (image, text) = (image?, digest?);
    let Ok(digest @ Digest::Sha256(_)) = text.text.parse() else {
        let message = "the operator accepts sha256 digests only";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Digest, &text.start, message).excerpt(&text.text);
        diagnostics.push(diagnostic.fix("write sha256: and 64 hex digits"));
        return None;
    };
    let name: Result<RepositoryName, _> = image.text.parse();
    let parts = image.text.split_once('/').filter(|_| name.is_ok());
    let Some((folder, name)) = parts.filter(|(folder, _)| !folder.contains('.')) else {
        let message = "an image is written FOLDER/NAME here, without registry and tag";
        let diagnostic =
            Diagnostic::new(DiagnosticCode::Reference, &image.start, message).excerpt(&image.text);
        diagnostics.push(diagnostic.fix("write calico/NAME or tigera/NAME"));
        return None;
    };
    let message = match (folder, name) {
        ("tigera", "operator") => "the operator's own image has another tag than the release",
        _ if !FOLDERS.contains(&folder) => "this image's tag is not known from the release",
        _ => {
            return Some(PinnedImage {
                folder: folder.to_owned(),
                name: name.to_owned(),
                digest,
                location: item.location.clone(),
            });
        }
    };
    let message = format!("{message}, and is not pinned");
    let diagnostic =
        Diagnostic::new(DiagnosticCode::Ignored, &image.start, message).excerpt(&image.text);
    let fix = "to pin it, write a [[route]] with from = \"REGISTRY/NAME:TAG\" and digest";
    diagnostics.push(diagnostic.level(Severity::Note).fix(fix));
    None
}
