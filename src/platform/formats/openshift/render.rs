//! `OpenShift`'s mirror sets: one for digests and one for tags.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, Rendering},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let policy = if mirror.falls_back {
        "AllowContactingSource"
    } else {
        "NeverContactSource"
    };
    let (paths, mut notes) = mirror.paths();
    let entry = |(registry, path): (&Registry, &str)| {
        format!(
            "    - source: \"{registry}\"\n      mirrors:\n        - \"{}/{path}\"\n      \
             mirrorSourcePolicy: {policy}\n",
            mirror.authority
        )
    };
    let entries = paths.into_iter().map(entry).collect::<Vec<_>>().concat();
    if !mirror.is_tls {
        notes.push(format!(
            "The mirror is met without TLS: add {} to spec.registrySources.insecureRegistries of \
             image.config.openshift.io/cluster.",
            mirror.authority
        ));
    } else if let Some(file) = &mirror.ca_file {
        notes.push(format!(
            "Nodes must trust {file}: put it into the ConfigMap that spec.additionalTrustedCA of \
             image.config.openshift.io/cluster names, under the key {}.",
            mirror.authority.as_str().replace(':', "..")
        ));
    }
    notes.push("OpenShift may restart its nodes one by one to apply this.".to_owned());
    let set = |kind: &str, list: &str| {
        let entries = if entries.is_empty() {
            "    []\n"
        } else {
            &entries
        };
        format!(
            "apiVersion: config.openshift.io/v1\nkind: {kind}\nmetadata:\n  name: roadstead\n\
             spec:\n  {list}:\n{entries}"
        )
    };
    let digests = set("ImageDigestMirrorSet", "imageDigestMirrors");
    let tags = set("ImageTagMirrorSet", "imageTagMirrors");
    Rendering {
        notes,
        ..Rendering::one("mirror-sets.yaml", format!("{digests}---\n{tags}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{ImportOptions, vectors};

    fn mirror() -> Mirror {
        let registry = |name: &str| name.parse().unwrap();
        Mirror {
            is_tls: false,
            authority: registry("mirror.local:5000"),
            registries: ["docker.io", "quay.io", "reg.corp:8443", "reg.corp:9"]
                .map(registry)
                .into(),
            falls_back: false,
            ca_file: None,
            aliases: vec![("corp".to_owned(), vec![registry("reg.corp:8443")])],
            pins: Vec::new(),
        }
    }

    #[test]
    fn a_pair_of_sets_is_rendered() {
        let rendering = render(&mirror());
        let text = &rendering.files[0].text;
        let imported = vectors::read(
            "openshift",
            &[("mirror-sets.yaml", text)],
            &vectors::OPTIONS,
        );
        vectors::check(
            &imported,
            &[
                ("tag", "quay.io/a/b:1", &["mirror.local:5000/quay.io/a/b"]),
                (
                    "digest",
                    "quay.io/a/b@D",
                    &["mirror.local:5000/quay.io/a/b"],
                ),
                (
                    "hub",
                    "nginx",
                    &["mirror.local:5000/docker.io/library/nginx"],
                ),
                ("alias", "reg.corp:8443/a", &["mirror.local:5000/corp/a"]),
                ("port", "reg.corp:9/a", &["unmatched"]),
            ],
        );
        assert!(rendering.notes[0].starts_with("reg.corp:9 "));
        assert!(rendering.notes[1].contains("insecureRegistries"));
    }

    #[test]
    fn the_source_stays_where_nodes_may_go_there() {
        let mirror = Mirror {
            falls_back: true,
            is_tls: true,
            ca_file: Some("/etc/ca.pem".to_owned()),
            ..mirror()
        };
        let rendering = render(&mirror);
        let text = &rendering.files[0].text;
        let imported = vectors::read("openshift", &[("a", text)], &vectors::OPTIONS);
        let want: &[&str] = &["mirror.local:5000/quay.io/a", "quay.io/a"];
        vectors::check(&imported, &[("both", "quay.io/a:1", want)]);
        assert!(rendering.notes[1].contains("mirror.local..5000"));
    }

    #[test]
    fn what_was_rendered_leads_back_here() {
        let text = &render(&mirror()).files[0].text;
        let own = |registry: &_| *registry == mirror().authority;
        let options = ImportOptions {
            own: &own,
            ..vectors::OPTIONS
        };
        let imported = vectors::read("openshift", &[("a", text)], &options);
        assert!(
            vectors::codes(&imported)
                .iter()
                .all(|line| line.ends_with("E-LOOP"))
        );
        assert!(imported.is_refused());
    }

    #[test]
    fn without_registries_the_sets_are_empty() {
        let mirror = Mirror {
            registries: Vec::new(),
            ..mirror()
        };
        let text = &render(&mirror).files[0].text;
        assert!(text.contains("imageTagMirrors:\n    []\n"));
    }
}
