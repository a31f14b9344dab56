//! Talos.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use crate::platform::{vectors::*, *};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n";

fn import(text: &str) -> Imported {
    read("talos", &[("talos.yaml", text)], &OPTIONS)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_machine_configuration_and_its_documents() {
    let coded = STANDARD.encode(PEM);
    let text = format!(
        "version: v1alpha1
machine:
  registries:
    mirrors:
      docker.io:
        endpoints: ['https://a.corp', 'http://b.corp/v2/hub']
        overridePath: true
      ghcr.io:
        endpoints: ['https://a.corp/ghcr']
        skipFallback: true
    config:
      a.corp:
        auth: {{username: me, password: canary}}
        tls: {{ca: {coded}}}
---
apiVersion: v1alpha1
kind: RegistryMirrorConfig
name: registry.k8s.io
endpoints:
  - url: https://my-private-registry.local:5000
  - url: http://my-harbor/v2/registry-k8s.io/
    overridePath: true
skipFallback: true
---
apiVersion: v1alpha1
kind: RegistryAuthConfig
name: my-private-registry.local:5000
identityToken: canary
---
apiVersion: v1alpha1
kind: RegistryTLSConfig
name: quay.io
ca: |
  -----BEGIN CERTIFICATE-----
  MIID
  -----END CERTIFICATE-----
clientIdentity: {{cert: x, key: canary}}
"
    );
    let imported = import(&text);
    check(
        &imported,
        &[
            (
                "override",
                "docker.io/a/b",
                &["a.corp_/a/b", "b.corp/hub/a/b", "docker.io/a/b"],
            ),
            ("appended", "ghcr.io/a", &["a.corp_ghcr_v2/a"]),
            (
                "document",
                "registry.k8s.io/pause",
                &[
                    "my-private-registry.local:5000/pause",
                    "my-harbor/registry-k8s.io/pause",
                ],
            ),
        ],
    );
    let pem = Some(CertificateAuthority::Pem(PEM.to_owned()));
    let met = |name: &str| {
        imported
            .upstreams
            .iter()
            .find(|one| one.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(met("a.corp_").ca, pem);
    assert_eq!(met("a.corp_ghcr_v2").api_path.as_deref(), Some("/ghcr/v2"));
    assert_eq!(met("quay.io").ca, pem);
    assert_eq!(met("my-harbor").urls, ["http://my-harbor"]);
    assert_eq!(imported.credentials.len(), 2);
    assert_eq!(
        codes(&imported),
        ["37:17 W-IGNORED"],
        "{:#?}",
        lines(&imported)
    );
    assert!(lines(&imported).iter().all(|line| !line.contains("canary")));
}

#[test]
fn what_is_wrong_says_where() {
    let document = |kind: &str, rest: &str| {
        format!("apiVersion: v1alpha1\nkind: Registry{kind}Config\nname: a.b\n{rest}\n")
    };
    let wrong = |text: &str, want: &[&str]| {
        let imported = import(text);
        let errors = codes(&imported)
            .into_iter()
            .filter(|code| code.contains(" E-"));
        assert_eq!(errors.collect::<Vec<_>>(), want, "{:#?}", lines(&imported));
        assert!(lines(&imported).iter().all(|line| !line.contains("canary")));
    };
    wrong(
        &document("Mirror", "endpoints: [{url: c.d}]"),
        &["4:19 E-SCHEME"],
    );
    wrong(
        &document("Mirror", "endpoints: [{}, [x]]\nskipFallback: 1"),
        &["4:13 E-VALUE", "4:17 E-VALUE", "5:15 E-VALUE"],
    );
    wrong(
        &document("Mirror", "endpoints: https://c.d"),
        &["4:12 E-VALUE"],
    );
    wrong(
        &document("Auth", "username: a\nauth: canary"),
        &["1:1 E-VALUE"],
    );
    wrong(&document("TLS", "ca: canary"), &["4:5 E-CA"]);
    wrong(
        "kind: RegistryMirrorConfig\napiVersion: v2",
        &["2:13 E-KIND"],
    );
    wrong("kind: RegistryMirrorConfig\n", &["1:1 E-VALUE"]);
    wrong("machine: {registries: {mirrors: [a]}}", &["1:33 E-VALUE"]);
}

#[test]
fn what_is_rendered_leads_to_the_mirror() {
    let own = |registry: &Registry| registry.as_str() == "mirror.corp:5000";
    let options = ImportOptions {
        own: &own,
        ..OPTIONS
    };
    for falls_back in [true, false] {
        let mirror = Mirror {
            falls_back,
            ..mirror()
        };
        for file in rendered("talos", &mirror).files {
            let imported = import(&file.text);
            let mut want = vec!["mirror.corp:5000/library/nginx"];
            want.extend(falls_back.then_some("docker.io/library/nginx"));
            assert_eq!(outcome(&table(&imported), "nginx"), want, "{}", file.path);
            let imported = read("talos", &[("t.yaml", &file.text)], &options);
            assert!(codes(&imported).iter().any(|code| code.ends_with("E-LOOP")));
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(name in "\\PC{0,8}", value in "\\[?[a-z:/.]{0,8}\\]?|\\{url: x\\}") {
        let name = serde_json::Value::from(name);
        for kind in ["Mirror", "Auth", "TLS"] {
            let text = format!("kind: Registry{kind}Config\nname: {name}\nendpoints: {value}\nca: {name}\nauth: {value}\n");
            let _ = import(&text).is_refused();
        }
        let text = format!("machine: {{registries: {{mirrors: {{{name}: {value}}}, config: {{{name}: {value}}}}}}}\n");
        let _ = import(&text).is_refused();
    }
}
