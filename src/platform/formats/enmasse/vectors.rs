//! `EnMasse`'s overrides.

use proptest::prelude::*;

use crate::platform::{vectors::*, *};

/// As its document has it.
const SAMPLE: &str = "\
apiVersion: iot.enmasse.io/v1alpha1
kind: IoTConfig
metadata:
  name: default
spec:
  imageOverrides:
    iot-device-registry-infinispan:
      name: iot-device-registry-infinispan:latest 
";

const CONFIG: &str = "\
apiVersion: iot.enmasse.io/v1alpha1
kind: IoTConfig
metadata:
  name: default
  namespace: enmasse-infra
spec:
  imageOverrides:
    iot-http-adapter:
      name: registry.corp/dev/adapter:7
      pullPolicy: Always
    iot-mqtt-adapter:
      name: ''
    iot-gc:
";

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

fn import_all(files: &[(&str, &str)]) -> Imported {
    read("enmasse", files, &OPTIONS)
}

fn one(text: &str) -> Imported {
    import_all(&[("f.yaml", text)])
}

/// The operator with these variables, `NAME=VALUE`.
fn operator(kind: &str, variables: &[&str]) -> String {
    let line = |variable: &&str| {
        let (name, value) = variable.split_once('=').unwrap();
        format!("        - name: {name}\n          value: \"{value}\"\n")
    };
    let variables: String = variables.iter().map(line).collect();
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: enmasse-operator\nspec:\n  \
         template:\n    spec:\n      containers:\n      - name: controller\n        env:\n{variables}"
    )
}

#[test]
fn e11_an_override_replaces_the_tag() {
    let imported = one(CONFIG);
    check(&imported, E11);
    assert_eq!(lines(&imported), [""; 0]);
}

const E11: &[ExpectedRoute] = &[
    (
        "E-11",
        "quay.io/enmasse/iot-http-adapter:0.31.0",
        &["registry.corp/dev/adapter:7"],
    ),
    (
        "E-11, by digest",
        "quay.io/enmasse/iot-http-adapter@D",
        &["registry.corp/dev/adapter"],
    ),
    (
        "an empty name",
        "quay.io/enmasse/iot-mqtt-adapter:0.31.0",
        &["unmatched"],
    ),
    (
        "another component",
        "quay.io/enmasse/agent:0.31.0",
        &["unmatched"],
    ),
];

#[test]
fn e12_a_variable_replaces_its_image() {
    let old = ["ROUTER_IMAGE=registry.corp/mirror/qdrouterd:1.14.0"];
    let new = ["RELATED_IMAGE_ROUTER=registry.corp/mirror/qdrouterd:1.14.0"];
    let row: ExpectedRoute = (
        "E-12",
        "quay.io/interconnectedcloud/qdrouterd:1.14.0",
        &["registry.corp/mirror/qdrouterd:1.14.0"],
    );
    check(&one(&operator("Deployment", &new)), &[row]);
    check(&one(&operator("DeploymentConfig", &old)), &[row]);
    let text = operator("Deployment", &new);
    check(
        &import(
            None,
            &[Input {
                name: "f",
                bytes: text.as_bytes(),
                is_named: true,
            }],
            &OPTIONS,
        ),
        &[row],
    );
}

#[test]
fn the_documents_own_sample_leads_into_its_image_stream() {
    let rows: &[ExpectedRoute] = &[
        ("E-01", "iot-device-registry-infinispan:latest", &[INSIDE]),
        (
            "E-11",
            "quay.io/enmasse/iot-device-registry-infinispan:0.31.0",
            &[TAGGED],
        ),
    ];
    let files = [("sample.yaml", SAMPLE), ("stream.yaml", STREAM)];
    check(&import_all(&files), rows);
    let inputs = files.map(|(name, text)| Input {
        name,
        bytes: text.as_bytes(),
        is_named: true,
    });
    check(&import(None, &inputs, &OPTIONS), rows);
    let options = ImportOptions {
        internal_registry: Some("image-registry.openshift-image-registry.svc:5000"),
        ..OPTIONS
    };
    let imported = read("enmasse", &[files[0]], &options);
    check(&imported, rows);
    assert_eq!(codes(&imported), ["8:13 I-ASSUMED", "8:13 I-LIBWIDER"]);
}

const INSIDE: &str = "image-registry.openshift-image-registry.svc:5000/enmasse-infra/\
    iot-device-registry-infinispan";
const TAGGED: &str = "image-registry.openshift-image-registry.svc:5000/enmasse-infra/\
    iot-device-registry-infinispan:latest";

#[test]
fn without_a_stream_a_short_name_is_docker_hubs() {
    let imported = one(SAMPLE);
    let row: ExpectedRoute = (
        "no stream",
        "quay.io/enmasse/iot-device-registry-infinispan:1",
        &["docker.io/library/iot-device-registry-infinispan:latest"],
    );
    check(&imported, &[row]);
    assert_eq!(codes(&imported), ["8:13 W-HUBROOT"]);
}

#[test]
fn a_streams_tag_that_points_elsewhere_is_followed() {
    let tag = |from: &str| {
        format!(
            "{STREAM}  tags:\n  - name: latest\n    from: {{kind: DockerImage, name: '{from}'}}\n"
        )
    };
    let stream = tag("quay.io/ctron/iot:7");
    let row: ExpectedRoute = (
        "tag",
        "quay.io/enmasse/iot-device-registry-infinispan:1",
        &["quay.io/ctron/iot:7"],
    );
    check(&import_all(&[("a", SAMPLE), ("b", &stream)]), &[row]);
    let stream = tag(&format!("quay.io/ctron/iot@{DIGEST}"));
    let imported = import_all(&[("a", SAMPLE), ("b", &stream)]);
    assert_eq!(codes(&imported)[0], "8:13 W-IGNORED");
}

#[test]
fn the_config_beats_variables_and_they_beat_the_map() {
    let map = "iot-http-adapter: r.corp/map:1\niot-gc: r.corp/gc:1\nagent: r.corp/agent:1\n";
    let variables = operator(
        "Deployment",
        &[
            "IOT_HTTP_ADAPTER_IMAGE=r.corp/env:1",
            "IOT_GC_IMAGE=",
            "AGENT_IMAGE=r.corp/e:1",
        ],
    );
    let files = [("map", map), ("config", CONFIG), ("operator", &variables)];
    let imported = import_all(&files);
    let rows: &[ExpectedRoute] = &[
        E11[0],
        (
            "an empty variable",
            "quay.io/enmasse/iot-gc:1",
            &["unmatched"],
        ),
        ("a variable", "quay.io/enmasse/agent:1", &["r.corp/e:1"]),
    ];
    check(&imported, rows);
    assert_eq!(codes(&imported), ["14:19 W-IGNORED"]);
    let imported = import_all(&files[..1]);
    check(
        &imported,
        &[("map", "quay.io/enmasse/iot-gc:1", &["r.corp/gc:1"])],
    );
}

#[test]
fn what_is_as_usual_is_no_override() {
    let text = operator(
        "Deployment",
        &[
            "RELATED_IMAGE_AGENT=quay.io/enmasse/agent:0.32.0",
            "RELATED_IMAGE_ROUTER=quay.io/interconnectedcloud/qdrouterd:1.14.0",
            "RELATED_IMAGE_BROKER=r.corp/artemis:1",
        ],
    );
    let imported = one(&text);
    assert_eq!(imported.routes.len(), 1);
    assert_eq!(lines(&imported), [""; 0]);
}

#[test]
fn a_baseline_says_what_is_usual() {
    let baseline = Input {
        name: "map.yaml",
        bytes: b"agent: quay.io/fork/agent:0.31.0\ncustom: ghcr.io/x/custom:1\n",
        is_named: true,
    };
    let options = ImportOptions {
        baseline: Some(baseline),
        ..OPTIONS
    };
    let pinned = format!("AGENT_IMAGE=r.corp/agent@{DIGEST}");
    let text = operator(
        "Deployment",
        &[
            &pinned,
            "CUSTOM_IMAGE=ghcr.io/x/custom:2",
            "ROUTER_IMAGE=r.corp/router:1",
        ],
    );
    let imported = read("enmasse", &[("f", &text)], &options);
    let rows: &[ExpectedRoute] = &[
        ("pinned", "quay.io/fork/agent:0.31.0", &["r.corp/agent"]),
        ("another tag", "quay.io/fork/agent:0.32.0", &["unmatched"]),
        ("a newer tag", "ghcr.io/x/custom:1", &["ghcr.io/x/custom:2"]),
        (
            "replaced table",
            "quay.io/interconnectedcloud/qdrouterd:1",
            &["unmatched"],
        ),
    ];
    check(&imported, rows);
    assert_eq!(imported.routes[0].digest.as_deref(), Some(DIGEST));
    assert_eq!(codes(&imported), ["16:19 W-IGNORED"]);
    assert_eq!(codes(&one(&text))[0], "12:19 W-IGNORED");

    let options = ImportOptions {
        baseline: Some(Input {
            name: "b",
            bytes: b"agent: [1]\nbroker: quay.io/A/b\nrouter: r/q:1",
            is_named: true,
        }),
        ..OPTIONS
    };
    let imported = read("enmasse", &[("f", &text)], &options);
    assert_eq!(codes(&imported)[..2], ["1:8 E-VALUE", "2:9 E-REF"]);
}

#[test]
fn a_config_map_may_hold_the_map() {
    let text = "\
kind: ConfigMap
metadata:
  name: images
data:
  operatorImageMap.yaml: |
    agent: r.corp/agent:1
    broker: [x]
    mqtt-lwt: R/:1
  notes.txt: |
    agent: not read
";
    let imported = one(text);
    assert_eq!(codes(&imported), ["7:13 E-VALUE", "8:15 E-REF"]);
    let text = text.replace("    broker: [x]\n    mqtt-lwt: R/:1\n", "");
    let input = Input {
        name: "f",
        bytes: text.as_bytes(),
        is_named: true,
    };
    let row: ExpectedRoute = ("map", "quay.io/enmasse/agent:1", &["r.corp/agent:1"]);
    check(&import(None, &[input], &OPTIONS), &[row]);
    let input = Input {
        name: "map.yaml",
        bytes: b"address-space-controller: r.corp/a:1",
        is_named: true,
    };
    let row: ExpectedRoute = (
        "auto",
        "quay.io/enmasse/address-space-controller:1",
        &["r.corp/a:1"],
    );
    check(&import(None, &[input], &OPTIONS), &[row]);
}

#[test]
fn wrong_values_are_found_where_they_stand() {
    let rows = [
        (CONFIG.replace("v1alpha1", "v2"), "1:13 E-KIND"),
        (CONFIG.replace("corp/dev", "corp//dev"), "9:13 E-REF"),
        (
            CONFIG.replace("iot-http-adapter", "iot-unknown"),
            "9:13 W-IGNORED",
        ),
        (CONFIG.replace("name: ''", "name: []"), "12:13 E-VALUE"),
        (CONFIG.replace("iot-gc:", "iot-gc: r/x:1"), "13:13 E-VALUE"),
        (
            "kind: IoTConfig\nspec:\n  imageOverrides: [1]".to_owned(),
            "3:19 E-VALUE",
        ),
        (
            operator("Deployment", &["AGENT_IMAGE=${AGENT_IMAGE}"]),
            "12:19 E-REF",
        ),
        (
            operator("Deployment", &["AGENT_IMAGE=OCI_URL"]),
            "12:19 E-PLACEHOLDER",
        ),
        (
            operator("Deployment", &["A=b"])
                + "        - {name: AGENT_IMAGE, valueFrom: {configMapKeyRef: {key: a}}}\n",
            "13:42 W-IGNORED",
        ),
        (
            operator("Deployment", &["A=b"]) + "        - {name: AGENT_IMAGE, value: [1]}\n",
            "13:38 E-VALUE",
        ),
        ("hello".to_owned(), "1:1 E-KIND"),
        ("kind: Route".to_owned(), "1:1 I-SKIPPED"),
    ];
    for (text, want) in rows {
        let codes = codes(&one(&text));
        assert!(codes.contains(&want.to_owned()), "{text}: {codes:?}");
    }
}

#[test]
fn of_a_variable_set_twice_the_last_holds() {
    let text = operator(
        "StatefulSet",
        &["AGENT_IMAGE=r.corp/a:1", "AGENT_IMAGE=r.corp/a:2"],
    );
    check(
        &one(&text),
        &[("last", "quay.io/enmasse/agent:1", &["r.corp/a:2"])],
    );
    let other = operator("Deployment", &["AGENT_IMAGE=r.corp/a:3"]);
    let imported = import_all(&[("a", &text), ("b", &other)]);
    assert_eq!(codes(&imported), ["12:19 E-DUP"]);
}

#[test]
fn the_source_is_asked_last_if_that_is_wanted() {
    let options = ImportOptions {
        fallback: SourceFallback::Source,
        ..OPTIONS
    };
    let imported = read("enmasse", &[("f", CONFIG)], &options);
    let row: ExpectedRoute = (
        "E-11",
        "quay.io/enmasse/iot-http-adapter:0.31.0",
        &[
            "registry.corp/dev/adapter:7",
            "quay.io/enmasse/iot-http-adapter",
        ],
    );
    check(&imported, &[row]);
}

proptest! {
    #[test]
    fn no_text_panics(key in ".{0,20}", value in ".{0,30}", rest in "(?s).{0,60}") {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (key, value) = (quote(&key), quote(&value));
        let options = ImportOptions {
            internal_registry: Some(&rest),
            baseline: Some(Input { name: "b", bytes: rest.as_bytes(), is_named: true }),
            ..OPTIONS
        };
        for text in [
            format!("{key}: {value}\n{rest}"),
            format!("kind: IoTConfig\nspec: {{imageOverrides: {{agent: {{name: {value}}}}}}}\n{rest}"),
            operator("Deployment", &["AGENT_IMAGE=x"]) + &rest,
        ] {
            drop(read("enmasse", &[("f", &text)], &options));
        }
    }
}
