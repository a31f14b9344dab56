//! Docker's `daemon.json`.

use crate::platform::{vectors::*, *};

fn import(text: &str) -> Imported {
    read("docker", &[("daemon.json", text)], &OPTIONS)
}

/// Name, address, path and whether certificates are checked.
fn upstreams(imported: &Imported) -> Vec<String> {
    let one = |one: &ImportedUpstream| {
        let (urls, checked) = (one.urls.concat(), one.is_verified);
        let path = one.api_path.as_deref().unwrap_or("/v2");
        format!("{} {urls} {path} {checked}", one.name)
    };
    imported.upstreams.iter().map(one).collect()
}

#[test]
fn n12_a_path_gets_its_v2() {
    for text in ["localhost:5000/base", "http://localhost:5000/base/"] {
        let imported = import(&format!("{{\"registry-mirrors\": [{text:?}]}}"));
        let want = "localhost:5000_base_v2 http://localhost:5000 /base/v2 false";
        assert_eq!(upstreams(&imported), [want]);
        let want = &[
            "localhost:5000_base_v2/library/busybox",
            "docker.io/library/busybox",
        ];
        check(&imported, &[("N-12", "busybox", want)]);
    }
}

#[test]
fn n13_a_path_below_v2_gets_another() {
    let imported = import(r#"{"registry-mirrors": ["http://localhost:5000/v2/base"]}"#);
    let want = "localhost:5000 http://localhost:5000 /v2 false";
    assert_eq!(upstreams(&imported), [want]);
    let want = &[
        "localhost:5000/base/v2/library/busybox",
        "docker.io/library/busybox",
    ];
    check(&imported, &[("N-13", "busybox", want)]);
}

#[test]
fn mirrors_are_for_docker_hub_only() {
    let text = r#"{"registry-mirrors": ["https://a.corp", "http://b.corp:5000"], "debug": true}"#;
    let imported = import(text);
    let want: &[&str] = &["a.corp/a/b", "b.corp:5000/a/b", "docker.io/a/b"];
    let rows: [ExpectedRoute; 2] = [
        ("hub", "a/b:1", want),
        ("other", "quay.io/a/b", &["unmatched"]),
    ];
    check(&imported, &rows);
    assert_eq!(codes(&imported), [""; 0]);
    let files = [("daemon.json", text)];
    let fallback = SourceFallback::Deny;
    let imported = read(
        "docker",
        &files,
        &ImportOptions {
            fallback,
            ..OPTIONS
        },
    );
    check(
        &imported,
        &[("deny", "a/b:1", &["a.corp/a/b", "b.corp:5000/a/b"])],
    );
}

#[test]
fn insecure_registries_are_hosts_and_networks() {
    let check = |insecure: &str, mirror: &str, is_verified: bool| {
        let text = format!(
            "{{\"insecure-registries\": [{insecure:?}], \"registry-mirrors\": [{mirror:?}]}}"
        );
        let imported = import(&text);
        let upstream = imported.upstreams.first();
        assert_eq!(upstream.is_none(), is_verified, "{insecure} {mirror}");
        assert_eq!(
            codes(&imported).is_empty(),
            !is_verified,
            "{insecure}: {:?}",
            codes(&imported)
        );
    };
    check("m.corp", "https://m.corp", false);
    check("http://m.corp", "https://m.corp", false);
    check("m.corp", "https://m.corp:5000", true);
    check("10.0.0.0/8", "https://10.1.2.3:5000", false);
    check("10.0.0.0/8", "https://11.1.2.3:5000", true);
    check("0.0.0.0/0", "https://11.1.2.3", false);
    check("10.0.0.1/32", "https://10.0.0.1", false);
    check("fd00::/8", "https://[fd00::1]", false);
    check("::/0", "https://[fd00::1]", false);
    check("10.0.0.0/8", "https://m.corp", true);
}

#[test]
fn what_is_wrong_says_where() {
    let check = |text: &str, want: &[&str]| {
        let imported = import(text);
        assert_eq!(codes(&imported), want, "{text}");
        assert!(!lines(&imported).concat().contains("canary"), "{text}");
    };
    check("{\"registry-mirrors\": {}}", &["1:22 E-VALUE"]);
    check("{\"registry-mirrors\": [\n  {}]}", &["2:3 E-VALUE"]);
    check(
        "{\"registry-mirrors\": [\"ftp://m.corp\"]}",
        &["1:24 E-SCHEME"],
    );
    check(
        "{\"registry-mirrors\": [\"https://me:canary@m.corp\"]}",
        &["1:24 E-VALUE"],
    );
    check(
        "{\"registry-mirrors\": [\"https://m.corp?canary\"]}",
        &["1:24 E-VALUE"],
    );
    check(
        "{\"insecure-registries\": [\"10.0.0.0/33\"]}",
        &["1:27 E-VALUE"],
    );
    check(
        "{\"insecure-registries\": [\"m.corp\"]}",
        &["1:1 E-KIND", "1:27 W-IGNORED"],
    );
    check("{\"debug\": true}", &["1:1 E-KIND"]);
    check("[]", &["1:1 E-KIND"]);
    check("{\"registry-mirrors\": [}", &["1:23 E-JSON"]);
}
