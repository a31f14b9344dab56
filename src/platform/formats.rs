//! The table of formats: the only place that lists them.
//!
//! A new format is a folder here, its `mod` line, and a row. Command line, `[[import]]`, detection
//! and diagnostics read the table; nothing below it knows which formats there are.

mod astronomer;
mod buildkitd;
mod calico;
mod containerd;
mod docker;
mod docker_config;
mod enmasse;
mod hosts_toml;
mod imageswap;
mod k3s;
mod k8ssandra;
mod openshift;
mod palette;
mod registries_conf;
mod talos;

use super::{
    model::format::{Configures, Format, FormatOption, Importer, Renderer},
    reading::{document::InputDocument, syntax},
};

/// In the order of import, which decides the order of routes and lets formats build on what those
/// before them have added: image streams come before the `EnMasse` overrides that name them. Help
/// and messages list formats in this order too.
static FORMATS: &[Format] = &[
    Format {
        name: "idms",
        import: None,
        render: Some(Renderer {
            about: "OpenShift: mirror sets for digests and for tags",
            configures: Configures::Platform,
            pins: None,
            run: openshift::render::render,
        }),
    },
    Format {
        name: "imageswap",
        import: Some(Importer {
            about: "A map of the imageswap webhook, or the ConfigMap that has it",
            options: &[],
            syntax: imageswap::import::syntax,
            detects: imageswap::import::detects,
            precedence: 120,
            run: imageswap::import::import,
        }),
        render: Some(Renderer {
            about: "The map of the imageswap webhook",
            configures: Configures::Platform,
            pins: None,
            run: imageswap::render::render,
        }),
    },
    Format {
        name: "palette",
        import: Some(Importer {
            about: "Palette: its registry Secret, Helm values or edge user data, or the value of mirrorRegistries",
            options: &[],
            syntax: syntax::guessed,
            detects: palette::import::detects,
            precedence: 20,
            run: palette::import::import,
        }),
        render: Some(Renderer {
            about: "Palette: the registry Secret, in both dialects",
            configures: Configures::Platform,
            pins: None,
            run: palette::render::render,
        }),
    },
    Format {
        name: "k8ssandra",
        import: Some(Importer {
            about: "K8ssandra: ImageConfig, its ConfigMap or a kustomization",
            options: &[FormatOption::Baseline],
            syntax: syntax::yaml_or_json,
            detects: k8ssandra::import::detects,
            precedence: 100,
            run: k8ssandra::import::import,
        }),
        render: Some(Renderer {
            about: "K8ssandra: ImageConfig",
            configures: Configures::Platform,
            pins: None,
            run: k8ssandra::render::render,
        }),
    },
    Format {
        name: "calico",
        import: Some(Importer {
            about: "Calico: Installation and ImageSet",
            options: &[],
            syntax: syntax::yaml_or_json,
            detects: calico::import::detects,
            precedence: 130,
            run: calico::import::import,
        }),
        render: Some(Renderer {
            about: "Calico: Installation, and an ImageSet of the digests that the mirror keeps",
            configures: Configures::Platform,
            pins: Some(calico::sources::likely_names),
            run: calico::render::render,
        }),
    },
    Format {
        name: "openshift",
        import: Some(Importer {
            about: "OpenShift: image streams, IDMS, ITMS and ICSP",
            options: &[FormatOption::InternalRegistry],
            syntax: syntax::yaml_or_json,
            detects: openshift::import::detects,
            precedence: 140,
            run: openshift::import::import,
        }),
        render: None,
    },
    Format {
        name: "enmasse",
        import: Some(Importer {
            about: "EnMasse: IoTConfig, and Deployments with image variables",
            options: &[FormatOption::Baseline, FormatOption::InternalRegistry],
            syntax: syntax::yaml_or_json,
            detects: enmasse::import::detects,
            precedence: 110,
            run: enmasse::import::import,
        }),
        render: Some(Renderer {
            about: "EnMasse: image overrides",
            configures: Configures::Platform,
            pins: None,
            run: enmasse::render::render,
        }),
    },
    Format {
        name: "astronomer",
        import: Some(Importer {
            about: "Astronomer: Helm values and their Secrets",
            options: &[],
            syntax: syntax::yaml_or_json,
            detects: astronomer::import::detects,
            precedence: 30,
            run: astronomer::import::import,
        }),
        render: Some(Renderer {
            about: "Astronomer: Helm values",
            configures: Configures::Platform,
            pins: None,
            run: astronomer::render::render,
        }),
    },
    Format {
        name: "hosts-toml",
        import: Some(Importer {
            about: "containerd: hosts.toml, or the whole folder certs.d",
            options: &[],
            syntax: syntax::toml,
            detects: hosts_toml::import::detects,
            precedence: 80,
            run: hosts_toml::import::import,
        }),
        render: Some(Renderer {
            about: "containerd: hosts.toml files, to be written below /etc/containerd/certs.d",
            configures: Configures::Nodes,
            pins: None,
            run: hosts_toml::render::render,
        }),
    },
    Format {
        name: "containerd",
        import: Some(Importer {
            about: "containerd: the registry part of an older config.toml",
            options: &[],
            syntax: syntax::toml,
            detects: containerd::import::detects,
            precedence: 60,
            run: containerd::import::import,
        }),
        render: None,
    },
    Format {
        name: "containerd-legacy",
        import: None,
        render: Some(Renderer {
            about: "containerd: the registry part of an older config.toml",
            configures: Configures::Nodes,
            pins: None,
            run: containerd::render::render,
        }),
    },
    Format {
        name: "k3s",
        import: Some(Importer {
            about: "k3s and RKE2: registries.yaml",
            options: &[],
            syntax: syntax::yaml_or_json,
            detects: k3s::import::detects,
            precedence: 90,
            run: k3s::import::import,
        }),
        render: Some(Renderer {
            about: "k3s and RKE2: registries.yaml",
            configures: Configures::Nodes,
            pins: None,
            run: k3s::render::render,
        }),
    },
    Format {
        name: "talos",
        import: Some(Importer {
            about: "Talos: machine configuration or registry documents",
            options: &[],
            syntax: syntax::yaml_or_json,
            detects: talos::import::detects,
            precedence: 10,
            run: talos::import::import,
        }),
        render: Some(Renderer {
            about: "Talos: a patch of the machine configuration",
            configures: Configures::Nodes,
            pins: None,
            run: talos::render::render,
        }),
    },
    Format {
        name: "registries-conf",
        import: Some(Importer {
            about: "podman, skopeo and CRI-O: registries.conf",
            options: &[],
            syntax: syntax::toml,
            detects: registries_conf::import::detects,
            precedence: 70,
            run: registries_conf::import::import,
        }),
        render: Some(Renderer {
            about: "podman, skopeo and CRI-O: registries.conf",
            configures: Configures::Nodes,
            pins: None,
            run: registries_conf::render::render,
        }),
    },
    Format {
        name: "docker",
        import: Some(Importer {
            about: "Docker: daemon.json",
            options: &[],
            syntax: syntax::json,
            detects: docker::import::detects,
            precedence: 40,
            run: docker::import::import,
        }),
        render: Some(Renderer {
            about: "Docker: daemon.json",
            configures: Configures::Nodes,
            pins: None,
            run: docker::render::render,
        }),
    },
    Format {
        name: "buildkitd",
        import: Some(Importer {
            about: "BuildKit: buildkitd.toml",
            options: &[],
            syntax: syntax::toml,
            detects: buildkitd::import::detects,
            precedence: 65,
            run: buildkitd::import::import,
        }),
        render: Some(Renderer {
            about: "BuildKit: buildkitd.toml",
            configures: Configures::Nodes,
            pins: None,
            run: buildkitd::render::render,
        }),
    },
    Format {
        name: "docker-config",
        import: Some(Importer {
            about: "Credentials: Docker's config.json, auth.json and pull Secrets",
            options: &[],
            syntax: syntax::yaml_or_json,
            detects: docker_config::import::detects,
            precedence: 50,
            run: docker_config::import::import,
        }),
        render: None,
    },
];

/// The formats that are read, in the order of import.
pub fn importable() -> impl Iterator<Item = (&'static Format, &'static Importer)> {
    let read = |format: &'static Format| Some((format, format.import.as_ref()?));
    FORMATS.iter().filter_map(read)
}

/// What `import FORMAT` and `format = ` accept: `auto`, for which each document is in the format
/// that it is detected to be in, and every name of [`importable`].
pub fn import_choices() -> impl Iterator<Item = (&'static str, Option<&'static Format>)> {
    let named = importable().map(|(format, _)| (format.name, Some(format)));
    std::iter::once(("auto", None)).chain(named)
}

/// The formats that are written: those for nodes, then those for platforms.
pub fn renderable() -> impl Iterator<Item = (&'static str, &'static Renderer)> {
    let written = |wanted: Configures| {
        let renderer = move |format: &'static Format| {
            let renderer = format.render.as_ref()?;
            (renderer.configures == wanted).then_some((format.name, renderer))
        };
        FORMATS.iter().filter_map(renderer)
    };
    written(Configures::Nodes).chain(written(Configures::Platform))
}

/// The format of a document, if it shows.
pub(super) fn detect(document: &InputDocument<'_>) -> Option<&'static Format> {
    let found = importable().filter(|(_, importer)| (importer.detects)(document));
    let first = found.min_by_key(|(_, importer)| importer.precedence);
    first.map(|(format, _)| format)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_precedences_are_distinct() {
        let names: BTreeSet<_> = FORMATS.iter().map(|format| format.name).collect();
        assert_eq!(names.len(), FORMATS.len());
        let precedences = importable().map(|(_, importer)| importer.precedence);
        let precedences: BTreeSet<_> = precedences.collect();
        assert_eq!(precedences.len(), importable().count());
    }

    #[test]
    fn every_format_is_read_or_written_and_listed_once() {
        let read: Vec<_> = importable().map(|(format, _)| format.name).collect();
        let written: Vec<_> = renderable().map(|(name, _)| name).collect();
        for Format { name, .. } in FORMATS {
            assert!(read.contains(name) || written.contains(name), "{name}");
        }
        let has_renderer = |format: &&Format| format.render.is_some();
        assert_eq!(written.len(), FORMATS.iter().filter(has_renderer).count());
        assert_eq!(written.first(), Some(&"hosts-toml"));
    }
}
