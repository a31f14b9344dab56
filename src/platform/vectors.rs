//! Tables of what files make of names, by the ids of the routing reference.

use crate::{
    oci::{ImageReference, Reference},
    route::{Candidate, Decision, ImageName, RouteTable, Rule, RuleText, UnmatchedPolicy},
    upstream::{Credential, CredentialSource, Keyring, KeyringEntry},
};

use super::*;

pub(super) use crate::oci::Registry;

/// Options as most tests have them: nothing is given, and nobody is the mirror.
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

/// Where a name leads: `UPSTREAM/REPOSITORY` or with `:TAG` if the tag changes, in order; `deny`;
/// `unmatched`. `@D` at the end of a name is some digest.
pub(super) fn outcome(table: &RouteTable, image: &str) -> Vec<String> {
    let (named, reference) = parse(image);
    match table.decide(&named, &reference) {
        Decision::Route { candidates, .. } => candidates.iter().map(shown).collect(),
        Decision::Deny { .. } => vec!["deny".to_owned()],
        Decision::Unmatched { .. } => vec!["unmatched".to_owned()],
    }
}

/// A row: its id, the name that a node asks for, and where it leads.
pub(super) type ExpectedRoute = (&'static str, &'static str, &'static [&'static str]);

/// Checks rows one by one.
#[track_caller]
pub(super) fn check(imported: &Imported, rows: &[ExpectedRoute]) {
    let table = table(imported);
    for (id, image, want) in rows {
        assert_eq!(outcome(&table, image), *want, "{id}: {image}");
    }
}

/// The remarks as they are printed.
pub(super) fn lines(imported: &Imported) -> Vec<String> {
    imported
        .diagnostics
        .iter()
        .map(Diagnostic::to_string)
        .collect()
}

/// The remarks as `LINE:COLUMN CODE`.
pub(super) fn codes(imported: &Imported) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let Location { line, column, .. } = diagnostic.location;
        format!("{line}:{column} {}", diagnostic.code.as_str())
    };
    imported.diagnostics.iter().map(line).collect()
}

/// A mirror for Docker Hub and Quay, met by plain HTTP, with no way around it.
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

/// A mirror that nodes may go around.
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

/// Who logs in at a repository, by what was imported.
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

/// A pull Secret with one login of a user.
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

pub(super) const DIGEST: &str =
    "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What is not read says so, and what is.
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

/// Whoever gives a folder did not choose each file in it.
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
