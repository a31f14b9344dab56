//! cass-operator's `ImageConfig`, with each image below the mirror's path for its registry.

use super::built_in::BUILT_IN_IMAGES;
use crate::platform::model::rendering::{Mirror, RenderedFile, Rendering};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let config = config(mirror);
    let lines: Vec<_> = config
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    let patch = format!("{KUSTOMIZATION}{}", lines.concat());
    let file = |path: &str, text| RenderedFile {
        path: path.to_owned(),
        text,
    };
    let mut notes = vec![
        "This is not needed if the nodes themselves use the mirror: then leave cass-operator's \
         images as they are."
            .to_owned(),
        "The tags are those of cass-operator v1.32: compare them with the ImageConfig of your \
         release, and take medusa's and reaper's from k8ssandra-operator's."
            .to_owned(),
        "The operator reads the ConfigMap when it starts, and running datacenters keep their \
         images until they are recreated."
            .to_owned(),
        "Without kustomize: kubectl create configmap k8ssandra-image-config \
         --from-file=image_config.yaml, then label it k8ssandra.io/config=image."
            .to_owned(),
    ];
    if !mirror.is_tls {
        notes.push(format!(
            "The images' names begin with {}: configure every node's runtime to use plain HTTP \
             for this registry.",
            mirror.authority
        ));
    }
    Rendering {
        files: vec![
            file("image_config.yaml", config),
            file("kustomization.yaml", patch),
        ],
        notes,
    }
}

fn config(mirror: &Mirror) -> String {
    let sections = [("images", "tag", false), ("types", "suffix", true)];
    let sections = sections.map(|(section, end, is_server)| {
        let components = BUILT_IN_IMAGES
            .iter()
            .filter(|known| known.is_server == is_server);
        let components = components.map(|known| {
            format!(
                "  {}:\n    registry: \"{}/{}\"\n    repository: \"{}\"\n    name: \"{}\"\n    \
                 {end}: \"{}\"\n",
                known.component,
                mirror.authority,
                known.registry,
                known.repository,
                known.name,
                known.end
            )
        });
        format!("{section}:\n{}", components.collect::<Vec<_>>().concat())
    });
    format!("{HEADER}{}", sections.concat())
}

const HEADER: &str = "\
apiVersion: config.k8ssandra.io/v1beta2
kind: ImageConfig
metadata:
  name: image-config
";

const KUSTOMIZATION: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - config/deployments/cluster
patches:
- target:
    kind: ConfigMap
    name: cass-operator-manager-config
  patch: |
    - op: replace
      path: /data/image_config.yaml
      value: |
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{DiagnosticCode, vectors};

    #[test]
    fn what_is_rendered_leads_to_the_mirror() {
        let mirror = Mirror {
            is_tls: false,
            authority: "mirror.corp:5000".parse().unwrap(),
            registries: Vec::new(),
            falls_back: false,
            ca_file: None,
            aliases: Vec::new(),
            pins: Vec::new(),
        };
        let rendering = render(&mirror);
        assert!(
            rendering
                .notes
                .iter()
                .any(|note| note.contains("plain HTTP"))
        );
        for RenderedFile { path, text } in &rendering.files {
            let files = [(path.as_str(), text.as_str())];
            let imported = vectors::read("k8ssandra", &files, &vectors::OPTIONS);
            assert_eq!(vectors::lines(&imported), [""; 0]);
            let want = ["mirror.corp:5000/ghcr.io/k8ssandra/cass-management-api"];
            let table = vectors::table(&imported);
            let image = "ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi";
            assert_eq!(vectors::outcome(&table, image), want);
            let options = crate::platform::ImportOptions {
                own: &|registry| registry.as_str() == "mirror.corp:5000",
                ..vectors::OPTIONS
            };
            let imported = vectors::read("k8ssandra", &files, &options);
            assert!(
                imported
                    .diagnostics
                    .iter()
                    .all(|diagnostic| diagnostic.code == DiagnosticCode::Loop)
            );
            assert!(imported.is_refused());
        }
    }
}
