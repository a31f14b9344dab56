//! k3s and RKE2.

use proptest::prelude::*;

use crate::platform::{vectors::*, *};

fn import(text: &str) -> Imported {
    read("k3s", &[("registries.yaml", text)], &OPTIONS)
}

/// Docker Hub by one mirror, with rewrites.
fn rewritten(rewrites: &str) -> Imported {
    import(&format!(
        "mirrors:\n  docker.io:\n    endpoint:\n      - \"https://m.corp\"\n    rewrite:\n{rewrites}"
    ))
}

#[test]
fn names_are_rewritten_for_endpoints() {
    let check = |id: &'static str, rewrite: &str, image: &'static str, want: &[&str]| {
        let imported = rewritten(&format!("      {rewrite}\n"));
        assert_eq!(outcome(&table(&imported), image), want, "{id}");
    };
    let busybox = "docker.io/library/busybox";
    check(
        "N-04",
        "\"^rancher/(.*)\": \"mirrorproject/rancher-images/$1\"",
        "docker.io/rancher/mirrored-pause:3.6",
        &[
            "m.corp/mirrorproject/rancher-images/mirrored-pause",
            "docker.io/rancher/mirrored-pause",
        ],
    );
    check(
        "N-04 other",
        "\"^rancher/(.*)\": \"x/$1\"",
        busybox,
        &["m.corp/library/busybox", busybox],
    );
    check(
        "N-05",
        "\"(.*)\": \"docker/$1\"",
        busybox,
        &["m.corp/docker/library/busybox", busybox],
    );
    check(
        "N-05 digest",
        "\"(.*)\": \"docker/$1\"",
        "busybox@D",
        &["m.corp/docker/library/busybox", busybox],
    );
    check(
        "N-06",
        "\"(.*)\": \"mirrored-$1\"",
        busybox,
        &["m.corp/mirrored-library/busybox", busybox],
    );
    check(
        "N-07",
        "\"(.*)\": \"$1/docker\"",
        busybox,
        &["m.corp/library/busybox/docker", busybox],
    );
    check(
        "N-07 all",
        "\"/\": \"-\"",
        "docker.io/a/b/c",
        &["m.corp/a-b-c", "docker.io/a/b/c"],
    );
}

#[test]
fn a_bad_regex_is_an_error_where_it_stands() {
    let imported = rewritten("      \"(.*\": \"docker/$1\"\n      \"a\": \"$2\"\n      b: [c]\n");
    let errors = codes(&imported)
        .into_iter()
        .filter(|code| code.contains("E-"));
    let want = ["6:8 E-REGEX", "7:8 E-REGEX", "8:10 E-VALUE"];
    assert_eq!(
        errors.collect::<Vec<_>>(),
        want,
        "N-08: {:#?}",
        lines(&imported)
    );
}

#[test]
fn endpoints_are_asked_in_order_and_the_registry_last() {
    let imported = import(
        "mirrors:\n  quay.io:\n    endpoint: [http://a.corp:5000, b.corp/v2/q, c.corp/q, 'localhost:5001', https://a.corp/v2]\n  \
         ghcr.io:\n  k8s.gcr.io:\n    endpoint: https://k8s.gcr.io\n    rewrite: {'^': 'x/'}\n  \"*\":\n    endpoint: [m.corp]\n\
         configs:\n  a.corp:5000:\n    auth: {username: me, password: canary}\n  quay.io:\n    tls: {insecure_skip_verify: true, ca_file: ''}\n  \
         m.corp:\n    tls: {ca_file: /ca.pem, cert_file: /c.pem, key_file: /k.pem}\n",
    );
    check(
        &imported,
        &[
            (
                "order",
                "quay.io/x",
                &[
                    "a.corp:5000/x",
                    "b.corp/q/x",
                    "c.corp_q/x",
                    "localhost:5001/x",
                    "a.corp/x",
                    "quay.io/x",
                ],
            ),
            ("embedded", "ghcr.io/x", &["ghcr.io/x"]),
            ("own", "k8s.gcr.io/pause", &["k8s.gcr.io/x/pause"]),
            ("any", "other.corp/x", &["m.corp/x", "other.corp/x"]),
        ],
    );
    let met = |name: &str| {
        imported
            .upstreams
            .iter()
            .find(|one| one.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(met("c.corp_q").api_path.as_deref(), Some("/q"));
    assert!(met("a.corp:5000").send_ns && !met("quay.io").send_ns);
    assert!(!met("quay.io").is_verified);
    assert_eq!(
        met("m.corp").ca,
        Some(CertificateAuthority::File("/ca.pem".to_owned()))
    );
    assert_eq!(
        met("m.corp").client,
        Some(("/c.pem".to_owned(), "/k.pem".to_owned()))
    );
    assert_eq!(met("localhost:5001").urls, ["http://localhost:5001"]);
    assert_eq!(
        imported.credentials[0].entry.scope,
        "a.corp:5000".parse().unwrap()
    );
    assert_eq!(
        codes(&imported),
        ["2:3 W-IGNORED", "8:4 W-OPEN"],
        "{:#?}",
        lines(&imported)
    );
    let deny = ImportOptions {
        fallback: SourceFallback::Deny,
        ..OPTIONS
    };
    let text = "mirrors:\n  '*':\n    endpoint: [m.corp]\n";
    let imported = read("k3s", &[("r.yaml", text)], &deny);
    check(&imported, &[("denied", "quay.io/x", &["m.corp/x"])]);
    assert!(lines(&imported).is_empty());
}

#[test]
fn what_is_wrong_says_where() {
    let wrong = |text: &str, want: &[&str]| {
        let imported = import(text);
        let errors = codes(&imported)
            .into_iter()
            .filter(|code| code.contains(" E-"));
        assert_eq!(errors.collect::<Vec<_>>(), want, "{:#?}", lines(&imported));
        assert!(lines(&imported).iter().all(|line| !line.contains("canary")));
    };
    wrong("mirrors:\n  - a", &["2:3 E-VALUE"]);
    wrong("mirrors:\n  quay.io: a", &["2:12 E-VALUE"]);
    wrong("mirrors:\n  quay: {}", &["2:3 E-REF"]);
    wrong(
        "mirrors:\n  index.docker.io: {endpoint: a.b}\n",
        &["1:1 E-KIND"],
    );
    wrong("mirrors:\n  a.b: {endpoint: {c: d}}", &["2:19 E-VALUE"]);
    wrong(
        "mirrors:\n  a.b: {endpoint: ['ftp://c.d', 'https://u:canary@c.d', '']}",
        &["2:21 E-SCHEME", "2:34 E-VALUE", "2:58 E-REF"],
    );
    wrong("mirrors: {a.b: {rewrite: [c]}}", &["1:26 E-VALUE"]);
    wrong(
        "configs:\n  a.b: {auth: canary, tls: x}",
        &["2:15 E-VALUE", "2:28 E-VALUE"],
    );
    wrong(
        "configs:\n  a.b: {auth: {auth: canary}}",
        &["2:22 E-AUTHB64"],
    );
    wrong("configs:\n  a.b: {tls: {cert_file: /c}}", &["2:26 E-VALUE"]);
    wrong(
        "configs:\n  a.b: {tls: {insecure_skip_verify: maybe}}",
        &["2:37 E-VALUE"],
    );
    wrong("mirrors:\n\ta.b: {}", &["2:1 E-YAML"]);
}

#[test]
fn what_is_rendered_leads_to_the_mirror() {
    let own = |registry: &Registry| registry.as_str() == "mirror.corp:5000";
    let options = ImportOptions {
        own: &own,
        ..OPTIONS
    };
    let mirror = Mirror {
        ca_file: Some("/a \"b\".pem".to_owned()),
        is_tls: true,
        ..mirror()
    };
    let rendered = rendered("k3s", &mirror);
    let text = &rendered.files[0].text;
    let imported = import(text);
    assert_eq!(
        outcome(&table(&imported), "nginx")[0],
        "mirror.corp:5000/library/nginx"
    );
    assert_eq!(
        imported.upstreams[0].ca,
        Some(CertificateAuthority::File("/a \"b\".pem".to_owned()))
    );
    let imported = read("k3s", &[("r.yaml", text)], &options);
    assert!(codes(&imported).iter().any(|code| code.ends_with("E-LOOP")));
}

proptest! {
    #[test]
    fn no_text_panics(name in "\\PC{0,8}|[a-z.:*]{0,6}", endpoint in "(https://|a\\.b|:|/v2|/|x|[?@#]){0,6}", regex in "[(.*)a^$\\\\?]{0,6}") {
        let name = serde_json::Value::from(name);
        let text = format!("mirrors:\n  {name}:\n    endpoint: ['{endpoint}']\n    rewrite: {{'{regex}': '{regex}'}}\nconfigs:\n  {name}: {{auth: {{auth: {name}}}}}\n");
        let _ = import(&text).is_refused();
    }
}
