//! The `registries.conf` of podman, skopeo, buildah and CRI-O.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, Rendering},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let Mirror { authority, .. } = mirror;
    let blocked = if mirror.falls_back {
        ""
    } else {
        "# Blocks the registry itself, not its mirror.\nblocked = true\n"
    };
    let insecure = if mirror.is_tls {
        ""
    } else {
        "insecure = true\n"
    };
    let (paths, mut notes) = mirror.paths();
    let table = |(registry, path): (&Registry, &str)| {
        format!(
            "[[registry]]\nprefix = \"{registry}\"\nlocation = \"{registry}\"\n{blocked}\n\
             [[registry.mirror]]\nlocation = \"{authority}/{path}\"\n{insecure}"
        )
    };
    let tables: Vec<_> = paths.into_iter().map(table).collect();
    notes.push(
        "The file goes to /etc/containers/registries.conf.d/. The format has no entry for all \
         registries: those not listed are contacted directly."
            .to_owned(),
    );
    if let Some(file) = &mirror.ca_file {
        notes.push(format!(
            "This file names no certificates: put {file} into \
             /etc/containers/certs.d/{authority}/ under a name that ends in .crt."
        ));
    }
    if !Registry::looks_like(authority.as_str()) {
        notes.push(format!(
            "{authority} has neither a dot nor a port, so it is taken for a folder of Docker Hub: \
             use the mirror's full name."
        ));
    }
    Rendering {
        notes,
        ..Rendering::one("registries.conf", tables.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vectors::fallback_mirror as mirror;

    #[test]
    fn a_port_is_met_by_an_alias_or_left_out() {
        let mirror = Mirror {
            aliases: vec![("corp".to_owned(), vec!["r.corp:1".parse().unwrap()])],
            ..mirror("https://m.corp", &["quay.io", "r.corp:1", "r.corp:2"])
        };
        let rendering = render(&mirror);
        let text = &rendering.files[0].text;
        let mirrors: Vec<_> = text
            .lines()
            .filter(|line| line.contains("m.corp"))
            .collect();
        let want = ["quay.io", "corp"].map(|path| format!("location = \"m.corp/{path}\""));
        assert_eq!(mirrors, want);
        assert!(!text.contains("r.corp:2"));
        assert!(rendering.notes[0].starts_with("r.corp:2 is left out"));
    }
}
