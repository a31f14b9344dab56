//! containerd's older `config.toml`.

use crate::platform::model::rendering::{Mirror, Rendering, toml_quoted};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let registry = "plugins.\"io.containerd.grpc.v1.cri\".registry";
    let mut text = format!(
        "version = 2\n\n[{registry}.mirrors.\"*\"]\nendpoint = [{}]\n",
        toml_quoted(&mirror.url())
    );
    if let Some(file) = &mirror.ca_file {
        let host = toml_quoted(mirror.authority.as_str());
        let file = toml_quoted(file);
        let table = format!("\n[{registry}.configs.{host}.tls]\nca_file = {file}\n");
        text.push_str(&table);
    }
    let mut rendering = Rendering::one("config.toml", text);
    rendering.notes = vec![
        "add the tables to /etc/containerd/config.toml and restart containerd; out of a file that \
         `imports` names, containerd before 2.0 would take them in place of its whole section"
            .to_owned(),
        "containerd refuses mirrors beside config_path, and knows them under other names from 2.0 \
         on: hosts-toml is the better way wherever it works"
            .to_owned(),
        "a registry with its own mirrors does not use those of *".to_owned(),
    ];
    if !mirror.falls_back {
        let note = "containerd goes to the registry itself where the mirror fails; this format \
                    cannot forbid that, hosts-toml can";
        rendering.notes.push(note.to_owned());
    }
    rendering
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vectors::fallback_mirror as mirror;

    #[test]
    fn the_mirror_is_for_every_registry() {
        let mirror = Mirror {
            ca_file: Some("/etc/ca.crt".to_owned()),
            ..mirror("https://m.corp:5000", &["docker.io"])
        };
        let rendering = render(&mirror);
        let want = r#"version = 2

[plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]
endpoint = ["https://m.corp:5000"]

[plugins."io.containerd.grpc.v1.cri".registry.configs."m.corp:5000".tls]
ca_file = "/etc/ca.crt"
"#;
        assert_eq!(rendering.files[0].text, want);
        let notes = |falls_back| {
            render(&Mirror {
                falls_back,
                ..mirror.clone()
            })
            .notes
            .len()
        };
        assert_eq!([notes(true), notes(false)], [3, 4]);
    }
}
