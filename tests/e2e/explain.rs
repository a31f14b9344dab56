//! What `explain` promises and what the upstreams were really asked.

use super::{
    gate::can_play,
    http,
    image::Image,
    mirror::{Mirror, upstream},
    registry::Registry,
    shapes::{self, ALIAS},
};

/// Ways to write a route, each met by a reference below.
const ROUTES: &str = r#"
[aliases]
"airgap-images/docker.io" = "docker.io"
[[route]]
from = "docker.io"
to = ["harbor.test/airgap-images/docker.io"]
[[route]]
from = "docker.io/library/pinned:1.0"
to = ["harbor.test/approved/pinned:2.0"]
[[route]]
from = "quay.io"
to = ["harbor.test/quay"]
[[route]]
from = "registry.k8s.io"
to = ["harbor.test/k8s/{name}"]
[[route]]
from = "gcr.io/team-a"
to = ["other.test/team-a"]
[[route]]
from = "*.corp.test"
to = ["harbor.test/corp/{registry}/{repository}"]
[[route]]
from_glob = "ghcr.io/acme/*"
to = ["other.test/acme-{name}"]
[[route]]
from = "public.ecr.aws"
to = ["harbor.test/ecr"]
rewrite = [{ regex = "^docker/library/", with = "" }]
"#;

/// A reference, and where its image is asked for first: repository and tag.
const REFERENCES: [(&str, &str, &str); 10] = [
    (
        "docker.io/library/nginx:1.25",
        "airgap-images/docker.io/library/nginx",
        "1.25",
    ),
    (
        "busybox",
        "airgap-images/docker.io/library/busybox",
        "latest",
    ),
    (
        "bitnami/redis:7",
        "airgap-images/docker.io/bitnami/redis",
        "7",
    ),
    ("docker.io/library/pinned:1.0", "approved/pinned", "2.0"),
    (
        "quay.io/astronomer/ap-base:3",
        "quay/astronomer/ap-base",
        "3",
    ),
    ("registry.k8s.io/coredns/coredns:v1", "k8s/coredns", "v1"),
    ("gcr.io/team-a/app:1", "team-a/app", "1"),
    ("img.corp.test/x/y:1", "corp/img.corp.test/x/y", "1"),
    ("ghcr.io/acme/tool:1", "acme-tool", "1"),
    ("public.ecr.aws/docker/library/alpine:3", "ecr/alpine", "3"),
];

/// What `explain` is asked, the request that puts it to the proof, and where that must lead.
struct Question<'a> {
    arguments: &'a [&'a str],
    target: &'a str,
    repository: &'a str,
    reference: &'a str,
}

/// The two registries and the mirror whose routes lead to them.
struct Stage {
    harbor: Registry,
    other: Registry,
    mirror: Mirror,
}

impl Stage {
    fn set() -> Self {
        let (harbor, other) = (Registry::start(), Registry::start());
        let mirror = Mirror::start(&format!(
            "{}{}{ROUTES}",
            upstream("harbor.test", &harbor),
            upstream("other.test", &other)
        ));
        Self {
            harbor,
            other,
            mirror,
        }
    }

    /// Takes the first candidate at its word: the image is pushed there and nowhere else, then pulled.
    fn prove(&self, seed: u64, question: &Question<'_>) {
        let told = self.mirror.explain(question.arguments);
        assert_eq!(told["outcome"], "route", "{told}");
        let first = &told["candidates"][0];
        assert_eq!(first["repository"], question.repository, "{told}");
        assert_eq!(first["reference"], question.reference, "{told}");
        let registry = if first["url"] == format!("http://{}", self.other.address) {
            &self.other
        } else {
            assert_eq!(first["url"], format!("http://{}", self.harbor.address));
            &self.harbor
        };
        let image = Image::new(seed);
        registry.push(question.repository, question.reference, &image);
        let before = registry.asked().len();
        let target = question.target;
        let pulled = http::get(self.mirror.address, target).expect_status(200, target);
        assert_eq!(pulled.sha256(|_| ()), image.index.digest, "{target}");
        let path = format!(
            "/v2/{}/manifests/{}",
            question.repository, question.reference
        );
        let asked = registry.asked();
        let hit = asked[before..].iter().any(|line| line.path == path);
        assert!(hit, "{path} in {asked:?}");
    }
}

/// The request a node makes for a reference.
fn request_for(reference: &str) -> String {
    let (name, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    match name.split_once('/') {
        Some((registry, rest)) if registry.contains('.') => {
            format!("/v2/{rest}/manifests/{tag}?ns={registry}")
        }
        Some(_) => format!("/v2/{name}/manifests/{tag}?ns=docker.io"),
        None => format!("/v2/library/{name}/manifests/{tag}?ns=docker.io"),
    }
}

#[test]
fn explain_agrees_with_the_access_log() {
    if !can_play("explain_agrees_with_the_access_log", &["docker-registry"]) {
        return;
    }
    let stage = Stage::set();
    for (seed, (name, repository, reference)) in (100..).zip(REFERENCES) {
        let question = Question {
            arguments: &[name],
            target: &request_for(name),
            repository,
            reference,
        };
        stage.prove(seed, &question);
    }
}

#[test]
fn explain_request_agrees_with_the_access_log() {
    if !can_play(
        "explain_request_agrees_with_the_access_log",
        &["docker-registry"],
    ) {
        return;
    }
    let stage = Stage::set();
    let count = shapes::all("library/any", "manifests/1").len();
    for (seed, number) in (200..).zip(0..count) {
        // Every shape asks for an image of its own, so that nothing is known of it yet.
        let name = format!("library/shape-{number}");
        let target = &shapes::all(&name, "manifests/1")[number].target;
        let question = Question {
            arguments: &["--request", target],
            target,
            repository: &format!("{ALIAS}/{name}"),
            reference: "1",
        };
        stage.prove(seed, &question);
    }
}
