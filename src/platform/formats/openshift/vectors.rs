//! Image streams and mirror sets.

use proptest::prelude::*;

use crate::{
    oci::ImageReference,
    platform::{vectors::*, *},
    route::Decision,
};

const STREAM: &str = "\
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata:
  name: iot-device-registry-infinispan
  namespace: enmasse-infra
spec:
  lookupPolicy:
    local: true
";

const MIRROR_SETS: &str = "\
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: enmasse
spec:
  imageDigestMirrors:
    - source: quay.io/enmasse
      mirrors:
        - registry.corp/enmasse
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: quay
spec:
  imageTagMirrors:
    - source: quay.io
      mirrors:
        - registry.corp/quay
      mirrorSourcePolicy: NeverContactSource
";

const POLICY: &str = "\
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata:
  name: first
spec:
  repositoryDigestMirrors:
    - source: registry-a.com
      mirrors: [m1, m2]
";

const POLICY_2: &str = "\
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata:
  name: second
spec:
  repositoryDigestMirrors:
    - source: registry-a.com
      mirrors: [m0, m1]
";

fn import_all(files: &[(&str, &str)]) -> Imported {
    read("openshift", files, &OPTIONS)
}

fn one(text: &str) -> Imported {
    import_all(&[("f.yaml", text)])
}

/// Mirror sets of one kind: a line `SOURCE POLICY MIRROR…` for each entry, all in their own set.
fn sets(kind: &str, entries: &[&str]) -> String {
    let list = match kind {
        "ImageDigestMirrorSet" => "imageDigestMirrors",
        _ => "imageTagMirrors",
    };
    let set = |entry: &&str| {
        let words: Vec<&str> = entry.split(' ').collect();
        let policy = match words[1] {
            "-" => "",
            policy => policy,
        };
        format!(
            "apiVersion: config.openshift.io/v1\nkind: {kind}\nspec:\n  {list}:\n  - source: \
             \"{}\"\n    mirrorSourcePolicy: \"{policy}\"\n    mirrors: {:?}\n---\n",
            words[0],
            &words[2..]
        )
    };
    entries.iter().map(set).collect()
}

fn digests(entries: &[&str]) -> String {
    sets("ImageDigestMirrorSet", entries)
}

fn tags(entries: &[&str]) -> String {
    sets("ImageTagMirrorSet", entries)
}

#[test]
fn streams_and_mirror_sets() {
    let imported = import_all(&[("stream.yaml", STREAM), ("sets.yaml", MIRROR_SETS)]);
    check(&imported, E);
    let codes = codes(&imported);
    let want = ["4:3 I-ASSUMED", "4:9 I-LIBWIDER", "7:15 W-SHADOW"];
    assert_eq!(codes, want);
    let etcd: ImageReference = "quay.io/coreos/etcd".parse().unwrap();
    let origins = table(&imported).all_candidates(&etcd.repository.into());
    let origins: Vec<_> = origins.iter().map(shown).collect();
    assert_eq!(origins, ["registry.corp/quay/coreos/etcd"], "E-09");
}

const E: &[ExpectedRoute] = &[
    ("E-01", "iot-device-registry-infinispan:latest", &[INSIDE]),
    (
        "E-01",
        "docker.io/library/iot-device-registry-infinispan:2",
        &[INSIDE],
    ),
    ("E-02", "iot-device-registry-infinispan@D", &[INSIDE]),
    ("E-03", "nginx:1", &["unmatched"]),
    (
        "E-04",
        "docker.io/ctron/iot-device-registry-infinispan:1",
        &["unmatched"],
    ),
    (
        "E-04, elsewhere",
        "registry.corp/library/iot-device-registry-infinispan:1",
        &["unmatched"],
    ),
    (
        "E-05",
        "quay.io/enmasse/agent@D",
        &["registry.corp/enmasse/agent", "quay.io/enmasse/agent"],
    ),
    (
        "E-06",
        "quay.io/enmasse/agent:1.0",
        &["quay.io/enmasse/agent"],
    ),
    (
        "E-06, by elements",
        "quay.io/enmassed/agent:1",
        &["registry.corp/quay/enmassed/agent"],
    ),
    (
        "E-07",
        "quay.io/coreos/etcd:v1",
        &["registry.corp/quay/coreos/etcd"],
    ),
    ("E-08", "quay.io/coreos/etcd@D", &[]),
    (
        "E-10",
        "image-registry.openshift-image-registry.svc:5000/enmasse-infra/x@D",
        &["image-registry.openshift-image-registry.svc:5000/enmasse-infra/x"],
    ),
];

const INSIDE: &str = "image-registry.openshift-image-registry.svc:5000/enmasse-infra/\
    iot-device-registry-infinispan";

#[test]
fn e13_a_policy_is_for_digests() {
    let rows: &[ExpectedRoute] = &[
        (
            "E-13",
            "registry-a.com/x/y@D",
            &["m1/x/y", "m2/x/y", "registry-a.com/x/y"],
        ),
        ("E-13", "registry-a.com/x/y:1", &["registry-a.com/x/y"]),
    ];
    check(&one(POLICY), rows);
}

#[test]
fn e14_sets_of_one_source_are_one_table_in_any_order() {
    let want: &[&str] = &["m0/x", "m1/x", "m2/x", "registry-a.com/x"];
    for files in [
        [("a.yaml", POLICY), ("b.yaml", POLICY_2)],
        [("a.yaml", POLICY_2), ("b.yaml", POLICY)],
    ] {
        check(&import_all(&files), &[("E-14", "registry-a.com/x@D", want)]);
    }
}

#[test]
fn digests_and_tags_of_one_source_stay_apart() {
    let text = digests(&["quay.io/a - m1 m2"]) + &tags(&["quay.io/a - m2 m3"]);
    let rows: &[ExpectedRoute] = &[
        ("digest", "quay.io/a/b@D", &["m1/b", "m2/b", "quay.io/a/b"]),
        ("tag", "quay.io/a/b:1", &["m2/b", "m3/b", "quay.io/a/b"]),
    ];
    check(&one(&text), rows);
    let text = digests(&["quay.io/a - m1"]) + &tags(&["quay.io/a NeverContactSource m1"]);
    let imported = one(&text);
    let rows: &[ExpectedRoute] = &[
        ("blocked by the other", "quay.io/a/b@D", &["m1/b"]),
        ("blocked", "quay.io/a/b:1", &["m1/b"]),
    ];
    check(&imported, rows);
    assert_eq!(imported.routes.len(), 1);
}

#[test]
fn any_set_blocks_its_source() {
    let text = digests(&[
        "quay.io AllowContactingSource m1",
        "quay.io NeverContactSource m2",
        "docker.io - hub.corp/h",
    ]);
    let rows: &[ExpectedRoute] = &[
        ("blocked", "quay.io/a@D", &["m1/a", "m2/a"]),
        ("tags too", "quay.io/a:1", &[]),
        (
            "hub",
            "nginx@D",
            &["hub.corp/h/library/nginx", "docker.io/library/nginx"],
        ),
    ];
    check(&one(&text), rows);
}

#[test]
fn entries_without_a_mirror_have_no_effect() {
    let text = tags(&["quay.io - m1"])
        + &tags(&[
            "quay.io/a NeverContactSource quay.io/a",
            "quay.io NeverContactSource",
        ]);
    let imported = one(&text);
    check(
        &imported,
        &[("inherited", "quay.io/a/b:1", &["m1/a/b", "quay.io/a/b"])],
    );
    assert_eq!(codes(&imported), ["13:14 W-IGNORED", "21:14 W-IGNORED"]);
}

#[test]
fn a_nested_source_with_a_mirror_inherits_nothing() {
    let text = digests(&["quay.io NeverContactSource m1", "quay.io/a - m2"])
        + &tags(&["quay.io NeverContactSource m1", "quay.io/a/b - m3"]);
    let imported = one(&text);
    let rows: &[ExpectedRoute] = &[
        ("outer", "quay.io/x@D", &["m1/x"]),
        ("digest", "quay.io/a/x@D", &["m2/x", "quay.io/a/x"]),
        ("tag", "quay.io/a/x:1", &["quay.io/a/x"]),
        ("inner tag", "quay.io/a/b:1", &["m3", "quay.io/a/b"]),
    ];
    check(&imported, &rows[..3]);
    let shadows: Vec<_> = lines(&imported);
    assert_eq!(shadows.len(), 2);
    assert!(
        shadows[0].contains("no mirrors for tags and NeverContactSource"),
        "{shadows:?}"
    );
    assert!(
        shadows[1].contains("hides what quay.io/a has"),
        "{shadows:?}"
    );
}

#[test]
fn a_source_may_be_a_domain() {
    let text = digests(&["*.redhat.io - mirror.local/redhat"]) + &tags(&["a.redhat.io/x - m1"]);
    let imported = one(&text);
    let rows: &[ExpectedRoute] = &[
        (
            "the host goes",
            "registry.redhat.io/product/repo@D",
            &[
                "mirror.local/redhat/product/repo",
                "registry.redhat.io/product/repo",
            ],
        ),
        ("not the domain itself", "redhat.io/x@D", &["unmatched"]),
    ];
    check(&imported, rows);
    assert_eq!(codes(&imported), ["13:14 W-SHADOW"]);
}

#[test]
fn a_source_may_stand_between_its_mirrors() {
    let text = digests(&["quay.io - m1 quay.io m2"]);
    check(
        &one(&text),
        &[("between", "quay.io/a@D", &["m1/a", "quay.io/a", "m2/a"])],
    );
    let text = digests(&["quay.io NeverContactSource m1 quay.io m2"]);
    check(
        &one(&text),
        &[("blocked", "quay.io/a@D", &["m1/a", "m2/a"])],
    );
}

#[test]
fn the_fallback_is_as_it_is_asked_for() {
    let text = digests(&["quay.io - m1", "ghcr.io NeverContactSource m2"]);
    let with = |fallback| {
        let options = ImportOptions {
            fallback,
            ..OPTIONS
        };
        read("openshift", &[("f", &text), ("s", STREAM)], &options)
    };
    let rows: &[ExpectedRoute] = &[
        ("deny", "quay.io/a@D", &["m1/a"]),
        ("deny", "quay.io/a:1", &[]),
    ];
    check(&with(SourceFallback::Deny), rows);
    let both: &[&str] = &[INSIDE, "docker.io/library/iot-device-registry-infinispan"];
    let rows: &[ExpectedRoute] = &[
        ("source", "ghcr.io/a@D", &["m2/a", "ghcr.io/a"]),
        ("source", "iot-device-registry-infinispan:1", both),
    ];
    check(&with(SourceFallback::Source), rows);
}

#[test]
fn wrong_values_are_found_where_they_stand() {
    let text = "\
kind: ImageDigestMirrorSet
apiVersion: config.openshift.io/v1
spec:
  imageDigestMirrors:
  - source: https://quay.io
    mirrors: [m1]
  - source: quay.io/
    mirrors: [m1]
  - source: '*.corp/x'
    mirrors: [m1]
  - source: '*'
    mirrors: [m1]
  - mirrors: [m1]
  - source: ghcr.io
    mirrors: ['m1/a:1', 'm1/{name}', http://m2, [m3]]
  - source: [ghcr.io]
  - source: gcr.io
    mirrors: [m1]
    mirrorSourcePolicy: Never
  - quay.io
";
    let want = [
        "5:13 E-SCHEME",
        "7:13 E-REF",
        "9:14 E-REF",
        "11:14 E-REF",
        "13:5 E-VALUE",
        "15:16 E-REF",
        "15:26 E-REF",
        "15:38 E-SCHEME",
        "15:49 E-VALUE",
        "16:13 E-VALUE",
        "19:25 E-VALUE",
        "20:5 E-VALUE",
    ];
    assert_eq!(codes(&one(text)), want);
}

#[test]
fn wrong_objects_are_found() {
    let rows = [
        (
            "kind: ImageTagMirrorSet\napiVersion: config.openshift.io/v2\nspec: {}",
            "2:13 E-KIND",
        ),
        (
            "kind: ImageTagMirrorSet\nspec:\n  imageTagMirrors: {}",
            "3:20 E-VALUE",
        ),
        (
            "kind: ImageTagMirrorSet\nspec:\n  imageTagMirrors: no",
            "3:20 E-VALUE",
        ),
        ("kind: ImageTagMirrorSet\nmetadata: {}", "1:1 E-VALUE"),
        ("hello: world", "1:1 E-KIND"),
        (
            "kind: ImageStream\nmetadata: {}\nspec: {lookupPolicy: {local: true}}",
            "1:1 E-VALUE",
        ),
        (
            "kind: ImageStream\nmetadata: {name: a}\nspec: {lookupPolicy: {local: true}}",
            "2:11 E-VALUE",
        ),
        (
            "kind: ImageStream\nmetadata: {name: a}\nspec: {lookupPolicy: {local: 1}}",
            "3:30 E-VALUE",
        ),
        (
            "kind: ImageStream\nmetadata: {name: '{tag}', namespace: a}\nspec: {lookupPolicy: \
             {local: true}}",
            "2:19 E-REF",
        ),
    ];
    for (text, want) in rows {
        let codes = codes(&one(text));
        assert!(codes.contains(&want.to_owned()), "{text}: {codes:?}");
    }
    let misplaced = "kind: ImageTagMirrorSet\nspec:\n  imageDigestMirrors: []\n---\n";
    let imported = one(&(misplaced.to_owned() + STREAM));
    assert_eq!(codes(&imported)[0], "3:23 W-MISPLACED");
    let policy = POLICY.to_owned() + "      mirrorSourcePolicy: NeverContactSource\n";
    assert_eq!(codes(&one(&policy)), ["9:27 W-IGNORED"]);
}

#[test]
fn streams_that_short_names_do_not_mean_are_left_out() {
    for namespace in ["default", "kube-system", "openshift-monitoring"] {
        let imported = one(&STREAM.replace("enmasse-infra", namespace));
        assert_eq!(
            codes(&imported),
            ["1:1 E-KIND", "5:14 W-IGNORED"],
            "{namespace}"
        );
    }
    let imported = one(&STREAM.replace("true", "false"));
    assert_eq!(codes(&imported), ["1:1 E-KIND", "4:9 I-SKIPPED"]);
    let annotated = "kind: Deployment\nmetadata:\n  annotations:\n    \
                     alpha.image.policy.openshift.io/resolve-names: '*'\n---\n";
    let imported = one(&(annotated.to_owned() + POLICY));
    assert_eq!(codes(&imported), ["4:52 W-IGNORED"]);
    let imported = one(&("kind: Route\n---\n".to_owned() + POLICY));
    assert_eq!(codes(&imported), ["1:1 I-SKIPPED"]);
}

#[test]
fn a_stream_says_where_its_images_are() {
    let status = "\
status:
  dockerImageRepository: registry.svc:5000/team/iot
  publicDockerImageRepository: registry.apps.corp/team/iot
";
    let text = STREAM.to_owned() + status;
    let imported = one(&text);
    let rows: &[ExpectedRoute] = &[
        (
            "status",
            "iot-device-registry-infinispan:1",
            &["registry.svc:5000/team/iot"],
        ),
        (
            "E-10",
            "registry.svc:5000/a/b:1",
            &["registry.svc:5000/a/b"],
        ),
    ];
    check(&imported, rows);
    let imported = one(&text.replace("  docker", "  other"));
    let row = (
        "public",
        "iot-device-registry-infinispan:1",
        &["registry.apps.corp/team/iot"][..],
    );
    check(&imported, &[row]);
    let imported = one(&text.replace("  namespace: enmasse-infra\n", ""));
    assert_eq!(codes(&imported), ["4:9 I-LIBWIDER"]);
    let options = ImportOptions {
        internal_registry: Some("inside.corp"),
        ..OPTIONS
    };
    let imported = read("openshift", &[("f", &text)], &options);
    let row: ExpectedRoute = (
        "option",
        "iot-device-registry-infinispan:1",
        &["inside.corp/enmasse-infra/iot-device-registry-infinispan"],
    );
    check(&imported, &[row]);
}

#[test]
fn a_tag_may_point_elsewhere() {
    let digest = DIGEST;
    let text = format!(
        "{STREAM}  tags:
  - name: followed
    from: {{kind: DockerImage, name: quay.io/ctron/iot:7}}
  - name: local
    from: {{kind: DockerImage, name: quay.io/ctron/iot:8}}
    referencePolicy: {{type: Local}}
  - name: never-copied
    reference: true
    from: {{kind: DockerImage, name: quay.io/ctron/iot:9}}
    referencePolicy: {{type: Local}}
  - name: pinned
    from: {{kind: DockerImage, name: 'quay.io/ctron/iot@{digest}'}}
    referencePolicy: {{type: Source}}
  - name: other
    from: {{kind: ImageStreamTag, name: local}}
  - name: pushed
"
    );
    let imported = one(&text);
    let name = "iot-device-registry-infinispan";
    let rows = [
        ("followed", "quay.io/ctron/iot:7"),
        ("local", INSIDE),
        ("never-copied", "quay.io/ctron/iot:9"),
        ("pinned", "quay.io/ctron/iot"),
        ("other", INSIDE),
        ("pushed", INSIDE),
    ];
    let table = table(&imported);
    for (tag, want) in rows {
        assert_eq!(outcome(&table, &format!("{name}:{tag}")), [want], "{tag}");
    }
    let (named, reference) = parse(&format!("{name}:pinned"));
    let Decision::Route { pin, .. } = table.decide(&named, &reference) else {
        panic!("pinned");
    };
    assert_eq!(pin, Some(digest.parse().unwrap()));
    assert_eq!(
        outcome(&table, &format!("{name}@D")),
        [INSIDE, "quay.io/ctron/iot"]
    );

    let wrong = text
        .replace("type: Source", "type: Any")
        .replace("iot:7", "IOT:7");
    assert_eq!(codes(&one(&wrong))[2..], ["11:37 E-REF", "21:29 E-VALUE"]);
}

#[test]
fn lists_json_and_secrets_among_them_are_read() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
         "metadata": {"name": "app", "namespace": "team"},
         "spec": {"lookupPolicy": {"local": true}}},
        {"kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
         "stringData": {".dockerconfigjson":
            "{\"auths\": {\"image-registry.openshift-image-registry.svc:5000\": {\"auth\": \"YTpi\"}}}"}}]}"#;
    let imported = import_all(&[("list.json", list)]);
    let row: ExpectedRoute = (
        "list",
        "app:1",
        &["image-registry.openshift-image-registry.svc:5000/team/app"],
    );
    check(&imported, &[row]);
    assert_eq!(imported.credentials.len(), 1);
}

#[test]
fn two_namespaces_cannot_share_a_short_name() {
    let other = STREAM.replace("enmasse-infra", "team");
    let imported = import_all(&[("a.yaml", STREAM), ("b.yaml", &other)]);
    assert!(codes(&imported).contains(&"4:9 E-DUP".to_owned()));
}

proptest! {
    #[test]
    fn no_text_panics(source in ".{0,20}", mirror in ".{0,20}", rest in "(?s).{0,60}") {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (source, mirror) = (quote(&source), quote(&mirror));
        for kind in ["ImageDigestMirrorSet", "ImageStream"] {
            let text = format!(
                "kind: {kind}\nmetadata: {{name: {source}, namespace: {mirror}}}\nspec:\n  \
                 lookupPolicy: {{local: true}}\n  tags: [{{name: {mirror}, from: {{kind: \
                 DockerImage, name: {source}}}}}]\n  imageDigestMirrors: [{{source: {source}, \
                 mirrors: [{mirror}]}}]\n{rest}"
            );
            drop(one(&text));
        }
    }
}

#[test]
fn a_mirror_may_be_one_word() {
    let imported = one(POLICY);
    let upstreams = imported.upstreams.iter();
    let urls: Vec<_> = upstreams.map(|upstream| upstream.urls.concat()).collect();
    assert_eq!(urls, ["https://m1", "https://m2"]);
}
