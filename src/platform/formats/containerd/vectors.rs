//! containerd's older `config.toml`.

use proptest::prelude::*;

use crate::{
    platform::{vectors::*, *},
    upstream::CredentialSource,
};

fn import(text: &str) -> Imported {
    read("containerd", &[("config.toml", text)], &OPTIONS)
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

/// A file of version 2 with these tables below `registry`.
fn file(tables: &str) -> String {
    let registry = "[plugins.\"io.containerd.grpc.v1.cri\".registry.";
    let line = |line: &str| match line.strip_prefix('[') {
        Some(table) => format!("{registry}{table}\n"),
        None => format!("{line}\n"),
    };
    let tables: String = tables.lines().map(line).collect();
    format!("version = 2\n{tables}")
}

#[test]
fn n03_an_endpoints_path_is_taken_as_it_is() {
    let imported = import(&file(
        "[mirrors.\"docker.io\"]\nendpoint = [\"https://x/proj\"]\n",
    ));
    assert_eq!(upstreams(&imported), ["x_proj https://x /proj true"]);
    assert!(imported.upstreams[0].send_ns);
    let want = &["x_proj/library/nginx", "docker.io/library/nginx"];
    check(&imported, &[("N-03", "docker.io/library/nginx:1", want)]);
}

#[test]
fn endpoints_without_a_path_or_scheme() {
    let imported = import(&file(
        "[mirrors.\"r.corp:5000\"]\n\
         endpoint = [\"https://a.corp\", \"b.corp:5000\", \"localhost:5000\", \"c.corp/\"]\n",
    ));
    let want = [
        "a.corp  /v2 true",
        "b.corp:5000  /v2 true",
        "localhost:5000 http://localhost:5000 /v2 true",
        "c.corp_ https://c.corp / true",
    ];
    assert_eq!(upstreams(&imported), want);
    let want = &[
        "a.corp/x",
        "b.corp:5000/x",
        "localhost:5000/x",
        "c.corp_/x",
        "r.corp:5000/x",
    ];
    check(&imported, &[("order", "r.corp:5000/x", want)]);
}

#[test]
fn every_version_has_its_own_place() {
    let mirrors = "registry.mirrors.\"quay.io\"]\nendpoint = [\"https://m.corp\"]\n";
    let placed = |version: &str, plugin: &str, want: &[&str]| {
        let imported = import(&format!("{version}\n[plugins.{plugin}.{mirrors}"));
        assert_eq!(codes(&imported), want, "{version} {plugin}");
        let want: &[&str] = &["m.corp/a", "quay.io/a"];
        check(&imported, &[("place", "quay.io/a:1", want)]);
    };
    placed("", "cri", &[]);
    placed("version = 1", "\"cri\"", &[]);
    placed("version = 2", "\"io.containerd.grpc.v1.cri\"", &[]);
    placed("version = 3", "'io.containerd.cri.v1.images'", &[]);
    // Parts of files, as documents have them.
    placed("", "\"io.containerd.grpc.v1.cri\"", &["2:38 W-MISPLACED"]);
    placed("version = 2", "cri", &["2:14 W-MISPLACED"]);
}

#[test]
fn what_is_not_named_has_the_mirrors_of_the_star() {
    let text = file(
        "[mirrors.\"*\"]\nendpoint = [\"https://m.corp\"]\n\
         [mirrors.\"quay.io\"]\nendpoint = [\"https://quay.io\"]\n[mirrors.\"gcr.io\"]\n",
    );
    let imported = import(&text);
    assert_eq!(codes(&imported), ["2:55 W-OPEN"]);
    let rows: [ExpectedRoute; 3] = [
        ("star", "ghcr.io/a", &["m.corp/a", "ghcr.io/a"]),
        ("itself", "quay.io/a", &["quay.io/a"]),
        ("nothing", "gcr.io/a", &["gcr.io/a"]),
    ];
    check(&imported, &rows);
    let files = [("config.toml", &*text)];
    let fallback = SourceFallback::Deny;
    let imported = read(
        "containerd",
        &files,
        &ImportOptions {
            fallback,
            ..OPTIONS
        },
    );
    let rows: [ExpectedRoute; 2] = [
        ("star", "ghcr.io/a", &["m.corp/a"]),
        ("itself", "quay.io/a", &["deny"]),
    ];
    check(&imported, &rows);
}

#[test]
fn settings_are_for_hosts() {
    let imported = import(&file(
        r#"[mirrors."docker.io"]
endpoint = ["https://m.corp:5000", "https://m.corp:5000/other"]
[configs."m.corp:5000".tls]
insecure_skip_verify = true
[configs."m.corp:5000".auth]
username = "me"
password = "canary"
[configs."registry-1.docker.io".auth]
auth = "eW91OmNhbmFyeQ=="
[configs."gcr.io".auth]
identitytoken = "canary"
[configs."r.corp".tls]
ca_file = "/ca"
cert_file = "/cert"
key_file = "/key"
[configs."r.corp".auth]
"#,
    ));
    let want = [
        "m.corp:5000  /v2 false",
        "m.corp:5000_other https://m.corp:5000 /other false",
        "r.corp  /v2 true",
    ];
    assert_eq!(upstreams(&imported), want);
    let client = Some(("/cert".to_owned(), "/key".to_owned()));
    assert_eq!(imported.upstreams[2].client, client);
    let authority = Some(CertificateAuthority::File("/ca".to_owned()));
    assert_eq!(imported.upstreams[2].ca, authority);
    let login = |login: &ImportedCredentials| match &login.entry.source {
        CredentialSource::Static(credential) => {
            format!("{} {}", login.entry.scope, credential.username())
        }
        CredentialSource::Helper { .. } => panic!(),
    };
    let logins: Vec<_> = imported.credentials.iter().map(login).collect();
    assert_eq!(
        logins,
        ["m.corp:5000 me", "docker.io you", "gcr.io <token>"]
    );
    assert_eq!(codes(&imported), [""; 0]);
}

/// The file that Palette's document shows, which is called YAML there.
#[test]
fn palettes_node_file_is_read_as_containerd_reads_it() {
    let imported = import(CONFIG_TOML);
    assert_eq!(codes(&imported), ["7:13 W-IGNORED"]);
    let path = "harbor.example.org_airgap-images";
    assert_eq!(upstreams(&imported).len(), 6);
    let rows: [ExpectedRoute; 3] = [
        (
            "docker.io",
            "nginx:1.25",
            &[
                "harbor.example.org_airgap-images_docker.io/library/nginx",
                "docker.io/library/nginx",
            ],
        ),
        (
            "k8s.gcr.io",
            "k8s.gcr.io/pause:3.5",
            &[
                "harbor.example.org_airgap-images_gcr.io/pause",
                "k8s.gcr.io/pause",
            ],
        ),
        (
            "whole",
            "us-docker.pkg.dev/a/b:1",
            &[
                "harbor.example.org_airgap-images/a/b",
                "us-docker.pkg.dev/a/b",
            ],
        ),
    ];
    check(&imported, &rows);
    let mut all = imported.upstreams.iter();
    let whole = all.find(|one| one.name.as_str() == path).unwrap();
    assert_eq!(whole.api_path.as_deref(), Some("/airgap-images"));
}

#[test]
fn what_is_wrong_says_where() {
    let check = |registry: &str, want: &[&str]| {
        let text = file(registry).replace("plugins.\"io.containerd.grpc.v1.cri\"", "plugins.x");
        let text = text
            .replace("plugins.x", "plugins.cri")
            .replace("version = 2", "");
        let imported = import(&text);
        assert_eq!(codes(&imported), want, "{text}");
        assert!(!lines(&imported).concat().contains("canary"), "{text}");
    };
    let docker = "[mirrors.\"docker.io\"]\n";
    check(&format!("{docker}endpoint = [1, {{}}]"), &["3:16 E-VALUE"]);
    check(
        &format!("{docker}endpoint = [\"ftp://m.corp\"]"),
        &["3:14 E-SCHEME"],
    );
    check(
        &format!("{docker}endpoint = [\"https://a:canary@m.corp\"]"),
        &["3:14 E-VALUE"],
    );
    check("[mirrors.\"docker\"]\n", &["2:31 E-REF"]);
    check(
        "[mirrors.\"registry-1.docker.io\"]\n",
        &["1:1 E-KIND", "2:31 W-MISPLACED"],
    );
    check("[mirrors]\nx = 1\n", &["3:5 E-VALUE"]);
    check("[x]\n[configs]\nx = 1\n", &["4:5 E-VALUE"]);
    check(
        "[configs.\"m.corp\"]\nauth = 1\ntls = 2\n",
        &["3:8 E-VALUE", "4:7 E-VALUE"],
    );
    check(
        "[configs.\"m.corp\".auth]\nauth = \"canary\"\n",
        &["3:9 E-AUTHB64"],
    );
    check(
        "[configs.\"m.corp\".auth]\nusername = []\n",
        &["3:12 E-VALUE"],
    );
    check(
        "[configs.\"m.corp\".auth]\nusername = \"a\"\n",
        &["3:13 E-VALUE"],
    );
    check(
        "[configs.\"m.corp\".tls]\ncert_file = \"a\"\n",
        &["3:14 E-VALUE"],
    );
    check(
        "[configs.\"m.corp\".tls]\ninsecure_skip_verify = 1\n",
        &["3:24 E-VALUE"],
    );
    let twice = "[configs.\"m.corp\".tls]\nca_file = \"a\"\n[configs.\"https://m.corp\".tls]\n\
                 ca_file = \"b\"\n";
    check(twice, &["4:31 E-DUP"]);
}

#[test]
fn config_path_takes_the_place_of_mirrors() {
    let path = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n\
                config_path = \"/etc/containerd/certs.d\"\n";
    let imported = import(path);
    assert_eq!(codes(&imported), ["1:1 E-KIND", "3:16 I-SKIPPED"]);
    for table in ["mirrors.\"quay.io\"", "configs.\"quay.io\".tls"] {
        let table = format!("[plugins.\"io.containerd.grpc.v1.cri\".registry.{table}]\n");
        let imported = import(&format!("{path}{table}"));
        assert_eq!(codes(&imported), ["3:16 E-VALUE"], "{table}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(
        key in "[a-z.:/@\"_-]{0,20}",
        value in "(\"[a-z.:/@\\[\\]_-]{0,30}\"|[0-9]|true|\\[\\]|\\{\\}|\\[\\[\"a\"\\]\\])",
        name in "[a-z.:/_-]{0,20}",
    ) {
        let words = ["server", "capabilities", "ca", "client", "header", "override_path", "host"];
        let table = words.map(|word| format!("{word} = {value}\n")).concat();
        for text in [table.clone(), format!("[host.'{key}']\n{table}"), format!("[host]\n{key}")] {
            let file = format!("{name}/hosts.toml");
            let _read = read("hosts-toml", &[(&file, &text)], &OPTIONS);
        }
        let words = ["endpoint", "auth", "tls", "auth.auth", "tls.ca_file", "config_path"];
        for word in words {
            let text = file(&format!("[mirrors.'{key}']\n{word} = {value}\n[configs.'{key}']\n\
                                      {word} = {value}\n"));
            let _read = import(&text);
            let text = file(&format!("[configs]\n{word} = {value}\n[mirrors]\n{word} = {value}\n"));
            let _read = import(&text);
        }
        for key in ["registry-mirrors", "insecure-registries"] {
            let text = format!("{{{key:?}: [{value}, {key:?}]}}");
            let _read = read("docker", &[("daemon.json", &text)], &OPTIONS);
        }
    }
}
