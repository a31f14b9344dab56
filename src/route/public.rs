//! The built-in list of public registries, which a mirror without any route serves.

use crate::oci::Registry;

/// Whether `registry` is public; one with a port never is.
pub(super) fn is_public(registry: &Registry) -> bool {
    let host = registry.host();
    let below = |suffix: &&str| {
        host.strip_suffix(*suffix)
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
    };
    registry.port().is_none() && (HOSTS.contains(&host) || SUFFIXES.iter().any(below))
}

/// Whether the list names `registry` itself, not only a suffix of it.
pub(super) fn is_listed(registry: &Registry) -> bool {
    HOSTS.contains(&registry.as_str())
}

/// The registries that the list names, suffixes left out.
pub(super) fn listed() -> impl Iterator<Item = Registry> {
    HOSTS.iter().filter_map(|host| host.parse().ok())
}

/// The list's name in `explain`.
pub(super) const LIST_NAME: &str = "the built-in list of public registries";

const HOSTS: [&str; 22] = [
    "cgr.dev",
    "container-registry.oracle.com",
    "docker.elastic.co",
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "icr.io",
    "k8s.gcr.io",
    "lscr.io",
    "mcr.microsoft.com",
    "nvcr.io",
    "public.ecr.aws",
    "quay.io",
    "registry.access.redhat.com",
    "registry.fedoraproject.org",
    "registry.gitlab.com",
    "registry.k8s.io",
    "registry.opensuse.org",
    "registry.redhat.io",
    "registry.suse.com",
    "registry.connect.redhat.com",
    "xpkg.upbound.io",
];

/// Regional names, one label deep: their owner controls all of them.
const SUFFIXES: [&str; 2] = [".gcr.io", "-docker.pkg.dev"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_registries_are_on_the_list() {
        let check = |registry: &str, want: bool| {
            assert_eq!(is_public(&registry.parse().unwrap()), want, "{registry}");
        };
        check("docker.io", true);
        check("index.docker.io", true);
        check("us.gcr.io", true);
        check("us-docker.pkg.dev", true);
        check("europe-west4-docker.pkg.dev", true);
        check("docker.io:5000", false);
        check("gcr.io.evil.example", false);
        check("evilgcr.io", false);
        check("a.b.gcr.io", false);
        check("169.254.169.254", false);
        check("localhost", false);
        check("registry.corp", false);
    }
}
