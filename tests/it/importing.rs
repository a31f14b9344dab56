//! `roadstead import`, run as a program with files of other programs.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{command::roadstead, rows::Rows};

const MAP: &str = "default::\ndocker.io::harbor.example.com/hub\nquay.io::harbor.example.com/q-\n";
const CANARY: &str = "canary-1f0c";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The objects that `explain --json` prints.
fn explain(config: &Path, references: &[&str]) -> Vec<Value> {
    let arguments = [&["explain", "--json", "--config", text(config)], references].concat();
    let (code, out, err) = roadstead(&arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_printed_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("map.conf");
    fs::write(&map, MAP).unwrap();
    let (code, out, err) = roadstead(&["import", "imageswap", text(&map)]);
    assert_eq!(code, Some(0), "{err}");
    for line in err.lines() {
        assert!(line.starts_with(&format!("{}:1:", text(&map))), "{line}");
    }
    let config = folder.path().join("roadstead.toml");
    fs::write(&config, &out).unwrap();
    assert_eq!(roadstead(&["check", "--config", text(&config)]).0, Some(0));
    let explained = explain(&config, &["nginx:1", "quay.io/a/b:1"]);
    let first = &explained[0]["candidates"][0];
    assert_eq!(first["repository"], "hub/library/nginx", "{out}");
    let second = &explained[1]["candidates"][0];
    assert_eq!(second["repository"], "q-quay.io/a/b", "{out}");

    // The origin of each route stands above it, and `explain` has it of an [[import]].
    assert!(
        out.contains(&format!("# {}:2:1\n[[route]]\n", text(&map))),
        "{out}"
    );
    let live = format!(
        "[[import]]\nformat = \"imageswap\"\nfiles = [\"{}\"]\n",
        text(&map)
    );
    fs::write(&config, live).unwrap();
    let explained = explain(&config, &["nginx:1"]);
    let origin = explained[0]["route"]["origin"].as_str().unwrap();
    assert!(origin.starts_with(&format!("{}:2", text(&map))), "{origin}");
}

/// The complete example of Palette's document.
const PALETTE: &str = include_str!("../e2e/platforms/palette.yaml");

/// What a node asks for, and the repositories at the internal registry, in order; none: refused.
const PALETTE_ROWS: [(&str, &str, &[&str]); 11] = [
    (
        "PA-01",
        "docker.io/library/nginx:1.25",
        &["docker.io/library/nginx", "docker.io/nginx"],
    ),
    (
        "PA-02",
        "docker.io/bitnami/redis@DIGEST",
        &["docker.io/bitnami/redis"],
    ),
    (
        "PA-03",
        "gcr.io/spectro-images-public/release/thewebroot/imageswap:v1.5.2-spectro-4.1.1",
        &["gcr.io/spectro-images-public/release/thewebroot/imageswap"],
    ),
    (
        "PA-04",
        "k8s.gcr.io/pause:3.5",
        &["gcr.io/pause", "k8s.gcr.io/pause"],
    ),
    (
        "PA-05",
        "registry.k8s.io/sig-storage/csi-provisioner:v3.4.0",
        &[
            "k8s.io/sig-storage/csi-provisioner",
            "registry.k8s.io/sig-storage/csi-provisioner",
        ],
    ),
    (
        "PA-06",
        "registry.k8s.io/coredns/coredns:v1.11.1",
        &["k8s.io/coredns/coredns", "registry.k8s.io/coredns/coredns"],
    ),
    (
        "PA-07",
        "quay.io/jetstack/cert-manager-controller:v1.11.0",
        &["quay.io/jetstack/cert-manager-controller"],
    ),
    (
        "PA-08",
        "us-docker.pkg.dev/palette-images/palette/hubble:4.0",
        &[
            "palette-images/palette/hubble",
            "us-docker.pkg.dev/palette-images/palette/hubble",
        ],
    ),
    (
        "PA-09",
        "us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook:v1.17.0-spectro-4.6.1",
        &[
            "palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
            "us-docker.pkg.dev/palette-images-fips/palette/spectro-cert-manager/cert-manager-webhook",
        ],
    ),
    (
        "PA-10",
        "ghcr.io/kube-vip/kube-vip:v0.6",
        &["ghcr.io/kube-vip/kube-vip"],
    ),
    ("PA-11", "mcr.microsoft.com/oss/x:1", &[]),
];

#[test]
fn palettes_own_example_explains_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("registry-secret.yaml");
    fs::write(&secret, PALETTE.replace("REGISTRY", "harbor.example.org")).unwrap();
    let config = folder.path().join("roadstead.toml");
    let (code, converted, err) = roadstead(&["import", "palette", text(&secret)]);
    assert_eq!(code, Some(0), "{err}");
    let watched = format!(
        "[[import]]\nformat = \"palette\"\nfiles = [\"{}\"]\n",
        text(&secret)
    );
    for configuration in [converted, watched] {
        fs::write(&config, configuration).unwrap();
        let mut rows = Rows::default();
        for (id, asked, want) in PALETTE_ROWS {
            let asked = asked.replace("DIGEST", &format!("sha256:{}", "0".repeat(64)));
            let told = &explain(&config, &[&asked])[0];
            let candidates = told["candidates"].as_array().unwrap();
            let place = |candidate: &Value| {
                let [upstream, repository] =
                    ["upstream", "repository"].map(|key| candidate[key].as_str().unwrap());
                format!("{upstream}/{repository}")
            };
            let got: Vec<_> = candidates.iter().map(place).collect();
            let outcome = if want.is_empty() { "deny" } else { "route" };
            rows.same(id, told["outcome"].as_str(), Some(outcome));
            let want = want
                .iter()
                .map(|path| format!("harbor.example.org/airgap-images/{path}"));
            rows.same(id, got, want.collect());
        }
    }
}

#[test]
fn files_folders_globs_and_stdin_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a");
    fs::create_dir(&inner).unwrap();
    let map = inner.join("map.conf");
    fs::write(&map, MAP).unwrap();
    let (_, want, _) = roadstead(&["import", "imageswap", text(&map)]);
    let glob = folder.path().join("*/map.*");
    for path in [&*inner, &*glob, &*map] {
        for format in ["auto", "imageswap"] {
            let (code, out, err) = roadstead(&["import", format, text(path)]);
            assert_eq!((code, &out), (Some(0), &want), "{path:?} {err}");
        }
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_roadstead"))
        .args(["import", "auto", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(MAP.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(out, want.replace(text(&map), "-"));
}

#[test]
fn what_cannot_be_read_is_said_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    let odd = "odd\u{1b}[31m\nname";
    let files: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "E-FILE"),
        ("binary", vec![0xff, 0xfe, 0], "E-FILE"),
        ("nul", b"docker.io\0::h.example".to_vec(), "E-FILE"),
        ("long", vec![b'#'; 8 * 1024 * 1024 + 1], "E-FILE"),
        (odd, b"default::\nno separator\n".to_vec(), "E-SEP"),
    ];
    for (name, bytes, code) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (exit, out, err) = roadstead(&["import", "imageswap", text(&path)]);
        rows.same(name, (exit, out), (Some(65), String::new()));
        rows.holds(name, err.contains(&format!(": {code}: ")), &err);
        let is_clean = err.lines().all(|line| !line.contains(char::is_control));
        rows.holds(name, is_clean && !err.contains("odd\n"), &err);
    }
    for missing in ["missing", "missing*"] {
        let path = folder.path().join(missing);
        let (exit, out, err) = roadstead(&["import", "auto", text(&path)]);
        rows.same(missing, (exit, out), (Some(65), String::new()));
        rows.holds(missing, err.contains(text(&path)), &err);
    }
    let calico = folder.path().join("calico.yaml");
    let installation =
        "apiVersion: operator.tigera.io/v1\nkind: Installation\nspec: {registry: h.example}\n";
    fs::write(&calico, installation).unwrap();
    let (exit, _, err) = roadstead(&["import", "k3s", text(&calico)]);
    rows.same("another format", exit, Some(65));
    rows.holds(
        "another format",
        err.contains("it looks like the format calico"),
        &err,
    );
    // The mirror's own addresses, which the configuration has, are not valid targets.
    let map = folder.path().join("loop");
    fs::write(&map, "docker.io::127.0.0.1:7000/hub\n").unwrap();
    let config = folder.path().join("own.toml");
    fs::write(&config, "[server]\nlisten = \"127.0.0.1:7000\"\n").unwrap();
    let arguments = ["import", "imageswap", text(&map), "--config", text(&config)];
    let (exit, out, err) = roadstead(&arguments);
    rows.same("loop", (exit, out), (Some(65), String::new()));
    rows.holds("loop", err.contains("E-LOOP"), &err);
    rows.same("no loop", roadstead(&arguments[..3]).0, Some(0));
}

fn is_private(file: &Path) -> bool {
    mode(file) == 0o600 && fs::read_to_string(file).unwrap().contains(CANARY)
}

#[test]
fn secrets_go_to_files_of_their_own_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let logins = folder.path().join("config.json");
    let auths = format!(
        r#"{{"auths": {{
            "h.example/team": {{"username": "robot", "password": "{CANARY}"}},
            "r.example": {{"identitytoken": "{CANARY}"}}
        }}}}"#
    );
    fs::write(&logins, auths).unwrap();
    let map = folder.path().join("map.conf");
    fs::write(&map, "default::\ndocker.io::h.example/team\n").unwrap();
    let secrets = folder.path().join("secrets");
    let run = |more: &[&str]| {
        let (code, out, err) =
            roadstead(&[&["import", "auto", text(&map), text(&logins)], more].concat());
        assert_eq!(code, Some(0), "{err}");
        assert!(!out.contains(CANARY) && !err.contains(CANARY), "{out}{err}");
        (out, err)
    };
    let (out, err) = run(&[]);
    assert!(
        err.contains("2 credentials") && err.contains("--secrets-dir"),
        "{err}"
    );
    assert!(out.contains("# for = \"h.example/team\"\n"), "{out}");
    assert!(!secrets.exists());

    let into = ["--secrets-dir", text(&secrets)];
    let (out, _) = run(&into);
    assert_eq!(mode(&secrets), 0o700);
    let files: Vec<_> = fs::read_dir(&secrets)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|file| is_private(file)));
    let config = folder.path().join("roadstead.toml");
    fs::write(&config, out).unwrap();
    let explained = explain(&config, &["nginx:1"]);
    assert_eq!(explained[0]["candidates"][0]["credential"], "robot");

    // What was there is replaced, and that is said; a mode that was opened is closed again.
    let password = secrets.join("h.example_team.password");
    fs::write(&password, "older\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, err) = run(&into);
    assert!(err.contains("h.example_team.password: replaced"), "{err}");
    assert_eq!(mode(&password), 0o600);
    assert_eq!(
        fs::read_to_string(&password).unwrap(),
        format!("{CANARY}\n")
    );
}

/// With `--json` each diagnostic is an object on stderr, and stdout has the configuration as before.
#[test]
fn with_json_each_remark_is_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("a\u{1b}\u{85}b");
    fs::write(&map, MAP).unwrap();
    let (_, want, _) = roadstead(&["import", "imageswap", text(&map)]);
    let (code, out, err) = roadstead(&["import", "imageswap", "--json", text(&map)]);
    assert_eq!((code, out), (Some(0), want));
    let objects = |err: &str| -> Vec<Value> {
        err.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let diagnostics = objects(&err);
    let first = &diagnostics[0];
    assert_eq!(first["code"], "W-OPEN", "{err}");
    assert_eq!(
        (&first["file"], &first["level"]),
        (&text(&map).into(), &"warning".into())
    );
    assert_eq!((&first["line"], &first["column"]), (&1.into(), &10.into()));
    assert!(first["fix"].is_string() && first["shown"].is_null());

    fs::write(&map, "default::\nme:canary@h.example\n").unwrap();
    let (code, out, err) = roadstead(&["import", "imageswap", "--json", text(&map)]);
    assert_eq!((code, out.as_str()), (Some(65), ""));
    let diagnostics = objects(&err);
    assert!(
        diagnostics.iter().any(|one| one["level"] == "error"),
        "{err}"
    );
    assert!(!err.contains("canary"), "{err}");
}

/// A folder is given as it lies on the node, with certificates beside what names them.
#[test]
fn a_folder_may_hold_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("certs.d/docker.io");
    fs::create_dir_all(&host).unwrap();
    let der: &[u8] = b"\x30\x82\x01\x00\xa0\xff";
    let hosts: &[u8] = b"[host.\"https://m.example\"]\nca = \"ca.crt\"\n";
    let pem: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
    for (name, bytes) in [("hosts.toml", hosts), ("ca.crt", pem), ("ca.der", der)] {
        fs::write(host.join(name), bytes).unwrap();
    }
    let (code, out, err) =
        roadstead(&["import", "hosts-toml", text(&folder.path().join("certs.d"))]);
    assert_eq!(
        (code, err.matches("I-SKIPPED").count()),
        (Some(0), 2),
        "{err}"
    );
    assert!(out.contains("[[route]]\nfrom = \"docker.io\"\n"), "{out}");
    let named = roadstead(&["import", "hosts-toml", text(&host.join("ca.der"))]);
    assert_eq!(named.0, Some(65));
}

#[test]
fn the_usual_address_may_be_another_registrys_and_never_what_we_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let elsewhere = at("elsewhere.toml");
    fs::write(&elsewhere, "[server]\nlisten = \"127.0.0.1:7000\"\n").unwrap();
    let mut rows = Rows::default();
    for (target, code, is_said) in [
        ("localhost:5000/enterprise", 0, true),
        ("localhost:5000/docker.io", 65, true),
        ("localhost:5000", 65, true),
        ("localhost:7000/enterprise", 0, false),
    ] {
        let map = at("map.conf");
        fs::write(&map, format!("default::\ndocker.io::{target}\n")).unwrap();
        let (exit, _, err) = roadstead(&["import", "imageswap", text(&map)]);
        rows.same(
            target,
            (exit, err.contains("E-LOOP")),
            (Some(code), is_said),
        );
        let there = [
            "import",
            "imageswap",
            text(&map),
            "--config",
            text(&elsewhere),
        ];
        let (exit, _, err) = roadstead(&there);
        let leads_back = target.contains("7000");
        let code = if leads_back { 65 } else { 0 };
        rows.same(
            target,
            (exit, err.contains("E-LOOP")),
            (Some(code), leads_back),
        );
    }
}
