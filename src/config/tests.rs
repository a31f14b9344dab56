//! The whole, from text to settings or problems.

mod broken;
mod credential;
mod example;
mod import;
mod imported;
mod mutations;
mod secret;
mod server_tls;
mod transport;

use super::*;
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::upstream::{Access, Credential, CredentialSource, EndpointAddress};

/// A certificate and its key, each as PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

static PAIR: LazyLock<(String, String)> = LazyLock::new(pair);

fn files(path: &Path, _content: FileSensitivity) -> io::Result<Vec<u8>> {
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("pem") => return Ok(PAIR.0.clone().into_bytes()),
        Some("key") => return Ok(PAIR.1.clone().into_bytes()),
        Some("yaml") => return Ok(import::SECRET.into()),
        _ => {}
    }
    match path.to_str() {
        Some("empty") => Ok(b"\n".to_vec()),
        Some("open") => check_secret_mode(0o100_644).map(|()| b"secret".to_vec()),
        Some("missing") => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(b"secret\n".to_vec()),
    }
}

const CONTEXT: LoadContext<'static> = LoadContext {
    read_file: &files,
    find_files: &|path| Ok(vec![path.to_owned()]),
    environment: &Environment {
        http_proxy: None,
        https_proxy: None,
        no_proxy: None,
    },
};

fn load(text: &str) -> Result<Loaded, ConfigProblems> {
    read(text, "roadstead.toml", &Overrides::default(), &CONTEXT)
}

fn loaded(text: &str) -> Loaded {
    load(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Key and reason of every problem.
fn problems(text: &str) -> Vec<(String, String)> {
    let problems = load(text).expect_err(text).problems;
    problems
        .into_iter()
        .map(|problem| (problem.key, problem.reason))
        .collect()
}

fn one_problem(text: &str) -> ConfigProblem {
    let mut problems = load(text).expect_err(text).problems;
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    problems.remove(0)
}

#[test]
fn the_simple_case() {
    let text = r#"
        [[route]]
        from = "docker.io"
        to = ["harbor.example.org/airgap-images/docker.io", "source"]
    "#;
    let loaded = loaded(text);
    assert_eq!(loaded.notes, Vec::<String>::new());
    let address = server::ListenAddress::Tcp("127.0.0.1:5000".parse().unwrap());
    assert_eq!(loaded.settings.listeners[0].address, address);
    let defaults = loaded.settings.upstream_defaults;
    let docker_hub = defaults.for_host(&"docker.io".parse().unwrap());
    let url = EndpointAddress::Url("https://registry-1.docker.io".to_owned());
    assert_eq!(docker_hub.endpoints, [url]);
}

#[test]
fn b112_unknown_and_duplicate_keys_and_wrong_types() {
    let problem = one_problem("[store]\nlisten = \"0.0.0.0:1\"\n");
    assert_eq!(problem.key, "store.listen");
    assert_eq!((problem.line, problem.column), (Some(2), Some(1)));
    assert_eq!(
        one_problem("size_max = \"1GiB\"").hint.unwrap(),
        "\"size_max\" belongs under [store]"
    );
    let problem = one_problem("[store]\nfree_min = \"1GiB\"\nfree_min = \"2GiB\"\n");
    assert_eq!((problem.key.as_str(), problem.line), ("", Some(3)));
    assert_eq!(
        one_problem("store = 5").hint.unwrap(),
        "write [store] on a line of its own"
    );
    assert_eq!(
        one_problem("[route]\nfrom = \"a.b\"").hint.unwrap(),
        "write [[route]], with two brackets"
    );
    for later in [
        "[credentials]\ndocker_config = \"x\"",
        "[store]\nscrub_rate = \"8MiB\"",
    ] {
        assert_eq!(one_problem(later).reason, "no such key", "{later}");
    }
}

#[test]
fn b113_b115_upstream_addresses_and_names() {
    let url = |url: &str| one_problem(&format!("[upstream.x]\nurl = \"{url}\"\n")).key;
    for bad in [
        "harbor.example.org",
        "https://h.example/v2",
        "https://u:p@h.example",
        "ftp://h.example",
    ] {
        assert_eq!(url(bad), "upstream.x.url", "{bad}");
    }
    let problem = one_problem("[upstream.x]\n");
    assert_eq!(
        (problem.key.as_str(), problem.line),
        ("upstream.x", Some(1))
    );
    let twice = "[upstream.\"docker.io\"]\n[upstream.\"index.docker.io\"]\n";
    assert_eq!(
        one_problem(twice).reason,
        "upstream.\"docker.io\" names the same registry, docker.io"
    );
    assert_eq!(
        one_problem("[upstream.\"a/b\"]\nurl = \"https://h.example\"").key,
        "upstream.\"a/b\""
    );
    let loaded = loaded("[upstream.x]\nurl = [\"http://10.0.0.7:5000\", \"unix:/run/x\"]\n");
    let endpoints = &loaded.settings.upstreams[0].0.endpoints;
    let expected = [
        EndpointAddress::Url("http://10.0.0.7:5000".to_owned()),
        EndpointAddress::Unix("/run/x".into()),
    ];
    assert_eq!(*endpoints, expected);
}

#[test]
fn b116_loops() {
    for text in [
        "[upstream.x]\nurl = \"http://127.0.0.1:5000\"",
        "[upstream.x]\nurl = \"http://localhost:5001\"",
        "[server]\nnames = [\"mirror.corp\"]\n[upstream.\"mirror.corp\"]",
        "[server]\nnames = [\"mirror.corp\"]\n[[route]]\nfrom = \"a.b\"\nto = [\"mirror.corp:5000/x\"]",
        "[[listener]]\nlisten = \"unix:/run/m\"\n[upstream.x]\nurl = \"unix:/run/m\"",
    ] {
        assert!(one_problem(text).reason.contains("would loop"), "{text}");
    }
}

#[test]
fn b118_to_b120_sizes_numbers_and_durations() {
    for text in [
        "[store]\nsize_max = \"0B\"",
        "[store]\nsize_max = \"-1GiB\"",
        "[store]\nsize_max = \"10XB\"",
        "[store]\nsize_max = inf",
        "[limits]\nconnections_max = 0",
        "[limits]\nconnections_max = -1",
        "[limits]\nrequests_max = nan",
        "[limits]\nrequests_max = 99999999999999999999",
        "[timeouts]\nheader = \"0s\"",
        "[timeouts]\nheader = \"-1s\"",
        "[timeouts]\nheader = \"99999999999999999999d\"",
        "[freshness]\nabsent = 5",
        "[freshness]\nabsent = \"\"",
    ] {
        let problem = one_problem(text);
        assert_eq!(problem.line, Some(2), "{text}");
    }
}

#[test]
fn b126_password_files() {
    let with = |file: &str| {
        let text = format!("[upstream.\"a.b\"]\nusername = \"me\"\npassword_file = \"{file}\"\n");
        load(&text)
    };
    for (file, reason) in [
        ("missing", "cannot use the file: entity not found"),
        ("empty", "the file is empty"),
        (
            "open",
            "cannot use the file: it is world-readable (mode 644)",
        ),
    ] {
        let problem = with(file).unwrap_err().problems.remove(0);
        assert_eq!(
            (problem.key.as_str(), problem.reason.as_str()),
            ("upstream.\"a.b\".password_file", reason)
        );
    }
    let loaded = with("good").unwrap();
    let settings = &loaded.settings.upstreams[0].0;
    let entry = settings
        .credentials_for(&"any/thing".parse().unwrap())
        .unwrap();
    let CredentialSource::Static(Credential::Password { username, password }) = &entry.source
    else {
        panic!()
    };
    assert_eq!((username.as_str(), password.reveal()), ("me", "secret"));
    assert_eq!(settings.access, Access::Shared);
    assert!(loaded.notes[0].starts_with("content pulled with credentials from a.b is served"));
    assert!(!format!("{loaded:?}").contains("secret"));
}

#[test]
fn access_per_client_is_not_built_and_public_with_a_login_is_noted() {
    let problem = one_problem("[upstream.\"a.b\"]\naccess = \"per-client\"");
    assert_eq!(problem.reason, "\"per-client\" is not implemented yet");
    let text = "[upstream.\"a.b\"]\nusername = \"me\"\npassword_file = \"f\"\naccess = \"public\"";
    let loaded = loaded(text);
    assert_eq!(loaded.settings.upstreams[0].0.access, Access::Public);
    assert!(loaded.notes[0].contains("is public here"));
}

#[test]
fn b130_addresses_of_our_own() {
    for (text, key) in [
        ("[admin]\nlisten = \"127.0.0.1:5000\"", "admin.listen"),
        ("[server]\nlisten = \"0.0.0.0:5001\"", "server.listen"),
        (
            "[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "server.listen[1]",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:5000\"",
            "listener[0].listen",
        ),
    ] {
        assert_eq!(one_problem(text).key, key, "{text}");
    }
    let open = loaded("[admin]\nlisten = \"0.0.0.0:5001\"");
    assert!(open.notes[0].starts_with("admin.listen: metrics"));
    assert_eq!(one_problem("[[listener]]\n").key, "listener[0]");
    assert_eq!(one_problem("[server]\nlisten = []\n").key, "server.listen");
}

#[test]
fn the_command_line_beats_the_file() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:0".to_owned()),
        store: Some("/s".into()),
    };
    let text = "[server]\nlisten = \"0.0.0.0:1\"\n[store]\npath = \"other\"\n";
    let settings = read(text, "f", &overrides, &CONTEXT).unwrap().settings;
    let address = server::ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
    assert_eq!(settings.listeners.len(), 1);
    assert_eq!(settings.listeners[0].address, address);
    assert_eq!(settings.store.path, Path::new("/s"));
    let bad = Overrides {
        listen: Some(":1".to_owned()),
        ..Overrides::default()
    };
    let problem = defaults(&bad, &Environment::default())
        .unwrap_err()
        .problems
        .remove(0);
    assert_eq!((problem.key.as_str(), problem.line), ("--listen", None));
    assert_eq!(problem.value.as_deref(), Some("\":1\""));
}

#[test]
fn routes_say_what_is_wrong_with_them() {
    for (text, key) in [
        ("[[route]]\nto = [\"source\"]", "route[0]"),
        (
            "[[route]]\nfrom = \"a.b\"\ncontains = \"c\"\nto = [\"source\"]",
            "route[0]",
        ),
        (
            "[[route]]\nfrom = \"a.b\"\nto = [{ ref = \"tag\" }]",
            "route[0].to[0]",
        ),
        ("[[route]]\nfrom = \"a.b\"\nto = \"source\"", "route[0].to"),
        (
            "[[route]]\nfrom = \"a.b\"\nto = [\"source\"]\nband = 501",
            "route[0].band",
        ),
        (
            "[[route]]\nfrom = \"a.b\"\nto = [{ target = \"source\", reff = \"tag\" }]",
            "route[0].to[0].reff",
        ),
    ] {
        assert_eq!(one_problem(text).key, key, "{text}");
    }
}

#[test]
fn notes_what_may_not_be_intended() {
    let notes = |text: &str| loaded(text).notes;
    assert!(notes("unmatched = \"source\"")[0].starts_with("unmatched = \"source\""));
    let open = notes("[[route]]\nfrom = \"*\"\nto = [\"source\"]");
    assert!(open[0].starts_with("route[0]: open proxy"), "{open:?}");
    let route = "[[route]]\nfrom = \"docker.io\"\nto = [\"source\"]\n";
    let unused = notes(&format!(
        "{route}[upstream.\"harbor.example.org\"]\n[upstream.\"docker.io\"]"
    ));
    assert_eq!(
        unused,
        ["upstream.\"harbor.example.org\": no route uses it"]
    );
}

#[test]
fn names_mean_what_the_file_says() {
    let text = r#"
[server]
default_registry = ""
[[listener]]
listen = "127.0.0.1:5002"
default_registry = "quay.io"
[aliases]
"hub" = "docker.io"
"#;
    let settings = loaded(text).settings;
    let home = |listener: usize, path: &str| {
        let named = settings.listeners[listener]
            .ingress
            .resolve(path, None, None);
        named.ok().map(|named| named.repository.to_string())
    };
    assert_eq!(home(0, "/v2/team/app"), None);
    assert_eq!(home(1, "/v2/team/app").unwrap(), "quay.io/team/app");
    assert_eq!(home(0, "/v2/hub/nginx").unwrap(), "docker.io/library/nginx");
}

#[test]
fn a_target_is_spelt_as_its_upstream_is_called() {
    let text = "[[route]]\nfrom = \"a.b\"\nto = [\"Harbor.example.org/x\"]\n";
    let reason = "the canonical name of \"Harbor.example.org\" is \"harbor.example.org\"";
    assert_eq!(one_problem(text).reason, reason);
}
