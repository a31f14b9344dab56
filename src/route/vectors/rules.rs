//! Which route decides, and what it makes of a name.

use proptest::prelude::*;

use super::*;

#[test]
fn precedence_goes_from_the_special_to_the_general() {
    let mut tags = route("r.corp/a/b", &["tags"]);
    tags.ref_kind = RefKind::Tag;
    let ordered = table(vec![
        route("*", &["catch-all"]),
        route("*.corp", &["suffix"]),
        route("*.b.corp", &["longer-suffix"]),
        route("r.corp:*", &["any-port"]),
        route("r.corp", &["exact"]),
        route("r.corp:5000", &["exact-port"]),
        route("r.corp/a", &["prefix"]),
        route("r.corp/a/b", &["longer-prefix"]),
        tags,
        route("r.corp/a/b/c:*", &["repository/x"]),
        route("r.corp/a/b/c:1", &["reference/x"]),
        deny("r.corp/no"),
        route("r.corp/no/but/this", &["inside-denied"]),
    ]);
    let first = |text: &str| outcome(&ordered, text).swap_remove(0);
    let check = |text: &str, want: &str| assert_eq!(first(text), want, "{text}");
    check("other.org/x", "catch-all/x");
    check("a.corp/x", "suffix/x");
    check("a.b.corp/x", "longer-suffix/x");
    check("a.corp:77/x", "suffix/x");
    check("r.corp:77/x", "any-port/x");
    check("r.corp/x", "exact/x");
    check("r.corp:5000/x", "exact-port/x");
    check("r.corp/a/x", "prefix/x");
    check("r.corp/ab/x", "exact/ab/x");
    check("r.corp/a/b/x:1", "tags/x");
    check("r.corp/a/b/x@D", "longer-prefix/x");
    check("r.corp/a/b/c:2", "repository/x");
    check("r.corp/a/b/c:1", "reference/x");
    check("r.corp/a/b/c@D", "repository/x");
    check("r.corp/no", "deny");
    check("r.corp/no/x", "deny");
    check("r.corp/no/but/this/x", "inside-denied/x");
    let nothing_left: Vec<String> = Vec::new();
    assert_eq!(outcome(&ordered, "r.corp/a/b:1"), nothing_left);
}

#[test]
fn bands_and_loose_patterns() {
    let loose = |to: &str, matches: MatchText| with(route("x.org", &[to]), matches);
    let bands = table(vec![
        route("docker.io", &["registry/x/{name}"]),
        route("*", &["catch-all"]),
        route("docker.io/library/nginx:*", &["exact/{name}"]),
        loose("glob/{name}", MatchText::Glob("ngin*".into())),
        loose("glob-tag/{name}", MatchText::Glob("hello:v1.?".into())),
        loose(
            "glob-long/{name}",
            MatchText::Glob("docker.io/lib*/nginy".into()),
        ),
        loose(
            "regex/{2}/{1}",
            MatchText::Regex("quay\\.io/(.*)-on-(.*)".into()),
        ),
        loose("part/{name}", MatchText::Contains("walrus".into())),
        banded(route("docker.io/pinned", &["pinned"]), 500),
        banded(
            loose("lost/{name}", MatchText::Contains("pinned".into())),
            499,
        ),
    ]);
    let first = |text: &str| outcome(&bands, text).swap_remove(0);
    let check = |text: &str, want: &str| assert_eq!(first(text), want, "{text}");
    check("nginx", "exact/nginx");
    check("nginz", "glob/nginz");
    check("nginy", "glob-long/nginy");
    check("hello:v1.1", "glob-tag/hello");
    check("hello:v2.1", "registry/x/hello");
    assert_eq!(
        outcome(&bands, "hello@D"),
        ["registry/x/hello", "glob-tag/hello"]
    );
    check("quay.io/cat-on-mat", "regex/mat/cat");
    check("quay.io/cat", "catch-all/cat");
    check("xquay.io/cat-on-mat", "catch-all/cat-on-mat");
    check("walrus.io/a/b", "part/b");
    check("walrus/b", "registry/x/b");
    check("pinned/b", "pinned/b");
    let want = ["registry/x/hello", "glob-tag/hello"];
    assert_eq!(origins(&bands, "hello"), want);
}

#[test]
fn library_policies() {
    let policy = |library: LibraryPrefix| {
        let mut text = route("docker.io", &["h/p", "source"]);
        text.library = library;
        table(vec![text])
    };
    let check = |library: LibraryPrefix, want: &[&str]| {
        assert_eq!(outcome(&policy(library), "nginx"), want, "{library:?}");
    };
    let source = "docker.io/library/nginx";
    check(
        LibraryPrefix::Auto,
        &["h/p/library/nginx", "h/p/nginx", source],
    );
    check(
        LibraryPrefix::Both,
        &["h/p/library/nginx", "h/p/nginx", source],
    );
    check(LibraryPrefix::Keep, &["h/p/library/nginx", source]);
    check(LibraryPrefix::Strip, &["h/p/nginx", source]);
    let below = routes(&[("docker.io/library", &["h/hub", "docker.io/library"])]);
    assert_eq!(outcome(&below, "nginx"), ["h/hub/nginx", source]);
    let first = routes(&[("docker.io", &["h/{first}/{name}"])]);
    assert_eq!(outcome(&first, "nginx"), ["h/library/nginx"]);
    let hub = routes(&[("quay.io", &["docker.io"])]);
    assert_eq!(outcome(&hub, "quay.io/nginx"), [source]);
}

#[test]
fn names_that_do_not_parse_there_are_no_candidates() {
    let long = routes(&[(
        "quay.io",
        &["h/a-rather-long-folder/of-some-depth/{repository}"],
    )]);
    let name = format!("quay.io/{}", "a".repeat(230));
    assert_eq!(outcome(&long, &name), Vec::<String>::new());
    let port = routes(&[("r.corp:5000", &["h/{registry}/{name}", "h/{name}"])]);
    assert_eq!(outcome(&port, "r.corp:5000/x"), ["h/x"]);
    let tag = routes(&[("r.corp", &["h/{repository}:{tag}-zarf"])]);
    assert_eq!(outcome(&tag, "r.corp/x:1"), ["h/x:1-zarf"]);
    assert_eq!(outcome(&tag, "r.corp/x@D"), ["h/x"]);
    let full = format!("r.corp/x:{}", "1".repeat(128));
    assert_eq!(outcome(&tag, &full), Vec::<String>::new());
}

#[test]
fn unmatched_never_opens_a_proxy() {
    use UnmatchedPolicy::{Auto, Deny, Source};
    let some = |unmatched| table_with(vec![route("r.corp/a", &["h"])], unmatched);
    let open = table(vec![route("*", &["source"])]);
    for (table, name, want) in [
        (table_with(vec![], Auto), "quay.io/x", "quay.io/x"),
        (table_with(vec![], Auto), "nginx", "docker.io/library/nginx"),
        (table_with(vec![], Auto), "evil.example/x", "unmatched"),
        (table_with(vec![], Auto), "quay.io:5000/x", "unmatched"),
        (table_with(vec![], Deny), "quay.io/x", "unmatched"),
        (some(Auto), "quay.io/x", "unmatched"),
        (some(Source), "quay.io/x", "quay.io/x"),
        (some(Source), "r.corp/b/c", "r.corp/b/c"),
        (some(Source), "evil.example/x", "unmatched"),
        (open, "evil.example/x", "evil.example/x"),
    ] {
        assert_eq!(outcome(&table, name), [want], "{name}");
    }
    assert_eq!(
        origins(&table(vec![]), "nginx"),
        ["docker.io/library/nginx"]
    );
    assert!(origins(&table(vec![]), "evil.example/x").is_empty());
}

#[test]
fn equal_registries_are_tried_after_the_first() {
    let registry = |text: &str| text.parse::<Registry>().unwrap();
    let (mut named, reference) = image("quay.io/calico/node:v3");
    named.equal = [registry("docker.io")].into();
    let decide = |table: &RouteTable| match table.decide(&named, &reference) {
        Decision::Route { candidates, .. } => shown(&candidates),
        other => panic!("{other:?}"),
    };
    let both = ["quay.io/calico/node", "docker.io/calico/node"];
    assert_eq!(decide(&table(vec![])), both);
    assert_eq!(decide(&routes(&[("quay.io", &["source"])])), both);
    let second = routes(&[("docker.io", &["h", "source"])]);
    let want = [
        "h/calico/node",
        "docker.io/calico/node",
        "quay.io/calico/node",
    ];
    assert_eq!(decide(&second), want);
    assert_eq!(shown(&second.all_candidates(&named)), want);
}

#[test]
fn a_thousand_routes_keep_apart() {
    let mut texts = Vec::new();
    for number in 0..250 {
        let folder = format!("docker.io/team{number}");
        texts.push(route(&folder, &["h/folder"]));
        texts.push(route(&format!("{folder}/app:*"), &["h/exact"]));
        texts.push(route(&format!("r{number}.corp"), &["h/registry"]));
        texts.push(route(&format!("*.r{number}.corp"), &["h/suffix"]));
    }
    let thousand = table(texts);
    assert_eq!(outcome(&thousand, "team249/app"), ["h/exact"]);
    assert_eq!(outcome(&thousand, "team249/apps"), ["h/folder/apps"]);
    assert_eq!(outcome(&thousand, "r249.corp/x"), ["h/registry/x"]);
    assert_eq!(outcome(&thousand, "a.b.r249.corp/x"), ["h/suffix/x"]);
    assert_eq!(outcome(&thousand, "team250/app"), ["unmatched"]);
}

#[test]
fn what_a_tag_led_to_is_found_by_digest() {
    let tag = "ghcr.io/f/c:v1";
    let patched = ("ghcr.io/f/c:v1", &["local.corp/patched:latest"][..]);
    let want = ["local.corp/patched"];

    let alone = routes(&[patched]);
    assert_eq!(outcome(&alone, tag), ["local.corp/patched:latest"]);
    assert_eq!(outcome(&alone, "ghcr.io/f/c@D"), want);
    assert_eq!(outcome(&alone, "ghcr.io/f/c:v2"), ["unmatched"]);
    assert_eq!(outcome(&alone, "ghcr.io/f/d@D"), ["unmatched"]);
    assert_eq!(origins(&alone, "ghcr.io/f/c"), want);

    let rest_denied = table(vec![route(patched.0, patched.1), deny("ghcr.io")]);
    assert_eq!(outcome(&rest_denied, "ghcr.io/f/c@D"), want);
    assert_eq!(outcome(&rest_denied, "ghcr.io/f/c:v2"), ["deny"]);
    assert_eq!(outcome(&rest_denied, "ghcr.io/f/d@D"), ["deny"]);

    let overruled = banded(route("ghcr.io", &["m.corp"]), 500);
    let overruled = table(vec![route(patched.0, patched.1), overruled]);
    assert_eq!(outcome(&overruled, "ghcr.io/f/c@D"), ["m.corp/f/c"]);
    assert_eq!(origins(&overruled, "ghcr.io/f/c"), ["m.corp/f/c"]);
}

#[test]
fn what_any_tag_led_to_is_an_origin() {
    let mut tags = route("ghcr.io", &["m.corp"]);
    tags.ref_kind = RefKind::Tag;
    let nothing_left: Vec<String> = Vec::new();
    for unmatched in [UnmatchedPolicy::Auto, UnmatchedPolicy::Deny] {
        let tags = table_with(vec![tags.clone()], unmatched);
        assert_eq!(outcome(&tags, "ghcr.io/f/c@D"), nothing_left);
        assert_eq!(origins(&tags, "ghcr.io/f/c"), ["m.corp/f/c"]);
    }
    let tags = table_with(vec![tags], UnmatchedPolicy::Source);
    assert_eq!(outcome(&tags, "ghcr.io/f/c@D"), ["ghcr.io/f/c"]);
    assert_eq!(origins(&tags, "ghcr.io/f/c"), ["ghcr.io/f/c", "m.corp/f/c"]);
}

proptest! {
    #[test]
    fn every_candidate_is_well_formed(
        asked in "(docker\\.io|r\\.corp:5000)(/[a-c]{1,3}){1,4}(:[a-c.]{1,3}|@D)?",
        to in "h(/([a-c]|\\{(repository|rest|first|tail|dir|name|registry|tag)\\})){1,3}(:\\{tag\\}-x)?",
        from in "(\\*|docker\\.io|r\\.corp:\\*)(/[a-c]){0,2}",
    ) {
        let Ok(image): Result<ImageReference, _> = asked.replace("@D", &format!("@{DIGEST}")).parse()
        else {
            return Ok(());
        };
        let table = routes(&[(&from, &[&to, "source"])]);
        let name = ImageName::from(image.repository);
        let mut found = table.all_candidates(&name);
        if let Decision::Route { candidates, .. } = table.decide(&name, &image.reference) {
            prop_assert!(!candidates.is_empty());
            found.extend(candidates);
        }
        for candidate in found {
            prop_assert!(candidate.name.as_str().parse::<RepositoryName>().is_ok());
        }
    }
}
