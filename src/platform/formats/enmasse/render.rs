//! `EnMasse`'s image overrides: the operator's variables, and an `IoTConfig`.

use super::components::{self, DEFAULT_NAMESPACE, EnmasseComponent};
use crate::platform::model::rendering::{Mirror, RenderedFile, Rendering};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let variable = |component: EnmasseComponent| {
        let (name, image) = (component.variable(), image(mirror, component));
        format!("            - name: {name}\n              value: \"{image}\"\n")
    };
    let of_config = |component: EnmasseComponent| {
        let image = image(mirror, component);
        format!("    {}:\n      name: \"{image}\"\n", component.name)
    };
    let variables: Vec<_> = components::components().map(variable).collect();
    let iot = components::components().filter(|component| component.is_iot());
    let overrides: Vec<_> = iot.map(of_config).collect();
    let (variables, overrides) = (variables.concat(), overrides.concat());
    let deployment = format!(
        "# kubectl -n {DEFAULT_NAMESPACE} patch deployment enmasse-operator --patch-file {OPERATOR}\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: enmasse-operator\n  \
         namespace: {DEFAULT_NAMESPACE}\nspec:\n  template:\n    spec:\n      containers:\n        \
         - name: controller\n          env:\n{variables}"
    );
    let config = format!(
        "# kubectl -n {DEFAULT_NAMESPACE} patch iotconfig default --type merge --patch-file {IOT}\n\
         apiVersion: iot.enmasse.io/v1alpha1\nkind: IoTConfig\nmetadata:\n  name: default\n  \
         namespace: {DEFAULT_NAMESPACE}\nspec:\n  imageOverrides:\n{overrides}"
    );
    let file = |path: &str, text| RenderedFile {
        path: path.to_owned(),
        text,
    };
    let mut notes = vec![
        format!(
            "Replace {RELEASE} by EnMasse's release, and the other REPLACE_WITH_ by the tags \
             that the operator's variables have now: kubectl set env deployment/enmasse-operator \
             --list."
        ),
        format!(
            "{OPERATOR} names every image; {IOT} does the same for the IoT components alone. The \
             variables are those of EnMasse 0.32 and later; before, RELATED_IMAGE_ROUTER was \
             ROUTER_IMAGE, and so on."
        ),
    ];
    if !mirror
        .registries
        .iter()
        .any(|known| known.as_str() == "quay.io")
    {
        notes.push("The mirror has no route for quay.io, where these images are.".to_owned());
    }
    Rendering {
        files: vec![file(OPERATOR, deployment), file(IOT, config)],
        notes,
    }
}

/// The component's default image at the mirror. Its tag is known only if the mirror keeps one.
fn image(mirror: &Mirror, component: EnmasseComponent) -> String {
    let EnmasseComponent { name, repository } = component;
    let kept = mirror
        .pins
        .iter()
        .filter(|pin| pin.repository.to_string() == repository);
    let tag = match kept.max_by_key(|pin| &pin.tag) {
        Some(pin) => pin.tag.to_string(),
        None if component.is_own() => RELEASE.to_owned(),
        None => {
            let name = name.replace('-', "_").to_ascii_uppercase();
            format!("REPLACE_WITH_{name}_TAG")
        }
    };
    format!("{}/{repository}:{tag}", mirror.authority)
}

const OPERATOR: &str = "enmasse-operator.yaml";
const IOT: &str = "iot-config.yaml";
const RELEASE: &str = "REPLACE_WITH_RELEASE";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oci::{Registry, Repository},
        platform::{ImportOptions, Imported, model::rendering::DigestPin, vectors},
    };

    fn mirror() -> Mirror {
        let pin = |tag: &str| DigestPin {
            repository: Repository {
                registry: "quay.io".parse().unwrap(),
                name: "enmasse/agent".parse().unwrap(),
            },
            tag: tag.parse().unwrap(),
            digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        };
        Mirror {
            is_tls: false,
            authority: "mirror.local:5000".parse().unwrap(),
            registries: vec!["quay.io".parse().unwrap()],
            falls_back: false,
            ca_file: None,
            aliases: Vec::new(),
            pins: vec![pin("0.31.0"), pin("0.32.1"), pin("0.32.0")],
        }
    }

    fn import(text: &str, own: &str) -> Imported {
        let own = |registry: &Registry| registry.as_str() == own;
        let options = ImportOptions {
            own: &own,
            ..vectors::OPTIONS
        };
        vectors::read("enmasse", &[("rendered.yaml", text)], &options)
    }

    /// With the placeholders replaced.
    fn filled(text: &str) -> String {
        text.replace("REPLACE_WITH_RELEASE", "0.32.0")
            .replace("REPLACE_WITH_", "")
    }

    #[test]
    fn every_component_comes_from_the_mirror() {
        let [deployment, config] = &render(&mirror()).files[..] else {
            panic!("two files");
        };
        let imported = import(&filled(&deployment.text), "");
        assert_eq!(imported.routes.len(), components::components().count());
        vectors::check(
            &imported,
            &[
                (
                    "kept",
                    "quay.io/enmasse/agent:0.1",
                    &["mirror.local:5000/quay.io/enmasse/agent:0.32.1"],
                ),
                (
                    "not kept",
                    "quay.io/enmasse/mqtt-lwt:0.1",
                    &["mirror.local:5000/quay.io/enmasse/mqtt-lwt:0.32.0"],
                ),
                (
                    "with a release of its own",
                    "quay.io/interconnectedcloud/qdrouterd:1",
                    &["mirror.local:5000/quay.io/interconnectedcloud/qdrouterd:ROUTER_TAG"],
                ),
            ],
        );
        let imported = import(&filled(&config.text), "");
        let row = (
            "IoT",
            "quay.io/enmasse/iot-http-adapter:0.1",
            &["mirror.local:5000/quay.io/enmasse/iot-http-adapter:0.32.0"][..],
        );
        vectors::check(&imported, &[row]);
    }

    #[test]
    fn what_is_left_to_write_is_found() {
        let text = &render(&mirror()).files[0].text;
        let codes = vectors::codes(&import(text, ""));
        assert!(codes.iter().all(|line| line.ends_with("E-PLACEHOLDER")));
        assert_eq!(codes.len(), components::components().count() - 1);
    }

    #[test]
    fn what_was_rendered_leads_back_here() {
        let text = filled(&render(&mirror()).files[0].text);
        let codes = vectors::codes(&import(&text, "mirror.local:5000"));
        assert!(codes.iter().all(|line| line.ends_with("E-LOOP")));
        assert_eq!(codes.len(), components::components().count());
    }

    #[test]
    fn a_mirror_that_will_not_serve_them_is_told_of() {
        assert_eq!(render(&mirror()).notes.len(), 2);
        let mirror = Mirror {
            registries: Vec::new(),
            ..mirror()
        };
        assert!(render(&mirror).notes[2].contains("quay.io"));
    }
}
