//! The real binary: command line, log, signals, and two processes with one store.
#![expect(clippy::too_many_lines, reason = "tables")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use fake_registry::{FakeRegistry, random_bytes};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rows::Rows;

const SEED: u64 = 108;

/// The program, run to its end.
pub(crate) fn roadstead(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_roadstead"))
        .args(arguments)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A serving child; killed at the end of its test.
pub(crate) struct Served {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Served {
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_roadstead"))
            .args(["serve", "--config", config.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut address = None;
        loop {
            let mut line = String::new();
            assert_ne!(
                log.read_line(&mut line).unwrap(),
                0,
                "it ended before it listened"
            );
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            match entry["message"].as_str() {
                Some("listening") => address = entry["address"].as_str().unwrap().parse().ok(),
                Some("probes and metrics") => break,
                _ => {}
            }
        }
        let address = address.unwrap();
        Self {
            child,
            log,
            address,
        }
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Stops by SIGTERM; what was logged since the start.
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let lines = self.log.by_ref().lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok();
        let _status = self.child.wait().is_ok();
    }
}

/// A configuration of a mirror of `hub` with its store in `folder`.
fn config(folder: &Path, hub: &str) -> std::path::PathBuf {
    let path = folder.join("roadstead.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [store]\npath = \"{}/store\"\nfree_min = \"1MiB\"\n[timeouts]\ngrace = \"0s\"\n\
         [upstream.hub]\nurl = \"{hub}\"\n[[route]]\nfrom = \"docker.io\"\nto = [\"hub\"]\n\
         library = \"keep\"\n[[route]]\nfrom = \"docker.io/secret\"\naction = \"deny\"\n",
        folder.display()
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn r108_an_entry_a_request_whatever_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&config(folder.path(), "http://127.0.0.1:9"));
    let hostile: [&[u8]; 8] = [
        b"GET /v2/ HTTP/1.1\r\nHost: m\r\nUser-Agent: docker/1 (linux) UpstreamClient(Docker-Client \\(x\\))",
        b"GET /v2/ HTTP/1.1\r\nHost: m\r\nUser-Agent: \"}\\\" {\"level\":\"ERROR\"}",
        b"GET /v2/ HTTP/1.1\r\nHost: m\r\nUser-Agent: \xff\xfe\x80 \xe2\x80\xa8",
        b"GET /v2/%0d%0a%7b%7d/manifests/1 HTTP/1.1\r\nHost: m",
        b"GET /v2/a/manifests/%1b[31m?ns=%22%5c HTTP/1.1\r\nHost: m",
        b"GET /\"\\{}'` HTTP/1.1\r\nHost: \"\\",
        b"GET /v2/secret/a/manifests/1 HTTP/1.1\r\nHost: m",
        b"BREW\"X /v2/ HTTP/1.1\r\nHost: m",
    ];
    let mut answered = 0;
    for head in hostile {
        let answer = served.send(&[head, b"\r\nConnection: close\r\n\r\n"].concat());
        // Bytes that are not HTTP get no log entry.
        answered += usize::from(answer.contains("docker-distribution-api-version"));
    }
    assert!(answered >= 6, "{answered}");
    let (code, lines) = served.stop();
    assert_eq!(code, Some(0));
    let entries = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    let requests = entries.filter(|entry: &Value| entry["target"] == "roadstead::request");
    assert_eq!(requests.count(), answered, "{lines:#?}");
    assert!(
        lines.iter().all(|line| !line.contains(char::is_control)),
        "{lines:?}"
    );
}

#[test]
fn usage() {
    let mut rows = Rows::default();
    let (code, out, err) = roadstead(&["--version"]);
    let version = format!("roadstead {}\n", env!("CARGO_PKG_VERSION"));
    rows.same(
        "--version",
        (code, out, err),
        (Some(0), version, String::new()),
    );
    let (code, out, _) = roadstead(&["--help"]);
    rows.same("--help", code, Some(0));
    for command in ["serve", "check", "explain", "demo", "import", "render"] {
        rows.holds("--help", out.contains(command), &out);
        rows.same(command, roadstead(&[command, "--help"]).0, Some(0));
    }
    for wrong in [
        &[][..],
        &["sail"],
        &["--wrong"],
        &["serve", "--wrong"],
        &["serve", "--config"],
        &["explain"],
        &["check", "extra"],
        &["import"],
        &["import", "auto"],
        &["import", "nonsense", "file"],
        &["import", "k3s", "file", "--secrets-dir", ""],
        &["import", "k3s", "file", "--internal-registry", "a b"],
        &["render"],
        &["render", "nonsense"],
        &["render", "k3s", "--force"],
        &["render", "k3s", "--mirror", "mirror.corp"],
        &["render", "k3s", "--mirror", "ftp://mirror.corp"],
        &["render", "k3s", "--mirror", "http://mirror.corp/v2"],
        &["render", "k3s", "--mirror", "http://"],
    ] {
        let (code, out, err) = roadstead(wrong);
        rows.same(
            &format!("{wrong:?}"),
            (code, out),
            (Some(64), String::new()),
        );
        rows.holds("on stderr", !err.is_empty(), &wrong);
    }
}

#[test]
fn configurations_are_judged_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    for command in ["serve", "check"] {
        let (code, _, err) = roadstead(&[command, "--config", "/nonexistent/x.toml"]);
        rows.same(&format!("{command} without a file"), code, Some(78));
        rows.holds(command, err.contains("/nonexistent/x.toml"), &err);
    }
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "nonsense = 1\n[server]\nlisten = \"nowhere\"\n[store]\nsize_max = 5\n[[route]]\nto = [\"x.example\"]\n").unwrap();
    let broken = broken.to_str().unwrap();
    for command in ["serve", "check", "explain"] {
        let mut arguments = vec![command, "--config", broken];
        arguments.extend((command == "explain").then_some("nginx"));
        let (code, _, err) = roadstead(&arguments);
        rows.same(&format!("{command}, broken"), code, Some(78));
        for word in [
            "broken.toml",
            "nonsense",
            "listen",
            "size_max",
            "route",
            "line 1",
        ] {
            rows.holds(
                &format!("{command}, broken"),
                err.contains(word),
                &(word, &err),
            );
        }
    }
    let (code, out, _) = roadstead(&["check", "--config", broken, "--json"]);
    rows.same("check --json", code, Some(78));
    rows.holds("check --json", out.lines().count() >= 4, &out);
    for line in out.lines() {
        rows.holds(
            "check --json",
            serde_json::from_str::<Value>(line).is_ok(),
            &line,
        );
    }
    let fine = config(folder.path(), "http://127.0.0.1:9");
    let (code, out, err) = roadstead(&["check", "--config", fine.to_str().unwrap()]);
    rows.same("check, fine", (code, err), (Some(0), String::new()));
    rows.holds("check, fine", out.contains("no problems"), &out);
    rows.same("check, defaults", roadstead(&["check"]).0, Some(0));
}

#[test]
fn explain_says_the_same_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let hub = runtime.block_on(FakeRegistry::start());
    let image =
        runtime.block_on(async { hub.image("library/nginx", "1", &[random_bytes(1000, SEED)]) });
    let file = config(folder.path(), &hub.url());
    let file = file.to_str().unwrap();
    let explain = |arguments: &[&str]| {
        let (code, out, err) =
            roadstead(&[&["explain", "--config", file, "--json"], arguments].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        out.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    let mut rows = Rows::default();
    let before = explain(&["nginx:1", "docker.io/secret/a:1", "unknown.example/a:1"]);
    rows.same("one a line", before.len(), 3);
    rows.same(
        "reference",
        before[0]["reference"].as_str(),
        Some("docker.io/library/nginx:1"),
    );
    rows.same("route", before[0]["outcome"].as_str(), Some("route"));
    rows.holds(
        "where",
        before[0]["route"]["origin"]
            .as_str()
            .unwrap()
            .contains("roadstead.toml:"),
        &before[0],
    );
    rows.same(
        "upstream",
        before[0]["candidates"][0]["upstream"].as_str(),
        Some(hub.host()),
    );
    rows.same(
        "url",
        before[0]["candidates"][0]["url"].as_str(),
        Some(hub.url().as_str()),
    );
    rows.same(
        "repository",
        before[0]["candidates"][0]["repository"].as_str(),
        Some("library/nginx"),
    );
    rows.holds(
        "stored may be null",
        before[0].get("stored").is_some_and(Value::is_null),
        &before[0],
    );
    rows.same("deny", before[1]["outcome"].as_str(), Some("deny"));
    rows.same(
        "unmatched",
        before[2]["outcome"].as_str(),
        Some("unmatched"),
    );
    rows.holds(
        "no store was made",
        !folder.path().join("store").exists(),
        &"store",
    );

    let served = Served::start(Path::new(file));
    let pull = |target: String| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n");
        assert!(
            served.send(head.as_bytes()).starts_with("HTTP/1.1 200"),
            "{target}"
        );
    };
    pull("/v2/library/nginx/manifests/1".to_owned());
    let part = explain(&["nginx:1"]);
    rows.same(
        "in part",
        part[0]["stored"]["complete"].as_bool(),
        Some(false),
    );
    for blob in [&image.config, &image.layers[0]] {
        pull(format!("/v2/library/nginx/blobs/{}", blob.digest));
    }
    let digest = image.manifest.digest.as_str();
    let request = format!("/v2/library/nginx/manifests/{digest}?ns=docker.io");
    let held = explain(&["nginx:1"]);
    let by_request = explain(&[
        "--request",
        "/docker.io/v2/library/nginx/manifests/1",
        &request,
    ]);
    rows.same("stored", held[0]["stored"]["digest"].as_str(), Some(digest));
    rows.same(
        "complete",
        held[0]["stored"]["complete"].as_bool(),
        Some(true),
    );
    rows.holds(
        "checked",
        held[0]["stored"]["checked"].is_string(),
        &held[0],
    );
    rows.same("by request", &by_request[0], &held[0]);
    rows.same(
        "by digest",
        by_request[1]["stored"]["digest"].as_str(),
        Some(digest),
    );
    let (code, text, _) = roadstead(&["explain", "--config", file, "nginx:1"]);
    rows.same("text", code, Some(0));
    rows.holds(
        "text",
        text.contains(digest) && text.contains("complete"),
        &text,
    );

    let (code, _, err) = roadstead(&["serve", "--config", file]);
    rows.same("a second server on the store", code, Some(1));
    rows.holds("a second server on the store", err.contains("store"), &err);
    rows.same("SIGTERM", served.stop().0, Some(0));
    rows.same("without a server", &explain(&["nginx:1"])[0], &held[0]);
    for (bad, code) in [("NGINX", 65), ("a b", 65)] {
        rows.same(
            bad,
            roadstead(&["explain", "--config", file, bad]).0,
            Some(code),
        );
    }
    let (code, _, err) = roadstead(&["explain", "--config", file, "--request", "/nowhere"]);
    rows.same("no endpoint", code, Some(65));
    rows.holds("no endpoint", err.contains("/nowhere"), &err);
}

#[test]
fn a_taken_port_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path(), "http://127.0.0.1:9");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = roadstead(&[
        "serve",
        "--config",
        file.to_str().unwrap(),
        "--listen",
        &address,
    ]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!("cannot listen on {address}")),
        "{err}"
    );
    assert!(!folder.path().join("store").exists(), "nothing was touched");
}
