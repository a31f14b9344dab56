//! `registries.conf`.

use proptest::prelude::*;

use crate::platform::{vectors::*, *};

fn import(text: &str) -> Imported {
    read("registries-conf", &[("r.conf", text)], &OPTIONS)
}

#[track_caller]
fn wrong(text: &str, want: &[&str]) {
    let imported = import(text);
    assert_eq!(codes(&imported), want, "{:#?}", lines(&imported));
    assert!(imported.is_refused());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_longest_prefix_leads_to_mirrors_and_then_to_the_location() {
    // The example of its manual.
    let imported = import(
        r#"
unqualified-search-registries = ["example.com"]

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"

[[registry]]
prefix = "docker.io/alpine"
location = "m.corp/alpine"

[[registry]]
prefix = "*.example.com"

[[registry]]
prefix = "*.b.example.com"
location = "b.corp/x"
"#,
    );
    check(
        &imported,
        &[
            (
                "N-09",
                "example.com/foo/image:latest",
                &[
                    "example-mirror-0.local/mirror-for-foo/image",
                    "example-mirror-1.local/mirrors/foo/image",
                    "internal-registry-for-example.com/bar/image",
                ],
            ),
            (
                "N-09 whole",
                "example.com/foo:1",
                &[
                    "example-mirror-0.local/mirror-for-foo",
                    "example-mirror-1.local/mirrors/foo",
                    "internal-registry-for-example.com/bar",
                ],
            ),
            ("N-09 elements", "example.com/food/x", &["unmatched"]),
            (
                "N-09 others",
                "registry.com/image",
                &["mirror.registry.com/image", "registry.com/image"],
            ),
            ("N-10", "docker.io/library/alpine", &["unmatched"]),
            (
                "N-10 folder",
                "docker.io/alpine/git",
                &["m.corp/alpine/git"],
            ),
            ("N-11", "foo.bar.example.com/x", &["foo.bar.example.com/x"]),
            (
                "N-11 port",
                "bar.example.com:5000/x",
                &["bar.example.com:5000/x"],
            ),
            ("N-11 itself", "example.com/x", &["unmatched"]),
            ("N-11 longest", "a.b.example.com/x/y", &["b.corp/x/x/y"]),
        ],
    );
    let want = ["2:35 W-IGNORED", "14:13 W-IGNORED", "24:11 W-IGNORED"];
    assert_eq!(codes(&imported), want, "{:#?}", lines(&imported));
    let careless = imported
        .upstreams
        .iter()
        .find(|one| !one.is_verified)
        .unwrap();
    assert_eq!(careless.name.as_str(), "example-mirror-1.local");
}

#[test]
fn mirrors_take_what_they_are_for() {
    let imported = import(
        r#"
[[registry]]
prefix = "quay.io"
location = "quay.io"
mirror = [
  { location = "d.corp/q", pull-from-mirror = "digest-only" },
  { location = "t.corp/q", pull-from-mirror = "tag-only" },
  { location = "a.corp/q", pull-from-mirror = "all" },
]
[[registry]]
location = "ghcr.io"
mirror-by-digest-only = true
blocked = true
[[registry.mirror]]
location = "d.corp"
"#,
    );
    check(
        &imported,
        &[
            (
                "tag",
                "quay.io/a:1",
                &["t.corp/q/a", "a.corp/q/a", "quay.io/a"],
            ),
            (
                "digest",
                "quay.io/a@D",
                &["d.corp/q/a", "a.corp/q/a", "quay.io/a"],
            ),
            ("only", "ghcr.io/a@D", &["d.corp/a"]),
            ("none", "ghcr.io/a:1", &[]),
        ],
    );
    assert!(lines(&imported).is_empty());
}

#[test]
fn blocked_is_what_is_reached_in_the_end() {
    let text = r#"
[[registry]]
location = "a.corp"
blocked = true
[[registry]]
location = "a.corp/open"
[[registry]]
location = "b.corp"
blocked = true
[[registry.mirror]]
location = "m.corp/b"
[[registry.mirror]]
location = "a.corp/b"
[[registry.mirror]]
location = "a.corp/open/b"
[[registry]]
prefix = "c.corp"
location = "a.corp/c"
[[registry]]
prefix = "d.corp/x:1"
location = "m.corp/y:2"
"#;
    let imported = import(text);
    check(
        &imported,
        &[
            ("blocked", "a.corp/x", &["deny"]),
            ("but not this", "a.corp/open/x", &["a.corp/open/x"]),
            (
                "mirrors work",
                "b.corp/x",
                &["m.corp/b/x", "a.corp/open/b/x"],
            ),
            ("location", "c.corp/x", &["deny"]),
            ("tag", "d.corp/x:1", &["m.corp/y:2"]),
            ("other tag", "d.corp/x:2", &["unmatched"]),
        ],
    );
    assert_eq!(codes(&imported), ["13:13 W-IGNORED"]);
    let source = ImportOptions {
        fallback: SourceFallback::Source,
        ..OPTIONS
    };
    let imported = read("registries-conf", &[("r.conf", text)], &source);
    check(&imported, &[("source", "c.corp/x", &["c.corp/x"])]);
    let deny = ImportOptions {
        fallback: SourceFallback::Deny,
        ..OPTIONS
    };
    let imported = read("registries-conf", &[("r.conf", text)], &deny);
    check(&imported, &[("deny", "a.corp/open/x", &["deny"])]);
}

#[test]
fn the_first_of_one_file_decides_and_the_last_file() {
    let first = "[[registry]]\nlocation = \"a.corp\"\n[[registry.mirror]]\nlocation = \"m.corp\"\n";
    let twice = format!("{first}[[registry]]\nlocation = \"a.corp/\"\n");
    let imported = import(&twice);
    check(
        &imported,
        &[("first", "a.corp/x", &["m.corp/x", "a.corp/x"])],
    );
    assert_eq!(codes(&imported), ["6:13 W-IGNORED", "6:13 W-SLASH"]);
    let later = first.replace("m.corp", "n.corp");
    let files = [("r.conf", first), ("r.conf.d/1.conf", &later)];
    let imported = read("registries-conf", &files, &OPTIONS);
    check(
        &imported,
        &[("last", "a.corp/x", &["n.corp/x", "a.corp/x"])],
    );
    assert_eq!(codes(&imported), ["2:13 W-IGNORED"]);
}

#[test]
fn insecure_registries_are_met_unproven() {
    let imported = import(
        "[[registry]]\nlocation = \"a.corp\"\ninsecure = true\n[[registry.mirror]]\n\
         location = \"localhost:5000\"\ninsecure = true\n",
    );
    check(
        &imported,
        &[("insecure", "a.corp/x", &["localhost:5000/x", "a.corp/x"])],
    );
    let met = |name: &str| {
        let found = imported
            .upstreams
            .iter()
            .find(|one| one.name.as_str() == name)
            .unwrap();
        (found.urls.concat(), found.is_verified)
    };
    assert_eq!(
        met("localhost:5000"),
        ("http://localhost:5000".to_owned(), true)
    );
    assert_eq!(met("a.corp"), (String::new(), false));
    assert_eq!(codes(&imported), ["2:13 W-IGNORED"]);
}

#[test]
fn what_is_wrong_says_where() {
    let entry = |keys: &str| format!("[[registry]]\n{keys}\n");
    wrong(
        "[registries.search]\nregistries = [\"docker.io\"]\n",
        &["1:2 E-KIND"],
    );
    wrong("[registry]\nlocation = \"a.corp\"\n", &["1:1 E-VALUE"]);
    wrong("registry = [1]\n", &["1:13 E-VALUE"]);
    wrong(
        &entry("location = \"https://a.corp/x\""),
        &["2:13 E-SCHEME"],
    );
    wrong(&entry("location = \"corp/x\""), &["2:13 E-REF"]);
    wrong(&entry("location = \"a.corp/X\""), &["2:13 E-REF"]);
    wrong(&entry("location = \"a.corp/{rest}\""), &["2:13 E-REF"]);
    wrong(&entry("location = \"a.corp/x@sha256:0\""), &["2:13 E-REF"]);
    wrong(&entry("prefix = \"*.a.corp/x\""), &["2:11 E-REF"]);
    wrong(&entry("prefix = \"*\""), &["2:11 E-REF"]);
    wrong(
        &entry("prefix = \"a.*.corp\"\nlocation = \"a.corp\""),
        &["2:11 E-REF"],
    );
    wrong(&entry("prefix = \"a.corp\""), &["2:11 E-VALUE"]);
    wrong(
        &entry("location = [\"a.corp\"]"),
        &["1:1 E-VALUE", "2:12 E-VALUE"],
    );
    wrong(&entry(""), &["1:1 E-VALUE"]);
    wrong(
        &entry("location = \"a.corp\"\nblocked = 1"),
        &["3:11 E-VALUE"],
    );
    wrong(
        &entry("location = \"a.corp\"\npull-from-mirror = \"all\""),
        &["3:20 E-VALUE"],
    );
    wrong(
        &entry("prefix = \"a.corp/x\"\nlocation = \"b.corp/x:1\""),
        &["3:13 E-REF"],
    );
    let mirror = |keys: &str| {
        entry(&format!(
            "location = \"a.corp\"\n[[registry.mirror]]\n{keys}"
        ))
    };
    wrong(&mirror("insecure = true"), &["3:1 E-VALUE"]);
    wrong(
        &mirror("location = \"m.corp\"\npull-from-mirror = \"some\""),
        &["5:21 E-VALUE"],
    );
    let both = "mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m.corp\"\n\
                pull-from-mirror = \"all\"";
    wrong(
        &entry(&format!("location = \"a.corp\"\n{both}")),
        &["4:1 E-VALUE"],
    );
    let other = entry("location = \"a.corp\"")
        + &entry("prefix = \"b.corp\"\nlocation = \"a.corp\"\nblocked = true");
    wrong(&other, &["4:11 E-DUP"]);
    wrong("location = \n", &["1:12 E-TOML"]);
}

#[test]
fn a_prefix_of_one_tag_on_docker_hub_is_no_official_image() {
    let imported =
        import("[[registry]]\nprefix = \"docker.io/alpine:3\"\nlocation = \"m.corp/a:3\"\n");
    assert!(imported.routes.is_empty());
    assert_eq!(codes(&imported), ["1:1 E-KIND", "2:11 W-IGNORED"]);
}

proptest! {
    #[test]
    fn no_text_panics(prefix in "[*a./:@{}A ]{0,12}|\\PC{0,8}", location in "(a\\.b|\\*\\.|docker.io|/x|:1|@|://){0,5}") {
        let text = format!("[[registry]]\nprefix = {prefix:?}\nlocation = '{location}'\nblocked = true\n[[registry]]\nlocation = {prefix:?}\n[[registry.mirror]]\nlocation = '{location}'\n");
        let imported = import(&text);
        prop_assert!(imported.is_refused() || table(&imported).routes() > 0);
    }
}

#[test]
fn what_is_rendered_leads_to_the_mirror() {
    let own = |registry: &Registry| registry.as_str() == "mirror.corp:5000";
    let options = ImportOptions {
        own: &own,
        ..OPTIONS
    };
    for falls_back in [true, false] {
        let mirror = Mirror {
            falls_back,
            ..mirror()
        };
        let rendered = rendered("registries-conf", &mirror);
        let text = &rendered.files[0].text;
        let imported = import(text);
        let mut want = vec!["mirror.corp:5000/docker.io/library/nginx"];
        want.extend(falls_back.then_some("docker.io/library/nginx"));
        assert_eq!(outcome(&table(&imported), "nginx"), want);
        let imported = read("registries-conf", &[("r.conf", text)], &options);
        assert!(codes(&imported).iter().any(|code| code.ends_with("E-LOOP")));
    }
}
