//! The ways in which clients spell one Docker Hub image on a mirror.

/// The path under which nodes know the mirrored registry; an alias in the configurations here.
pub(crate) const ALIAS: &str = "airgap-images/docker.io";

/// One spelling of a request: who makes it, and its target.
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) target: String,
}

/// Every spelling for `docker.io/REPOSITORY`; `kind` is `manifests/…` or `blobs/…`.
pub(crate) fn all(repository: &str, kind: &str) -> Vec<Shape> {
    let place = format!("{repository}/{kind}");
    let mut shapes = vec![
        shape("containerd-host", format!("/v2/{place}?ns=docker.io")),
        shape("docker-host", format!("/v2/{place}")),
        shape("cri-legacy-slash", format!("/{place}?ns=docker.io")),
    ];
    for (label, prefix) in [("alias", ALIAS), ("registry", "docker.io")] {
        for (client, target) in [
            (
                "containerd-path",
                format!("/{prefix}/v2/{place}?ns=docker.io"),
            ),
            (
                "containerd-override",
                format!("/v2/{prefix}/{place}?ns=docker.io"),
            ),
            (
                "containerd-double",
                format!("/v2/{prefix}/v2/{place}?ns=docker.io"),
            ),
            ("docker-path", format!("/{prefix}/v2/{place}")),
            ("skopeo", format!("/v2/{prefix}/{place}")),
            ("cri-legacy-path", format!("/{prefix}/{place}?ns=docker.io")),
            (
                "regclient",
                format!("/v2/{prefix}/{place}?ns=registry-1.docker.io"),
            ),
        ] {
            shapes.push(shape(&format!("{client}-{label}"), target));
        }
    }
    shapes
}

fn shape(name: &str, target: String) -> Shape {
    Shape {
        name: name.to_owned(),
        target,
    }
}
