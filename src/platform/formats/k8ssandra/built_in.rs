//! The default images of cass-operator and k8ssandra-operator.

use super::image_config::ComponentImage;

/// A component, its image, and the image's names in earlier releases.
#[derive(Debug)]
pub(in crate::platform) struct BuiltInImage {
    pub(in crate::platform) component: &'static str,
    pub(in crate::platform) registry: &'static str,
    pub(in crate::platform) repository: &'static str,
    pub(in crate::platform) name: &'static str,
    /// Whether the tag contains the server's version.
    pub(in crate::platform) is_server: bool,
    /// The tag, or its suffix after the server's version.
    pub(in crate::platform) end: &'static str,
    earlier: &'static [&'static str],
}

impl BuiltInImage {
    /// Its image by another name.
    pub(super) fn image(&self, text: String) -> ComponentImage {
        let around = self.is_server.then(Default::default);
        ComponentImage { text, around }
    }

    /// All its names, current and earlier.
    pub(super) fn images(&self) -> impl Iterator<Item = ComponentImage> {
        let now = [self.registry, self.repository, self.name].join("/");
        let earlier = self.earlier.iter().map(ToString::to_string);
        let texts = std::iter::once(now).chain(earlier);
        texts.map(|text| self.image(text))
    }
}

/// Suffixes after the server's version in tags of releases.
pub(super) const SUFFIXES: [&str; 3] = ["", "-ubi", "-ubi8"];

/// All components with a known image.
pub(in crate::platform) const BUILT_IN_IMAGES: [BuiltInImage; 8] = [
    BuiltInImage {
        component: "cassandra",
        registry: "ghcr.io",
        repository: "k8ssandra",
        name: "cass-management-api",
        is_server: true,
        end: "-ubi",
        earlier: &[
            "cr.k8ssandra.io/k8ssandra/cass-management-api",
            "docker.io/k8ssandra/cass-management-api",
        ],
    },
    BuiltInImage {
        component: "dse",
        registry: "docker.io",
        repository: "datastax",
        name: "dse-mgmtapi-6_8",
        is_server: true,
        end: "-ubi",
        earlier: &[
            "cr.dtsx.io/datastax/dse-mgmtapi-6_8",
            "docker.io/datastax/dse-server",
        ],
    },
    BuiltInImage {
        component: "hcd",
        registry: "docker.io",
        repository: "datastax",
        name: "hcd",
        is_server: true,
        end: "-ubi",
        earlier: &[],
    },
    BuiltInImage {
        component: "system-logger",
        registry: "ghcr.io",
        repository: "k8ssandra",
        name: "system-logger",
        is_server: false,
        end: "latest",
        earlier: &[
            "cr.k8ssandra.io/k8ssandra/system-logger",
            "docker.io/k8ssandra/system-logger",
        ],
    },
    BuiltInImage {
        component: "config-builder",
        registry: "docker.io",
        repository: "datastax",
        name: "cass-config-builder",
        is_server: false,
        end: "1.0-ubi",
        earlier: &["cr.dtsx.io/datastax/cass-config-builder"],
    },
    BuiltInImage {
        component: "k8ssandra-client",
        registry: "docker.io",
        repository: "k8ssandra",
        name: "k8ssandra-client",
        is_server: false,
        end: "v0.8.6",
        earlier: &["cr.k8ssandra.io/k8ssandra/k8ssandra-client"],
    },
    BuiltInImage {
        component: "medusa",
        registry: "docker.io",
        repository: "k8ssandra",
        name: "medusa",
        is_server: false,
        end: "latest",
        earlier: &["docker.io/thelastpickle/cassandra-medusa"],
    },
    BuiltInImage {
        component: "reaper",
        registry: "docker.io",
        repository: "thelastpickle",
        name: "cassandra-reaper",
        is_server: false,
        end: "latest",
        earlier: &[],
    },
];
