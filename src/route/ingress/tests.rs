//! What requests mean: shapes, aliases, hosts and bad names.

use proptest::prelude::*;

use super::*;

fn registries(text: &str) -> Vec<Registry> {
    let parse = |registry: &str| registry.parse().unwrap();
    text.split(' ').map(parse).collect()
}

fn ingress(default_registry: &str) -> Ingress {
    let own = |(key, value): (&str, &str)| (key.to_owned(), registries(value));
    Ingress::new(IngressText {
        default_registry: default_registry.parse().ok(),
        names: vec!["mirror.corp".to_owned()],
        aliases: vec![
            own(("airgap-images/docker.io", "docker.io")),
            own(("airgap-images/quay.io", "quay.io")),
            own(("calico-any", "quay.io docker.io")),
            own(("calico-any/special", "ghcr.io")),
        ],
        hosts: vec![
            own(("harbor.corp", "harbor.corp")),
            own(("registry-1.docker.io", "docker.io")),
            own(("any.corp:8443", "quay.io docker.io")),
        ],
    })
    .unwrap()
}

/// An id, the default registry, the request, and what it means.
type IngressRow = (&'static str, &'static str, &'static str, &'static str);

const NGINX: &str = "docker.io/library/nginx";

/// The repository as text, or the error's name.
fn meant(default: &str, request: &str, host: Option<&str>) -> String {
    let (path, ns) = match request.split_once("?ns=") {
        Some((path, ns)) => (path, Some(ns)),
        None => (request, None),
    };
    match ingress(default).resolve(path, ns, host) {
        Ok(image) => image.repository.to_string(),
        Err(IngressError::InvalidName(_)) => "invalid name".to_owned(),
        Err(IngressError::InvalidNs(_)) => "invalid ns".to_owned(),
        Err(IngressError::Unknown) => "unknown".to_owned(),
    }
}

#[track_caller]
fn check(rows: &[IngressRow]) {
    for (id, default, request, want) in rows {
        assert_eq!(meant(default, request, None), *want, "{id}: {request}");
    }
}

#[test]
fn what_a_request_names() {
    let nginx = NGINX;
    check(&[
        ("IN-01", "", "/v2/library/nginx?ns=docker.io", nginx),
        ("IN-02", "", "/v2/docker.io/library/nginx", nginx),
        (
            "IN-03",
            "",
            "/v2/docker.io/library/nginx?ns=docker.io",
            nginx,
        ),
        ("IN-05", "", "/docker.io/library/nginx?ns=docker.io", nginx),
        (
            "IN-06",
            "",
            "/airgap-images/docker.io/library/nginx?ns=docker.io",
            nginx,
        ),
        (
            "IN-07",
            "",
            "/v2/airgap-images/docker.io/library/nginx",
            nginx,
        ),
        ("IN-08", "", "/v2/docker.io/nginx", nginx),
        ("IN-09", "docker.io", "/v2/library/nginx", nginx),
        ("IN-10", "", "/v2/library/nginx", "unknown"),
        (
            "IN-11",
            "",
            "/v2/docker.io/library/nginx?ns=harbor.corp",
            "harbor.corp/docker.io/library/nginx",
        ),
        (
            "IN-12",
            "",
            "/v2/a/b?ns=registry.waldo.com:8443",
            "registry.waldo.com:8443/a/b",
        ),
        (
            "IN-14",
            "docker.io",
            "/v2/iot-device-registry-infinispan",
            "docker.io/library/iot-device-registry-infinispan",
        ),
        (
            "PA-12",
            "",
            "/airgap-images/quay.io/a/b?ns=quay.io",
            "quay.io/a/b",
        ),
    ]);
}

#[test]
fn path_shapes() {
    check(SHAPES);
}

const SHAPES: &[IngressRow] = &[
    ("S1", "quay.io", "/v2/nginx?ns=docker.io", NGINX),
    ("S1 without v2", "", "/library/nginx?ns=docker.io", NGINX),
    ("S2", "", "/v2/quay.io/a/b", "quay.io/a/b"),
    (
        "S2 port",
        "",
        "/v2/localhost:5000/a/b",
        "localhost:5000/a/b",
    ),
    ("S3", "", "/docker.io/v2/library/nginx", NGINX),
    (
        "S3 ns",
        "",
        "/docker.io/v2/library/nginx?ns=docker.io",
        NGINX,
    ),
    (
        "S3 alias",
        "",
        "/airgap-images/docker.io/v2/library/nginx",
        NGINX,
    ),
    ("S4", "", "/docker.io/library/nginx", NGINX),
    ("S4 upper", "", "/Docker.IO/library/nginx", NGINX),
    (
        "S4 other name",
        "",
        "/index.docker.io/nginx?ns=docker.io",
        NGINX,
    ),
    ("S5", "quay.io", "/v2/a/b", "quay.io/a/b"),
    ("S5 without v2", "quay.io", "/a/b", "unknown"),
    (
        "S7",
        "",
        "/v2/calico-any/calico/node",
        "quay.io/calico/node",
    ),
    (
        "S7 longest",
        "",
        "/v2/calico-any/special/node",
        "ghcr.io/node",
    ),
    (
        "S7 ns",
        "",
        "/v2/calico-any/node?ns=docker.io",
        "docker.io/library/node",
    ),
    (
        "S7 ns, longest not bound",
        "",
        "/v2/calico-any/special/node?ns=docker.io",
        "docker.io/special/node",
    ),
    (
        "S7 foreign ns",
        "",
        "/v2/calico-any/a?ns=r.corp",
        "r.corp/calico-any/a",
    ),
    ("double v2", "", "/v2/docker.io/v2/library/nginx", NGINX),
    (
        "double v2 alias",
        "",
        "/v2/calico-any/v2/a/b",
        "quay.io/a/b",
    ),
    ("v2 is the name", "", "/v2/quay.io/v2", "quay.io/v2"),
    ("v2 is the name", "", "/v2/quay.io/v2/v2", "quay.io/v2"),
    (
        "v2 inside stays",
        "",
        "/v2/proj/v2/x?ns=quay.io",
        "quay.io/proj/v2/x",
    ),
    (
        "own ns",
        "",
        "/v2/quay.io/a?ns=mirror.corp:5000",
        "quay.io/a",
    ),
    ("own ns", "", "/v2/a/b?ns=mirror.corp", "unknown"),
    (
        "once",
        "",
        "/v2/quay.io/quay.io/a?ns=quay.io",
        "quay.io/quay.io/a",
    ),
    (
        "only a prefix",
        "docker.io",
        "/v2/docker.io",
        "docker.io/library/docker.io",
    ),
    (
        "only an alias",
        "quay.io",
        "/v2/calico-any",
        "quay.io/calico-any",
    ),
];

#[test]
fn what_is_not_canonical_is_an_error() {
    let name = "invalid name";
    check(&[
        ("upper", "docker.io", "/v2/Library/nginx", name),
        ("upper", "", "/v2/quay.io/A/b", name),
        ("dots", "docker.io", "/v2/../etc/passwd", name),
        ("dots", "docker.io", "/v2/a/../b", name),
        ("empty", "docker.io", "/v2//a", name),
        ("empty", "docker.io", "/v2/a//b", name),
        ("empty", "docker.io", "/v2/a/", name),
        ("empty", "docker.io", "/v2/", name),
        ("empty", "docker.io", "", name),
        ("port", "docker.io", "/v2/quay.io:0/a", name),
        ("tag", "docker.io", "/v2/nginx:x/a", name),
        ("line", "docker.io", "/v2/a\r\nb", name),
        (
            "ns url",
            "docker.io",
            "/v2/a?ns=http://169.254.169.254/",
            "invalid ns",
        ),
        (
            "ns user",
            "docker.io",
            "/v2/a?ns=u:p@docker.io",
            "invalid ns",
        ),
        ("ns path", "docker.io", "/v2/a?ns=docker.io/x", "invalid ns"),
        ("ns empty", "", "/v2/docker.io/a?ns=", "invalid ns"),
        ("ns empty", "quay.io", "/v2/a/b?ns=", "quay.io/a/b"),
        ("neither", "", "/foo/bar", "unknown"),
        ("neither", "docker.io", "/foo/bar", "unknown"),
        ("favicon", "docker.io", "/favicon.ico", "unknown"),
    ]);
}

#[test]
fn s6_virtual_hosts() {
    let check = |default: &str, host: &str, path: &str, want: &str| {
        assert_eq!(meant(default, path, Some(host)), want, "{host} {path}");
    };
    check("docker.io", "harbor.corp", "/v2/a/b", "harbor.corp/a/b");
    check("docker.io", "HARBOR.corp:443", "/v2/a/b", "harbor.corp/a/b");
    check(
        "",
        "registry-1.docker.io",
        "/v2/nginx",
        "docker.io/library/nginx",
    );
    check("", "any.corp:8443", "/v2/a/b", "quay.io/a/b");
    check("", "any.corp", "/v2/a/b", "unknown");
    check("", "mirror.corp:5000", "/v2/a/b", "unknown");
    check("docker.io", "mirror.corp", "/v2/a/b", "docker.io/a/b");
    check("", "harbor.corp", "/v2/quay.io/a", "quay.io/a");
    check("", "harbor.corp", "/v2/a?ns=quay.io", "quay.io/a");
    check("", "harbor.corp", "/a/b", "unknown");
    check("", "no host", "/v2/a/b", "unknown");
}

#[test]
fn groups_and_ns_are_told() {
    let resolve = |path, ns| ingress("docker.io").resolve(path, ns, None).unwrap();
    let image = resolve("/v2/calico-any/calico/node", None);
    assert_eq!(
        (&*image.equal, image.ns),
        (&registries("docker.io")[..], None)
    );
    let image = resolve("/v2/calico-any/calico/node", Some("docker.io"));
    assert_eq!(&*image.equal, &registries("quay.io")[..]);
    assert_eq!(image.ns, Some(Registry::docker_hub()));
    let image = resolve("/v2/calico/node", Some(""));
    assert_eq!((image.equal.len(), image.ns), (0, None));
}

#[test]
fn every_bad_entry_is_reported() {
    let bad = |key: &str| (key.to_owned(), registries("quay.io"));
    let text = IngressText {
        default_registry: None,
        names: vec!["http://m".to_owned(), "mirror.corp".to_owned()],
        aliases: vec![
            bad("/a/"),
            bad("v2/a"),
            bad("A"),
            bad("b"),
            bad("b"),
            ("c".to_owned(), Vec::new()),
        ],
        hosts: vec![bad("a b"), bad("h.corp"), bad("H.corp"), bad("mirror.corp")],
    };
    let problems = Ingress::new(text).unwrap_err();
    let seen: Vec<_> = problems
        .iter()
        .map(|bad| (bad.key, bad.value.as_str(), bad.hint.as_deref()))
        .collect();
    let want = [
        ("names", "http://m", None),
        ("aliases", "/a/", Some("a")),
        ("aliases", "v2/a", Some("a")),
        ("aliases", "A", None),
        ("aliases", "b", None),
        ("aliases", "c", None),
        ("hosts", "a b", None),
        ("hosts", "H.corp", None),
        ("hosts", "mirror.corp", None),
    ];
    assert_eq!(seen, want);
}

proptest! {
    #[test]
    fn nothing_panics(path in ".{0,80}", ns in proptest::option::of(".{0,20}"), host in ".{0,20}") {
        let resolved = ingress("docker.io").resolve(&path, ns.as_deref(), Some(&host));
        if let Ok(image) = resolved {
            prop_assert!(image.repository.name.as_str().parse::<RepositoryName>().is_ok());
        }
    }

    #[test]
    fn paths_of_likely_pieces_never_panic(pieces in proptest::collection::vec(
        prop_oneof!["v2", "/", "docker.io", "calico-any", "airgap-images", "a", "..", ":", "é"],
        0..12,
    )) {
        let path = pieces.concat();
        for ns in [None, Some(""), Some("docker.io"), Some(path.as_str())] {
            let resolved = ingress("").resolve(&path, ns, Some(&path));
            let ns = resolved.ok().and_then(|image| image.ns);
            prop_assert!(ns.is_none_or(|ns| !ns.as_str().is_empty()));
        }
    }
}
