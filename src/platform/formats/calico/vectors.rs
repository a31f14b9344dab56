//! What the Tigera operator's `Installation` and `ImageSet` make of names.

use proptest::prelude::*;

use crate::platform::{vectors::*, *};

fn installation(spec: &str) -> String {
    let lines: Vec<_> = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata:\n  name: default\n\
         spec:\n  variant: Calico\n{}",
        lines.concat()
    )
}

fn image_set(name: &str, images: &str) -> String {
    format!(
        "apiVersion: operator.tigera.io/v1\nkind: ImageSet\nmetadata:\n  name: {name}\nspec:\n  \
         images:\n{images}"
    )
}

fn one(text: &str) -> Imported {
    read("calico", &[("f.yaml", text)], &OPTIONS)
}

fn with(fallback: SourceFallback, text: &str) -> Imported {
    read(
        "calico",
        &[("f.yaml", text)],
        &ImportOptions {
            fallback,
            ..OPTIONS
        },
    )
}

const MIRROR: &str = "registry: myregistry.com/\nimagePath: calico-mirror\nimagePrefix: cal-\n";

const PULL_SECRET: &str = r"apiVersion: v1
kind: Secret
metadata:
  name: tigera-pull-secret
  namespace: tigera-operator
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: eyJhdXRocyI6eyJteXJlZ2lzdHJ5LmNvbSI6eyJ1c2VybmFtZSI6InJvYm90IiwicGFzc3dvcmQiOiJwdyJ9fX0=
";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn fields_compose_names() {
    let quay = "quay.io/calico/node:v3.31.7";
    let hub = "docker.io/calico/node:v3.28.5";
    let operator = "quay.io/tigera/operator:v1.40.15";
    let rows: [(&str, &str, &str, &[&str]); 19] = [
        ("C-01", "", hub, &["docker.io/calico/node"]),
        ("C-02", "", quay, &["quay.io/calico/node"]),
        (
            "C-03",
            "registry: UseDefault\nimagePath: UseDefault\nimagePrefix: UseDefault",
            quay,
            &["quay.io/calico/node"],
        ),
        (
            "C-03",
            "registry: ''\nimagePath:\nimagePrefix: \"\"",
            hub,
            &["docker.io/calico/node"],
        ),
        (
            "C-04",
            "registry: myregistry.com",
            quay,
            &["myregistry.com/calico/node"],
        ),
        (
            "C-04",
            "registry: myregistry.com",
            hub,
            &["myregistry.com/calico/node"],
        ),
        (
            "C-04",
            "registry: myregistry.com:5000/",
            hub,
            &["myregistry.com:5000/calico/node"],
        ),
        (
            "C-05",
            "registry: quay.io/\nimagePrefix: prefix-",
            quay,
            &["quay.io/calico/prefix-node"],
        ),
        (
            "C-05",
            "registry: quay.io/\nimagePrefix: prefix-",
            hub,
            &["quay.io/calico/prefix-node"],
        ),
        (
            "C-05",
            "registry: quay.io/\nimagePrefix: prefix-",
            "quay.io/calico/prefix-node:v1",
            &["quay.io/calico/prefix-node"],
        ),
        (
            "C-06",
            "imagePath: userpath",
            quay,
            &["quay.io/userpath/node"],
        ),
        (
            "C-06",
            "imagePath: userpath",
            hub,
            &["docker.io/userpath/node"],
        ),
        (
            "C-06",
            "imagePath: userpath",
            "quay.io/userpath/node:v1",
            &["quay.io/userpath/node"],
        ),
        (
            "C-07",
            "registry: quay.io/extra/\nimagePath: userpath",
            quay,
            &["quay.io/extra/userpath/node"],
        ),
        (
            "C-07",
            "registry: quay.io/extra/",
            "quay.io/extra/calico/node:v1",
            &["quay.io/extra/calico/node"],
        ),
        (
            "C-07",
            "imagePath: userpath\nimagePrefix: p-",
            quay,
            &["quay.io/userpath/p-node"],
        ),
        (
            "C-09",
            "registry: myregistry.com",
            operator,
            &["myregistry.com/tigera/operator"],
        ),
        (
            "C-09",
            "registry: gcr.io/extra/\nimagePath: userpath",
            operator,
            &[
                "gcr.io/extra/userpath/operator",
                "gcr.io/extra/tigera/operator",
            ],
        ),
        (
            "C-09",
            "imagePath: userpath",
            operator,
            &["quay.io/userpath/operator", "quay.io/tigera/operator"],
        ),
    ];
    for (id, spec, image, want) in rows {
        check(&one(&installation(spec)), &[(id, image, want)]);
    }
}

#[test]
fn c08_c10_sets_pin_what_they_name() {
    let digest = format!("sha256:{}", "8".repeat(64));
    let set = image_set(
        "calico-v3.31.7",
        &format!("  - image: calico/node\n    digest: {digest}\n"),
    );
    let text = format!(
        "{}---\n{set}",
        installation("registry: quay.io/extra/\nimagePath: userpath")
    );
    let imported = one(&text);
    check(
        &imported,
        &[
            (
                "C-08",
                "quay.io/calico/node@D",
                &["quay.io/extra/userpath/node"],
            ),
            (
                "C-08",
                "docker.io/calico/node:v3.31.7",
                &["quay.io/extra/userpath/node"],
            ),
            (
                "C-10",
                "quay.io/calico/typha:v3.31.7",
                &["quay.io/extra/userpath/typha"],
            ),
        ],
    );
    let pins = table(&imported).pins();
    let pins: Vec<_> = pins
        .iter()
        .map(|((repository, tag), digest)| format!("{repository}:{tag}@{digest}"))
        .collect();
    let want =
        ["docker.io", "quay.io"].map(|source| format!("{source}/calico/node:v3.31.7@{digest}"));
    assert_eq!(pins, want);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_installation_of_ones_own_registry() {
    let text = format!(
        "{}---\n{PULL_SECRET}",
        installation(&format!(
            "{MIRROR}imagePullSecrets:\n- name: tigera-pull-secret\n"
        ))
    );
    let imported = one(&text);
    assert_eq!(codes(&imported), ["8:14 W-COLLIDE"], "CR-10");
    let logins: Vec<_> = imported
        .credentials
        .iter()
        .map(|login| login.entry.scope.to_string())
        .collect();
    assert_eq!(logins, ["myregistry.com"]);
    check(
        &imported,
        &[
            (
                "CR-01",
                "quay.io/calico/node:v3.31.7",
                &["myregistry.com/calico-mirror/cal-node"],
            ),
            (
                "CR-02",
                "docker.io/calico/node:v3.31.7",
                &["myregistry.com/calico-mirror/cal-node"],
            ),
            (
                "CR-02",
                "docker.io/tigera/key-cert-provisioner:v1",
                &["myregistry.com/calico-mirror/cal-key-cert-provisioner"],
            ),
            (
                "CR-03",
                "quay.io/tigera/operator:v1.40.15",
                &[
                    "myregistry.com/calico-mirror/cal-operator",
                    "myregistry.com/tigera/operator",
                ],
            ),
            (
                "CR-04",
                "docker.io/calico/csi:v3.28.5-fips",
                &["myregistry.com/calico-mirror/cal-csi"],
            ),
            (
                "CR-05",
                "quay.io/calico/node@D",
                &["myregistry.com/calico-mirror/cal-node"],
            ),
            (
                "CR-07",
                "myregistry.com/calico/cni:v1",
                &["myregistry.com/calico/cni"],
            ),
            (
                "CR-07",
                "myregistry.com/calico-mirror/cal-cni:v1",
                &["myregistry.com/calico-mirror/cal-cni"],
            ),
            (
                "CR-07",
                "myregistry.com/tigera/operator:v1",
                &["myregistry.com/tigera/operator"],
            ),
            ("CR-09", "docker.io/calicoctl/x:1", &["unmatched"]),
            ("CR-09", "docker.io/library/calico:1", &["unmatched"]),
        ],
    );
    let imported = one(&installation("registry: myregistry.com"));
    assert_eq!(lines(&imported), [""; 0]);
    check(
        &imported,
        &[(
            "CR-06",
            "quay.io/calico/typha:v1",
            &["myregistry.com/calico/typha"],
        )],
    );
}

#[test]
fn cr07_cr08_public_registries_follow_only_if_asked_for() {
    check(
        &with(SourceFallback::Source, &installation(MIRROR)),
        &[
            (
                "CR-07",
                "myregistry.com/calico/cni:v1",
                &[
                    "myregistry.com/calico/cni",
                    "quay.io/calico/cni",
                    "docker.io/calico/cni",
                ],
            ),
            (
                "CR-07",
                "myregistry.com/calico-mirror/cal-cni:v1",
                &[
                    "myregistry.com/calico-mirror/cal-cni",
                    "quay.io/calico/cni",
                    "docker.io/calico/cni",
                    "quay.io/tigera/cni",
                    "docker.io/tigera/cni",
                ],
            ),
            (
                "CR-08",
                "docker.io/calico/node:v1",
                &[
                    "myregistry.com/calico-mirror/cal-node",
                    "docker.io/calico/node",
                    "quay.io/calico/node",
                ],
            ),
            (
                "CR-08",
                "quay.io/tigera/operator:v1",
                &[
                    "myregistry.com/calico-mirror/cal-operator",
                    "myregistry.com/tigera/operator",
                    "quay.io/tigera/operator",
                    "docker.io/tigera/operator",
                ],
            ),
        ],
    );
    check(
        &with(SourceFallback::Source, &installation("")),
        &[(
            "CR-08",
            "docker.io/calico/node:v1",
            &["docker.io/calico/node", "quay.io/calico/node"],
        )],
    );
}

#[test]
fn cr11_a_set_alone_pins_both_registries() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let images = format!(
        "    - image: \"calico/node\"\n      digest: \"{digest}\"\n    - image: tigera/operator\n      \
         digest: {digest}\n    - image: eck/eck-operator\n      digest: {digest}\n"
    );
    let imported = one(&image_set("calico-v3.31.7", &images));
    assert_eq!(codes(&imported), ["9:14 W-IGNORED", "11:14 W-IGNORED"]);
    assert!(
        imported
            .diagnostics
            .iter()
            .all(|diagnostic| diagnostic.level == Severity::Note)
    );
    check(
        &imported,
        &[
            (
                "CR-11",
                "quay.io/calico/node:v3.31.7",
                &["quay.io/calico/node"],
            ),
            ("CR-11", "quay.io/calico/node:v3.31.6", &["unmatched"]),
        ],
    );
    assert_eq!(table(&imported).pins().len(), 2);
    let enterprise = image_set(
        "enterprise-v3.21.5",
        &format!("  - {{image: tigera/cnx-node, digest: '{digest}'}}\n"),
    );
    check(
        &one(&enterprise),
        &[(
            "enterprise",
            "quay.io/tigera/cnx-node:v3.21.5",
            &["quay.io/tigera/cnx-node"],
        )],
    );
}

#[test]
fn an_overlay_changes_what_it_sets() {
    let overlay = installation("imagePrefix: x-").replace("default", "overlay");
    let text = format!("{}---\n{overlay}", installation("registry: a.b"));
    check(
        &one(&text),
        &[("overlay", "quay.io/calico/node:1", &["a.b/calico/x-node"])],
    );
}

#[test]
fn lists_are_read_as_well() {
    let text = format!(
        "{{\"kind\": \"InstallationList\", \"items\": [{{\"apiVersion\": \"operator.tigera.io/v1\", \
         \"kind\": \"Installation\", \"metadata\": {{\"name\": \"default\"}}, \"spec\": \
         {{\"registry\": \"{}\"}}}}]}}",
        "a.b/"
    );
    let imported = read("calico", &[("f.json", &text)], &OPTIONS);
    check(
        &imported,
        &[("list", "quay.io/calico/node:1", &["a.b/calico/node"])],
    );
}

#[test]
fn what_is_wrong_has_its_place() {
    let spec = |text: &str, want: &[&str]| {
        assert_eq!(codes(&one(&installation(text))), want, "{text}");
    };
    spec("", &["1:1 I-SKIPPED"]);
    spec("registry: https://a.b", &["7:13 E-SCHEME"]);
    spec("registry: corp", &["7:13 E-REF"]);
    spec("registry: a.b//", &["7:13 W-SLASH"]);
    spec("registry: a.b//c", &["7:13 W-SLASH"]);
    spec("registry: a.b/UPPER", &["7:13 E-REF"]);
    spec("registry: 'a.b/{repository}'", &["7:14 E-REF"]);
    spec("registry: $REGISTRY/", &["7:13 E-REF"]);
    spec("registry: [a.b]", &["7:13 E-VALUE"]);
    spec("registry: <your-registry>", &["7:13 E-PLACEHOLDER"]);
    spec("imagePath: userpath/", &["7:14 W-COLLIDE", "7:14 W-SLASH"]);
    spec("imagePath: ../x", &["7:14 E-REF"]);
    spec("registry: a.b\nimagePrefix: a/b-", &["8:16 E-REF"]);
    spec("registry: a.b\nimagePrefix: '{name}'", &["8:17 E-REF"]);
    spec(
        "registry: a.b\nimagePullSecrets: [{name: x}]",
        &["8:29 E-SECRETREF"],
    );
    spec("registry: a.b\nimagePullSecrets: x", &["8:21 E-VALUE"]);
    spec("registry: a.b\nimagePullSecrets: [x]", &["8:22 E-VALUE"]);
    spec("<b>registry: myregistry.com</b>", &["7:3 E-REF"]);
    let check = |text: &str, want: &[&str]| assert_eq!(codes(&one(text)), want, "{text}");
    check(
        &installation("registry: a.b").replace("t: Calico", "t: Other"),
        &["6:12 E-VALUE"],
    );
    check(
        &installation("registry: a.b").replace("/v1", "/v2"),
        &["1:13 E-KIND"],
    );
    check("registry: a.b\n", &["1:1 E-KIND"]);
    check("kind: Pod\n", &["1:1 E-KIND", "1:1 I-SKIPPED"]);
    check(
        "<pre>\napiVersion: operator.tigera.io/v1\nkind: Installation\n</pre>\n",
        &["2:11 E-YAML"],
    );
    let set = |name: &str, image: &str, want: &[&str]| {
        check(&image_set(name, &format!("  - {image}\n")), want);
    };
    let digest = format!("sha256:{}", "1".repeat(64));
    set(
        "calico-v1",
        "{image: calico/node, digest: sha512:00}",
        &["7:34 E-DIGEST"],
    );
    set(
        "calico-v1",
        "{image: calico/node, digest: 'sha256:00'}",
        &["7:35 E-DIGEST"],
    );
    set("calico-v1", "{image: calico/node}", &["7:5 E-VALUE"]);
    set(
        "calico-v1",
        &format!("{{image: quay.io/calico/node, digest: '{digest}'}}"),
        &["7:13 E-REF"],
    );
    set(
        "calico-v1",
        &format!("{{image: 'calico/node:v1', digest: '{digest}'}}"),
        &["7:14 E-REF"],
    );
    set(
        "v1",
        &format!("{{image: calico/node, digest: '{digest}'}}"),
        &["4:9 E-VALUE"],
    );
    check(&image_set("calico-v1", "    a: b\n"), &["7:5 E-VALUE"]);
}

#[test]
fn two_digests_for_one_image_are_an_error() {
    let image = |digit: &str| {
        format!(
            "  - image: calico/node\n    digest: sha256:{}\n",
            digit.repeat(64)
        )
    };
    let imported = one(&image_set(
        "calico-v1",
        &format!("{}{}", image("1"), image("2")),
    ));
    assert!(imported.is_refused());
    assert!(
        imported
            .diagnostics
            .iter()
            .all(|diagnostic| diagnostic.code == DiagnosticCode::Duplicate)
    );
}

proptest! {
    #[test]
    fn no_text_panics(
        rest in "(registry|imagePath|imagePrefix|imagePullSecrets|images|image|digest|name|: |\\{|\\}|\\[|\\]|- |\n  |\n|calico|a|x|/|@|:|\\.|'|\u{e9}){0,40}",
        value in ".{0,20}",
    ) {
        one(&rest);
        one(&installation(&rest));
        one(&image_set("calico-v1", &rest));
        let value = value.replace(['"', '\\'], "");
        for key in ["registry", "imagePath", "imagePrefix"] {
            with(SourceFallback::Source, &installation(&format!("{key}: \"{value}\"")));
        }
    }
}
