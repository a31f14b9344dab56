//! Palette's registry override: the Secret, Helm values, and edge hosts' user data.

use crate::{
    oci::Registry,
    platform::{
        formats::imageswap,
        model::rendering::{Mirror, RenderedFile, Rendering},
    },
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let (pairs, mut notes) = imageswap::render::paths(mirror);
    notes.push(
        "The two maps differ on purpose: the Secret's goes to containerd, which needs /v2/ in \
         it, that of the values to imageswap, which must not have it."
            .to_owned(),
    );
    notes.push(
        "User names and passwords stay empty, because the mirror authenticates to the registries \
         itself. So does the base path, because the mirror's paths begin with a registry."
            .to_owned(),
    );
    if let Some(file) = &mirror.ca_file {
        notes.push(format!(
            "CA_CERT, caCert and certificates need the text of {file}, in PEM."
        ));
    }
    let files = [
        ("registry-secret.yaml", secret(mirror, &pairs)),
        ("values.yaml", values(mirror, &pairs)),
        ("user-data.yaml", edge(mirror, &pairs)),
    ];
    let files = files.map(|(path, text)| RenderedFile {
        path: path.to_owned(),
        text,
    });
    Rendering {
        files: files.into(),
        notes,
    }
}

/// A registry and the mirror's path for it.
type RegistryPath<'m> = (&'m Registry, &'m str);

/// The pairs in imageswap's syntax, with a prefix for each path.
fn list(mirror: &Mirror, before: &str, pairs: &[RegistryPath<'_>]) -> String {
    let authority = &mirror.authority;
    let pair =
        |(registry, path): &RegistryPath<'_>| format!("{registry}::{authority}{before}/{path}");
    pairs.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn secret(mirror: &Mirror, pairs: &[RegistryPath<'_>]) -> String {
    let (authority, insecure) = (&mirror.authority, !mirror.is_tls);
    format!(
        "apiVersion: v1
kind: Secret
metadata:
  name: registry-info
  namespace: jet-system
type: Opaque
stringData:
  DOMAIN: \"{authority}\"
  BASE_PATH: \"\"
  USERNAME: \"\"
  PASSWORD: \"\"
  INSECURE: \"{insecure}\"
  CA_CERT: \"\"
  MIRROR_REGISTRIES: \"{}\"
",
        list(mirror, "/v2", pairs)
    )
}

fn values(mirror: &Mirror, pairs: &[RegistryPath<'_>]) -> String {
    let (authority, insecure) = (&mirror.authority, !mirror.is_tls);
    format!(
        "config:
  ociImageRegistry:
    endpoint: \"{authority}\"
    name: \"Roadstead\"
    password: \"\"
    username: \"\"
    baseContentPath: \"\"
    insecureSkipVerify: {insecure}
    caCert: \"\"
    mirrorRegistries: \"{}\"
",
        list(mirror, "", pairs)
    )
}

fn edge(mirror: &Mirror, pairs: &[RegistryPath<'_>]) -> String {
    let (authority, insecure) = (&mirror.authority, !mirror.is_tls);
    let rule = |(registry, path): &RegistryPath<'_>| {
        format!("      \"{registry}\": \"{authority}/{path}\"\n")
    };
    let rules: Vec<_> = pairs.iter().map(rule).collect();
    format!(
        "stylus:
  externalRegistries:
    registries:
      - domain: \"{authority}\"
        insecure: {insecure}
    registryMappingRules:
{}",
        rules.concat()
    )
}
