//! What cass-operator's `ImageConfig` makes of names.

use proptest::prelude::*;

use crate::platform::{vectors::*, *};

/// An `ImageConfig` as the operator's own tests have it, with its comments and quotes.
pub(in crate::platform) const BASE: &str = r#"apiVersion: config.k8ssandra.io/v1beta2
kind: ImageConfig
metadata:
  name: image-config
images:
  system-logger:
    registry: "ghcr.io"
    repository: "k8ssandra"
    name: "system-logger"
    tag: "latest"
  config-builder:
    repository: "datastax"
    name: "cass-config-builder"
    tag: "1.0-ubi"
  k8ssandra-client:
    repository: "k8ssandra"
    name: "k8ssandra-client"
    tag: "v0.8.3"
    digest: "sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959"
    # pullPolicy: Always
  medusa:
    repository: "thelastpickle"
    name: "cassandra-medusa"
    tag: "latest"
  reaper:
    repository: "thelastpickle"
    name: "cassandra-reaper"
    tag: "latest"
defaults:
  registry: "docker.io"
  pullPolicy: Always
types:
  cassandra:
    registry: "ghcr.io"
    repository: "k8ssandra"
    name: "cass-management-api"
    suffix: "-ubi"
    pullPolicy: IfNotPresent
  dse:
    repository: "datastax"
    name: "dse-mgmtapi-6_8"
    suffix: "-ubi"
  hcd:
    repository: "datastax"
    name: "hcd"
    suffix: "-ubi"
    prefix: "v"
"#;

const PRIVATE: &str = "overrides:\n  registry: private-registry.local\n  repository: enterprise\n";

const CLIENT: &str = "sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959";

const OLD: &str = r#"apiVersion: config.k8ssandra.io/v1beta1
kind: ImageConfig
images:
  system-logger: "k8ssandra/system-logger:latest"
  config-builder: "ghcr.io/datastax/cass-config-builder/cass-config-builder:1.0-ubi"
  cassandra:
    "4.0.0": "us-docker.pkg.dev/modified/cass-management-api:4.0.0"
    4.0.1: k8ssandra/cassandra-ubi@sha256:0000000000000000000000000000000000000000000000000000000000000000
  medusa: "k8ssandra/medusa:latest"
  vector: "timberio/vector:0.26.0-alpine"
imageRegistry: "registry.corp:5000"
imageNamespace: "enterprise"
imagePullPolicy: Always
defaults:
  cassandra:
    repository: "k8ssandra/cass-management-api"
    suffix: "-ubi"
  medusa:
    imageRegistry: "registry.corp:5005/"
"#;

fn one(text: &str) -> Imported {
    read("k8ssandra", &[("f.yaml", text)], &OPTIONS)
}

fn indented(text: &str, by: usize) -> String {
    let line = |line| format!("{}{line}\n", " ".repeat(by));
    text.lines().map(line).collect()
}

fn private() -> Imported {
    one(&format!("{BASE}{PRIVATE}"))
}

#[test]
fn overridden_images() {
    let client = format!("docker.io/k8ssandra/k8ssandra-client@{CLIENT}");
    let to = |name: &'static str| -> &'static [&'static str] {
        Box::leak(Box::new([&*format!(
            "private-registry.local/enterprise/{name}"
        )
        .leak()]))
    };
    let rows: [ExpectedRoute; 13] = [
        (
            "KR-01",
            "ghcr.io/k8ssandra/cass-management-api:4.1.4-ubi",
            to("cass-management-api"),
        ),
        (
            "KR-02",
            "docker.io/datastax/dse-mgmtapi-6_8:6.8.47-ubi",
            to("dse-mgmtapi-6_8"),
        ),
        (
            "KR-03",
            "docker.io/datastax/cass-config-builder:1.0-ubi",
            to("cass-config-builder"),
        ),
        (
            "KR-04",
            "ghcr.io/k8ssandra/system-logger:latest",
            to("system-logger"),
        ),
        (
            "KR-05",
            "docker.io/thelastpickle/cassandra-medusa:0.22",
            to("cassandra-medusa"),
        ),
        (
            "KR-05",
            "docker.io/k8ssandra/medusa:0.22",
            to("cassandra-medusa"),
        ),
        (
            "KR-05",
            "thelastpickle/cassandra-reaper:latest",
            to("cassandra-reaper"),
        ),
        (
            "KR-05",
            "docker.io/k8ssandra/k8ssandra-client:v0.8.3",
            to("k8ssandra-client"),
        ),
        ("KR-06", client.leak(), to("k8ssandra-client")),
        ("KR-07", "docker.io/library/nginx:1", &["unmatched"]),
        (
            "KR-08",
            "cr.k8ssandra.io/k8ssandra/cass-management-api:4.0.1-ubi8",
            to("cass-management-api"),
        ),
        ("KR-08", "datastax/dse-server:6.8.1", to("dse-mgmtapi-6_8")),
        (
            "KR-09",
            "private-registry.local/enterprise/hcd:v1.0.0-ubi",
            to("hcd"),
        ),
    ];
    let imported = private();
    assert_eq!(lines(&imported), [""; 0]);
    check(&imported, &rows);
}

#[test]
fn kr09_the_login_is_that_of_the_named_secret() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: corp}\n\
                  type: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: '\
                  {\"auths\":{\"private-registry.local\":{\"username\":\"robot\",\"password\":\"pw\"}}}'\n";
    let config = format!("{BASE}{PRIVATE}  pullSecrets: [corp]\n");
    let files = [("f.yaml", config.as_str()), ("s.yaml", secret)];
    let imported = read("k8ssandra", &files, &OPTIONS);
    assert_eq!(lines(&imported), [""; 0]);
    let places: Vec<_> = imported
        .credentials
        .iter()
        .map(|login| login.entry.scope.to_string())
        .collect();
    assert_eq!(places, ["private-registry.local"]);
    assert_eq!(codes(&one(&config)), ["51:17 E-SECRETREF"]);
}

#[test]
fn kr10_the_root_of_docker_hub() {
    let imported = one(&format!(
        "{BASE}overrides: {{registry: docker.io, repository: ''}}\n"
    ));
    assert_eq!(codes(&imported), ["48:23 W-HUBROOT"]);
    check(
        &imported,
        &[
            (
                "KR-10",
                "docker.io/library/dse-mgmtapi-6_8:6.8.44",
                &["docker.io/library/dse-mgmtapi-6_8"],
            ),
            (
                "KR-10",
                "docker.io/datastax/dse-mgmtapi-6_8:6.8.44",
                &["docker.io/library/dse-mgmtapi-6_8"],
            ),
        ],
    );
}

#[test]
fn images_that_the_file_does_not_name_follow_the_overrides() {
    let imported = one(&format!(
        "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\n{PRIVATE}"
    ));
    assert_eq!(lines(&imported), [""; 0]);
    check(
        &imported,
        &[
            (
                "current",
                "docker.io/k8ssandra/medusa:1",
                &["private-registry.local/enterprise/medusa"],
            ),
            (
                "earlier",
                "docker.io/thelastpickle/cassandra-medusa:1",
                &["private-registry.local/enterprise/medusa"],
            ),
        ],
    );
}

#[test]
fn without_overrides_images_come_from_where_the_file_says() {
    check(
        &one(BASE),
        &[
            (
                "own",
                "docker.io/datastax/hcd:v1",
                &["docker.io/datastax/hcd"],
            ),
            (
                "earlier",
                "cr.k8ssandra.io/k8ssandra/system-logger:v1",
                &["ghcr.io/k8ssandra/system-logger"],
            ),
        ],
    );
}

#[test]
fn the_source_follows_only_if_asked_for() {
    let options = ImportOptions {
        fallback: SourceFallback::Source,
        ..OPTIONS
    };
    let text = format!("{BASE}{PRIVATE}");
    let imported = read("k8ssandra", &[("f.yaml", &text)], &options);
    let want = &[
        "private-registry.local/enterprise/hcd",
        "docker.io/datastax/hcd",
    ];
    check(&imported, &[("source", "docker.io/datastax/hcd:1", want)]);
}

#[test]
fn v1beta1_registries_namespaces_and_versions() {
    let imported = one(OLD);
    assert_eq!(codes(&imported), ["19:21 W-SLASH"]);
    check(
        &imported,
        &[
            (
                "registry",
                "ghcr.io/k8ssandra/system-logger:v1",
                &["registry.corp:5000/enterprise/system-logger"],
            ),
            (
                "deep",
                "docker.io/datastax/cass-config-builder:1.0-ubi",
                &["registry.corp:5000/enterprise/cass-config-builder/cass-config-builder"],
            ),
            (
                "own",
                "ghcr.io/datastax/cass-config-builder/cass-config-builder:2",
                &["registry.corp:5000/enterprise/cass-config-builder/cass-config-builder"],
            ),
            (
                "one registry",
                "docker.io/k8ssandra/medusa:1",
                &["registry.corp:5005/enterprise/medusa"],
            ),
            (
                "extra",
                "timberio/vector:1",
                &["registry.corp:5000/enterprise/vector"],
            ),
            (
                "server",
                "cr.k8ssandra.io/k8ssandra/cass-management-api:4.1.0-ubi8",
                &["registry.corp:5000/enterprise/cass-management-api"],
            ),
            (
                "version's own",
                "us-docker.pkg.dev/modified/cass-management-api:4.0.0",
                &["registry.corp:5000/enterprise/cass-management-api"],
            ),
            (
                "version, suffix",
                "ghcr.io/k8ssandra/cass-management-api:4.0.0-ubi",
                &["registry.corp:5000/enterprise/cass-management-api:4.0.0"],
            ),
            (
                "not named",
                "docker.io/datastax/hcd:1.0.0",
                &["registry.corp:5000/enterprise/hcd"],
            ),
            (
                "pinned",
                "docker.io/k8ssandra/cass-management-api:4.0.1-ubi",
                &["registry.corp:5000/enterprise/cassandra-ubi"],
            ),
        ],
    );
    let pins = table(&imported).pins();
    assert!(pins.keys().any(|(repository, tag)| {
        repository.to_string() == "ghcr.io/k8ssandra/cass-management-api" && tag.as_str() == "4.0.1"
    }));
}

#[test]
fn a_given_baseline_says_which_tags_differ() {
    let baseline = BASE
        .replace("latest", "1.0")
        .replace("ghcr.io", "docker.io")
        .replace("v0.8.3\"\n    digest: \"sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959", "v0.8.3");
    let options = ImportOptions {
        baseline: Some(Input {
            name: "base.yaml",
            bytes: baseline.as_bytes(),
            is_named: true,
        }),
        ..OPTIONS
    };
    let text = format!("{BASE}{PRIVATE}");
    let imported = read("k8ssandra", &[("f.yaml", &text)], &options);
    assert_eq!(lines(&imported), [""; 0]);
    check(
        &imported,
        &[
            (
                "tag",
                "thelastpickle/cassandra-reaper:1.0",
                &["private-registry.local/enterprise/cassandra-reaper:latest"],
            ),
            (
                "any",
                "thelastpickle/cassandra-reaper:2.0",
                &["private-registry.local/enterprise/cassandra-reaper"],
            ),
            (
                "repository",
                "docker.io/k8ssandra/system-logger:1.0",
                &["private-registry.local/enterprise/system-logger:latest"],
            ),
            (
                "built in",
                "cr.k8ssandra.io/k8ssandra/system-logger:1.0",
                &["unmatched"],
            ),
        ],
    );
    let pinned: Vec<_> = table(&imported)
        .pins()
        .into_values()
        .map(|digest| digest.to_string())
        .collect();
    assert_eq!(pinned, [CLIENT]);
    let suffix = BASE.replace("suffix: \"-ubi\"\n    prefix", "suffix: -x\n    prefix");
    let imported = read("k8ssandra", &[("f.yaml", &suffix)], &options);
    assert_eq!(codes(&imported), ["43:3 W-IGNORED"]);
    let options = ImportOptions {
        baseline: Some(Input {
            name: "base.yaml",
            bytes: b"a: [",
            is_named: true,
        }),
        ..OPTIONS
    };
    assert!(read("k8ssandra", &[("f.yaml", BASE)], &options).is_refused());
}

#[test]
fn config_maps_and_patches_hold_the_same() {
    let config = format!("{BASE}{PRIVATE}");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cass-operator-manager-config\ndata:\n  \
         image_config.yaml: |\n{}",
        indented(&config, 4)
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        indented(&map, 2).trim_start()
    );
    let patch = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  \
         - config/deployments/cluster\npatches:\n- target:\n    kind: ConfigMap\n    \
         name: cass-operator-manager-config\n  patch: |\n    - op: replace \n      \
         path: /data/image_config.yaml\n      value: |\n{}",
        indented(&config, 8)
    );
    let merge = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\npatches:\n- patch: |-\n{}",
        indented(&map, 4)
    );
    let bare = format!(
        "- op: add\n  path: /data/image_config.yaml\n  value: |\n{}",
        indented(&config, 4)
    );
    let want = private().routes.len();
    for text in [map, list, patch, merge, bare] {
        let imported = one(&text);
        assert_eq!(lines(&imported), [""; 0], "{text}");
        assert_eq!(imported.routes.len(), want);
    }
}

#[test]
fn places_in_nested_texts_are_those_of_the_file() {
    let patch = |value: &str| {
        format!(
            "kind: Kustomization\npatches:\n- patch: |\n    - op: replace\n      \
             path: /data/image_config.yaml\n      value: |\n{}",
            indented(value, 8)
        )
    };
    let rows = [
        (
            "apiVersion: config.k8ssandra.io/v1beta3\nkind: ImageConfig\n",
            "7:21 E-KIND",
        ),
        ("# Your custom config goes here.\n", "7:9 E-VALUE"),
        (
            "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\nimages: [a]\n",
            "9:17 E-VALUE",
        ),
        (
            "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\nimages:\n\ta: b\n",
            "10:9 E-YAML",
        ),
        (
            "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\noverrides: {registry: <your-registry>}\n",
            "9:31 E-PLACEHOLDER",
        ),
    ];
    for (value, want) in rows {
        assert_eq!(codes(&one(&patch(value)))[0], want, "{value}");
    }
    let imported = one("kind: Kustomization\npatches:\n- path: image-patch.yaml\n");
    assert_eq!(codes(&imported), ["1:1 E-KIND", "3:3 W-IGNORED"]);
}

#[test]
fn what_is_wrong_has_its_place() {
    let check = |version: &str, text: &str, want: &[&str]| {
        let text = format!("apiVersion: config.k8ssandra.io/{version}\nkind: ImageConfig\n{text}");
        assert_eq!(codes(&one(&text)), want, "{text}");
    };
    let image = "images:\n  a: {name: a, repository: b}\n";
    let new = |text: &str, want: &[&str]| check("v1beta2", &format!("{image}{text}"), want);
    new("overrides: {registry: 'https://a.b'}", &["5:24 E-SCHEME"]);
    new("overrides: {registry: corp}", &["5:23 E-REF"]);
    new("overrides: {registry: a.b/}", &["5:23 W-SLASH"]);
    new("overrides: {registry: [a.b]}", &["5:23 E-VALUE"]);
    new(
        "overrides: {registry: a.b, repository: UPPER}",
        &["4:3 E-REF", "5:23 E-REF"],
    );
    new("overrides: text", &["5:12 E-VALUE"]);
    new("overrides: {pullSecrets: [{name: a}]}", &["5:27 E-VALUE"]);
    new("imageRegistry: a.b", &["5:1 W-MISPLACED"]);
    let new = |text: &str, want: &[&str]| check("v1beta2", text, want);
    new("images: {a: b/c:1}", &["3:13 E-VALUE"]);
    new("images: {a: {tag: x}}", &["3:13 E-VALUE"]);
    new(
        "images: {a: {name: a, digest: sha1:00}}",
        &["3:31 E-DIGEST"],
    );
    new("images: {a: {name: a, tag: 'x:y'}}", &["3:29 E-DIGEST"]);
    new("images: {a: {name: a, tag: x y}}", &["3:10 E-REF"]);
    check(
        "v1beta1",
        "images:\n  a: b/c:1\n  imageRegistry: a.b\n  imagePullSecret:\n    name: x\n",
        &["5:3 W-MISPLACED", "6:3 W-MISPLACED"],
    );
    check(
        "v1beta1",
        "images:\n  a: b/c:1\noverrides: {}\n",
        &["5:1 W-MISPLACED"],
    );
    check("v1beta1", "images:\n  a: [b/c:1]\n", &["4:6 E-VALUE"]);
    check("v1beta1", "images:\n  a: b/C:1\n", &["4:3 E-REF"]);
    check(
        "v1beta1",
        "images:\n  a: b/c@sha256:00\n",
        &["4:3 E-DIGEST"],
    );
    check(
        "v1beta1",
        "images: {a: b/c}\nimagePullSecret: x\n",
        &["4:18 E-VALUE"],
    );
    check("v1beta3", image, &["1:13 E-KIND"]);
    assert_eq!(codes(&one("images: {a: b}\n")), ["1:1 E-KIND"]);
    assert_eq!(codes(&one("kind: Pod\n")), ["1:1 E-KIND", "1:1 I-SKIPPED"]);
}

#[test]
fn a_file_that_leads_to_the_mirror_is_refused() {
    let options = ImportOptions {
        own: &|registry| registry.as_str() == "mirror.corp:5000",
        ..OPTIONS
    };
    let text = format!("{BASE}overrides: {{registry: 'mirror.corp:5000/ghcr.io'}}\n");
    let imported = read("k8ssandra", &[("f.yaml", &text)], &options);
    assert!(
        imported
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == DiagnosticCode::Loop)
    );
}

#[test]
fn components_with_one_image_must_agree() {
    let text = "apiVersion: config.k8ssandra.io/v1beta1\nkind: ImageConfig\nimages:\n  a: x/y:1\n  \
                b: x/y:1\ndefaults:\n  a: {imageRegistry: a.b}\n  b: {imageRegistry: c.d}\n";
    let imported = one(text);
    assert_eq!(codes(&imported), ["5:3 W-IGNORED"]);
    check(&imported, &[("first", "x/y:2", &["a.b/x/y"])]);
}

proptest! {
    #[test]
    fn no_text_panics(
        rest in "(images|types|defaults|overrides|imageRegistry|imageNamespace|a|dse|: |\\{|\\}|\\[|\\]|\n  |\n|registry|name|x|/|@|:|'|\u{e9}){0,40}",
        version in "v1beta[12]",
    ) {
        one(&rest);
        let text = format!("apiVersion: config.k8ssandra.io/{version}\nkind: ImageConfig\n{rest}");
        one(&text);
        one(&format!("kind: ConfigMap\ndata:\n  image_config.yaml: |\n{}", indented(&text, 4)));
        let patch = format!("- op: add\n  path: /data/image_config.yaml\n  value: |\n{}", indented(&text, 4));
        one(&format!("kind: Kustomization\npatches:\n- patch: |\n{}", indented(&patch, 4)));
        let options = ImportOptions { baseline: Some(Input { name: "b", bytes: text.as_bytes(), is_named: true }), ..OPTIONS };
        read("k8ssandra", &[("f.yaml", BASE)], &options);
    }
}
