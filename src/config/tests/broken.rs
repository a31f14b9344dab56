//! Broken files: what people are told.

use super::*;

#[test]
fn a_broken_file_reads_well() {
    let text = r#"unmatched = "allow"

[server]
lisen = "0.0.0.0:5000"

[store]
size_max = "10G"
free_min = 1

[freshness]
offline = "true"

[upstream."harbor.example.org"]
url = "https://robot:hunter2@harbor.example.org"
username = "robot"
password = "hunter2"

[[route]]
from = "docker.io"
to = ["habor/hub", "source"]
tag_fresh = "5"

[timeouts]
header = 
"#;
    let expected = r#"roadstead.toml: 11 problems

  line 1: unmatched = "allow"
    it must be one of "auto", "deny", "source"

  line 4: server.lisen
    no such key
    did you mean "listen"?

  line 7: store.size_max = "10G"
    not a size: expected a whole number and one of B, KB, KiB, MB, MiB, GB, GiB, TB, TiB
    did you mean "10GB" or "10GiB"?

  line 8: store.free_min = 1
    not a size: expected a whole number and one of B, KB, KiB, MB, MiB, GB, GiB, TB, TiB
    did you mean "1GB" or "1GiB"?

  line 11: freshness.offline = "true"
    expected true or false, found a string
    remove the quotes

  line 14: upstream."harbor.example.org".url = "https://[redacted]@harbor.example.org"
    credentials must not be part of the URL
    use username = "…" and password_file = "FILE"

  line 15: upstream."harbor.example.org".username = "robot"
    a user name without a password
    add password_file = "FILE"

  line 16: upstream."harbor.example.org".password
    no such key
    secrets are read from files: password_file = "FILE", mode 0600

  line 20: route[0].to[0] = "habor/hub"
    "habor" is neither a host nor a configured upstream
    add [upstream."habor"] with its url, or write a host such as registry.example.org

  line 21: route[0].tag_fresh = "5"
    not a duration: expected a whole number and one of ms, s, m, h, d
    did you mean "5s"?

  line 24, column 10
    invalid TOML: string values must be quoted, expected literal string
    put strings in quotes: key = "value"
"#;
    assert_eq!(load(text).unwrap_err().to_string(), expected);
}

#[test]
fn the_route_rooms_complaints_keep_their_lines() {
    let text = r#"
[aliases]
"v2" = "docker.io"

[[route]]
from = ["docker.io", "not a host"]
to = ["https://harbor.example.org/hub", 5]
digest = "sha256:1"

[[route]]
from = "quay.io"
to = ["source"]

[[route]]
from = "quay.io"
to = ["harbor.example.org/quay"]
"#;
    let places: Vec<_> = load(text)
        .unwrap_err()
        .problems
        .into_iter()
        .map(|problem| (problem.key, problem.line.unwrap()))
        .collect();
    let expected = [
        ("aliases.v2", 3),
        ("route[0].from[1]", 6),
        ("route[0].to[0]", 7),
        ("route[0].to[1]", 7),
        ("route[0].digest", 8),
        ("route[2]", 14),
    ];
    let expected = expected.map(|(key, line)| (key.to_owned(), line));
    assert_eq!(places, expected);
}

#[test]
fn every_problem_is_in_the_order_of_the_file() {
    let found = problems("[log]\nlevel = \"loud\"\n[aliases]\nx = 5\ny = \"not a host\"\n");
    let keys: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["log.level", "aliases.x", "aliases.y"]);
}

#[test]
fn what_newcomers_write() {
    let header = "put a name with dots in quotes";
    for (text, reason, hint) in [
        (
            "[upstream.a.example]\nurl = \"https://a.example\"",
            header,
            "write [upstream.\"a.example\"]",
        ),
        (
            "[upstream]\nurl = \"https://a.example\"",
            "expected a table, found a string",
            "write a table for each: [upstream.\"NAME\"]",
        ),
        (
            "[server]\nlisten = 0.0.0.0:5000",
            "invalid TOML: invalid float, expected nothing",
            "put strings in quotes: key = \"value\"",
        ),
        (
            "[[route]]\nform = \"a.b\"\nfrom = \"a.b\"\nto = [\"source\"]",
            "no such key",
            "did you mean \"from\"?",
        ),
        (
            "listen = \"0.0.0.0:5000\"",
            "no such key",
            "\"listen\" belongs under [admin] or [server]",
        ),
        (
            "[hosts]\na.b = \"docker.io\"",
            "expected a string or a list of strings, found a table",
            header,
        ),
    ] {
        let problem = one_problem(text);
        assert_eq!(
            (problem.reason.as_str(), problem.hint.as_deref()),
            (reason, Some(hint)),
            "{text}"
        );
    }
}

#[test]
fn no_problem_repeats_a_password() {
    for text in [
        "[upstream.x]\nurl = \"https://me:hunter2@a.example\"",
        "[upstream.x]\nurl = \"me:hunter2@a.example\"",
        "[upstream.\"a.b\"]\npassword = \"hunter2\"",
        "[upstream.\"a.b\"]\npassword = \"hunter2",
        "[[route]]\nfrom = \"a.b\"\nto = [\"https://me:hunter2@a.example/x\"]",
        "[server]\nlisten = \"https://me:hunter2@a.example\"",
    ] {
        let problems = load(text).unwrap_err();
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
        assert!(!problems.json_lines().contains("hunter2"), "{problems}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let problems = load(&text).err();
        proptest::prop_assert!(problems.is_none_or(|problems| !problems.problems.is_empty()));
    }

    #[test]
    fn any_damage_is_read_or_refused(at in 0..10_000_usize, cut in 0..40_usize, put in "\\PC{0,4}") {
        let mut text = example::everything();
        let at = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((at + cut).min(text.len()));
        text.replace_range(at..end, &put);
        let problems = load(&text).err();
        proptest::prop_assert!(problems.is_none_or(|problems| !problems.problems.is_empty()));
    }
}
