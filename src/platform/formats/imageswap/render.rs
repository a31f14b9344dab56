//! The map of the imageswap webhook, alone and in its `ConfigMap`.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, RenderedFile, Rendering},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let authority = &mirror.authority;
    let (pairs, mut notes) = paths(mirror);
    let mut lines = vec![
        "default::".to_owned(),
        format!("noswap_wildcards::{authority}"),
    ];
    let line = |(registry, path): (&Registry, &str)| format!("{registry}::{authority}/{path}");
    lines.extend(pairs.into_iter().map(line));
    notes.push(
        "Registries that the map does not name are left alone: `default` cannot say which \
         registry an image came from."
            .to_owned(),
    );
    if !mirror.is_tls {
        notes.push(format!(
            "Configure the nodes to use plain HTTP for {authority}."
        ));
    }
    let file = |path: &str, text: String| RenderedFile {
        path: path.to_owned(),
        text,
    };
    let files = vec![
        file("map_file.conf", lines.join("\n") + "\n"),
        file(
            "imageswap-maps.yaml",
            format!("{CONFIG_MAP}    {}\n", lines.join("\n    ")),
        ),
    ];
    Rendering { files, notes }
}

const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: imageswap-maps
  namespace: imageswap-system
data:
  maps: |
";

/// Every registry with its path at the mirror, as far as a map can express it, and notes.
pub(in crate::platform) fn paths(mirror: &Mirror) -> (Vec<(&Registry, &str)>, Vec<String>) {
    let (mut pairs, mut notes) = mirror.paths();
    if mirror.authority.as_str().contains("::") {
        notes.push(format!(
            "{} has :: in it, which is the map's separator: give the mirror a name.",
            mirror.authority
        ));
        pairs.clear();
    }
    if pairs.is_empty() {
        notes.push("No registry is named, so nothing is swapped.".to_owned());
    }
    (pairs, notes)
}
