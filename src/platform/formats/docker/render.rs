//! Docker's `daemon.json`.

use serde_json::json;

use crate::platform::model::{
    endpoint::is_local,
    rendering::{Mirror, Rendering},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let is_insecure = !mirror.is_tls && !is_local(&mirror.authority);
    let daemon = if is_insecure {
        let insecure = [mirror.authority.as_str()];
        json!({ "registry-mirrors": [mirror.url()], "insecure-registries": insecure })
    } else {
        json!({ "registry-mirrors": [mirror.url()] })
    };
    let mut rendering = Rendering::one("daemon.json", format!("{daemon:#}\n"));
    rendering.notes = vec![
        "add the keys to /etc/docker/daemon.json and restart Docker".to_owned(),
        "Docker uses mirrors for images of Docker Hub only and sends no registry name: its \
         listener needs default_registry = \"docker.io\""
            .to_owned(),
        "newer daemons with the containerd image store also read hosts-toml's folders, below \
         /etc/docker/certs.d, for every registry"
            .to_owned(),
    ];
    if let Some(file) = &mirror.ca_file {
        let authority = &mirror.authority;
        let note = format!("copy {file} to /etc/docker/certs.d/{authority}/ca.crt");
        rendering.notes.push(note);
    }
    if !mirror.falls_back {
        let note = "Docker falls back to Docker Hub if the mirror fails; this format cannot \
                    disable that";
        rendering.notes.push(note.to_owned());
    }
    rendering
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::vectors::fallback_mirror as mirror;

    #[test]
    fn plain_http_is_said_twice_unless_it_stays_at_home() {
        let check = |url: &str, want: serde_json::Value| {
            let rendering = render(&mirror(url, &[]));
            let found: serde_json::Value = serde_json::from_str(&rendering.files[0].text).unwrap();
            assert_eq!(found, want, "{url}");
        };
        let plain = |url: &str| json!({ "registry-mirrors": [url] });
        check("https://m.corp", plain("https://m.corp"));
        check("http://127.0.0.1:5000", plain("http://127.0.0.1:5000"));
        let url = "http://m.corp:5000";
        let want = json!({ "registry-mirrors": [url], "insecure-registries": ["m.corp:5000"] });
        check(url, want);
    }
}
