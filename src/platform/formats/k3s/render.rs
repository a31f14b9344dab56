//! The `registries.yaml` of k3s and RKE2.

use serde_json::Value;

use crate::platform::model::rendering::{Mirror, Rendering};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let Mirror { authority, .. } = mirror;
    let url = mirror.url();
    let mut text = format!("mirrors:\n  \"*\":\n    endpoint:\n      - \"{url}\"\n");
    if let Some(file) = &mirror.ca_file {
        // A JSON string is a YAML string.
        let file = Value::from(file.as_str());
        text = format!("{text}configs:\n  \"{authority}\":\n    tls:\n      ca_file: {file}\n");
    }
    let mut rendering = Rendering::one("registries.yaml", text);
    let notes = &mut rendering.notes;
    notes.push(
        "The file goes to /etc/rancher/k3s/registries.yaml or /etc/rancher/rke2/registries.yaml; \
         then restart k3s or rke2."
            .to_owned(),
    );
    if !mirror.falls_back {
        notes.push(
            "Nodes fall back to the registry itself if the mirror fails, unless they have \
             --disable-default-registry-endpoint."
                .to_owned(),
        );
    }
    rendering
}
