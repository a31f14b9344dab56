//! containerd's `certs.d`.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, RenderedFile, Rendering, toml_quoted},
};

/// containerd's connection timeout before it tries the next host; allows for one lost packet.
const DIAL_TIMEOUT: &str = "3s";

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let others = mirror.registries.iter();
    let others = others.filter(|registry| **registry != mirror.authority);
    let folders = std::iter::once("_default".to_owned()).chain(others.map(folder));
    let file = |folder| RenderedFile {
        path: format!("{folder}/hosts.toml"),
        text: text(mirror),
    };
    let mut notes = vec![
        "the folders belong in containerd's config_path, usually /etc/containerd/certs.d; \
         containerd reads them at each pull"
            .to_owned(),
        "for a registry with its own folder containerd reads that folder only, not _default"
            .to_owned(),
    ];
    if mirror.ca_file.is_none() && mirror.is_tls {
        notes.push("the nodes must trust the mirror's certificate".to_owned());
    }
    Rendering {
        files: folders.map(file).collect(),
        notes,
    }
}

/// The folder that containerd reads first.
fn folder(registry: &Registry) -> String {
    match registry.port() {
        Some(port) => format!("{}_{port}_", registry.host()),
        None => registry.to_string(),
    }
}

fn text(mirror: &Mirror) -> String {
    let url = toml_quoted(&mirror.url());
    let authority = mirror.ca_file.as_deref();
    let authority = authority.map(|file| format!("ca = {}\n", toml_quoted(file)));
    let settings = format!(
        "capabilities = [\"pull\", \"resolve\"]\ndial_timeout = {}\n{}",
        toml_quoted(DIAL_TIMEOUT),
        authority.unwrap_or_default()
    );
    // Before 2.0 a file without a host is an error, so the mirror is also a host.
    let host = format!("\n[host.{url}]\n{settings}");
    if mirror.falls_back {
        return format!("# From the mirror; where it fails, from the registry itself.\n{host}");
    }
    format!("# From the mirror, and from nowhere else.\nserver = {url}\n{settings}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vectors::fallback_mirror as mirror;

    #[test]
    fn every_registry_is_led_to_the_mirror_and_then_to_itself() {
        let rendering = render(&mirror(
            "http://127.0.0.1:5000",
            &["docker.io", "r.corp:5000"],
        ));
        let paths: Vec<_> = rendering
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        let want = ["_default", "docker.io", "r.corp_5000_"].map(|one| format!("{one}/hosts.toml"));
        assert_eq!(paths, want);
        let want = "# From the mirror; where it fails, from the registry itself.\n\n\
                    [host.\"http://127.0.0.1:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
                    dial_timeout = \"3s\"\n";
        assert!(rendering.files.iter().all(|file| file.text == want));
    }

    #[test]
    fn without_fallback_the_mirror_is_the_server() {
        let mirror = Mirror {
            falls_back: false,
            ca_file: Some("/etc/ca \"x\".crt".to_owned()),
            ..mirror("https://m.corp", &[])
        };
        let settings = "capabilities = [\"pull\", \"resolve\"]\ndial_timeout = \"3s\"\n\
                        ca = \"/etc/ca \\\"x\\\".crt\"\n";
        let want = format!(
            "# From the mirror, and from nowhere else.\nserver = \"https://m.corp\"\n{settings}\n\
             [host.\"https://m.corp\"]\n{settings}"
        );
        assert_eq!(render(&mirror).files[0].text, want);
    }
}
