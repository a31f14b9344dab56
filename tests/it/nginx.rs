//! Helpers for tests of a single repository, mostly `library/nginx`.

use fake_registry::{Content, FakeRegistry, Image, bare::Reply, random_bytes};

use crate::mirror::{ALWAYS_ASK, Mirror};

pub(crate) const REPOSITORY: &str = "library/nginx";

/// A mirror that asks the registry each time.
pub(crate) async fn started(hub: &FakeRegistry) -> Mirror {
    Mirror::of(hub).config(ALWAYS_ASK).start().await
}

pub(crate) async fn manifest(mirror: &Mirror, reference: &str) -> Reply {
    mirror.manifest(REPOSITORY, reference).reply().await
}

pub(crate) async fn blob(mirror: &Mirror, blob: &Content) -> Reply {
    mirror.blob(REPOSITORY, blob).reply().await
}

/// A small image, tagged `1`.
pub(crate) fn image(hub: &FakeRegistry) -> Image {
    hub.image(REPOSITORY, "1", &[random_bytes(1000, 1)])
}

pub(crate) async fn tag(mirror: &Mirror) -> Reply {
    mirror.manifest(REPOSITORY, "1").reply().await
}

/// What a client gets for an answer that must not be used.
pub(crate) fn bad_gateway() -> (u16, String) {
    (502, "UNAVAILABLE".to_owned())
}
