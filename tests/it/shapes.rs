//! Every shape of path that runtimes send, end to end: the repository requested of the hub, and that
//! all shapes share one stored copy.

use fake_registry::{FakeRegistry, Fault, Match, random_bytes};

use crate::{
    mirror::{Builder, Mirror, failure},
    rows::{Rows, raw},
};

const SEED: u64 = 50;

/// A mirror of several registries, all of them held by one hub in folders of their own.
fn mirror(hub: &FakeRegistry, default_registry: &str) -> Builder {
    let route = |from: &str, to: &str| {
        format!("[[route]]\nfrom = \"{from}\"\nto = [\"hub{to}\"]\nlibrary = \"keep\"\n")
    };
    Mirror::with(&format!(
        "[server]\ndefault_registry = \"{default_registry}\"\nnames = [\"mirror.corp\"]\n\
         [aliases]\n\"airgap-images/docker.io\" = \"docker.io\"\n\
         \"airgap-images/quay.io\" = \"quay.io\"\n\"any\" = [\"quay.io\", \"docker.io\"]\n\
         [hosts]\n\"hub.corp\" = \"docker.io\"\n\"registry-1.docker.io\" = \"docker.io\"\n\
         [upstream.hub]\nurl = \"{}\"\n{}{}{}{}",
        hub.url(),
        route("docker.io", ""),
        route("quay.io", "/quay"),
        route("harbor.corp", "/harbor"),
        route("registry.waldo.com:8443", "/waldo"),
    ))
}

/// The shapes of `docker.io/library/nginx`, up to the endpoint, each with its query and host.
const NGINX: &[(&str, &str, &str, &str)] = &[
    ("S1, IN-01", "/v2/library/nginx", "?ns=docker.io", "m"),
    ("S1, one element", "/v2/nginx", "?ns=docker.io", "m"),
    (
        "S1, other name",
        "/v2/library/nginx",
        "?ns=registry-1.docker.io",
        "m",
    ),
    ("S1 without v2", "/library/nginx", "?ns=docker.io", "m"),
    ("S2, IN-02", "/v2/docker.io/library/nginx", "", "m"),
    (
        "S2 ns, IN-03",
        "/v2/docker.io/library/nginx",
        "?ns=docker.io",
        "m",
    ),
    ("S3", "/docker.io/v2/library/nginx", "", "m"),
    ("S3 ns", "/docker.io/v2/library/nginx", "?ns=docker.io", "m"),
    ("S4", "/docker.io/library/nginx", "", "m"),
    (
        "S4 ns, IN-05",
        "/docker.io/library/nginx",
        "?ns=docker.io",
        "m",
    ),
    ("S5, IN-09", "/v2/library/nginx", "", "m"),
    ("S5 empty ns", "/v2/library/nginx", "?ns=", "m"),
    ("S6", "/v2/library/nginx", "", "hub.corp"),
    ("S6 port", "/v2/library/nginx", "", "hub.corp:443"),
    (
        "S6 real name",
        "/v2/library/nginx",
        "",
        "registry-1.docker.io",
    ),
    (
        "S7, IN-07",
        "/v2/airgap-images/docker.io/library/nginx",
        "",
        "m",
    ),
    (
        "S7 ns",
        "/v2/airgap-images/docker.io/library/nginx",
        "?ns=docker.io",
        "m",
    ),
    (
        "S7 as S4, IN-06",
        "/airgap-images/docker.io/library/nginx",
        "?ns=docker.io",
        "m",
    ),
    (
        "S7 as S3",
        "/airgap-images/docker.io/v2/library/nginx",
        "?ns=docker.io",
        "m",
    ),
    ("double v2", "/v2/docker.io/v2/library/nginx", "", "m"),
    (
        "double v2 alias",
        "/v2/airgap-images/docker.io/v2/library/nginx",
        "",
        "m",
    ),
    ("IN-08", "/v2/docker.io/nginx", "", "m"),
    (
        "own ns",
        "/v2/docker.io/library/nginx",
        "?ns=mirror.corp:5000",
        "m",
    ),
    ("coded", "/v2/library/nginx", "?ns=docker%2Eio", "m"),
];

async fn get(mirror: &Mirror, target: &str, host: &str) -> fake_registry::bare::Reply {
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw(mirror, head).await
}

#[tokio::test]
async fn s1_to_s7_share_one_kept_copy() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(70_000, SEED)]);
    let layer = &image.layers[0];
    let mirror = mirror(&hub, "docker.io").start().await;
    let mut rows = Rows::default();
    for (row, prefix, query, host) in NGINX {
        for (what, want) in [
            ("manifests/1.25".to_owned(), &image.manifest),
            (
                format!("manifests/{}", image.manifest.digest),
                &image.manifest,
            ),
            (format!("blobs/{}", layer.digest), layer),
        ] {
            let reply = get(&mirror, &format!("{prefix}/{what}{query}"), host).await;
            rows.same(&format!("{row}: {prefix}/{what}"), reply.status, 200);
            rows.holds(row, reply.body == want.bytes, &"other bytes");
            let echoed = reply.header("oci-namespace").is_some();
            let honoured = query.contains("docker");
            rows.same(&format!("R023: {row}"), echoed, honoured);
        }
    }
    rows.same("one copy", hub.served(layer).gets(), 1);
    rows.same("one manifest", hub.count(Match::manifests().get()), 1);
}

#[tokio::test]
async fn requests_name_the_repository_that_the_hub_is_asked_for() {
    let hub = FakeRegistry::start().await;
    let mirror = mirror(&hub, "docker.io").start().await;
    let mut rows = Rows::default();
    for (row, target, repository) in [
        ("IN-08", "/v2/docker.io/nginx/manifests/1", "library/nginx"),
        (
            "IN-11",
            "/v2/docker.io/library/nginx/manifests/1?ns=harbor.corp",
            "harbor/docker.io/library/nginx",
        ),
        (
            "IN-12",
            "/v2/a/b/manifests/1?ns=registry.waldo.com:8443",
            "waldo/a/b",
        ),
        (
            "IN-12 coded, R003",
            "/v2/a/b/manifests/1?ns=registry.waldo.com%3A8443",
            "waldo/a/b",
        ),
        (
            "IN-12 as S2",
            "/v2/registry.waldo.com:8443/a/b/manifests/1",
            "waldo/a/b",
        ),
        (
            "IN-14",
            "/v2/iot-device-registry-infinispan/manifests/1",
            "library/iot-device-registry-infinispan",
        ),
        ("S2", "/v2/quay.io/a/b/manifests/1", "quay/a/b"),
        ("S7 first of equals", "/v2/any/a/b/manifests/1", "quay/a/b"),
        ("S7 by ns", "/v2/any/a/b/manifests/1?ns=docker.io", "a/b"),
        (
            "R009: ns decides",
            "/v2/quay.io/a/b/manifests/1?ns=docker.io",
            "quay.io/a/b",
        ),
        (
            "once",
            "/v2/quay.io/quay.io/a/manifests/1?ns=quay.io",
            "quay/quay.io/a",
        ),
        (
            "inner v2 stays",
            "/v2/proj/v2/x/manifests/1?ns=quay.io",
            "quay/proj/v2/x",
        ),
    ] {
        let image = hub.image(repository, "1", &[random_bytes(100, SEED)]);
        let reply = mirror.get(target).reply().await;
        rows.same(
            row,
            (reply.status, reply.body),
            (200, image.manifest.bytes.to_vec()),
        );
    }
    let unknown = mirror.get("/a/b/manifests/1").reply().await;
    rows.same(
        "neither v2 nor ns",
        failure(&unknown),
        (404, "NAME_UNKNOWN".to_owned()),
    );
}

#[tokio::test]
async fn in15_the_ping_is_answered_in_every_shape_and_never_routed() {
    let hub = FakeRegistry::start().await;
    // R020: even if upstream is silent, and even if it is gone.
    hub.next(Match::any(), Fault::Stall).optional();
    let mirror = mirror(&hub, "").start().await;
    let mut rows = Rows::default();
    for down in [false, true] {
        if down {
            hub.down();
        }
        for target in [
            "/v2",
            "/v2/",
            "/v2/?ns=docker.io",
            "/v2/?ns=unknown.example",
            "/docker.io/v2/",
            "/docker.io/v2",
            "/docker.io/v2/?ns=docker.io",
            "/unknown.example/v2/",
            "/airgap-images/docker.io/v2/",
            "/any/v2",
            "/v2/docker.io/v2/",
            "/v2/any/v2/",
        ] {
            for ask in [mirror.get(target), mirror.head(target)] {
                let reply = ask.reply().await;
                rows.same(target, reply.status, 200);
                rows.same(
                    target,
                    reply.header("docker-distribution-api-version"),
                    Some("registry/2.0"),
                );
                rows.same("R022", reply.header("x-registry-supports-signatures"), None);
                rows.same(target, reply.header("content-length"), Some("2"));
                rows.same(
                    target,
                    reply.header("content-type"),
                    Some("application/json"),
                );
            }
        }
        for target in ["/foo/v2/", "/v2/foo/v2/", "/docker.io", "/v2/docker.io/"] {
            rows.same(target, mirror.get(target).reply().await.status, 404);
        }
    }
    rows.same("never routed", hub.requests().len(), 0);
}
