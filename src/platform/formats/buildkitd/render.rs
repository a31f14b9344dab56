//! `buildkitd.toml`: a table for each registry, and one for the mirror.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, Rendering, toml_quoted},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let authority = toml_quoted(mirror.authority.as_str());
    let table = |registry: &Registry| {
        let registry = toml_quoted(registry.as_str());
        format!("[registry.{registry}]\nmirrors = [{authority}]\n\n")
    };
    let tables: String = mirror.registries.iter().map(table).collect();
    // Without it, plain HTTP is spoken with this machine only.
    let contact = match &mirror.ca_file {
        _ if !mirror.is_tls => "http = true\n".to_owned(),
        Some(file) => format!("http = false\nca = [{}]\n", toml_quoted(file)),
        None => "http = false\n".to_owned(),
    };
    let text = format!("{tables}[registry.{authority}]\n{contact}");
    let mut rendering = Rendering::one("buildkitd.toml", text);
    rendering.notes = vec![
        "The file goes to /etc/buildkit/buildkitd.toml, or ~/.config/buildkit/buildkitd.toml in \
         rootless mode; restart buildkitd then. A registry that is not listed is asked itself."
            .to_owned(),
    ];
    if !mirror.falls_back {
        rendering.notes.push(
            "buildkitd asks a registry itself where the mirror fails; this format cannot forbid \
             that."
                .to_owned(),
        );
    }
    rendering
}
