//! Helpers of the test vectors: tables of names and their targets.

use crate::{
    oci::{ImageReference, Reference},
    route::{Candidate, Decision, ImageName, RouteTable, Rule, RuleText, UnmatchedPolicy},
    upstream::{Credential, CredentialSource, Keyring, KeyringEntry},
};

use super::*;

pub(super) use crate::oci::Registry;

/// The options of most tests: nothing is given, and no registry is the mirror.
pub(super) const OPTIONS: ImportOptions<'static> = ImportOptions {
    baseline: None,
    internal_registry: None,
    fallback: SourceFallback::Auto,
    own: &|_registry| false,
    is_own_guessed: false,
};

/// Imports texts under their names.
pub(super) fn read(name: &str, files: &[(&str, &str)], options: &ImportOptions<'_>) -> Imported {
    let inputs: Vec<_> = files
        .iter()
        .map(|(name, text)| Input {
            name,
            bytes: text.as_bytes(),
            is_named: true,
        })
        .collect();
    import(format(name), &inputs, options)
}

/// The format of a name.
pub(super) fn format(name: &str) -> Option<&'static Format> {
    let mut known = import_choices();
    known.find(|(known, _)| *known == name).unwrap().1
}

/// The mirror in a format.
pub(super) fn rendered(name: &str, mirror: &Mirror) -> model::rendering::Rendering {
    let mut known = renderable();
    render(known.find(|(known, _)| *known == name).unwrap().1, mirror)
}

/// The table that an import makes; an error in it fails the test.
pub(super) fn table(imported: &Imported) -> RouteTable {
    assert!(!imported.is_refused(), "{:#?}", lines(imported));
    let compile = |text: &RuleText| text.clone().compile().map(Rule::imported).unwrap();
    let rules = imported.routes.iter().map(compile).collect();
    let unmatched = imported.unmatched.unwrap_or(UnmatchedPolicy::Auto);
    RouteTable::new(rules, unmatched).unwrap().0
}

/// The targets of a name in order: `UPSTREAM/REPOSITORY`, with `:TAG` if the tag changes; `deny`;
/// `unmatched`. `@D` at the end of a name means a digest.
pub(super) fn outcome(table: &RouteTable, image: &str) -> Vec<String> {
    let (named, reference) = parse(image);
    match table.decide(&named, &reference) {
        Decision::Route { candidates, .. } => candidates.iter().map(shown).collect(),
        Decision::Deny { .. } => vec!["deny".to_owned()],
        Decision::Unmatched { .. } => vec!["unmatched".to_owned()],
    }
}

/// A row: its id, the requested name, and its targets.
pub(super) type ExpectedRoute = (&'static str, &'static str, &'static [&'static str]);

/// Checks rows one by one.
#[track_caller]
pub(super) fn check(imported: &Imported, rows: &[ExpectedRoute]) {
    let table = table(imported);
    for (id, image, want) in rows {
        assert_eq!(outcome(&table, image), *want, "{id}: {image}");
    }
}

/// The diagnostics as printed.
pub(super) fn lines(imported: &Imported) -> Vec<String> {
    imported
        .diagnostics
        .iter()
        .map(Diagnostic::to_string)
        .collect()
}

/// The diagnostics as `LINE:COLUMN CODE`.
pub(super) fn codes(imported: &Imported) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let Location { line, column, .. } = diagnostic.location;
        format!("{line}:{column} {}", diagnostic.code.as_str())
    };
    imported.diagnostics.iter().map(line).collect()
}

/// A mirror for Docker Hub and Quay over plain HTTP, without fallback.
pub(super) fn mirror() -> Mirror {
    Mirror {
        is_tls: false,
        authority: "mirror.corp:5000".parse().unwrap(),
        registries: ["docker.io", "quay.io"]
            .map(|name| name.parse().unwrap())
            .into(),
        falls_back: false,
        ca_file: None,
        aliases: Vec::new(),
        pins: Vec::new(),
    }
}

/// A mirror with fallback.
pub(super) fn fallback_mirror(url: &str, registries: &[&str]) -> Mirror {
    let (scheme, authority) = url.split_once("://").unwrap();
    Mirror {
        is_tls: scheme == "https",
        authority: authority.parse().unwrap(),
        registries: registries.iter().map(|one| one.parse().unwrap()).collect(),
        falls_back: true,
        ca_file: None,
        aliases: Vec::new(),
        pins: Vec::new(),
    }
}

/// The user name for a repository in what was imported.
pub(super) fn user(imported: &Imported, image: &str) -> Option<String> {
    let logins = imported.credentials.iter();
    let entries: Vec<KeyringEntry> = logins.map(|login| login.entry.clone()).collect();
    let image: ImageReference = image.parse().unwrap();
    let hosts = [image.repository.registry.as_str()];
    let keyring = Keyring::new(entries);
    match &keyring.find(&hosts, &image.repository.name)?.source {
        CredentialSource::Static(Credential::Password { username, .. }) => Some(username.clone()),
        CredentialSource::Static(_) => Some("<token>".to_owned()),
        CredentialSource::Helper { name, .. } => Some(format!("helper {name}")),
    }
}

/// A pull Secret with the credentials of one user.
pub(super) fn secret(name: &str, namespace: &str, key: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         type: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: |\n    \
         {{\"auths\": {{\"{key}\": {{\"username\": \"{user}\", \"password\": \"canary\"}}}}}}\n---\n"
    )
}

pub(super) fn parse(image: &str) -> (ImageName, Reference) {
    let image: ImageReference = image.replace("@D", &format!("@{DIGEST}")).parse().unwrap();
    (image.repository.into(), image.reference)
}

pub(super) fn shown(candidate: &Candidate) -> String {
    let Candidate {
        upstream,
        name,
        tag,
        ..
    } = candidate;
    match tag {
        Some(tag) => format!("{upstream}/{name}:{tag}"),
        None => format!("{upstream}/{name}"),
    }
}

/// containerd's configuration as written by Palette.
pub(super) const CONFIG_TOML: &str = r#"## template: jinja

# Use config version 2 to enable new configuration fields.
# Config file is parsed as version 1 by default.
version = 2

imports = ["/etc/containerd/conf.d/*.toml"]

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true


  # contains spectro changes
  [plugins."io.containerd.grpc.v1.cri".registry]
    [plugins."io.containerd.grpc.v1.cri".registry.mirrors]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
        endpoint = ["harbor.example.org/airgap-images/docker.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."gcr.io"]
        endpoint = ["harbor.example.org/airgap-images/gcr.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."ghcr.io"]
        endpoint = ["harbor.example.org/airgap-images/ghcr.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."k8s.gcr.io"]
        endpoint = ["harbor.example.org/airgap-images/gcr.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."registry.k8s.io"]
        endpoint = ["harbor.example.org/airgap-images/k8s.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."quay.io"]
        endpoint = ["harbor.example.org/airgap-images/quay.io"]
      [plugins."io.containerd.grpc.v1.cri".registry.mirrors."us-docker.pkg.dev"]
        endpoint = ["harbor.example.org/airgap-images"]
"#;

pub(super) const DIGEST: &str =
    "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Other programs' files are refused with the names of the known formats.
#[test]
fn files_of_programs_that_are_not_read_are_refused_by_name() {
    let regsync = "version: 1\ncreds: []\nsync:\n- {source: a.b/c, target: d.e/c, type: image}\n";
    let kyverno = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {rules: []}\n";
    for text in [regsync, kyverno] {
        let input = Input {
            name: "f.yaml",
            bytes: text.as_bytes(),
            is_named: true,
        };
        let imported = import(None, &[input], &OPTIONS);
        let found = imported
            .diagnostics
            .iter()
            .find(|one| one.code == DiagnosticCode::Kind);
        let line = found.map(Diagnostic::to_string).unwrap_or_default();
        assert!(
            imported.is_refused() && line.contains("hosts-toml"),
            "{line}"
        );
    }
}

/// A folder is given as a whole, so that its files are not chosen one by one.
#[test]
fn certificates_in_a_folder_do_not_matter_and_are_errors_by_name() {
    let hosts = "[host.\"https://m.example\"]\nca = \"ca.crt\"\n";
    let pem = "Certificate:\n  Data:\n-----BEGIN CERTIFICATE-----\n";
    let files: [(&str, &[u8]); 3] = [
        ("certs.d/docker.io/hosts.toml", hosts.as_bytes()),
        ("certs.d/docker.io/ca.crt", pem.as_bytes()),
        ("certs.d/docker.io/ca.der", b"\x30\x82\x01\x00\xa0\xff"),
    ];
    for is_named in [false, true] {
        let inputs = files.map(|(name, bytes)| Input {
            name,
            bytes,
            is_named,
        });
        let imported = import(format("hosts-toml"), &inputs, &OPTIONS);
        let last = if is_named { "E-FILE" } else { "I-SKIPPED" };
        let found = imported.diagnostics.iter().map(|one| one.code.as_str());
        assert_eq!(found.collect::<Vec<_>>(), ["I-SKIPPED", last]);
        assert_eq!(imported.routes.len(), 1);
    }
    let latin = Input {
        name: "certs.d/docker.io/hosts.toml",
        bytes: b"# \xe4\n",
        is_named: false,
    };
    let imported = import(format("hosts-toml"), &[latin], &OPTIONS);
    assert_eq!(codes(&imported), ["1:3 E-FILE"]);
}
