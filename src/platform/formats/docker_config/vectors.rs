//! Pull Secrets and Docker's files: the S rows of `docs/ROUTING.md`, and what is wrong with them.

use crate::platform::vectors::*;

/// The user and password of every test here, as `auth`.
const AUTH: &str = "bWU6cHc=";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn keys_are_for_repositories() {
    let rows: [(&str, &[&str], &str, Option<&str>); 19] = [
        (
            "S-01",
            &["*.kubernetes.io"],
            "prefix.kubernetes.io/a",
            Some("*.kubernetes.io"),
        ),
        ("S-02", &["*.kubernetes.io"], "kubernetes.io/a", None),
        (
            "S-03",
            &["prefix.*.io/foo"],
            "prefix.kubernetes.io/foo/bar",
            Some("prefix.*.io/foo"),
        ),
        (
            "S-03 other",
            &["prefix.*.io/foo"],
            "prefix.kubernetes.io/bar",
            None,
        ),
        (
            "S-04 port",
            &["*.corp:5000"],
            "a.corp:5000/x",
            Some("*.corp:5000"),
        ),
        ("S-04 no port", &["*.corp:5000"], "a.corp/x", None),
        (
            "S-05",
            &["https://*.docker.io/v2/"],
            "prefix.docker.io/path:1111",
            Some("https://*.docker.io/v2/"),
        ),
        ("S-06", &["k*.io"], "quay.io/a", None),
        ("S-06 one", &["qua?.io"], "quay.io/a", Some("qua?.io")),
        (
            "S-06 set",
            &["[p-r]uay.io"],
            "quay.io/a",
            Some("[p-r]uay.io"),
        ),
        ("S-06 other set", &["[^p-r]uay.io"], "quay.io/a", None),
        (
            "S-07",
            &["quay.io", "quay.io/coreos"],
            "quay.io/coreos/etcd",
            Some("quay.io/coreos"),
        ),
        (
            "S-07 else",
            &["quay.io", "quay.io/coreos"],
            "quay.io/a",
            Some("quay.io"),
        ),
        ("S-08 and S-09", &["reg.io/foo"], "reg.io/foobar/x", None),
        (
            "S-10",
            &[
                "my-registry.local/foo/bar/image",
                "my-registry.local/foo",
                "my-registry.local",
            ],
            "my-registry.local/foo/zip:1",
            Some("my-registry.local/foo"),
        ),
        (
            "S-11 and S-14",
            &["https://index.docker.io/v1/"],
            "docker.io/library/nginx",
            Some("https://index.docker.io/v1/"),
        ),
        ("S-11 short", &["docker.io"], "nginx", Some("docker.io")),
        (
            "S-12",
            &["*.example.com"],
            "a.example.com/x",
            Some("*.example.com"),
        ),
        ("S-13", &["harbor.example.org"], "other.example.org/x", None),
    ];
    for (id, keys, image, want) in rows {
        let mut auths = serde_json::Map::new();
        for key in keys {
            let fields = serde_json::json!({"username": key.replace(':', ""), "password": "x"});
            auths.insert((*key).to_owned(), fields);
        }
        let text = serde_json::json!({ "auths": auths }).to_string();
        let coded = base64(&text);
        let secret = format!(
            "kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: {coded}\n"
        );
        for text in [&text, &secret] {
            let imported = read("docker-config", &[("f", text)], &OPTIONS);
            assert_eq!(lines(&imported), [""; 0], "{id}");
            let want = want.map(|key| key.replace(':', ""));
            assert_eq!(user(&imported, image), want, "{id}");
        }
    }
}

#[test]
fn s08_a_key_that_kubelet_takes_for_more_is_told() {
    let values = "global: {privateRegistry: {enabled: true, repository: reg.io/foobar}}\n---\n";
    let text = values.to_owned() + &secret("s", "n", "reg.io/foo", "u");
    let imported = read("astronomer", &[("f", &text)], &OPTIONS);
    assert_eq!(codes(&imported), ["9:5 W-STRINGPREFIX"]);
    assert_eq!(user(&imported, "reg.io/foobar/ap-x"), None);
    // Nothing of a name can end so: only kubelet knows what to do with it.
    let text = secret("s", "n", "reg.io/team-", "u") + &secret("t", "n", "reg.io", "v");
    let imported = read("docker-config", &[("f", &text)], &OPTIONS);
    assert_eq!(codes(&imported), ["7:17 W-STRINGPREFIX"]);
    assert_eq!(user(&imported, "reg.io/team-a").as_deref(), Some("v"));
}

#[test]
fn what_is_wrong_in_a_file_is_told_at_its_place() {
    for (text, want) in [
        ("{\n  \"auths\": {", "2:12 E-JSON"),
        (
            "{\"auths\": {\"a.b\": {\"auth\": \"!\"}}}",
            "1:28 E-AUTHB64",
        ),
        (
            "{\"auths\": {\"a.b\": {\"auth\": \"Y2FuYXJ5\"}}}",
            "1:28 E-AUTHB64",
        ),
        (
            "{\"auths\": {\"a b\":\n {\"auth\": \"bWU6cHc=\"}}}",
            "1:13 E-REF",
        ),
        ("{\"auths\": {\"a.b\":\n {\"auth\": 5}}}", "2:11 E-VALUE"),
        (
            "{\"auths\": {\"a.b\":\n {\"username\": \"u\"}}}",
            "2:2 E-VALUE",
        ),
        ("{\"auths\": {\"a.b\": []}}", "1:19 E-VALUE"),
        ("{\"auths\": []}", "1:11 E-VALUE"),
        ("{\"credHelpers\": {\"a.b\": \"../x\"}}", "1:25 E-VALUE"),
        ("{\"credsStore\": 1}", "1:16 E-VALUE"),
        (
            "{\"auths\": {\"a.b\": {\"auth\": \"<your-auth>\"}}}",
            "1:29 E-PLACEHOLDER",
        ),
        ("[1]", "1:1 E-VALUE"),
        ("{}", "1:1 E-KIND"),
    ] {
        let imported = read("docker-config", &[("f", text)], &OPTIONS);
        assert!(
            codes(&imported).contains(&want.to_owned()),
            "{text}: {:?}",
            codes(&imported)
        );
        assert!(!lines(&imported).concat().contains("canary"), "{text}");
    }
    // In a Secret's text the lines are those of the file.
    let text = "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  \
                .dockerconfigjson: |\n    {\"auths\":\n      {\"a.b\": {\"auth\": \"!\"}}}\n";
    let imported = read("docker-config", &[("f", text)], &OPTIONS);
    assert_eq!(codes(&imported), ["6:24 E-AUTHB64"]);
    let text = "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  \
                .dockerconfigjson: '{\"auths\": {\"a.b\": {\"username\": \"<your-name>\", \
                \"password\": \"<token>\"}}}'\n";
    let imported = read("docker-config", &[("f", text)], &OPTIONS);
    assert_eq!(
        codes(&imported),
        ["4:55 E-PLACEHOLDER", "4:82 E-PLACEHOLDER"]
    );
}

#[test]
fn a_place_has_one_login() {
    let file = |auth: &str| format!("{{\"auths\": {{\"a.b\": {{\"auth\": \"{auth}\"}}}}}}");
    let (one, other) = (file(AUTH), file(&base64("you:canary")));
    let same = read("docker-config", &[("f", &one), ("g", &one)], &OPTIONS);
    assert_eq!(codes(&same), [""; 0]);
    assert_eq!(same.credentials.len(), 1);
    let two = read("docker-config", &[("f", &one), ("g", &other)], &OPTIONS);
    let want = "g:1:13: E-CREDAMBIG: a.b has other credentials in f:1:13";
    assert!(lines(&two)[0].starts_with(want), "{:?}", lines(&two));
    // Within one file its own programs know which they take.
    let text = format!(
        "{{\"credHelpers\": {{\"c.d\": \"pass\"}}, \"auths\": {{\"a.b\": {{\"auth\": \"{AUTH}\"}},\n\
         \"https://a.b\": {{\"auth\": \"{}\"}}, \"c.d\": {{\"auth\": \"{AUTH}\"}}}}}}",
        base64("you:canary")
    );
    let imported = read("docker-config", &[("f", &text)], &OPTIONS);
    assert_eq!(codes(&imported), ["2:2 W-IGNORED"]);
    assert_eq!(user(&imported, "a.b/x").as_deref(), Some("me"));
    assert_eq!(user(&imported, "c.d/x").as_deref(), Some("helper pass"));
}

#[test]
fn a10_secrets_of_one_name_are_told_apart_by_their_registries_only() {
    let name = "pull";
    let text = secret(name, "one", "reg-a.corp", "a") + &secret(name, "two", "reg-b.corp", "b");
    let imported = read("docker-config", &[("f", &text)], &OPTIONS);
    assert_eq!(user(&imported, "reg-a.corp/x").as_deref(), Some("a"));
    assert_eq!(user(&imported, "reg-b.corp/x").as_deref(), Some("b"));
    let text = secret(name, "one", "reg.corp", "a") + &secret(name, "two", "reg.corp", "b");
    let imported = read("docker-config", &[("f", &text)], &OPTIONS);
    assert_eq!(codes(&imported), ["15:5 E-CREDAMBIG"]);
}

fn base64(text: &str) -> String {
    use ::base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}
