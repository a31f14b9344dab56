//! Worked examples, mirror sets and node configuration, by id.

use super::*;

#[test]
fn worked_examples() {
    let w1 = routes(&[("docker.io", &["harbor.example.org/airgap-images/docker.io"])]);
    check(
        &w1,
        &[(
            "W1",
            "nginx",
            &["H/docker.io/library/nginx", "H/docker.io/nginx"],
        )],
    );
    let mut group = route(
        "docker.io/calico",
        &["myregistry.com/calico-mirror/cal-{name}"],
    );
    group.matches = MatchText::From(vec!["quay.io/calico".into(), "docker.io/calico".into()]);
    check(&table(vec![group]), W);
    let w4 = (
        "docker.io/library/infinispan:*",
        &["int:5000/enmasse-infra/{name}"][..],
    );
    check(
        &routes(&[w4]),
        &[
            ("W4", "infinispan", &["int:5000/enmasse-infra/infinispan"]),
            ("W4", "nginx", &["unmatched"]),
        ],
    );
    let w7 = routes(&[
        (
            "ghcr.io/fantasy/coolstuff:v1.0",
            &["my-local-registry.com/patched-coolstuff:latest"],
        ),
        ("ghcr.io", &["m.corp"]),
    ]);
    check(&w7, W_2);
    let want = [
        "m.corp/fantasy/coolstuff",
        "my-local-registry.com/patched-coolstuff",
    ];
    assert_eq!(origins(&w7, "ghcr.io/fantasy/coolstuff"), want, "W7");
    assert_eq!(
        origins(&w7, "ghcr.io/fantasy/other"),
        ["m.corp/fantasy/other"]
    );
    let w8 = routes(&[(
        "registry.k8s.io",
        &["h.corp/k8s/{repository}", "h.corp/k8s/{name}"],
    )]);
    check(
        &w8,
        &[
            (
                "W8",
                "registry.k8s.io/coredns/coredns:v1",
                &["h.corp/k8s/coredns/coredns", "h.corp/k8s/coredns"],
            ),
            ("W8", "registry.k8s.io/pause:3.9", &["h.corp/k8s/pause"]),
        ],
    );
}

const W: &[RouteRow] = &[
    (
        "W2",
        "docker.io/calico/node:v3",
        &["myregistry.com/calico-mirror/cal-node"],
    ),
    (
        "W2",
        "quay.io/calico/node:v3",
        &["myregistry.com/calico-mirror/cal-node"],
    ),
];

const W_2: &[RouteRow] = &[
    (
        "W7",
        "ghcr.io/fantasy/coolstuff:v1.0",
        &["my-local-registry.com/patched-coolstuff:latest"],
    ),
    (
        "W7",
        "ghcr.io/fantasy/coolstuff:v2",
        &["m.corp/fantasy/coolstuff"],
    ),
    (
        "W7",
        "ghcr.io/fantasy/coolstuff@D",
        &[
            "m.corp/fantasy/coolstuff",
            "my-local-registry.com/patched-coolstuff",
        ],
    ),
];

#[test]
fn openshift_and_enmasse() {
    let hijacked = format!("{INT}/enmasse-infra/{{name}}");
    let openshift = table(vec![
        route(
            "docker.io/library/iot-device-registry-infinispan:*",
            &[hijacked.as_str()],
        ),
        kind(
            route("quay.io/enmasse", &["registry.corp/enmasse", "source"]),
            &[RefKind::Digest],
        ),
        kind(route("quay.io", &["registry.corp/quay"]), &[RefKind::Tag]),
        route(INT, &["source"]),
        route(
            "quay.io/enmasse/iot-http-adapter:*",
            &["registry.corp/dev/adapter:7"],
        ),
        route(
            "quay.io/interconnectedcloud/qdrouterd:*",
            &["registry.corp/mirror/qdrouterd:1.14.0"],
        ),
        kind(
            route("registry-a.com", &["m1", "m2", "source"]),
            &[RefKind::Digest, RefKind::Digest],
        ),
    ]);
    check(&openshift, E);
    let local = format!("{INT}/enmasse-infra/x@D");
    let want = format!("{INT}/enmasse-infra/x");
    assert_eq!(outcome(&openshift, &local), [want], "E-10");
    let want = ["registry.corp/quay/coreos/etcd"];
    assert_eq!(origins(&openshift, "quay.io/coreos/etcd"), want, "E-09");
}

const E: &[RouteRow] = &[
    ("E-01", "iot-device-registry-infinispan:latest", &[INSIDE]),
    (
        "E-02",
        "library/iot-device-registry-infinispan@D",
        &[INSIDE],
    ),
    ("E-03", "nginx:1", &["unmatched"]),
    (
        "E-05, W5",
        "quay.io/enmasse/agent@D",
        &["registry.corp/enmasse/agent", "quay.io/enmasse/agent"],
    ),
    (
        "E-06",
        "quay.io/enmasse/agent:1.0",
        &["quay.io/enmasse/agent"],
    ),
    (
        "E-07",
        "quay.io/coreos/etcd:v1",
        &["registry.corp/quay/coreos/etcd"],
    ),
    ("E-08", "quay.io/coreos/etcd@D", &[]),
    (
        "E-11",
        "quay.io/enmasse/iot-http-adapter:0.31.0",
        &["registry.corp/dev/adapter:7"],
    ),
    (
        "E-12",
        "quay.io/interconnectedcloud/qdrouterd:1.14.0",
        &["registry.corp/mirror/qdrouterd:1.14.0"],
    ),
    (
        "E-13",
        "registry-a.com/x/y@D",
        &["m1/x/y", "m2/x/y", "registry-a.com/x/y"],
    ),
    ("E-13", "registry-a.com/x/y:1", &["registry-a.com/x/y"]),
];

#[test]
fn node_configuration() {
    let rewritten = |regex: &str, with: &str| {
        let mut text = route("docker.io", &["h", "source"]);
        text.library = LibraryPrefix::Keep;
        text.rewrite = vec![RewriteText {
            regex: regex.to_owned(),
            with: with.to_owned(),
        }];
        table(vec![text])
    };
    check(
        &rewritten("^rancher/(.*)", "mirrorproject/rancher-images/$1"),
        &[(
            "N-04",
            "rancher/mirrored-pause:3.6",
            &[
                "h/mirrorproject/rancher-images/mirrored-pause",
                "docker.io/rancher/mirrored-pause",
            ],
        )],
    );
    check(
        &rewritten("(.*)", "docker/$1"),
        &[(
            "N-05",
            "busybox",
            &["h/docker/library/busybox", "docker.io/library/busybox"],
        )],
    );
    check(
        &rewritten("(.*)", "mirrored-$1"),
        &[(
            "N-06",
            "busybox",
            &["h/mirrored-library/busybox", "docker.io/library/busybox"],
        )],
    );
    let registries_conf = routes(&[
        (
            "example.com/foo",
            &[
                "example-mirror-0.local/mirror-for-foo",
                "example-mirror-1.local/mirrors/foo",
                "internal-registry-for-example.com/bar",
            ],
        ),
        ("docker.io/alpine", &["h"]),
        ("*.example.com", &["source"]),
    ]);
    check(&registries_conf, N);
}

const N: &[RouteRow] = &[
    (
        "N-09",
        "example.com/foo/image:latest",
        &[
            "example-mirror-0.local/mirror-for-foo/image",
            "example-mirror-1.local/mirrors/foo/image",
            "internal-registry-for-example.com/bar/image",
        ],
    ),
    ("N-10", "docker.io/library/alpine", &["unmatched"]),
    ("N-11", "foo.bar.example.com/x", &["foo.bar.example.com/x"]),
    ("N-11", "example.com/x", &["unmatched"]),
];

const INT: &str = "image-registry.openshift-image-registry.svc:5000";
const INSIDE: &str = "image-registry.openshift-image-registry.svc:5000/enmasse-infra/\
    iot-device-registry-infinispan";
