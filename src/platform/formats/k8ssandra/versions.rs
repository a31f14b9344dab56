//! An `ImageConfig` of either version.

use super::{image_config::ImageConfig, v1beta1, v1beta2};
use crate::platform::reading::{
    diagnostic::{Diagnostic, DiagnosticCode},
    kube,
    node::Node,
};

/// Reads a document of either version.
pub(super) fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<ImageConfig> {
    let version = node.string("apiVersion", diagnostics);
    let text = version.map_or("", |version| version.text.as_str());
    let is_config = kube::kind(node) == Some("ImageConfig");
    match text.strip_prefix("config.k8ssandra.io/") {
        Some("v1beta1") if is_config => Some(v1beta1::read(node, diagnostics)),
        Some("v1beta2") if is_config => Some(v1beta2::read(node, diagnostics)),
        _ => {
            let message = "this is not a known version of ImageConfig";
            let location = version.map_or(&node.location, |version| &version.start);
            let fix = "expected `apiVersion: config.k8ssandra.io/v1beta2` (or v1beta1) and `kind: \
                       ImageConfig`";
            let shown = format!("{text} {}", kube::kind(node).unwrap_or_default());
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Kind, location, message).excerpt(shown.trim());
            diagnostics.push(diagnostic.fix(fix));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::reading::{
        document::{InputDocument, parse},
        location::SourceText,
        syntax::Syntax,
        yaml,
    };

    /// The reference that the operator composes for a component, or for a version of a server.
    fn composed(text: &str, component: &str, version: &str) -> Option<String> {
        let mut diagnostics = Vec::new();
        let documents = yaml::documents(&SourceText::file("f.yaml", text)).unwrap();
        let config = read(&documents[0], &mut diagnostics).unwrap();
        assert_eq!(diagnostics, []);
        let named = |server: Option<&str>| {
            config
                .components
                .iter()
                .find(|known| known.name == component && known.server.as_deref() == server)
        };
        let found = named(Some(version)).or_else(|| named(None))?;
        Some(found.image.reference(version))
    }

    #[track_caller]
    fn check(text: &str, rows: &[(&str, &str, &str, &str)]) {
        for (id, component, version, want) in rows {
            let found = composed(text, component, version);
            assert_eq!(found.as_deref(), Some(*want), "{id}");
        }
    }

    const V2: &str = "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\n";
    const V1: &str = "apiVersion: config.k8ssandra.io/v1beta1\nkind: ImageConfig\n";

    #[test]
    fn k01_to_k05_components_and_servers() {
        let digest = "93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959";
        let client = format!("docker.io/k8ssandra/k8ssandra-client@sha256:{digest}");
        check(
            crate::platform::formats::k8ssandra::vectors::BASE,
            &[
                (
                    "K-01",
                    "system-logger",
                    "",
                    "ghcr.io/k8ssandra/system-logger:latest",
                ),
                (
                    "K-02",
                    "dse",
                    "6.8.47",
                    "docker.io/datastax/dse-mgmtapi-6_8:6.8.47-ubi",
                ),
                ("K-03", "hcd", "1.0.0", "docker.io/datastax/hcd:v1.0.0-ubi"),
                (
                    "K-04",
                    "cassandra",
                    "4.1.4",
                    "ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi",
                ),
                ("K-05", "k8ssandra-client", "", &client),
            ],
        );
    }

    #[test]
    fn k06_to_k09_defaults_and_overrides() {
        let medusa = "images: {medusa: {repository: thelastpickle, name: cassandra-medusa, \
                      tag: latest}, reaper: {repository: thelastpickle, name: \
                      cassandra-reaper, tag: latest}}\n";
        let dse = "types: {dse: {repository: datastax, name: dse-mgmtapi-6_8}}\n";
        let check = |rest: &str, rows: &[(&str, &str, &str, &str)]| {
            check(&format!("{V2}{rest}"), rows);
        };
        check(
            &format!(
                "{medusa}defaults: {{registry: 'localhost:5005'}}\n\
                 overrides: {{repository: enterprise}}\n"
            ),
            &[
                (
                    "K-06",
                    "medusa",
                    "",
                    "localhost:5005/enterprise/cassandra-medusa:latest",
                ),
                (
                    "K-07",
                    "reaper",
                    "",
                    "localhost:5005/enterprise/cassandra-reaper:latest",
                ),
            ],
        );
        let rows = |want| [("K-07", "dse", "6.8.44", want)];
        check(
            &format!(
                "{dse}defaults: {{registry: ghcr.io}}\noverrides: {{repository: enterprise}}\n"
            ),
            &rows("ghcr.io/enterprise/dse-mgmtapi-6_8:6.8.44"),
        );
        check(
            &format!("{dse}defaults: {{registry: docker.io}}\noverrides: {{repository: ''}}\n"),
            &rows("docker.io/dse-mgmtapi-6_8:6.8.44"),
        );
        // Absent is not empty.
        check(
            &format!("{dse}defaults: {{registry: docker.io}}\noverrides: {{repository:}}\n"),
            &rows("docker.io/datastax/dse-mgmtapi-6_8:6.8.44"),
        );
        check(
            &format!("{dse}defaults: {{repository: enterprise}}\n"),
            &[("K-08", "dse", "6.8.44", "datastax/dse-mgmtapi-6_8:6.8.44")],
        );
        let cassandra = "types: {cassandra: {repository: k8ssandra, name: cass-management-api}}\n";
        check(
            cassandra,
            &[(
                "K-09",
                "cassandra",
                "4.0.1",
                "k8ssandra/cass-management-api:4.0.1",
            )],
        );
        let digest = format!("sha256:{}", "0".repeat(64));
        let image = format!("images: {{x: {{registry: a.b, name: x, tag: '{digest}'}}}}\n");
        let want = format!("a.b/x@{digest}");
        check(&image, &[("a tag that is a digest", "x", "", &want)]);
    }

    #[test]
    fn k10_a_component_has_its_own_registry() {
        let text = "images:\n  medusa: k8ssandra/medusa:latest\n  reaper: k8ssandra/reaper:latest\n\
                    imageRegistry: localhost:5000\nimageNamespace: enterprise\n\
                    defaults:\n  medusa:\n    imageRegistry: 'localhost:5005'\n";
        check(
            &format!("{V1}{text}"),
            &[
                (
                    "K-10",
                    "medusa",
                    "",
                    "localhost:5005/enterprise/medusa:latest",
                ),
                (
                    "K-10",
                    "reaper",
                    "",
                    "localhost:5000/enterprise/reaper:latest",
                ),
            ],
        );
    }

    #[test]
    fn k11_to_k13_versions_have_images_of_their_own() {
        let rows = [
            (
                "K-11",
                "us-docker.pkg.dev/modified/cass-management-api:4.0.0",
                "",
                "ghcr.io/modified/cass-management-api:4.0.0",
            ),
            (
                "K-12",
                "k8ssandra/cass-management-api:4.0.0",
                "",
                "ghcr.io/k8ssandra/cass-management-api:4.0.0",
            ),
            (
                "K-12",
                "my-custom-image:4.0.0",
                "imageNamespace: enterprise\n",
                "ghcr.io/my-custom-image:4.0.0",
            ),
            (
                "K-12",
                "us-docker.pkg.dev/modified/x:1",
                "imageNamespace: ''\n",
                "ghcr.io/x:1",
            ),
            (
                "K-12",
                "localhost/modified/x:1",
                "",
                "ghcr.io/localhost/modified/x:1",
            ),
            (
                "K-13",
                "my-custom-image:4.0.0",
                "",
                "ghcr.io/my-custom-image:4.0.0",
            ),
        ];
        for (id, image, more, want) in rows {
            let text = format!(
                "{V1}images:\n  cassandra:\n    4.0.0: {image}\nimageRegistry: ghcr.io\n{more}"
            );
            check(&text, &[(id, "cassandra", "4.0.0", want)]);
        }
        let general = |defaults: &str| {
            let text = format!("{V1}imageRegistry: localhost:5000\n{defaults}");
            composed(&text, "cassandra", "4.0.6").unwrap()
        };
        assert_eq!(
            general(""),
            "localhost:5000/k8ssandra/cass-management-api:4.0.6"
        );
        let defaults = "defaults: {cassandra: {suffix: -ubi}}";
        assert_eq!(
            general(defaults),
            "localhost:5000/k8ssandra/cass-management-api:4.0.6"
        );
        let defaults = "defaults: {cassandra: {repository: a/b, suffix: -ubi}}";
        assert_eq!(general(defaults), "localhost:5000/a/b:4.0.6-ubi");
    }

    #[test]
    fn which_secrets_are_in_use() {
        let check = |text: &str, want: &[&str]| {
            let mut diagnostics = Vec::new();
            let documents = parse(SourceText::file("f", text), Syntax::Yaml, &mut diagnostics);
            let Some(InputDocument::Tree(node)) = documents.first() else {
                panic!("no document");
            };
            let config = read(node, &mut diagnostics).unwrap();
            assert!(
                config.secrets.keys().eq(want),
                "{text}: {:?}",
                config.secrets
            );
        };
        let base = format!(
            "{V2}images: {{a: {{name: a, pullSecret: own}}, b: {{name: b}}}}\n\
             defaults: {{pullSecrets: [one, two]}}\n"
        );
        check(&base, &["one", "own", "two"]);
        check(
            &format!("{base}overrides: {{pullSecrets: [three]}}\n"),
            &["three"],
        );
        check(&format!("{base}overrides: {{pullSecrets: []}}\n"), &[]);
        let old =
            "imagePullSecret: {name: one}\ndefaults: {medusa: {imagePullSecret: {name: two}}}\n";
        check(&format!("{V1}{old}"), &["one", "two"]);
    }
}
