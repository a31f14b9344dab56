//! Talos: a document of its own, and a patch for older machine configurations.

use crate::platform::model::rendering::{Mirror, RenderedFile, Rendering};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let url = mirror.url();
    let skip = !mirror.falls_back;
    let text = format!(
        "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: \"*\"\nendpoints:\n  - url: \"{url}\"\n\
         skipFallback: {skip}\n"
    );
    let mut rendering = Rendering::one("registry-mirror.yaml", text);
    rendering.files.push(RenderedFile {
        path: "machine-patch.yaml".to_owned(),
        text: format!(
            "machine:\n  registries:\n    mirrors:\n      \"*\":\n        endpoints:\n          \
             - \"{url}\"\n        skipFallback: {skip}\n"
        ),
    });
    let notes = &mut rendering.notes;
    notes.push(
        "Apply one of the two: talosctl patch machineconfig --patch @registry-mirror.yaml, or \
         machine-patch.yaml where Talos has no RegistryMirrorConfig yet."
            .to_owned(),
    );
    if mirror.ca_file.is_some() {
        notes.push(format!(
            "Talos reads no certificate files: put the text of the mirror's CA certificate into \
             `ca` of a RegistryTLSConfig named {}.",
            mirror.authority
        ));
    }
    rendering
}
