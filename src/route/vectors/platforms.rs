//! The platforms' own names, by the ids of their tables.

use super::*;

#[test]
fn palette_images() {
    let h = "harbor.example.org/airgap-images";
    let pair = |registry: &str, folder: &str| {
        let first = format!("{h}/{folder}");
        let second = format!("{h}/{{registry}}/{{repository}}");
        route(registry, &[first.as_str(), second.as_str()])
    };
    let palette = table(vec![
        pair("docker.io", "docker.io"),
        pair("gcr.io", "gcr.io"),
        pair("k8s.gcr.io", "gcr.io"),
        pair("registry.k8s.io", "k8s.io"),
        pair("quay.io", "quay.io"),
        pair("ghcr.io", "ghcr.io"),
        route(
            "us-docker.pkg.dev",
            &[
                h,
                "harbor.example.org/airgap-images/{registry}/{repository}",
            ],
        ),
        deny("*"),
    ]);
    check(&palette, PA);
    let other = routes(&[
        (
            "docker.io",
            &["public.ecr.aws/1234567/airgap-images/docker.io"],
        ),
        (
            "us-docker.pkg.dev/palette-images",
            &["example.registry.com/palette-images"],
        ),
        ("somedomain.com/somepath", &["targetdomain.com/other/path"]),
    ]);
    check(&other, PA_2);
}

const PA: &[RouteRow] = &[
    (
        "PA-01",
        "nginx:1.25",
        &["H/docker.io/library/nginx", "H/docker.io/nginx"],
    ),
    ("PA-02", "bitnami/redis@D", &["H/docker.io/bitnami/redis"]),
    (
        "PA-03",
        "gcr.io/spectro-images-public/release/thewebroot/imageswap:v1.5.2-spectro-4.1.1",
        &["H/gcr.io/spectro-images-public/release/thewebroot/imageswap"],
    ),
    (
        "PA-04",
        "k8s.gcr.io/pause:3.5",
        &["H/gcr.io/pause", "H/k8s.gcr.io/pause"],
    ),
    (
        "PA-05",
        "registry.k8s.io/sig-storage/csi-provisioner:v3.4.0",
        &[
            "H/k8s.io/sig-storage/csi-provisioner",
            "H/registry.k8s.io/sig-storage/csi-provisioner",
        ],
    ),
    (
        "PA-06",
        "registry.k8s.io/coredns/coredns:v1.11.1",
        &[
            "H/k8s.io/coredns/coredns",
            "H/registry.k8s.io/coredns/coredns",
        ],
    ),
    (
        "PA-07",
        "quay.io/jetstack/x:v1.11.0",
        &["H/quay.io/jetstack/x"],
    ),
    (
        "PA-09",
        WEBHOOK,
        &[
            "H/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
            "H/us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
        ],
    ),
    (
        "PA-10",
        "ghcr.io/kube-vip/kube-vip:v0.6",
        &["H/ghcr.io/kube-vip/kube-vip"],
    ),
    ("PA-11", "mcr.microsoft.com/oss/x:1", &["deny"]),
];

const PA_2: &[RouteRow] = &[
    (
        "PA-14",
        "busybox",
        &[
            "public.ecr.aws/1234567/airgap-images/docker.io/library/busybox",
            "public.ecr.aws/1234567/airgap-images/docker.io/busybox",
        ],
    ),
    (
        "PA-15",
        "us-docker.pkg.dev/palette-images/a/b:1",
        &["example.registry.com/palette-images/a/b"],
    ),
    (
        "PA-17",
        "somedomain.com/somepath/example-repo/alpine:latest",
        &["targetdomain.com/other/path/example-repo/alpine"],
    ),
];

#[test]
fn k8ssandra_images() {
    let mut text = route(
        "ghcr.io/k8ssandra",
        &["private-registry.local/enterprise/{name}"],
    );
    let from = [
        "ghcr.io/k8ssandra",
        "docker.io/datastax",
        "docker.io/k8ssandra",
        "cr.k8ssandra.io/k8ssandra",
    ];
    text.matches = MatchText::From(from.map(str::to_owned).into());
    let own = route("private-registry.local", &["source"]);
    check(&table(vec![text, own]), KR);
    check(
        &table(Vec::new()),
        &[(
            "KR-10",
            "dse-mgmtapi-6_8:6.8.44",
            &["docker.io/library/dse-mgmtapi-6_8"],
        )],
    );
}

const KR: &[RouteRow] = &[
    (
        "KR-01, W3",
        "ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi",
        &["private-registry.local/enterprise/cass-management-api"],
    ),
    (
        "KR-02",
        "datastax/dse-mgmtapi-6_8:6.8.47-ubi",
        &["private-registry.local/enterprise/dse-mgmtapi-6_8"],
    ),
    (
        "KR-03",
        "datastax/cass-config-builder:1.0-ubi",
        &["private-registry.local/enterprise/cass-config-builder"],
    ),
    (
        "KR-04",
        "ghcr.io/k8ssandra/system-logger:latest",
        &["private-registry.local/enterprise/system-logger"],
    ),
    (
        "KR-06",
        "k8ssandra/k8ssandra-client@D",
        &["private-registry.local/enterprise/k8ssandra-client"],
    ),
    ("KR-07", "nginx:1", &["unmatched"]),
    (
        "KR-08",
        "cr.k8ssandra.io/k8ssandra/cass-management-api:4.0.1-ubi8",
        &["private-registry.local/enterprise/cass-management-api"],
    ),
    (
        "KR-09",
        "private-registry.local/enterprise/hcd:v1.0.0-ubi",
        &["private-registry.local/enterprise/hcd"],
    ),
];

#[test]
fn calico_images() {
    let mirror = "myregistry.com/calico-mirror/cal-{name}";
    let calico = routes(&[
        ("quay.io/calico", &[mirror]),
        ("docker.io/calico", &[mirror]),
        ("quay.io/tigera", &[mirror, "myregistry.com/tigera/{name}"]),
        (
            "myregistry.com/calico",
            &["source", "quay.io/calico", "docker.io/calico"],
        ),
    ]);
    check(&calico, CR);
    check(
        &routes(&[
            ("quay.io/calico", &["myregistry.com/{first}/{name}"]),
            ("docker.io/calico", &["source", "quay.io/calico"]),
        ]),
        CR_2,
    );
    let mut pinned = route("quay.io/calico/node:v3", &["source"]);
    pinned.digest = Some(DIGEST.to_owned());
    let (named, reference) = image("quay.io/calico/node:v3");
    let Decision::Route { pin, .. } = table(vec![pinned]).decide(&named, &reference) else {
        panic!("CR-11");
    };
    assert_eq!(pin, Some(DIGEST.parse().unwrap()), "CR-11");
}

const CR: &[RouteRow] = &[
    (
        "CR-01",
        "quay.io/calico/node:v3.31.7",
        &["myregistry.com/calico-mirror/cal-node"],
    ),
    (
        "CR-03",
        "quay.io/tigera/operator:v1.40.15",
        &[
            "myregistry.com/calico-mirror/cal-operator",
            "myregistry.com/tigera/operator",
        ],
    ),
    (
        "CR-04",
        "calico/csi:v3.28.5-fips",
        &["myregistry.com/calico-mirror/cal-csi"],
    ),
    (
        "CR-05",
        "quay.io/calico/node@D",
        &["myregistry.com/calico-mirror/cal-node"],
    ),
    (
        "CR-07",
        "myregistry.com/calico/cni:v3",
        &[
            "myregistry.com/calico/cni",
            "quay.io/calico/cni",
            "docker.io/calico/cni",
        ],
    ),
    ("CR-09", "docker.io/calicoctl/x", &["unmatched"]),
];

const CR_2: &[RouteRow] = &[
    (
        "CR-06",
        "quay.io/calico/typha:v3",
        &["myregistry.com/calico/typha"],
    ),
    (
        "CR-08",
        "calico/node:v3",
        &["docker.io/calico/node", "quay.io/calico/node"],
    ),
];

#[test]
fn astronomer_images() {
    let astronomer = routes(&[
        ("quay.io/astronomer", &["registry.corp/astro/{name}"]),
        (
            "quay.io/astronomer/ap-airflow:*",
            &[
                "registry.corp/airflow-base",
                "registry.corp/astro/ap-airflow",
            ],
        ),
        (
            "quay.io/astronomer/astro-runtime:*",
            &["registry.corp/astro/astro-runtime", "source"],
        ),
        ("registry.corp/team", &["source"]),
        ("reg-a.corp", &["source"]),
        ("reg-b.corp/data", &["source"]),
        ("registry.astro.example.com", &["source"]),
    ]);
    check(&astronomer, A);
    let source = table_with(vec![route("quay.io", &["h"])], UnmatchedPolicy::Source);
    check(
        &source,
        &[(
            "A-06",
            "cmart123/ap-airflow:test4",
            &["docker.io/cmart123/ap-airflow"],
        )],
    );
}

const A: &[RouteRow] = &[
    (
        "A-01",
        "quay.io/astronomer/ap-houston-api:1.2.3",
        &["registry.corp/astro/ap-houston-api"],
    ),
    (
        "A-02, W6",
        "quay.io/astronomer/ap-airflow:2.2.5",
        &[
            "registry.corp/airflow-base",
            "registry.corp/astro/ap-airflow",
        ],
    ),
    (
        "A-03",
        "quay.io/astronomer/astro-runtime:9.3.0",
        &[
            "registry.corp/astro/astro-runtime",
            "quay.io/astronomer/astro-runtime",
        ],
    ),
    (
        "A-04",
        "registry.corp/team/airflow:analytics-dev-deploy-12",
        &["registry.corp/team/airflow"],
    ),
    (
        "A-05",
        "registry.corp/team/airflow@D",
        &["registry.corp/team/airflow"],
    ),
    ("A-06", "cmart123/ap-airflow:test4", &["unmatched"]),
    ("A-07", "reg-a.corp/x:1", &["reg-a.corp/x"]),
    ("A-08", "reg-b.corp/data/y:1", &["reg-b.corp/data/y"]),
    (
        "A-11",
        "registry.astro.example.com/analytics-dev/airflow:deploy-1",
        &["registry.astro.example.com/analytics-dev/airflow"],
    ),
    (
        "A-12",
        "quay.io/astronomer/ap-statsd-exporter:0.30.0-4",
        &["registry.corp/astro/ap-statsd-exporter"],
    ),
];

const WEBHOOK: &str = "us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/\
    cert-manager-webhook:v1.17.0-spectro-4.6.1";
