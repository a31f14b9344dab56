//! Palette's registry override.

use crate::{
    oci::Registry,
    route::{Ingress, IngressText},
    upstream::{Credential, CredentialSource},
};

use crate::{
    oci::Reference,
    platform::{vectors::*, *},
    route::{Decision, UnmatchedPolicy},
};

mod samples;

use samples::*;

fn palette(name: &str, text: &str) -> Imported {
    read("palette", &[(name, text)], &OPTIONS)
}

fn diagnostics(text: &str) -> Vec<String> {
    codes(&palette("file.yaml", text))
}

/// The diagnostics right after a text, as `LINE:COLUMN CODE`.
fn after(text: &str, mark: &str, code: &str) -> String {
    let (before, _) = text.split_once(mark).unwrap();
    let before = format!("{before}{mark}");
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    format!("{}:{column} {code}", before.matches('\n').count() + 1)
}

/// The map of the documents' samples.
fn list() -> &'static str {
    let line = SECRET
        .lines()
        .find_map(|line| line.split_once("MIRROR_REGISTRIES: "));
    line.unwrap().1
}

#[test]
fn the_documents_samples() {
    for (name, text) in [
        ("registry-secret.yaml", SECRET),
        ("values.yaml", HELM),
        ("config.toml", CONFIG_TOML),
        ("map", list()),
    ] {
        let imported = palette(name, text);
        let mark = match name {
            "config.toml" => "\"k8s.gcr.io\"]\n        endpoint = [\"",
            _ => "k8s.gcr.io::",
        };
        // It shares the folder of gcr.io.
        let want = after(text, mark, "W-COLLIDE");
        assert_eq!(codes(&imported), [want], "{name}");
        check(&imported, PA);
        assert!(imported.credentials.is_empty() && imported.upstreams.is_empty());
        let found = read_any(name, text);
        if name != "config.toml" {
            assert_eq!(found.routes, imported.routes, "{name}");
        }
    }
    let crlf = palette("s.yaml", &SECRET.replace('\n', "\r\n"));
    check(&crlf, PA);
    let bom = format!("\u{feff}{}", list().replace(',', " , "));
    check(&palette("map", &bom), PA);
    let lines = list().replace(',', ",\n");
    check(&palette("map", &lines), PA);
    let top = HELM
        .replace("config:\n", "config2:\n")
        .replace("\n  ", "\n");
    check(&palette("values.yaml", &top), PA);
}

#[test]
fn the_documents_samples_as_they_are_copied() {
    let indented = |text: &str| -> String {
        let lines = text.split_inclusive('\n');
        lines.fold(String::new(), |text, line| text + "    " + line)
    };
    for text in [HELM, SECRET] {
        for (text, columns) in [(text.to_owned(), 0), (indented(text), 4)] {
            let imported = palette("-", &text);
            let want = after(&text, "k8s.gcr.io::", "W-COLLIDE");
            assert_eq!(codes(&imported), [want], "{columns}");
            check(&imported, PA);
            assert_eq!(read_any("-", &text).routes, imported.routes);
        }
    }
    let block = HELM.replace("mirrorRegistries: \"", "mirrorRegistries: >-\n      ");
    check(&palette("-", &block.replace("images\"\n", "images\n")), PA);
}

#[test]
fn names_that_the_webhook_has_made_already_are_left_alone() {
    const NAME: &str = "harbor.example.org/airgap-images/gcr.io/spectro-images-public/imageswap";
    let rows: &[ExpectedRoute] = &[
        ("made already", NAME, &[NAME]),
        ("outside", "harbor.example.org/other/x", &["deny"]),
    ];
    check(&palette("-", SECRET), rows);
    check(&palette("-", list()), rows);
}

fn read_any(name: &str, text: &str) -> Imported {
    let input = Input {
        name,
        bytes: text.as_bytes(),
        is_named: true,
    };
    import(None, &[input], &OPTIONS)
}

#[test]
fn pa13_both_dialects_are_one() {
    let runtime = SECRET.replace("::harbor.example.org/", "::harbor.example.org/v2/");
    let imported = palette("s.yaml", &runtime);
    check(&imported, PA);
    let dialects = codes(&imported);
    let notes = dialects.iter().filter(|code| code.ends_with("W-DIALECT"));
    assert_eq!(notes.count(), 7);
    let only_whole = palette(
        "map",
        "quay.io::h.example/v2x/quay.io,gcr.io::h.example/a/v2",
    );
    let rows: &[ExpectedRoute] = &[
        ("not v2", "quay.io/a", &["h.example/v2x/quay.io/a"]),
        (
            "not first",
            "gcr.io/a",
            &["h.example/a/v2/a", "h.example/a/v2/gcr.io/a"],
        ),
    ];
    check(&only_whole, rows);
}

#[test]
fn pa11_connected_sites_fall_back() {
    let options = ImportOptions {
        fallback: SourceFallback::Source,
        ..OPTIONS
    };
    let imported = read("palette", &[("s.yaml", SECRET)], &options);
    assert_eq!(imported.unmatched, Some(UnmatchedPolicy::Source));
    let h = "harbor.example.org/airgap-images";
    let table = table(&imported);
    let want = [
        format!("{h}/gcr.io/pause"),
        format!("{h}/k8s.gcr.io/pause"),
        "k8s.gcr.io/pause".to_owned(),
    ];
    assert_eq!(outcome(&table, "k8s.gcr.io/pause:3.5"), want);
    let public = outcome(&table, "mcr.microsoft.com/oss/x:1");
    assert_eq!(public, ["mcr.microsoft.com/oss/x"]);
}

#[test]
fn pa12_in06_in07_paths_of_targets_are_aliases() {
    let imported = palette("s.yaml", SECRET);
    let aliases = imported.aliases.iter();
    let text = IngressText {
        aliases: aliases
            .map(|alias| (alias.prefix.clone(), alias.registries.clone()))
            .collect(),
        ..IngressText::default()
    };
    let ingress = Ingress::new(text).unwrap();
    let table = table(&imported);
    let ask = |path: &str, ns: Option<&str>| {
        let named = ingress.resolve(path, ns, None).unwrap();
        let tag = Reference::Tag("1.25".parse().unwrap());
        let Decision::Route { candidates, .. } = table.decide(&named, &tag) else {
            panic!("{path}");
        };
        let first = shown(&candidates[0]);
        (named.repository.to_string(), first)
    };
    let check = |path: &str, ns: Option<&str>, name: &str, target: &str| {
        let target = format!("harbor.example.org/airgap-images/{target}");
        assert_eq!(ask(path, ns), (name.to_owned(), target), "{path}");
    };
    let nginx = ("docker.io/library/nginx", "docker.io/library/nginx");
    let path = "airgap-images/docker.io/library/nginx";
    check(&format!("/{path}"), Some("docker.io"), nginx.0, nginx.1);
    check(&format!("/v2/{path}"), None, nginx.0, nginx.1);
    check(
        "/airgap-images/quay.io/a/b",
        Some("quay.io"),
        "quay.io/a/b",
        "quay.io/a/b",
    );
    check(
        "/airgap-images/gcr.io/pause",
        Some("k8s.gcr.io"),
        "k8s.gcr.io/pause",
        "gcr.io/pause",
    );
    check(
        "/airgap-images/palette-images/x",
        Some("us-docker.pkg.dev"),
        "us-docker.pkg.dev/palette-images/x",
        "palette-images/x",
    );
    check(
        "/v2/airgap-images/us-docker.pkg.dev/palette-images/x",
        None,
        "us-docker.pkg.dev/palette-images/x",
        "palette-images/x",
    );
    let shared = imported
        .aliases
        .iter()
        .find(|alias| alias.prefix == "airgap-images/gcr.io");
    let names: Vec<_> = shared
        .unwrap()
        .registries
        .iter()
        .map(Registry::as_str)
        .collect();
    assert_eq!(names, ["gcr.io", "k8s.gcr.io"]);
}

#[test]
fn pa14_without_an_airgap() {
    let text = "docker.io::public.ecr.aws/1234567/airgap-images/docker.io,\
                gcr.io::public.ecr.aws/1234567/airgap-images/gcr.io";
    let folder = "public.ecr.aws/1234567/airgap-images";
    let imported = palette("map", text);
    let want: &[&str] = &[
        "public.ecr.aws/1234567/airgap-images/docker.io/library/busybox",
        "public.ecr.aws/1234567/airgap-images/docker.io/busybox",
    ];
    check(&imported, &[("PA-14", "busybox", want)]);
    let secret = SECRET.replace(list(), text);
    let both = |code| ["docker.io::", ",gcr.io::"].map(|mark| after(&secret, mark, code));
    assert_eq!(diagnostics(&secret), both("W-CREDSCOPE"));
    let own = secret.replace("harbor.example.org", "public.ecr.aws/1234567");
    assert_eq!(diagnostics(&own), [""; 0]);
    let own = secret.replace("harbor.example.org", folder);
    assert_eq!(diagnostics(&own), [""; 0]);
    let other = secret
        .replace("harbor.example.org", "public.ecr.aws")
        .replace("airgap-images\"", "other\"");
    assert_eq!(diagnostics(&other), both("W-BASEPATH"));
}

#[test]
fn pa15_pa16_pa17_edge_hosts_replace_prefixes() {
    let imported = palette("user-data", EDGE);
    assert_eq!(codes(&imported), ["21:7 W-SLASH", "21:39 W-SLASH"]);
    let rows: &[ExpectedRoute] = &[
        (
            "PA-15",
            "us-docker.pkg.dev/palette-images/a/b:1",
            &["example.registry.com/palette-images/a/b"],
        ),
        (
            "PA-16: whole elements",
            "us-docker.pkg.dev/palette-images-fips/a:1",
            &["unmatched"],
        ),
        (
            "PA-17",
            "somedomain.com/somepath/example-repo/alpine:latest",
            &["targetdomain.com/other/path/example-repo/alpine"],
        ),
        (
            "slashes",
            "us-east1-docker.pkg.dev/daily/x:1",
            &["example.registry.com/internal/x"],
        ),
        (
            "a whole registry",
            "quay.io/a:1",
            &["example.registry.com/quay/a"],
        ),
    ];
    check(&imported, rows);
    let logins: Vec<_> = imported.credentials.iter().map(login).collect();
    let want = [
        "example.registry.com/palette-images admin canary",
        "second.example:8443 bob coded",
        "single.example carol canary",
    ];
    assert_eq!(logins, want);
    let [upstream] = imported.upstreams.as_slice() else {
        panic!("{:?}", imported.upstreams);
    };
    assert_eq!(upstream.name.as_str(), "second.example:8443");
    assert!(!upstream.is_verified);
}

fn login(login: &ImportedCredentials) -> String {
    let CredentialSource::Static(Credential::Password { username, password }) = &login.entry.source
    else {
        panic!("{login:?}");
    };
    format!("{} {username} {}", login.entry.scope, password.reveal())
}

const EDGE: &str = "#cloud-config
stylus:
  site:
    paletteEndpoint: api.example.com
  externalRegistries:
    registries:
      - domain: \"example.registry.com/palette-images\"
        username: admin
        password: canary
        repositoryName: example-private
      - domain: second.example:8443
        username: bob
        encodedPassword: Y29kZWQ=
        insecure: true
    registryMappingRules:
      \"us-docker.pkg.dev/palette-images\": \"example.registry.com/palette-images\"
      somedomain.com/somepath: targetdomain.com/other/path
      quay.io: example.registry.com/quay
      # As the documents write it.

      us-east1-docker.pkg.dev/daily/: example.registry.com/internal/
  registryCredentials:
    domain: single.example
    username: carol
    password: canary
";

#[test]
fn the_secrets_login_and_authority() {
    let pem = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    let pem = pem.cert.pem();
    let block = format!("CA_CERT: |\n    {}", pem.replace('\n', "\n    "));
    let full = SECRET
        .replace("USERNAME: \"\"", "USERNAME: robot$mirror")
        .replace("PASSWORD: \"\"", "PASSWORD: canary")
        .replace("CA_CERT: \"\"", &block);
    let plain = palette("s.yaml", &full);
    assert_eq!(
        plain.credentials.iter().map(login).collect::<Vec<_>>(),
        ["harbor.example.org robot$mirror canary"]
    );
    let [upstream] = plain.upstreams.as_slice() else {
        panic!("{:?}", lines(&plain));
    };
    assert_eq!(
        upstream.ca,
        Some(CertificateAuthority::Pem(pem.trim_end().to_owned()))
    );
    assert!(upstream.is_verified && upstream.urls.is_empty());
    let insecure = full.replace("INSECURE: \"false\"", "INSECURE: \"true\"");
    let imported = palette("s.yaml", &insecure);
    assert!(!imported.is_refused() && !imported.upstreams[0].is_verified);
    let found = codes(&imported);
    assert!(found.contains(&"10:5 E-CA".to_owned()), "{found:?}");
    let http = SECRET.replace("\"harbor.example.org\"", "http://harbor.example.org");
    let imported = palette("s.yaml", &http);
    assert_eq!(imported.upstreams[0].urls, ["http://harbor.example.org"]);
    check(&imported, PA);
}

#[test]
fn a_secret_read_back_is_the_same() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let coded = SECRET.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if line.starts_with("  ") && !line.contains("name") => {
            format!("{key}: {}\n", STANDARD.encode(value.trim_matches('"')))
        }
        _ => line.replace("stringData", "data") + "\n",
    });
    let coded: String = coded.collect();
    let imported = palette("s.yaml", &coded);
    assert_eq!(codes(&imported), ["10:22 W-COLLIDE"]);
    check(&imported, PA);
    let broken = coded.replace("MIRROR_REGISTRIES: ", "MIRROR_REGISTRIES: x-");
    assert_eq!(diagnostics(&broken), ["2:1 E-VALUE", "10:22 E-AUTHB64"]);
}

#[test]
fn placeholders_are_named_one_by_one() {
    let marks = |text: &str| {
        let found = diagnostics(text);
        assert!(
            found.iter().all(|code| code.ends_with("E-PLACEHOLDER")),
            "{found:?}"
        );
        found.len()
    };
    assert_eq!(marks(HELM_BLANK), 7);
    let secret = SECRET_BLANK.replace("\n ", "\n");
    assert_eq!(marks(secret.trim_start()), 6);
    // <canary>
    let secret = "kind: Secret\ndata:\n  PASSWORD: PGNhbmFyeT4=\n  MIRROR_REGISTRIES: ''\n";
    let told = palette("file.yaml", secret).diagnostics;
    assert!(!format!("{told:?}").contains("canary"), "{told:?}");
    let one = "quay.io::h.example/q,\n gcr.io :: REPLACE_WITH_X/gcr.io";
    assert_eq!(codes(&palette("map", one)), ["2:12 E-PLACEHOLDER"]);
}

#[test]
fn what_is_wrong_says_where() {
    let with = |from: &str, to: &str| diagnostics(&SECRET.replace(from, to));
    let pair = "quay.io::harbor.example.org/airgap-images/quay.io";
    let known = after(SECRET, "k8s.gcr.io::", "W-COLLIDE");
    let separator = after(SECRET, "/k8s.io,", "E-SEP");
    assert_eq!(with(pair, "quay.io"), [known.clone(), separator]);
    let bad = "quay.io::https://harbor.example.org/airgap-images";
    let scheme = after(SECRET, "/k8s.io,quay.io::", "E-SCHEME");
    assert_eq!(with(pair, bad), [known, scheme]);
    let domain = "\"harbor.example.org\"";
    assert_eq!(
        with(domain, "\"https://harbor.example.org\"")[0],
        "4:12 E-SCHEME"
    );
    assert_eq!(with(domain, "\"a b\"")[0], "4:12 E-REF");
    assert_eq!(with("\"airgap-images\"", "A//b")[0], "5:14 E-REF");
    assert_eq!(with("\"false\"", "\"yes\"")[0], "8:14 E-VALUE");
    assert_eq!(with("USERNAME: \"\"", "USERNAME: x")[0], "6:13 E-VALUE");
    assert_eq!(with("PASSWORD: \"\"", "PASSWORD: [x]")[0], "7:13 E-VALUE");
    assert_eq!(with("CA_CERT: \"\"", "CA_CERT: x")[0], "9:12 E-CA");
    assert_eq!(with(list(), "\"\""), ["2:1 E-VALUE"]);
}

#[test]
fn what_is_wrong_elsewhere_says_where() {
    assert_eq!(
        diagnostics("kind: Secret\ndata: {x: eQ==}\n")[0],
        "1:1 E-KIND"
    );
    assert_eq!(diagnostics("a: 1\n"), ["1:1 E-KIND"]);
    let edge = "stylus:\n  externalRegistries:\n    registries: {a: b}\n    \
                registryMappingRules:\n      a/b: h.example/x\n      \
                c.io: https://h.example\n      d.io: [x]\n";
    let want = ["3:17 E-VALUE", "5:7 E-REF", "6:13 E-SCHEME", "7:13 E-VALUE"];
    assert_eq!(diagnostics(edge), want);
    let secret = "stylus:\n  registryCredentials:\n    domain: u:canary@h\n    \
                  encodedPassword: canary!\n    username: u\n";
    let imported = palette("e.yaml", secret);
    assert_eq!(codes(&imported), ["3:13 E-REF", "4:22 E-AUTHB64"]);
    assert!(!lines(&imported).concat().contains("canary"));
}

#[test]
fn packs_have_a_login_of_their_own() {
    let packs = "  ociPackRegistry:
    endpoint: harbor.example.org
    baseContentPath: spectro-packs
    username: packs
    password: canary
  ociPackEcrRegistry:
    accessKey: canary
";
    let imported = palette("values.yaml", &format!("{HELM}{packs}"));
    let logins: Vec<_> = imported.credentials.iter().map(login).collect();
    assert_eq!(logins, ["harbor.example.org/spectro-packs packs canary"]);
    assert_eq!(codes(&imported).last().unwrap(), "24:16 W-IGNORED");
}

#[test]
fn nodes_logins_are_read() {
    let config = format!(
        "{CONFIG_TOML}
[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"harbor.example.org\".auth]
  username = \"u\"
  password = \"canary\"
[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"harbor.example.org\".tls]
  insecure_skip_verify = true
"
    );
    let imported = palette("config.toml", &config);
    let logins: Vec<_> = imported.credentials.iter().map(login).collect();
    assert_eq!(logins, ["harbor.example.org u canary"]);
    assert!(!imported.upstreams[0].is_verified);
    check(&imported, PA);
}

#[test]
fn what_we_render_leads_to_us() {
    let mirror = Mirror {
        is_tls: false,
        authority: "mirror.corp:5000".parse().unwrap(),
        registries: ["docker.io", "quay.io", "registry.corp:5000"]
            .map(|registry| registry.parse().unwrap())
            .into(),
        falls_back: false,
        ca_file: Some("/etc/ssl/mirror.pem".to_owned()),
        aliases: Vec::new(),
        pins: Vec::new(),
    };
    let own = ImportOptions {
        own: &|registry| registry.as_str() == "mirror.corp:5000",
        ..OPTIONS
    };
    let mut checked = 0;
    for target in ["palette", "imageswap"] {
        let rendering = rendered(target, &mirror);
        let notes = rendering.notes.concat();
        assert!(notes.contains("registry.corp:5000 is left out"), "{notes}");
        for file in rendering.files {
            let input = Input {
                name: &file.path,
                bytes: file.text.as_bytes(),
                is_named: true,
            };
            let imported = import(None, &[input], &own);
            let loops = codes(&imported);
            let loops = loops.iter().filter(|code| code.ends_with("E-LOOP"));
            assert_eq!(loops.count(), 2, "{}: {:?}", file.path, lines(&imported));
            let others = import(None, &[input], &OPTIONS);
            let table = table(&others);
            let first = outcome(&table, "quay.io/a/b");
            assert_eq!(first, ["mirror.corp:5000/quay.io/a/b"], "{}", file.path);
            checked += 1;
        }
    }
    assert_eq!(checked, 5);
}

const PA: &[ExpectedRoute] = &[
    (
        "PA-01",
        "nginx:1.25",
        &[
            "harbor.example.org/airgap-images/docker.io/library/nginx",
            "harbor.example.org/airgap-images/docker.io/nginx",
        ],
    ),
    (
        "PA-02",
        "bitnami/redis@D",
        &["harbor.example.org/airgap-images/docker.io/bitnami/redis"],
    ),
    (
        "PA-03",
        "gcr.io/spectro-images-public/release/thewebroot/imageswap:v1.5.2-spectro-4.1.1",
        &[
            "harbor.example.org/airgap-images/gcr.io/spectro-images-public/release/thewebroot/imageswap",
        ],
    ),
    (
        "PA-04",
        "k8s.gcr.io/pause:3.5",
        &[
            "harbor.example.org/airgap-images/gcr.io/pause",
            "harbor.example.org/airgap-images/k8s.gcr.io/pause",
        ],
    ),
    (
        "PA-05",
        "registry.k8s.io/sig-storage/csi-provisioner:v3.4.0",
        &[
            "harbor.example.org/airgap-images/k8s.io/sig-storage/csi-provisioner",
            "harbor.example.org/airgap-images/registry.k8s.io/sig-storage/csi-provisioner",
        ],
    ),
    (
        "PA-06",
        "registry.k8s.io/coredns/coredns:v1.11.1",
        &[
            "harbor.example.org/airgap-images/k8s.io/coredns/coredns",
            "harbor.example.org/airgap-images/registry.k8s.io/coredns/coredns",
        ],
    ),
    (
        "PA-07",
        "quay.io/jetstack/cert-manager-controller:v1.11.0",
        &["harbor.example.org/airgap-images/quay.io/jetstack/cert-manager-controller"],
    ),
    (
        "PA-08",
        "us-docker.pkg.dev/palette-images/palette/hubble:4.0",
        &[
            "harbor.example.org/airgap-images/palette-images/palette/hubble",
            "harbor.example.org/airgap-images/us-docker.pkg.dev/palette-images/palette/hubble",
        ],
    ),
    (
        "PA-09",
        "us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook:v1.17.0-spectro-4.6.1",
        &[
            "harbor.example.org/airgap-images/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
            "harbor.example.org/airgap-images/us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
        ],
    ),
    (
        "PA-10",
        "ghcr.io/kube-vip/kube-vip:v0.6",
        &["harbor.example.org/airgap-images/ghcr.io/kube-vip/kube-vip"],
    ),
    ("PA-11", "mcr.microsoft.com/oss/x:1", &["deny"]),
];
