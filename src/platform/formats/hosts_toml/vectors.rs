//! containerd's `certs.d`.

use crate::{
    platform::{model::imported::ImportedUpstream, vectors::*, *},
    route::RefKind,
    upstream::CredentialSource,
};

fn import(files: &[(&str, &str)]) -> Imported {
    read("hosts-toml", files, &OPTIONS)
}

fn upstream<'i>(imported: &'i Imported, name: &str) -> &'i ImportedUpstream {
    let mut all = imported.upstreams.iter();
    all.find(|one| one.name.as_str() == name).unwrap()
}

/// The API path between an upstream's address and a repository.
fn base<'i>(imported: &'i Imported, name: &str) -> &'i str {
    upstream(imported, name)
        .api_path
        .as_deref()
        .unwrap_or("/v2")
}

#[test]
fn n01_a_path_gets_its_v2() {
    let file = "[host.\"https://mirror-bak.registry/us\"]\n";
    let imported = import(&[("certs.d/docker.io/hosts.toml", file)]);
    let name = "mirror-bak.registry_us_v2";
    assert_eq!(base(&imported, name), "/us/v2");
    assert_eq!(
        upstream(&imported, name).urls,
        ["https://mirror-bak.registry"]
    );
    assert!(upstream(&imported, name).send_ns);
    let want: &[&str] = &[
        "mirror-bak.registry_us_v2/library/nginx",
        "docker.io/library/nginx",
    ];
    check(&imported, &[("N-01", "nginx", want)]);
}

#[test]
fn n02_an_overriding_path_is_taken_as_it_is() {
    let file = "server = \"https://quay.io\"\n[host.\"https://x.corp/v2/namespaceprefix\"]\n\
                override_path = true\n";
    let imported = import(&[("/etc/containerd/certs.d/quay.io/hosts.toml", file)]);
    assert_eq!(base(&imported, "x.corp"), "/v2");
    let want: &[&str] = &["x.corp/namespaceprefix/a/b", "quay.io/a/b"];
    check(&imported, &[("N-02", "quay.io/a/b:1", want)]);
}

#[test]
fn n15_a_converted_mirror_set_is_for_the_whole_host() {
    let file = "server = \"https://registry.redhat.io/v2\"\noverride_path = true\n\n\
                [host.\"https://m.corp/v2/x\"]\n  capabilities = [\"pull\"]\n  override_path = true\n\
                \n  [host.\"https://m.corp/v2/x\".header]\n    authorization = \"Basic bWU6Y2FuYXJ5\"\n";
    let imported = import(&[("certs.d/registry.redhat.io/hosts.toml", file)]);
    check(
        &imported,
        &[
            (
                "N-15",
                "registry.redhat.io/ubi9@D",
                &["m.corp/x/ubi9", "registry.redhat.io/ubi9"],
            ),
            (
                "N-15",
                "registry.redhat.io/other@D",
                &["m.corp/x/other", "registry.redhat.io/other"],
            ),
            (
                "N-15",
                "registry.redhat.io/other:1",
                &["registry.redhat.io/other"],
            ),
        ],
    );
    let [login] = &imported.credentials[..] else {
        panic!("{:?}", imported.credentials);
    };
    assert_eq!(login.entry.scope, "m.corp/x".parse().unwrap());
    let CredentialSource::Static(credential) = &login.entry.source else {
        panic!();
    };
    assert_eq!(credential.username(), "me");
}

#[test]
fn hosts_come_in_the_order_of_the_file() {
    let file = r#"
server = "https://last.corp"

[host."https://b.corp"]
  capabilities = ["pull", "resolve"]
[host."http://a.corp:5000/"]
[host."https://push.corp"]
  capabilities = ["push"]
[host."c.corp/v2"]
  capabilities = ["pull"]
"#;
    let imported = import(&[("certs.d/host.corp_5000_/hosts.toml", file)]);
    assert_eq!(codes(&imported), ["7:7 W-IGNORED"]);
    let tag: &[&str] = &["b.corp/a", "a.corp:5000/a", "last.corp/a"];
    let digest: &[&str] = &["b.corp/a", "a.corp:5000/a", "c.corp/a", "last.corp/a"];
    check(
        &imported,
        &[
            ("tag", "host.corp:5000/a:1", tag),
            ("digest", "host.corp:5000/a@D", digest),
            ("another port", "host.corp/a", &["unmatched"]),
        ],
    );
    assert_eq!(
        upstream(&imported, "a.corp:5000").urls,
        ["http://a.corp:5000"]
    );
    assert_eq!(imported.routes[0].to[2].ref_kind, RefKind::Digest);
}

#[test]
fn one_folder_for_all_goes_anywhere() {
    let file = "[host.\"https://m.corp\"]\n";
    let files = [
        ("certs.d/_default/hosts.toml", file),
        (
            "certs.d/quay.io/hosts.toml",
            "server = \"https://q.corp\"\n",
        ),
    ];
    let imported = import(&files);
    assert_eq!(codes(&imported), ["1:1 W-OPEN"]);
    let rows: [ExpectedRoute; 2] = [
        ("default", "ghcr.io/a/b", &["m.corp/a/b", "ghcr.io/a/b"]),
        ("its own", "quay.io/a/b", &["q.corp/a/b"]),
    ];
    check(&imported, &rows);
    let fallback = SourceFallback::Deny;
    let imported = read(
        "hosts-toml",
        &files,
        &ImportOptions {
            fallback,
            ..OPTIONS
        },
    );
    assert_eq!(codes(&imported), [""; 0]);
    check(&imported, &[("deny", "ghcr.io/a/b", &["m.corp/a/b"])]);
    let fallback = SourceFallback::Source;
    let imported = read(
        "hosts-toml",
        &files,
        &ImportOptions {
            fallback,
            ..OPTIONS
        },
    );
    check(
        &imported,
        &[("source", "quay.io/a/b", &["q.corp/a/b", "quay.io/a/b"])],
    );
}

#[test]
fn only_the_first_folder_of_a_registry_counts() {
    let files = [
        (
            "certs.d/r.corp:5000/hosts.toml",
            "server = \"https://b.corp\"\n",
        ),
        (
            "certs.d/r.corp_5000_/hosts.toml",
            "server = \"https://a.corp\"\n",
        ),
    ];
    let imported = import(&files);
    let want = "certs.d/r.corp:5000/hosts.toml:1:1: W-IGNORED: containerd reads \
                certs.d/r.corp_5000_/hosts.toml only; move it there, or remove it";
    assert_eq!(lines(&imported), [want]);
    check(&imported, &[("first", "r.corp:5000/x", &["a.corp/x"])]);
}

#[test]
fn the_registry_itself_may_need_more_than_its_name() {
    let file = "skip_verify = true\nca = \"ca.crt\"\n";
    let imported = import(&[("certs.d/r.corp:5000/hosts.toml", file)]);
    check(
        &imported,
        &[("source", "r.corp:5000/x", &["r.corp:5000/x"])],
    );
    assert_eq!(imported.routes[0].to[0].target, "source");
    let upstream = upstream(&imported, "r.corp:5000");
    assert!(!upstream.is_verified && !upstream.send_ns);
    let file = CertificateAuthority::File("certs.d/r.corp:5000/ca.crt".to_owned());
    assert_eq!(upstream.ca, Some(file));
    assert_eq!(codes(&imported), ["1:1 E-CA"]);
}

#[test]
fn certificates_come_in_every_form() {
    let client = |value: &str| {
        let file = format!("[host.\"https://m.corp\"]\nclient = {value}\n");
        let imported = import(&[("d/quay.io/hosts.toml", &file)]);
        let client = upstream(&imported, "m.corp").client.clone();
        (
            client.map(|(one, two)| format!("{one} {two}")),
            codes(&imported),
        )
    };
    let found = |text: &str| Some(text.to_owned());
    let both = found("d/quay.io/a d/quay.io/a");
    assert_eq!(client("\"a\""), (both.clone(), vec![]));
    assert_eq!(client("[\"a\"]"), (both.clone(), vec![]));
    assert_eq!(client("[[\"a\", \"\"]]"), (both.clone(), vec![]));
    assert_eq!(
        client("[[\"/a\", \"b\"]]"),
        (found("/a d/quay.io/b"), vec![])
    );
    assert_eq!(
        client("[\"a\", \"b\"]"),
        (both, vec!["2:16 W-IGNORED".to_owned()])
    );
    assert_eq!(client("{ a = 1 }"), (None, vec!["2:10 E-VALUE".to_owned()]));
    assert_eq!(
        client("[[\"a\", \"b\", \"c\"]]"),
        (None, vec!["2:11 E-VALUE".to_owned()])
    );
}

/// Checks locations and codes of the diagnostics about a file.
#[track_caller]
fn says(name: &str, text: &str, want: &[&str]) {
    let imported = import(&[(name, text)]);
    assert_eq!(codes(&imported), want, "{name}: {text}");
    let lines = lines(&imported).concat();
    assert!(!lines.contains("canary"), "{lines}");
}

#[test]
fn a_folder_names_its_registry() {
    says(
        "hosts.toml",
        "server = \"https://a.corp\"",
        &["1:1 E-VALUE"],
    );
    says(
        "./hosts.toml",
        "server = \"https://a.corp\"",
        &["1:1 E-VALUE"],
    );
    says(
        "certs.d/hosts.toml",
        "server = \"https://a.corp\"",
        &["1:1 E-VALUE"],
    );
    says(
        "d/nginx/hosts.toml",
        "server = \"https://a.corp\"",
        &["1:1 E-VALUE"],
    );
    says(
        "d/a b.c/hosts.toml",
        "server = \"https://a.corp\"",
        &["1:1 E-VALUE"],
    );
    says(
        "d/registry-1.docker.io/hosts.toml",
        "server = \"a.corp\"",
        &["1:1 E-KIND", "1:1 W-MISPLACED"],
    );
}

#[test]
fn what_is_wrong_says_where() {
    let docker = "certs.d/docker.io/hosts.toml";
    says(docker, "server = [1]", &["1:10 E-VALUE"]);
    says(docker, "host = [1]", &["1:8 E-VALUE"]);
    says(docker, "[host]\n\"https://a.corp\" = 1", &["2:20 E-VALUE"]);
    says(docker, "[host.\"ftp://a.corp\"]", &["1:7 E-SCHEME"]);
    says(
        docker,
        "[host.\"https://me:canary@a.corp\"]",
        &["1:7 E-VALUE"],
    );
    says(
        docker,
        "[host.\"https://a.corp\"]\nskip_verify = 1",
        &["2:15 E-VALUE"],
    );
    says(
        docker,
        "[host.\"https://a.corp\"]\noverride_path = []",
        &["2:17 E-VALUE"],
    );
    says(
        docker,
        "[host.\"https://a.corp\"]\ncapabilities = [\"fly\"]",
        &["1:7 W-IGNORED", "2:18 E-VALUE"],
    );
    says(
        docker,
        "[host.\"https://a.corp\"]\nca = {}",
        &["2:6 E-VALUE"],
    );
    says(
        docker,
        "[host.\"https://a.corp\"]\nheader = 1",
        &["2:10 E-VALUE"],
    );
    let header = "[host.\"https://a.corp\".header]\n";
    says(
        docker,
        &format!("{header}X-Key = \"canary\""),
        &["2:1 W-IGNORED"],
    );
    says(
        docker,
        &format!("{header}Authorization = \"Basic canary!\""),
        &["2:18 E-AUTHB64"],
    );
    says(
        docker,
        &format!("{header}Authorization = [\"canary\"]"),
        &["2:19 E-VALUE"],
    );
    says(docker, "server = ", &["1:10 E-TOML"]);
}

#[test]
fn a_file_that_leads_to_the_mirror_is_no_way_out() {
    let own = |registry: &Registry| registry.as_str() == "m.corp:5000";
    let options = ImportOptions {
        own: &own,
        ..OPTIONS
    };
    for host in ["http://m.corp:5000", "http://m.corp:5000/p"] {
        let file = format!("[host.\"{host}\"]");
        let imported = read("hosts-toml", &[("quay.io/hosts.toml", &file)], &options);
        assert_eq!(codes(&imported), ["1:1 E-LOOP"], "{host}");
    }
    let formats = [
        ("hosts-toml", "hosts-toml"),
        ("containerd-legacy", "containerd"),
        ("docker", "docker"),
    ];
    for (target, format) in formats {
        for falls_back in [false, true] {
            let mirror = Mirror {
                is_tls: false,
                authority: "m.corp:5000".parse().unwrap(),
                registries: vec!["docker.io".parse().unwrap(), "r.corp:1".parse().unwrap()],
                falls_back,
                ca_file: Some("/ca".to_owned()),
                aliases: Vec::new(),
                pins: Vec::new(),
            };
            for RenderedFile { path, text } in rendered(target, &mirror).files {
                let imported = read(format, &[(&path, &text)], &options);
                let mut found = imported.diagnostics.iter();
                assert!(
                    found.any(|diagnostic| diagnostic.code == DiagnosticCode::Loop),
                    "{path}: {text}"
                );
                assert!(imported.diagnostics.iter().all(|one| {
                    one.level != Severity::Error || one.code == DiagnosticCode::Loop
                }));
            }
        }
    }
}
