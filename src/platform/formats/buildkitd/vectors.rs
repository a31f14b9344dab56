//! `BuildKit`.

use crate::platform::{vectors::*, *};

fn import(text: &str) -> Imported {
    read("buildkitd", &[("buildkitd.toml", text)], &OPTIONS)
}

#[test]
fn mirrors_are_asked_in_order_and_the_registry_last() {
    let imported = import(
        "[worker.oci]\nenabled = true\n\
         [registry.\"docker.io\"]\nmirrors = [\"m.corp:5000\", \"harbor.corp/proxy.docker.io\"]\n\
         http = true\n\
         [registry.\"m.corp:5000\"]\nhttp = true\n",
    );
    check(
        &imported,
        &[(
            "mirrors",
            "docker.io/library/busybox",
            &[
                "m.corp:5000/library/busybox",
                "harbor.corp/proxy.docker.io/library/busybox",
                "docker.io/library/busybox",
            ],
        )],
    );
    let url = |name: &str| {
        let mut known = imported.upstreams.iter();
        known
            .find(|known| known.name.as_str() == name)
            .map(|known| known.urls.clone())
    };
    // Only a mirror's own table says how it is contacted.
    assert_eq!(url("m.corp:5000"), Some(vec!["http://m.corp:5000".into()]));
    assert_eq!(url("harbor.corp"), Some(Vec::new()));
}

#[test]
fn without_verification_plain_http_is_the_second_way() {
    let imported = import(
        "[registry.\"quay.io\"]\nmirrors = [\"m.corp\"]\n\
         [registry.\"m.corp\"]\nhttp = true\ninsecure = true\n",
    );
    let ways: Vec<_> = imported
        .upstreams
        .iter()
        .map(|known| (known.urls.concat(), known.is_verified))
        .collect();
    let want = [("", false), ("http://m.corp", false)];
    assert_eq!(
        ways,
        want.map(|(url, is_verified)| (url.to_owned(), is_verified))
    );
    let to = outcome(&table(&imported), "quay.io/a/b");
    assert_eq!(to, ["m.corp/a/b", "m.corp_2/a/b", "quay.io/a/b"]);
}

#[test]
fn certificates_are_those_of_the_hosts_table() {
    let imported = import(
        "[registry.\"ghcr.io\"]\nmirrors = [\"m.corp\"]\n\
         [registry.\"m.corp\"]\nca = [\"/etc/ca.pem\", \"/etc/other.pem\"]\n\
         [[registry.\"m.corp\".keypair]]\nkey = \"/etc/key.pem\"\ncert = \"/etc/cert.pem\"\n",
    );
    assert_eq!(codes(&imported), ["4:23 W-IGNORED"]);
    let [mirror] = imported.upstreams.as_slice() else {
        panic!("{:#?}", imported.upstreams);
    };
    assert_eq!(
        mirror.ca,
        Some(CertificateAuthority::File("/etc/ca.pem".into()))
    );
    let pair = ("/etc/cert.pem".to_owned(), "/etc/key.pem".to_owned());
    assert_eq!(mirror.client, Some(pair));
}

#[test]
fn what_has_no_effect_is_said() {
    let imported = import(
        "[registry.\"*\"]\nmirrors = [\"m.corp\"]\n\
         [registry.\"quay.io\"]\nmirrors = [\"http://m.corp\"]\ntlsconfigdir = [\"/etc/certs\"]\n",
    );
    let want = ["1:11 W-IGNORED", "4:13 W-IGNORED", "5:16 W-IGNORED"];
    assert_eq!(codes(&imported), want);
}

#[test]
fn a_registry_without_mirrors_keeps_its_own_settings() {
    let imported = import("[registry.\"r.corp:5000\"]\nhttp = true\n");
    assert!(imported.routes.is_empty());
    assert_eq!(imported.upstreams[0].urls, ["http://r.corp:5000"]);
}

#[test]
fn documents_are_detected_beside_registries_conf() {
    let text = "[registry.\"docker.io\"]\nmirrors = [\"m.corp\"]\n";
    let imported = read("auto", &[("f.toml", text)], &OPTIONS);
    assert_eq!(imported.routes.len(), 1, "{:#?}", lines(&imported));
}

#[test]
fn what_is_rendered_leads_to_the_mirror() {
    let mirror = fallback_mirror("http://mirror.corp:5000", &["docker.io", "quay.io"]);
    let rendering = rendered("buildkitd", &mirror);
    let text = &rendering.files[0].text;
    check(
        &import(text),
        &[(
            "rendered",
            "quay.io/a/b",
            &["mirror.corp:5000/a/b", "quay.io/a/b"],
        )],
    );
    assert!(
        text.contains("[registry.\"mirror.corp:5000\"]\nhttp = true\n"),
        "{text}"
    );
}
