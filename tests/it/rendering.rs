//! `roadstead render`, run as a program.

use std::{fs, path::Path};

use fake_registry::{FakeRegistry, random_bytes};

use crate::{
    command::{Served, roadstead},
    rows::Rows,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn nodes_are_told_where_the_mirror_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    let config = folder.path().join("roadstead.toml");
    for (server, more, code, told) in [
        (
            "",
            &["--mirror", "http://m.corp:5000"][..],
            0,
            "http://m.corp:5000",
        ),
        ("", &["--mirror", "https://m.corp/"], 0, "https://m.corp"),
        ("public_url = \"https://p.corp\"", &[], 0, "https://p.corp"),
        (
            "public_url = \"https://p.corp\"",
            &["--mirror", "http://m.corp"],
            0,
            "http://m.corp",
        ),
        ("", &[], 0, "http://127.0.0.1:5000"),
        ("listen = \"[::1]:7000\"", &[], 0, "http://[::1]:7000"),
        ("listen = \"0.0.0.0:5000\"", &[], 64, ""),
    ] {
        fs::write(&config, format!("[server]\n{server}\n")).unwrap();
        let common = ["render", "k3s", "--config", text(&config)];
        let (exit, out, err) = roadstead(&[&common[..], more].concat());
        let row = format!("{server} {more:?}");
        rows.same(&row, exit, Some(code));
        rows.holds(&row, out.contains(told), &(out, &err));
        rows.same(
            &row,
            err.contains("--mirror"),
            told.contains("127.0.0.1") || told.contains("::1") || code == 64,
        );
    }
    let (exit, out, err) = roadstead(&["render", "k3s", "--mirror", "http://u:canary@m.corp"]);
    rows.same("login", (exit, out), (Some(64), String::new()));
    rows.holds("login", !err.contains("canary"), &err);
}

#[test]
fn registries_are_those_of_the_configuration_or_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("roadstead.toml");
    let routes = "[aliases]\n\"mirror/ghcr\" = \"ghcr.io\"\n\
                  [[route]]\nfrom = [\"docker.io\", \"r.example:8443/a\"]\nto = [\"h.corp/{registry}/{repository}\"]\n\
                  [[route]]\nfrom = \"*.corp\"\nto = [\"h.corp/{registry}/{repository}\"]\n";
    fs::write(&config, routes).unwrap();
    let (code, out, err) = roadstead(&["render", "hosts-toml", "--config", text(&config)]);
    assert_eq!(code, Some(0), "{err}");
    for registry in ["docker.io", "r.example_8443_", "ghcr.io"] {
        assert!(out.contains(registry), "{registry}: {out}");
    }
    assert!(
        !out.contains("quay.io") && err.contains("*.corp"),
        "{out}{err}"
    );
    let only = [
        "render",
        "hosts-toml",
        "--config",
        text(&config),
        "--registry",
        "gcr.io",
    ];
    let (_, out, err) = roadstead(&only);
    assert!(
        out.contains("gcr.io") && !out.contains("docker.io"),
        "{out}"
    );
    assert!(!err.contains("*.corp"), "{err}");
    let (_, out, _) = roadstead(&["render", "hosts-toml"]);
    assert!(out.contains("quay.io"), "the built-in list: {out}");
}

fn render(format: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let at = ["--mirror", "http://m.corp:5000", "--registry", "quay.io"];
    roadstead(&[&["render", format], &at[..], more].concat())
}

#[test]
fn every_format_is_printed_or_written() {
    let mut rows = Rows::default();
    for (format, _) in roadstead::internals::platform::renderable() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a/b");
        let (code, printed, err) = render(format, &[]);
        rows.same(format, code, Some(0));
        rows.holds(
            format,
            printed.contains("m.corp:5000"),
            &(printed.clone(), err),
        );
        let into = ["--output", text(&output)];
        let (code, out, _) = render(format, &into);
        rows.same(format, code, Some(0));
        let paths: Vec<_> = out
            .lines()
            .filter_map(|line| line.strip_suffix(": written"))
            .collect();
        rows.holds(
            format,
            !paths.is_empty() && paths.len() == out.lines().count(),
            &out,
        );
        for path in &paths {
            let text = fs::read_to_string(path).unwrap();
            rows.holds(format, printed.contains(&text), &(path, text));
        }
        let (_, out, _) = render(format, &into);
        rows.holds(
            format,
            out.lines().all(|line| line.ends_with(": unchanged")),
            &out,
        );
    }
}

#[test]
fn anothers_file_is_not_replaced_unasked_and_then_nothing_else_is_written_either() {
    let mut rows = Rows::default();
    for (format, _) in roadstead::internals::platform::renderable() {
        let output = tempfile::tempdir().unwrap();
        let into = ["--output", text(output.path())];
        let (_, out, _) = render(format, &into);
        let written = out
            .lines()
            .filter_map(|line| line.strip_suffix(": written"));
        let paths: Vec<_> = written.collect();
        fs::write(paths[0], "mine").unwrap();
        for other in &paths[1..] {
            fs::remove_file(other).unwrap();
        }
        let (code, out, err) = render(format, &into);
        rows.same(format, (code, out), (Some(1), String::new()));
        rows.holds(
            format,
            err.contains(paths[0]) && err.contains("--force"),
            &err,
        );
        rows.same(
            format,
            fs::read_to_string(paths[0]).unwrap().as_str(),
            "mine",
        );
        rows.holds(
            format,
            paths[1..].iter().all(|path| !Path::new(path).exists()),
            &paths,
        );
        let (code, out, _) = render(format, &["--output", text(output.path()), "--force"]);
        rows.same(format, code, Some(0));
        rows.holds(
            format,
            out.contains(&format!("{}: replaced", paths[0])),
            &out,
        );
    }
}

#[test]
fn an_image_set_has_the_digests_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let site = runtime.block_on(FakeRegistry::start());
    let image =
        runtime.block_on(async { site.image("c/cal-node", "v3.30.4", &[random_bytes(1000, 7)]) });
    let config = folder.path().join("roadstead.toml");
    let settings = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [store]\npath = \"{}/store\"\nfree_min = \"1MiB\"\n[timeouts]\ngrace = \"0s\"\n\
         [upstream.site]\nurl = \"{}\"\n\
         [[route]]\nfrom = \"quay.io/calico\"\nto = [\"site/c/cal-{{name}}\"]\n",
        folder.path().display(),
        site.url()
    );
    fs::write(&config, settings).unwrap();
    let digest = image.manifest.digest.as_str();
    let render = || {
        let common = ["render", "calico", "--mirror", "http://m.corp:5000"];
        let (code, out, err) = roadstead(&[&common[..], &["--config", text(&config)]].concat());
        assert_eq!(code, Some(0), "{err}");
        out
    };
    assert!(!render().contains(digest), "nothing is kept yet");
    let served = Served::start(&config);
    let head = "GET /v2/calico/node/manifests/v3.30.4?ns=quay.io HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    assert!(served.send(head.as_bytes()).starts_with("HTTP/1.1 200"));
    let by_server = render();
    assert!(
        by_server.contains(digest) && by_server.contains("calico/node"),
        "{by_server}"
    );
    drop(served);
    assert_eq!(render(), by_server, "the store itself says the same");
}
