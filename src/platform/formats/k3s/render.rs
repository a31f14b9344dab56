//! The `registries.yaml` of k3s and RKE2.

use serde_json::Value;

use crate::platform::model::rendering::{Mirror, Rendering};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let Mirror { authority, .. } = mirror;
    let url = mirror.url();
    let mut text = format!("mirrors:\n  \"*\":\n    endpoint:\n      - \"{url}\"\n");
    if let Some(file) = &mirror.ca_file {
        // Text in JSON is text in YAML.
        let file = Value::from(file.as_str());
        text = format!("{text}configs:\n  \"{authority}\":\n    tls:\n      ca_file: {file}\n");
    }
    let mut rendering = Rendering::one("registries.yaml", text);
    let notes = &mut rendering.notes;
    notes.push(
        "The file goes to /etc/rancher/k3s/registries.yaml or /etc/rancher/rke2/registries.yaml; \
         restart k3s or rke2 then."
            .to_owned(),
    );
    if !mirror.falls_back {
        notes.push(
            "Nodes still ask a registry itself where the mirror fails, unless they run with \
             --disable-default-registry-endpoint."
                .to_owned(),
        );
    }
    rendering
}
