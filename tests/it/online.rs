//! `check --online`, and the credentials in `explain`, by the real program in front of fake
//! registries.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use fake_registry::{FakeRegistry, random_bytes};
use serde_json::{Value, json};

const SEED: u64 = 126;

/// A folder with a configuration, a password's file and a credential helper.
struct Site(tempfile::TempDir);

impl Site {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self(folder);
        site.private("password", "canary\n");
        site.private("wrong", "wrong-canary\n");
        let helper = "#!/bin/sh\nprintf '{\"Username\":\"helped\",\"Secret\":\"canary\"}'\n";
        site.private("text", helper);
        // Another process writes the program, for one that we have open cannot be run.
        let install = Command::new("install")
            .args(["-m", "755", "text", "docker-credential-fake"])
            .current_dir(site.path())
            .status();
        assert!(install.unwrap().success());
        let store = site.path().join("store");
        let text = format!("{text}\n[store]\npath = \"{}\"\n", store.display());
        fs::write(site.path().join("roadstead.toml"), text).unwrap();
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn private(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Status and lines of a command, without the first few.
    fn run(&self, arguments: &[&str], skip: usize) -> (Option<i32>, Vec<String>) {
        let path = format!("{}:/usr/bin:/bin", self.path().display());
        let command = arguments.first().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_roadstead"))
            .args([command, "--config", "roadstead.toml"])
            .args(arguments.iter().skip(1))
            .current_dir(self.path())
            .env("PATH", path)
            .output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.unwrap();
        let (out, err) = (String::from_utf8(stdout), String::from_utf8(stderr));
        let (out, err) = (out.unwrap(), err.unwrap());
        assert!(!(out.clone() + &err).contains("canary"), "{out} {err}");
        assert_eq!(err, "", "{arguments:?}");
        (
            status.code(),
            out.lines().skip(skip).map(str::to_owned).collect(),
        )
    }

    /// What `check --online` says after the configuration's own lines.
    fn online(&self) -> (Option<i32>, Vec<String>) {
        let (code, lines) = self.run(&["check", "--online"], 1);
        let is_note = |line: &String| line.starts_with("note: ");
        (
            code,
            lines.into_iter().filter(|line| !is_note(line)).collect(),
        )
    }
}

fn table(name: &str, registry: &FakeRegistry, login: &str) -> String {
    format!(
        "[upstream.\"{name}\"]\nurl = \"{}\"\n{login}\n",
        registry.url()
    )
}

fn password(user: &str, file: &str) -> String {
    format!("username = \"{user}\"\npassword_file = \"{file}\"")
}

fn route(to: &str) -> String {
    format!("[[route]]\nfrom = \"docker.io\"\nto = [{to}]\n")
}

async fn basic() -> FakeRegistry {
    FakeRegistry::builder().basic("me", "canary").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn online_says_who_lets_us_in() {
    let (open, basic) = (FakeRegistry::start().await, basic().await);
    let bearer = FakeRegistry::builder().bearer("me", "canary");
    let bearer = bearer.start().await;
    let helped = FakeRegistry::builder().basic("helped", "canary");
    let helped = helped.start().await;
    let text = table("a-open", &open, "")
        + &table("b-basic", &basic, &password("me", "password"))
        + &table("c-bearer", &bearer, &password("me", "password"))
        + &table("d-helped", &helped, "")
        + &route("\"a-open\", \"b-basic\", \"c-bearer\", \"d-helped\"")
        + "[[credential]]\nfor = \"d-helped\"\nhelper = \"fake\"\n";
    let (code, lines) = Site::new(&text).online();
    let expected = [
        "a-open: fine, without credentials",
        "b-basic: fine, as me",
        "c-bearer: fine, as me",
        "d-helped: fine, as helped",
    ];
    assert_eq!((code, lines), (Some(0), expected.map(str::to_owned).into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn online_says_who_does_not() {
    let (one, other, down) = (basic().await, basic().await, FakeRegistry::start().await);
    down.down();
    let text = table("a", &one, &password("me", "wrong"))
        + &table("b", &other, "")
        + &table("c", &down, "")
        + &route("\"a\", \"b\", \"c\"")
        + "[[credential]]\nfor = \"b/team\"\n"
        + &password("me", "password");
    let site = Site::new(&text);
    let (code, lines) = site.online();
    assert_eq!(code, Some(3));
    let starts = [
        "a: refused us: ",
        "b/team: fine, as me",
        "c: could not be reached: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    let (code, lines) = site.run(&["check", "--online", "--json"], 0);
    assert_eq!(code, Some(3));
    let objects: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|object: &Value| object.get("upstream").is_some())
        .collect();
    assert_eq!(objects.len(), 3);
    let fine = json!({ "upstream": "b/team", "fine": true, "user": "me", "reason": null });
    assert_eq!(objects[1], fine);
    assert_eq!(
        (&objects[0]["fine"], &objects[0]["user"]),
        (&json!(false), &json!(null))
    );
    assert!(
        objects[0]["reason"]
            .as_str()
            .unwrap()
            .starts_with("refused us")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn online_reports_pins_that_have_drifted() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1", &[random_bytes(1000, SEED)]);
    let digest = image.manifest.digest;
    let pinned = |tag: &str| {
        format!(
            "[[route]]\nfrom = \"docker.io/library/nginx:{tag}\"\nto = [\"hub/{{repository}}\"]\n\
             digest = \"{digest}\"\n"
        )
    };
    let site = Site::new(&(table("hub", &hub, "") + &pinned("1")));
    let steady = format!("docker.io/library/nginx:1: fine, the tag is {digest}");
    let fine = "hub: fine, without credentials".to_owned();
    assert_eq!(site.online(), (Some(0), vec![fine.clone(), steady]));
    let moved = hub.image("library/nginx", "1", &[random_bytes(1000, SEED + 1)]);
    let drifted = format!(
        "docker.io/library/nginx:1: pinned to {digest}, the tag is now {}",
        moved.manifest.digest
    );
    assert_eq!(site.online(), (Some(3), vec![fine.clone(), drifted]));
    hub.untag("library/nginx", "1");
    let gone = format!("docker.io/library/nginx:1: pinned to {digest}; no candidate has the tag");
    assert_eq!(site.online(), (Some(3), vec![fine, gone]));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_logins_and_reads_none() {
    let hub = FakeRegistry::start().await;
    let text = table("hub", &hub, &password("me", "password"))
        + &table("plain", &hub, "")
        + &route("\"hub/hub\", \"hub\", \"plain\"")
        + "[[credential]]\nfor = \"hub/hub\"\nhelper = \"absent\"\n";
    let site = Site::new(&text);
    let (code, lines) = site.run(&["explain", "--json", "docker.io/a/b:1"], 0);
    assert_eq!((code, lines.len()), (Some(0), 1));
    let explained: Value = serde_json::from_str(&lines[0]).unwrap();
    let candidates = explained["candidates"].as_array().unwrap();
    let logins: Vec<_> = candidates.iter().map(|one| &one["credential"]).collect();
    let expected = [json!("docker-credential-absent"), json!("me"), json!(null)];
    assert_eq!(logins, expected.iter().collect::<Vec<_>>());
    assert_eq!(hub.requests().len(), 0);
}
