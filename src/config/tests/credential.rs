//! Credentials: scopes, sources, and that secrets are never printed.

use super::*;

/// Every secret that a file of these tests holds.
const CANARY: &str = "canary";

/// `user:canary`, as Docker writes it.
const DOCKER_CONFIG: &str = r#"{
    "auths": {
        "https://index.docker.io/v1/": { "auth": "dXNlcjpjYW5hcnk=" },
        "registry.corp/team": { "auth": "dXNlcjpjYW5hcnk=" },
        "registry.corp": { "identitytoken": "canary" }
    },
    "credHelpers": { "gcr.io": "gcloud" },
    "credsStore": "desktop"
}"#;

fn secrets(path: &Path, content: FileSensitivity) -> io::Result<Vec<u8>> {
    assert_eq!(content, FileSensitivity::Secret, "{path:?}");
    match path.to_str().unwrap_or_default() {
        "docker.json" => Ok(DOCKER_CONFIG.into()),
        "broken.json" => Ok("{\"auths\": {\"a.b\": {\"auth\": \"canary\"}}}".into()),
        "two-lines" => Ok("canary\ncanary\n".into()),
        "password" => Ok("canary\n".into()),
        "other" => Ok("canary2".into()),
        _ => files(path, content),
    }
}

fn try_read(text: &str) -> Result<Loaded, ConfigProblems> {
    let context = LoadContext {
        read_file: &secrets,
        ..CONTEXT
    };
    let read = read(text, "roadstead.toml", &Overrides::default(), &context);
    // T35, in every test here.
    let printed = match &read {
        Ok(loaded) => format!("{loaded:?} {loaded:#?}"),
        Err(problems) => format!("{problems} {problems:?} {}", problems.json_lines()),
    };
    assert!(!printed.contains(CANARY), "{text}: {printed}");
    read
}

fn fine(text: &str) -> Loaded {
    try_read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The one problem's key, reason and hint.
fn wrong(text: &str) -> (String, String, Option<String>) {
    let mut problems = try_read(text).expect_err(text).problems;
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    let problem = problems.remove(0);
    (problem.key, problem.reason, problem.hint)
}

/// Whom we are for a repository of an upstream, with or without a table.
fn login(loaded: &Loaded, upstream: &str, name: &str) -> Option<String> {
    let settings = &loaded.settings;
    let upstream = upstream.parse().unwrap();
    let mut tables = settings.upstreams.iter().map(|(table, _)| table);
    let table = tables.find(|table| table.name == upstream).cloned();
    let table = table.unwrap_or_else(|| settings.upstream_defaults.for_host(&upstream));
    table
        .credentials_for(&name.parse().unwrap())
        .map(|entry| match &entry.source {
            CredentialSource::Static(credential) => credential.username().to_owned(),
            CredentialSource::Helper { name, server } => format!("{name} {server}"),
        })
}

fn credential(place: &str, more: &str) -> String {
    format!("[[credential]]\nfor = \"{place}\"\n{more}\n")
}

const PASSWORD: &str = "username = \"me\"\npassword_file = \"password\"";

#[test]
fn the_longest_path_of_the_upstream_reference_wins() {
    let text = credential("registry.corp", "token_file = \"password\"")
        + &credential("registry.corp/astro", PASSWORD)
        + &credential("*.ecr.example", "helper = \"ecr-login\"")
        + &credential("hub", "helper = \"pass\"")
        + "[upstream.hub]\nurl = \"https://registry-1.docker.io\"\n";
    let loaded = fine(&text);
    let is = |upstream, name| login(&loaded, upstream, name);
    assert_eq!(is("registry.corp", "astro/app").unwrap(), "me");
    assert_eq!(is("registry.corp", "astronomy").unwrap(), "<token>");
    assert_eq!(is("1.ecr.example", "a").unwrap(), "ecr-login 1.ecr.example");
    assert_eq!(is("hub", "a").unwrap(), "pass hub");
    assert_eq!(is("docker.io", "a"), None);
    // Credentials make content private, unless `access` says otherwise.
    let access = |name: &str| {
        let defaults = &loaded.settings.upstream_defaults;
        defaults.for_host(&name.parse().unwrap()).access
    };
    assert_eq!(access("registry.corp"), Access::Shared);
    assert_eq!(access("quay.io"), Access::Public);
}

#[test]
fn dockers_files_come_after_what_is_written_here() {
    let files = "[credentials]\ndocker_config_files = [\"docker.json\"]\n";
    let loaded = fine(files);
    let is = |upstream, name| login(&loaded, upstream, name).unwrap();
    assert_eq!(is("docker.io", "library/a"), "user");
    assert_eq!(is("registry.corp", "team/a"), "user");
    assert_eq!(is("registry.corp", "a"), "<token>");
    assert_eq!(is("gcr.io", "a"), "gcloud gcr.io");
    assert_eq!(is("quay.io", "a"), "desktop quay.io");
    let loaded = fine(&(credential("docker.io", PASSWORD) + files));
    assert_eq!(login(&loaded, "docker.io", "a").unwrap(), "me");
    let note = "credentials.docker_config_files[0]: credentials for docker.io in docker.json are \
                not used: earlier ones take precedence";
    assert_eq!(loaded.notes[0], note);
    // There is no table with `access`.
    assert!(loaded.notes[1].starts_with("content pulled with credentials from docker.io is"));
    // A host that only a client named starts no program.
    let defaults = &loaded.settings.upstream_defaults;
    let mut settings = defaults.for_host(&"a.example".parse().unwrap());
    let name = "a".parse().unwrap();
    assert!(settings.credentials_for(&name).is_some());
    settings.named_by = crate::connect::NamedBy::Client;
    assert!(settings.credentials_for(&name).is_none());
}

#[test]
fn t08_a_short_form_is_for_its_own_upstream_alone() {
    let text = format!(
        "[upstream.\"registry.corp\"]\n{PASSWORD}\n\
         [upstream.anonymous]\nurl = \"https://registry.corp\"\n\
         [upstream.mirror]\nurl = \"https://other.corp\"\n{PASSWORD}\n"
    );
    let loaded = fine(&text);
    assert_eq!(login(&loaded, "registry.corp", "a").unwrap(), "me");
    assert_eq!(login(&loaded, "mirror", "a").unwrap(), "me");
    assert_eq!(login(&loaded, "anonymous", "a"), None);
    assert_eq!(login(&loaded, "other.corp", "a"), None);
    // A longer path takes precedence, and a `[[credential]]` applies to the address.
    let loaded = fine(&(text + &credential("registry.corp/team", "helper = \"x\"")));
    for (upstream, name, user) in [
        ("registry.corp", "team/a", Some("x registry.corp")),
        ("registry.corp", "a", Some("me")),
        ("anonymous", "team/a", Some("x registry.corp")),
        ("anonymous", "a", None),
    ] {
        let found = login(&loaded, upstream, name);
        assert_eq!(found.as_deref(), user, "{upstream} {name}");
    }
}

#[test]
fn a_new_password_changes_its_own_upstream_alone() {
    let with = |file: &str| {
        let more = format!("username = \"me\"\npassword_file = \"{file}\"");
        let text = credential("a.example/x", &more) + "[upstream.\"a.example\"]\n[upstream.b]\n";
        let mut settings = fine(&(text + "url = \"https://b.example\"\n")).settings;
        let rest = settings.upstreams.split_off(1);
        (settings.upstreams.remove(0).0, rest)
    };
    let (before, after) = (with("password"), with("other"));
    assert_ne!(before.0, after.0);
    assert_eq!(format!("{:?}", before.0), format!("{:?}", after.0));
    assert!(before.1 == after.1);
    assert!(before == with("password"));
}

#[test]
fn b126_secrets_come_from_files_that_nobody_else_reads() {
    let given = |key: &str, file: &str| {
        let username = if key == "password_file" {
            "username = \"me\"\n"
        } else {
            ""
        };
        let (key, reason, _) = wrong(&credential("a.b", &format!("{username}{key} = \"{file}\"")));
        assert!(key.starts_with("credential[0]."), "{key}");
        reason
    };
    for key in ["password_file", "token_file"] {
        for (file, reason) in [
            ("missing", "cannot use the file: entity not found"),
            ("empty", "the file is empty"),
            ("two-lines", "the file has more than one line of text"),
            (
                "open",
                "cannot use the file: it is world-readable (mode 644)",
            ),
        ] {
            assert_eq!(given(key, file), reason, "{key}");
        }
    }
    for (file, reason) in [
        ("missing", "cannot use the file: entity not found"),
        ("empty", "line 2, column 1: the file ends unexpectedly"),
        ("password", "line 1, column 1: invalid JSON"),
        (
            "broken.json",
            "line 1, column 28: auths.\"a.b\".auth: this is not the base64 of USER:PASSWORD",
        ),
    ] {
        let text = format!("[credentials]\ndocker_config_files = [\"docker.json\", \"{file}\"]");
        let (key, found, _) = wrong(&text);
        assert_eq!(key, "credentials.docker_config_files[1]");
        assert_eq!(found, reason);
    }
    let (_, _, hint) = wrong(&credential("a.b", "token_file = \"open\""));
    assert!(hint.unwrap().starts_with("chmod 600 FILE"));
}

#[test]
fn b126_a_secret_in_the_file_itself_is_refused_and_not_repeated() {
    let hint = "secrets are read from files";
    for key in ["password", "token", "secret"] {
        for table in [
            "[upstream.\"a.b\"]\n",
            "[[credential]]\nfor = \"a.b\"\nhelper = \"x\"\n",
        ] {
            let (_, reason, found) = wrong(&format!("{table}{key} = \"canary\"\n"));
            assert_eq!(reason, "no such key");
            assert!(found.unwrap().starts_with(hint), "{table}{key}");
        }
    }
    for (text, key) in [
        (
            credential("https://me:canary@a.b", "helper = \"x\""),
            "credential[0].for",
        ),
        (
            credential(
                "a.b",
                "username = \"me:canary\"\npassword_file = \"password\"",
            ),
            "credential[0].username",
        ),
        (
            "[upstream.\"a.b\"]\nusername = \"me:canary\"\npassword_file = \"password\"".to_owned(),
            "upstream.\"a.b\".username",
        ),
        (
            "[upstream.\"a.b\"]\nurl = \"https://me:canary@a.b\"".to_owned(),
            "upstream.\"a.b\".url",
        ),
        (
            "[credentials]\nauths = { \"a.b\" = { auth = \"canary\" } }".to_owned(),
            "credentials.auths",
        ),
    ] {
        assert_eq!(wrong(&text).0, key, "{text}");
    }
}

#[test]
fn a_login_has_one_place_and_one_source() {
    for (more, key, reason) in [
        ("", "credential[0]", "the credential has no source"),
        (
            "username = \"me\"",
            "credential[0]",
            "the credential has no source",
        ),
        (
            "helper = 5",
            "credential[0].helper",
            "expected a string, found a whole number",
        ),
        (
            "helper = \"x\"\ntoken_file = \"password\"",
            "credential[0]",
            "a credential must have exactly one of password_file, token_file and helper",
        ),
        (
            "helper = \"x\"\nusername = \"me\"",
            "credential[0].username",
            "a user name is only used with password_file",
        ),
        (
            "helper = \"../x\"",
            "credential[0].helper",
            "a helper's name must consist of letters, digits and . _ -",
        ),
        (
            "password_file = \"password\"",
            "credential[0].password_file",
            "a password without a user name",
        ),
    ] {
        let (found, why, _) = wrong(&credential("a.b", more));
        assert_eq!((found.as_str(), why.as_str()), (key, reason), "{more}");
    }
    assert_eq!(wrong("[[credential]]\nhelper = \"x\"").0, "credential[0]");
    let (_, _, hint) = wrong(&credential("https://a.b/", "helper = \"x\""));
    assert_eq!(hint.unwrap(), "did you mean \"a.b\"?");
    let short = |more: &str| wrong(&format!("[upstream.\"a.b\"]\n{more}\n")).1;
    for (more, reason) in [
        ("username = \"me\"", "a user name without a password"),
        (
            "username = \"me\"\npassword_file = \"\"",
            "a user name without a password",
        ),
        (
            "password_file = \"password\"",
            "a password without a user name",
        ),
        (
            "username = \"\"\npassword_file = \"password\"",
            "a password without a user name",
        ),
        (
            "username = \"me\"\npassword_file = 5",
            "expected a string, found a whole number",
        ),
    ] {
        assert_eq!(short(more), reason, "{more}");
    }
}

#[test]
fn two_logins_for_one_place_name_each_other() {
    let helper = "helper = \"x\"";
    let twice = credential("docker.io/a", helper) + &credential("index.docker.io:443/a", helper);
    let (key, reason, _) = wrong(&twice);
    assert_eq!(key, "credential[1].for");
    assert_eq!(reason, "credential[0].for is also for docker.io/a");
    let text = credential("a.b", helper) + &format!("[upstream.\"a.b\"]\n{PASSWORD}\n");
    let (key, reason, _) = wrong(&text);
    assert_eq!(key, "upstream.\"a.b\".password_file");
    assert_eq!(reason, "credential[0].for also has credentials for a.b");
}

#[test]
fn b131_public_with_a_login_is_said() {
    let route = "[[route]]\nfrom = \"docker.io\"\nto = [\"a.b\"]\n";
    let logins = credential("a.b/team", PASSWORD) + route;
    let notes = fine(&(logins.clone() + "[upstream.\"a.b\"]\n")).notes;
    assert!(notes[0].starts_with("content pulled with credentials from a.b is served"));
    let notes = fine(&(logins + "[upstream.\"a.b\"]\naccess = \"public\"\n")).notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("upstream.\"a.b\": content pulled with its credentials is public")
    );
}

#[test]
fn a_login_that_nothing_uses_is_noted() {
    let idle = |place: &str, routes: &str| {
        let text = credential(place, PASSWORD) + "[upstream.hub]\nurl = \"https://h.corp\"\n";
        let notes = fine(&(text + routes)).notes;
        notes
            .into_iter()
            .any(|note| note.starts_with("credential[0].for: no route uses credentials for"))
    };
    let route = |from: &str, to: &str| format!("[[route]]\nfrom = \"{from}\"\nto = [{to}]\n");
    let hub = route("docker.io", "\"hub/x\"");
    let both = route("docker.io", "\"hub/x\", \"source\"");
    for (place, routes, is_idle) in [
        ("hub", &hub, false),
        ("h.corp", &hub, false),
        ("*.corp/x", &hub, false),
        ("docker.io", &hub, true),
        ("docker.io", &both, false),
        ("quay.io", &both, true),
        ("quay.io", &route("*", "\"source\""), false),
        ("quay.io", &route("*.io", "\"hub\""), true),
        ("quay.io", &String::new(), false),
    ] {
        assert_eq!(idle(place, routes), is_idle, "{place} {routes}");
    }
}
