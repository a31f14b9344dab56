//! The bare client, pointed at a fake registry.

use fake_registry::{FakeRegistry, bare::Ask};

pub(crate) use fake_registry::bare::{Reply, body_so_far};

pub(crate) fn get(hub: &FakeRegistry, target: &str) -> Ask {
    Ask::new(hub.address(), "GET", target)
}

pub(crate) fn head(hub: &FakeRegistry, target: &str) -> Ask {
    Ask::new(hub.address(), "HEAD", target)
}

pub(crate) fn ask(hub: &FakeRegistry, method: &str, target: &str) -> Ask {
    Ask::new(hub.address(), method, target)
}
