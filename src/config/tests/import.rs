//! `[[import]]`: other programs' files beside the configuration's own entries.

use super::*;
use crate::{
    oci::ImageReference,
    platform,
    route::{Candidate, Decision},
};

/// A pull Secret with the login `me:canary` for `registry.example.org`.
pub(super) const SECRET: &str = r#"apiVersion: v1
kind: Secret
metadata:
  name: pull
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '{"auths": {"registry.example.org": {"auth": "bWU6Y2FuYXJ5"}}}'
"#;

/// What comes of a configuration among these files. One with `open` in its name is readable by all,
/// and `*` means all whose names begin as it does.
fn load_among(files: &[(&str, &str)], text: &str) -> Result<Loaded, ConfigProblems> {
    let open = |path: &Path, content| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        let (name, text) = found.ok_or(io::ErrorKind::NotFound)?;
        if content == FileSensitivity::Secret && name.contains("open") {
            check_secret_mode(0o100_644)?;
        }
        Ok(text.as_bytes().to_vec())
    };
    let gather = |path: &Path| {
        let pattern = path.to_str().unwrap();
        let fits = |name: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let found = files.iter().filter(|(name, _)| fits(name));
        let found: Vec<_> = found.map(|(name, _)| PathBuf::from(name)).collect();
        if found.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(found)
    };
    let context = LoadContext {
        read_file: &open,
        find_files: &gather,
        ..CONTEXT
    };
    let loaded = read(text, "roadstead.toml", &Overrides::default(), &context);
    let printed = match &loaded {
        Ok(loaded) => format!("{loaded:?}"),
        Err(problems) => format!("{problems} {problems:?} {}", problems.json_lines()),
    };
    assert!(!printed.contains("canary"), "{printed}");
    loaded
}

fn settings_among(files: &[(&str, &str)], text: &str) -> Settings {
    let loaded = load_among(files, text);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    loaded.settings
}

fn one_among(files: &[(&str, &str)], text: &str) -> ConfigProblem {
    let mut problems = load_among(files, text).expect_err(text).problems;
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    problems.remove(0)
}

/// Where a tag is asked for.
fn asked(settings: &Settings, image: &str) -> Vec<String> {
    let image: ImageReference = image.parse().unwrap();
    let decision = settings
        .table
        .decide(&image.repository.into(), &image.reference);
    match decision {
        Decision::Route { candidates, .. } => {
            let shown = |one: &Candidate| format!("{}/{}", one.upstream, one.name);
            candidates.iter().map(shown).collect()
        }
        Decision::Deny { .. } => vec!["deny".to_owned()],
        Decision::Unmatched { .. } => vec!["unmatched".to_owned()],
    }
}

/// An import of these files.
fn import(files: &str) -> String {
    format!("[[import]]\nfiles = {files}\n")
}

/// An imageswap map that leads one registry to a target.
fn map(registry: &str, target: &str) -> String {
    format!("default::rest.example\n{registry}::{target}\n")
}

#[test]
fn imported_routes_stand_beside_those_written_by_hand() {
    let maps = [("map", &*map("quay.io", "harbor.example.org/quay"))];
    let shouted = [("map", &*map("quay.io", "Harbor.example.org/x"))];
    let settings = settings_among(&shouted, &import("\"map\""));
    assert_eq!(asked(&settings, "quay.io/a:1"), ["harbor.example.org/x/a"]);
    let by_hand = "[[route]]\nfrom = \"docker.io\"\nto = [\"source\"]\n";
    let settings = settings_among(&maps, &(import("\"map\"") + by_hand));
    assert_eq!(
        asked(&settings, "quay.io/a/b:1"),
        ["harbor.example.org/quay/a/b"]
    );
    assert_eq!(asked(&settings, "alpine:1"), ["docker.io/library/alpine"]);
}

/// An import and the configuration that `import` prints of the same file say the same.
#[test]
fn logins_alone_leave_the_built_in_list_on_and_any_route_switches_it_off() {
    let with_source = "docker.io::h.example\n";
    let files = [
        ("secret", SECRET),
        ("map", &*map("quay.io", "h.example")),
        ("without", with_source),
    ];
    let options = platform::ImportOptions {
        baseline: None,
        internal_registry: None,
        fallback: platform::SourceFallback::Auto,
        own: &|_registry| false,
        is_own_guessed: false,
    };
    for (name, text) in files {
        let input = platform::Input {
            name,
            bytes: text.as_bytes(),
            is_named: true,
        };
        let imported = platform::import(None, &[input], &options);
        let printed = platform::write(&imported, None).toml;
        let live = settings_among(&files, &import(&format!("{name:?}")));
        let pasted = settings_among(&files, &printed);
        for image in ["docker.io/a/b:1", "quay.io/a/b:1", "other.example/a:1"] {
            assert_eq!(
                asked(&live, image),
                asked(&pasted, image),
                "{name}: {image}"
            );
        }
    }
    let only_logins = settings_among(&files, &import("\"secret\""));
    assert_eq!(asked(&only_logins, "quay.io/a/b:1"), ["quay.io/a/b"]);
    assert_eq!(asked(&only_logins, "other.example/a:1"), ["unmatched"]);
}

#[test]
fn what_is_written_by_hand_wins_and_two_imports_that_differ_are_refused() {
    let (one, two) = (
        map("quay.io", "one.example/q"),
        map("quay.io", "two.example/q"),
    );
    let maps = [("one", &*one), ("same", &*one), ("two", &*two)];
    let by_hand = "[[route]]\nfrom = \"quay.io:*\"\nto = [\"hand.example/q\"]\n";
    let both = import("\"one\"") + &import("\"two\"");

    let loaded = load_among(&maps, &format!("{both}{by_hand}")).unwrap();
    assert_eq!(asked(&loaded.settings, "quay.io/a:1"), ["hand.example/q/a"]);
    let note =
        "roadstead.toml:5: \"quay.io:*\" is written by hand and replaces the one from one:2:1";
    assert!(
        loaded.notes.iter().any(|told| told == note),
        "{:?}",
        loaded.notes
    );

    let problem = one_among(&maps, &both);
    assert_eq!(
        (problem.key.as_str(), problem.line),
        ("import[1].files", Some(4))
    );
    let reason = "two:2:1: E-DUP: \"quay.io:*\" leads to different places in one:2:1 and two:2:1";
    assert_eq!(problem.reason, reason);
    let place = problem::ImportedLocation {
        file: "two".to_owned(),
        line: 2,
        column: 1,
        code: Some("E-DUP"),
    };
    assert_eq!(problem.imported, Some(place));

    let merged = import("\"one\"") + &import("\"same\"");
    let settings = settings_among(&maps, &merged);
    assert_eq!(asked(&settings, "quay.io/a:1"), ["one.example/q/a"]);
}

#[test]
fn a_problem_names_the_key_the_file_and_the_place_in_it() {
    let files = [
        ("maps/a", "default::\n"),
        ("maps/b", "default::\nnonsense\n"),
    ];
    let text = import("[\"maps/*\"]");
    let problems = load_among(&files, &text).unwrap_err();
    let shown = problems.to_string();
    assert!(
        shown.contains("  line 2: import[0].files[0]\n    maps/b:2:1: E-SEP: "),
        "{shown}"
    );
    let line: serde_json::Value = serde_json::from_str(problems.json_lines().trim()).unwrap();
    assert_eq!(
        (&line["file"], &line["line"]),
        (&"roadstead.toml".into(), &2.into())
    );
    let place = serde_json::json!({"file": "maps/b", "line": 2, "column": 1, "code": "E-SEP"});
    assert_eq!(line["imported"], place);
    let bytes = |_path: &Path, _content| Ok(b"default::\n\xff".to_vec());
    let context = LoadContext {
        read_file: &bytes,
        ..CONTEXT
    };
    let read = read(&text, "roadstead.toml", &Overrides::default(), &context);
    let shown = read.unwrap_err().to_string();
    assert!(
        shown.contains("maps/*:2:1: E-FILE: the file is not UTF-8"),
        "{shown}"
    );
}

#[test]
fn the_keys_of_an_import_are_checked() {
    let maps = [("map", &*map("quay.io", "harbor.example.org/q"))];
    for (keys, key, hint) in [
        ("", "import[0]", Some("add files")),
        ("files = []", "import[0].files", Some("add files")),
        ("files = 5", "import[0].files", None),
        (
            "files = \"none\"",
            "import[0].files",
            Some("relative paths start at"),
        ),
        (
            "files = [\"map\", \"none\"]",
            "import[0].files[1]",
            Some("relative paths start at"),
        ),
        (
            "files = \"map\"\nformat = \"imageswop\"",
            "import[0].format",
            Some("did you mean \"imageswap\"?"),
        ),
        (
            "files = \"map\"\nbaseline_file = \"none\"",
            "import[0].baseline_file",
            Some("relative paths start at"),
        ),
        (
            "files = \"map\"\ninternal_registry = \"a/b\"",
            "import[0].internal_registry",
            None,
        ),
        (
            "files = \"map\"\nfallback = \"never\"",
            "import[0].fallback",
            None,
        ),
        (
            "file = \"map\"\nfiles = \"map\"",
            "import[0].file",
            Some("did you mean \"files\"?"),
        ),
    ] {
        let problem = one_among(&maps, &format!("[[import]]\n{keys}\n"));
        assert_eq!(problem.key, key, "{keys}: {problem:?}");
        let fits = |hint| {
            problem
                .hint
                .as_ref()
                .is_some_and(|told| told.starts_with(hint))
        };
        assert!(hint.is_none_or(fits), "{keys}: {problem:?}");
    }
}

#[test]
fn an_import_that_leads_to_the_mirror_itself_is_refused() {
    let map = map("quay.io", "mirror.corp/q");
    let maps = [("map", &*map)];
    for keys in [
        "[server]\nnames = [\"mirror.corp\"]\n",
        "[server]\npublic_url = \"https://mirror.corp\"\n",
        "[[listener]]\nlisten = \"127.0.0.1:1\"\nnames = [\"mirror.corp\"]\n",
    ] {
        let problem = one_among(&maps, &format!("{}{keys}", import("\"map\"")));
        assert!(problem.reason.starts_with("map:2:"), "{problem:?}");
        assert!(problem.reason.contains("E-LOOP"), "{problem:?}");
    }
    let elsewhere = "[server]\npublic_url = \"https://other.corp\"\n";
    let settings = settings_among(&maps, &(import("\"map\"") + elsewhere));
    assert_eq!(settings.public_url.as_deref(), Some("https://other.corp"));
    assert!(
        settings
            .self_addresses
            .contains_registry(&"other.corp".parse().unwrap())
    );
    let path = one_problem("[server]\npublic_url = \"https://other.corp/v2\"\n");
    assert_eq!(path.key, "server.public_url");
}

#[test]
fn logins_come_after_those_written_by_hand_and_before_other_files() {
    let other = SECRET.replace("bWU6Y2FuYXJ5", "eW91OmNhbmFyeQ==");
    let files = [
        ("secret", SECRET),
        ("same", SECRET),
        ("other", &*other),
        ("open", SECRET),
        ("password", "canary"),
        (
            "docker.json",
            "{\"auths\": {\"registry.example.org\": {\"auth\": \"YTpjYW5hcnk=\"}}}",
        ),
    ];
    let user = |text: &str| {
        let settings = settings_among(&files, text);
        let defaults = settings.upstream_defaults;
        let upstream = defaults.for_host(&"registry.example.org".parse().unwrap());
        let entry = upstream.credentials_for(&"a/b".parse().unwrap()).unwrap();
        let CredentialSource::Static(Credential::Password { username, .. }) = &entry.source else {
            panic!("no password")
        };
        username.clone()
    };
    let docker = "[credentials]\ndocker_config_files = [\"docker.json\"]\n";
    let by_hand = "[[credential]]\nfor = \"registry.example.org\"\nusername = \"hand\"\n\
                   password_file = \"password\"\n";
    assert_eq!(user(&(import("\"secret\"") + docker)), "me");
    assert_eq!(user(&(import("[\"secret\", \"same\"]") + docker)), "me");
    assert_eq!(user(&(import("\"other\"") + by_hand + docker)), "hand");

    let both = import("\"secret\"") + &import("\"other\"");
    let problem = one_among(&files, &both);
    let reason = "other:7:23: E-CREDAMBIG: registry.example.org has different \
                  credentials in secret:7:23";
    assert_eq!(problem.reason, reason);
    assert_eq!(user(&(both + by_hand)), "hand");

    let problem = one_among(&files, &import("\"open\""));
    assert_eq!(problem.key, "import[0].files");
    assert!(problem.reason.contains("world-readable"), "{problem:?}");
    assert!(problem.hint.unwrap().contains("defaultMode"));
    assert!(
        load_among(
            &[("open", &map("a.example", "b.example"))],
            &import("\"open\"")
        )
        .is_ok()
    );
}

#[test]
fn checks_of_the_whole_name_the_imported_place() {
    let open = "default::\n";
    let files = [
        ("map", &*map("quay.io", "a.example/q")),
        ("secret", SECRET),
        ("open", open),
    ];
    let notes = load_among(&files, &import("[\"map\", \"secret\"]"))
        .unwrap()
        .notes;
    let note = "secret:7:23: no route uses credentials for registry.example.org";
    assert_eq!(notes, [note]);
    let notes = load_among(&files, &import("\"open\"")).unwrap().notes;
    let note =
        |note: &&String| note.starts_with("open:1:10: open proxy: every client that reaches");
    assert_eq!(notes.iter().filter(note).count(), 1, "{notes:?}");
}

#[test]
fn of_many_remarks_the_first_are_told() {
    let lines = |rest: &str| {
        let lines = (0..150).map(|at| format!("r{at}.example{rest}\n"));
        lines.collect::<Vec<_>>().concat()
    };
    let (bad, dashed) = (lines(" no target"), lines("::h.example/x/"));
    let files = [("bad", &*bad), ("dashed", &*dashed)];
    let problems = load_among(&files, &import("\"bad\"")).unwrap_err().problems;
    let last = problems.iter().find(|problem| problem.imported.is_none());
    assert_eq!(problems.len(), 101);
    assert_eq!(last.unwrap().reason, "50 more problems");
    let notes = load_among(&files, &import("\"dashed\"")).unwrap().notes;
    let told = notes.iter().filter(|note| note.starts_with("dashed:"));
    assert_eq!(told.count(), 100, "{notes:#?}");
    assert!(
        notes
            .iter()
            .any(|note| note.contains(" more warnings and notes"))
    );
}

/// A registry's settings: whether authorities, a certificate of ours, and `ns` are there.
fn met(settings: &Settings, name: &str) -> [bool; 3] {
    let mut upstreams = settings.upstreams.iter().map(|(one, _)| one);
    let upstream = upstreams.find(|one| one.name.as_str() == name).unwrap();
    let transport = &upstream.transport;
    let authorities = transport.authorities != crate::tls::Authorities::default();
    [authorities, transport.identity.is_some(), upstream.send_ns]
}

const K3S: &str = "mirrors:\n  docker.io:\n    endpoint: [https://m.example]\n\
                   configs:\n  m.example:\n    tls: {ca_file: ca, cert_file: ca, key_file: key}\n";

#[test]
fn certificates_of_every_format_reach_the_registry() {
    let indented = PAIR.0.replace('\n', "\n    ");
    let talos = format!(
        "apiVersion: v1alpha1\nkind: RegistryTLSConfig\nname: m.example\nca: |\n    {indented}\n"
    );
    let palette = format!(
        "kind: Secret\nstringData:\n  DOMAIN: m.example\n  CA_CERT: |\n    {indented}\n  \
         MIRROR_REGISTRIES: docker.io::m.example/airgap/docker.io\n"
    );
    let hosts = "[host.\"https://m.example\"]\nca = \"ca\"\nclient = [[\"ca\", \"key\"]]\n";
    let files = [
        ("ca", &*PAIR.0),
        ("key", &*PAIR.1),
        ("certs.d/docker.io/ca", &*PAIR.0),
        ("certs.d/docker.io/key", &*PAIR.1),
        ("certs.d/docker.io/hosts.toml", hosts),
        ("k3s", K3S),
        ("talos", &*talos),
        ("palette", &*palette),
    ];
    for (name, want) in [
        ("certs.d/docker.io/hosts.toml", [true, true, true]),
        ("k3s", [true, true, true]),
        ("talos", [true, false, false]),
        ("palette", [true, false, false]),
    ] {
        let settings = settings_among(&files, &import(&format!("{name:?}")));
        assert_eq!(met(&settings, "m.example"), want, "{name}");
    }
    let settings = settings_among(&files, &import("\"palette\""));
    let alias = (
        "airgap/docker.io".to_owned(),
        vec!["docker.io".parse().unwrap()],
    );
    assert!(settings.aliases.contains(&alias), "{:?}", settings.aliases);

    let broken = talos.replace(
        "BEGIN CERTIFICATE-----\n    ",
        "BEGIN CERTIFICATE-----\n    !",
    );
    let files = [("talos", &*broken)];
    let problem = one_among(&files, &import("\"talos\""));
    assert!(problem.reason.contains("E-CA"), "{problem:?}");
}

#[test]
fn imported_registries_merge_contradict_and_give_way() {
    let careless = K3S.replace("ca_file: ca,", "insecure_skip_verify: true,");
    let files = [
        ("ca", &*PAIR.0),
        ("key", &*PAIR.1),
        ("one", K3S),
        ("same", K3S),
        ("other", &*careless),
    ];
    let merged = import("\"one\"") + &import("\"same\"");
    let settings = settings_among(&files, &merged);
    let named =
        |(one, _): &&(crate::upstream::Settings, RefusalPolicy)| one.name.as_str() == "m.example";
    assert_eq!(settings.upstreams.iter().filter(named).count(), 1);

    let both = import("\"one\"") + &import("\"other\"");
    let problem = one_among(&files, &both);
    let reason = &problem.reason;
    assert_eq!(problem.key, "import[1].files");
    for part in ["other:3:16: E-DUP: ", "in one:3:16"] {
        assert!(reason.contains(part), "{reason}");
    }

    let by_hand = "[upstream.\"m.example\"]\nurl = \"https://m.example:8443\"\n";
    let loaded = load_among(&files, &(both + by_hand)).unwrap();
    assert_eq!(met(&loaded.settings, "m.example"), [false; 3]);
    let replaced = "takes precedence";
    let told = loaded.notes.iter().filter(|note| note.ends_with(replaced));
    assert_eq!(told.count(), 2, "{:?}", loaded.notes);
}
