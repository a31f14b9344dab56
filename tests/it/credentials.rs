//! Which credentials each upstream receives.

use fake_registry::{FakeRegistry, random_bytes};

use crate::{
    mirror::{Mirror, PASSWORD},
    rows::Rows,
    site::{manifest_of, private, route, upstream},
};

const SEED: u64 = 8;

#[tokio::test]
async fn t08_an_anonymous_upstream_has_no_part_in_the_others_login() {
    let mut rows = Rows::default();
    let basic = FakeRegistry::builder().basic("robot", PASSWORD);
    let bearer = FakeRegistry::builder().bearer("robot", PASSWORD);
    for (kind, registry) in [("basic", basic), ("bearer", bearer)] {
        let registry = registry.start().await;
        registry.image("a/b", "1", &[random_bytes(1000, SEED)]);
        // Two names for one address; the first has credentials in its own table.
        let config = private("known", &registry)
            + &upstream("anonymous", &registry)
            + &route("quay.io", "\"known\"", "")
            + &route("ghcr.io", "\"anonymous\"", "");
        let mirror = Mirror::with(&config).start().await;
        let status = async |registry: &str| {
            let reply = manifest_of(&mirror, registry, "a/b", "1").await;
            reply.status
        };
        rows.same(kind, status("ghcr.io").await, 403);
        rows.same(kind, status("quay.io").await, 200);
        rows.same(kind, status("ghcr.io").await, 403);
        rows.same(kind, status("quay.io").await, 200);
    }
}

#[tokio::test]
async fn the_longest_path_decides_who_logs_in() {
    let registry = FakeRegistry::builder().basic("robot", PASSWORD);
    let registry = registry.start().await;
    for name in ["team/a", "teams/a"] {
        registry.image(name, "1", &[random_bytes(1000, SEED)]);
    }
    let login = |place: &str, user: &str| {
        let host = registry.host();
        format!(
            "[[credential]]\nfor = \"{host}{place}\"\nusername = \"{user}\"\n\
             password_file = \"password\"\n"
        )
    };
    let config = upstream("hub", &registry)
        + &login("/team", "robot")
        + &login("", "another")
        + &route("quay.io", "\"hub\"", "");
    let mirror = Mirror::with(&config).start().await;
    for (name, status) in [("team/a", 200), ("teams/a", 403)] {
        let reply = manifest_of(&mirror, "quay.io", name, "1").await;
        assert_eq!(reply.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_missing_helper_is_trouble_and_nobody_is_asked_without_the_login() {
    let hub = FakeRegistry::start().await;
    hub.image("a/b", "1", &[random_bytes(1000, SEED)]);
    let config = upstream("hub", &hub)
        + "[[credential]]\nfor = \"hub\"\nhelper = \"not-installed\"\n"
        + &route("quay.io", "\"hub\"", "");
    let mirror = Mirror::with(&config).start().await;
    let reply = manifest_of(&mirror, "quay.io", "a/b", "1").await;
    assert_eq!(reply.status, 503);
    assert!(!format!("{reply:?}").contains("not-installed"));
    assert_eq!(hub.requests().len(), 0);
}
