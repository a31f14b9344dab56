//! Astronomer: the A rows of `docs/ROUTING.md`, and its document's samples.

use crate::platform::{vectors::*, *};

/// What the A rows have as imported. All Secrets of the platform carry the same key.
fn sample() -> Vec<(&'static str, String)> {
    let values = "\
global:
  baseDomain: astro.example.com
  privateRegistry: {enabled: true, repository: registry.corp/astro, secretName: platform}
astronomer:
  houston:
    config:
      registry:
        protectedCustomRegistry:
          enabled: true
          baseRegistry: {enabled: true, host: registry.corp/airflow-base, secretName: base}
          updateRegistry: {enabled: true, host: registry.corp/team/airflow, secretName: update}
";
    let secrets = [
        secret("platform", "astronomer", "registry.corp", "platform"),
        secret("base", "astronomer", "https://registry.corp", "base"),
        secret("update", "astronomer", "registry.corp", "update"),
        secret("pull", "one", "reg-a.corp", "a"),
        secret("pull", "two", "reg-b.corp/data", "b"),
    ];
    vec![
        ("values.yaml", values.to_owned()),
        ("secrets.yaml", secrets.concat()),
    ]
}

fn import_all(files: &[(&str, String)], options: &ImportOptions<'_>) -> Imported {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    read("astronomer", &files, options)
}

fn import_one(text: &str) -> Imported {
    read("astronomer", &[("f", text)], &OPTIONS)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn names_and_logins_of_the_sample() {
    let imported = import_all(&sample(), &OPTIONS);
    assert_eq!(lines(&imported), [""; 0]);
    check(
        &imported,
        &[
            (
                "A-01",
                "quay.io/astronomer/ap-houston-api:1.2.3",
                &["registry.corp/astro/ap-houston-api"],
            ),
            (
                "A-02",
                "quay.io/astronomer/ap-airflow:2.2.5",
                &[
                    "registry.corp/airflow-base",
                    "registry.corp/astro/ap-airflow",
                ],
            ),
            (
                "A-03",
                "quay.io/astronomer/astro-runtime:9.3.0",
                &[
                    "registry.corp/astro/astro-runtime",
                    "quay.io/astronomer/astro-runtime",
                ],
            ),
            (
                "A-04",
                "registry.corp/team/airflow:analytics-dev-deploy-12",
                &["registry.corp/team/airflow"],
            ),
            (
                "A-05",
                "registry.corp/team/airflow@D",
                &["registry.corp/team/airflow"],
            ),
            (
                "A-06",
                "docker.io/cmart123/ap-airflow:test4",
                &["docker.io/cmart123/ap-airflow"],
            ),
            ("A-07", "reg-a.corp/x:1", &["reg-a.corp/x"]),
            ("A-08", "reg-b.corp/data/y:1", &["reg-b.corp/data/y"]),
            ("A-09", "reg-b.corp/other/z:1", &["reg-b.corp/other/z"]),
            (
                "A-11",
                "registry.astro.example.com/analytics-dev/airflow:deploy-1",
                &["registry.astro.example.com/analytics-dev/airflow"],
            ),
            (
                "A-12",
                "quay.io/astronomer/ap-statsd-exporter:0.30.0-4",
                &["registry.corp/astro/ap-statsd-exporter"],
            ),
            (
                "digest",
                "quay.io/astronomer/ap-airflow@D",
                &[
                    "registry.corp/airflow-base",
                    "registry.corp/astro/ap-airflow",
                ],
            ),
            (
                "deeper",
                "quay.io/astronomer/a/b:1",
                &["registry.corp/astro/b"],
            ),
            ("elsewhere", "unknown.corp/other/x:1", &["unmatched"]),
        ],
    );
    for (id, at, want) in [
        (
            "A-01",
            "registry.corp/astro/ap-houston-api",
            Some("platform"),
        ),
        ("A-02", "registry.corp/airflow-base", Some("base")),
        ("A-02", "registry.corp/astro/ap-airflow", Some("platform")),
        ("A-03", "quay.io/astronomer/astro-runtime", None),
        ("A-04", "registry.corp/team/airflow", Some("update")),
        ("A-06", "docker.io/cmart123/ap-airflow", None),
        ("A-07", "reg-a.corp/x", Some("a")),
        ("A-08", "reg-b.corp/data/y", Some("b")),
        ("A-09", "reg-b.corp/other/z", None),
        ("no block's", "registry.corp/team/other", None),
    ] {
        assert_eq!(user(&imported, at).as_deref(), want, "{id}");
    }
}

#[test]
fn fallback_is_as_it_is_asked_for() {
    let with = |fallback| {
        import_all(
            &sample(),
            &ImportOptions {
                fallback,
                ..OPTIONS
            },
        )
    };
    let (houston, runtime) = (
        "quay.io/astronomer/ap-houston-api:1",
        "quay.io/astronomer/astro-runtime:1",
    );
    check(
        &with(SourceFallback::Deny),
        &[("A-03", runtime, &["registry.corp/astro/astro-runtime"])],
    );
    check(
        &with(SourceFallback::Source),
        &[(
            "A-01",
            houston,
            &[
                "registry.corp/astro/ap-houston-api",
                "quay.io/astronomer/ap-houston-api",
            ],
        )],
    );
}

#[test]
fn a06_docker_hub_is_asked_if_it_has_a_secret() {
    let mut files = sample();
    files.push((
        "hub.yaml",
        secret("hub", "one", "https://index.docker.io/v1/", "hub"),
    ));
    let imported = import_all(&files, &OPTIONS);
    let image = "docker.io/cmart123/ap-airflow:test4";
    check(
        &imported,
        &[("A-06", image, &["docker.io/cmart123/ap-airflow"])],
    );
    assert_eq!(user(&imported, image).as_deref(), Some("hub"));
}

#[test]
fn a10_one_registry_for_two_deployments_cannot_be_told_apart() {
    let mut files = sample();
    files.push(("three.yaml", secret("pull", "three", "reg-a.corp", "c")));
    assert_eq!(codes(&import_all(&files, &OPTIONS)), ["7:5 E-CREDAMBIG"]);
    let mut files = sample();
    files.push(("two.yaml", secret("update", "dev", "registry.corp", "c")));
    let imported = import_all(&files, &OPTIONS);
    assert_eq!(codes(&imported), ["7:5 E-CREDAMBIG"]);
    assert!(lines(&imported)[0].contains("registry.corp/team/airflow"));
}

/// A private registry; its Secret is named in column 88.
const PRIVATE: &str = "global: {privateRegistry: {enabled: true, repository: \
                       registry.corp/astro, secretName: s}}\n---\n";

/// With a Secret that has this key.
fn with_secret(key: &str) -> Imported {
    import_one(&(PRIVATE.to_owned() + &secret("s", "one", key, "u")))
}

#[test]
fn a_block_needs_a_secret_of_its_registry() {
    assert_eq!(codes(&import_one(PRIVATE)), ["1:88 E-SECRETREF"]);
    let imported = with_secret("other.corp");
    assert_eq!(codes(&imported), ["1:88 W-CREDSCOPE"]);
    assert_eq!(user(&imported, "registry.corp/astro/x"), None);
    assert_eq!(user(&imported, "other.corp/x").as_deref(), Some("u"));
}

#[test]
fn a_secret_is_for_the_block_whatever_its_path() {
    for (key, found) in [
        ("registry.corp/other", &["1:88 W-CREDSCOPE"][..]),
        ("registry.corp/as", &["1:88 W-STRINGPREFIX"]),
        ("registry.corp/astro", &[]),
        ("registry.corp", &[]),
        ("*.corp", &[]),
    ] {
        let imported = with_secret(key);
        assert_eq!(codes(&imported), found, "{key}");
        let (inside, outside) = ("registry.corp/astro/x", "registry.corp/other/x");
        assert_eq!(user(&imported, inside).as_deref(), Some("u"));
        assert_eq!(user(&imported, outside), None, "{key}");
    }
}

#[test]
fn of_several_namespaces_one_secret_that_fits_is_enough() {
    let secrets = [
        secret("s", "one", "registry.corp", "u"),
        secret("s", "two", "reg.io", "v"),
        secret("s", "three", "registry.corp", "u"),
    ];
    let imported = import_one(&(PRIVATE.to_owned() + &secrets.concat()));
    assert_eq!(codes(&imported), [""; 0]);
    let is = |image| user(&imported, image);
    assert_eq!(is("registry.corp/astro/x").as_deref(), Some("u"));
    assert_eq!(is("registry.corp/x"), None);
    assert_eq!(is("reg.io/x").as_deref(), Some("v"));
}

#[test]
fn files_that_differ_are_told() {
    let values = |host: &str| {
        format!("global: {{privateRegistry: {{enabled: true, repository: {host}}}}}\n")
    };
    let files = [
        ("a.yaml", values("r.corp/a")),
        ("b.yaml", values("r.corp/b")),
    ];
    assert_eq!(codes(&import_all(&files, &OPTIONS)), ["1:10 E-DUP"]);
    let files = [
        ("a.yaml", values("r.corp/a")),
        ("b.yaml", values("r.corp/a")),
    ];
    assert_eq!(codes(&import_all(&files, &OPTIONS)), [""; 0]);
}

/// The document's "standard" sample, verbatim.
const STANDARD: &str = "astronomer:
\thouston:
     config:
      deployments:
        enableUpdateDeploymentImageEndpoint: true
    \t  registry:
    \t    protectedCustomRegistry:
    \t      enabled: true
    \t      updateRegistry:
    \t        enabled: false
    \t        host: <your-airflow-image-repo>
    \t        secretName: <name-of-secret>
";

/// The document's "airgapped" sample.
const AIRGAPPED: &str = "astronomer:
  houston:
    config:
      deployments:
        helm:
          airflow:
            defaultAirflowRepository: <airflow-image-repo>
            images:
              airflow:
                repository: <airflow-image-repo>
  registry:
    protectedCustomRegistry:
      enabled: true
      baseRegistry:
        enabled: true
        host: <airflow-image-repo>
        secretName: <name-of-secret-containing-image-repo-creds>
      updateRegistry:
        enabled: true
        host: <airflow-image-repo>
        secretName: <name-of-secret-containing-image-repo-creds>
";

/// What the airgapped sample is filled in with.
const FILLED_IN: &str = "registry.corp:5000/airflow";

#[test]
fn the_documents_standard_sample_has_tabs() {
    let imported = import_one(STANDARD);
    assert_eq!(codes(&imported), ["2:1 E-YAML"]);
    assert!(
        lines(&imported)[0].contains("tab"),
        "{:?}",
        lines(&imported)
    );
    let spaced = "
astronomer:
  houston:
    config:
      deployments:
        enableUpdateDeploymentImageEndpoint: true
        registry:
          protectedCustomRegistry:
            enabled: true
            updateRegistry:
              enabled: false
              host: registry.corp/team/airflow
              secretName: s
";
    let imported = import_one(spaced);
    let want = ["1:1 E-KIND", "8:11 W-MISPLACED", "12:21 W-IGNORED"];
    assert_eq!(codes(&imported), want);
    // With the registry in use, the platform's images come from where they always do.
    let text = spaced.replace("false", "true") + "---\n" + &secret("s", "n", "registry.corp", "u");
    let imported = import_one(&text);
    assert_eq!(codes(&imported), ["8:11 W-MISPLACED"]);
    check(
        &imported,
        &[(
            "update",
            "registry.corp/team/airflow:x",
            &["registry.corp/team/airflow"],
        )],
    );
    assert_eq!(
        user(&imported, "registry.corp/team/airflow").as_deref(),
        Some("u")
    );
}

#[test]
fn the_documents_airgapped_sample_wants_to_be_filled_in() {
    let imported = import_one(AIRGAPPED);
    let want = [
        "7:39 E-PLACEHOLDER",
        "10:29 E-PLACEHOLDER",
        "12:5 W-MISPLACED",
        "16:15 E-PLACEHOLDER",
        "17:21 E-PLACEHOLDER",
        "20:15 E-PLACEHOLDER",
        "21:21 E-PLACEHOLDER",
    ];
    assert_eq!(codes(&imported), want);
    let text = AIRGAPPED
        .replace("<airflow-image-repo>", FILLED_IN)
        .replace("<name-of-secret-containing-image-repo-creds>", "creds");
    let text = text + "---\n" + &secret("creds", "astronomer", "registry.corp:5000", "u");
    let imported = import_one(&text);
    assert_eq!(codes(&imported), ["12:5 W-MISPLACED"]);
    check(
        &imported,
        &[
            (
                "first image",
                "quay.io/astronomer/ap-airflow:2.2.5",
                &[FILLED_IN, "quay.io/astronomer/ap-airflow"],
            ),
            (
                "update",
                "registry.corp:5000/airflow:analytics-1",
                &[FILLED_IN],
            ),
            (
                "platform",
                "quay.io/astronomer/ap-ui:1",
                &["quay.io/astronomer/ap-ui"],
            ),
        ],
    );
    assert_eq!(user(&imported, FILLED_IN).as_deref(), Some("u"));
    assert_eq!(user(&imported, "registry.corp:5000/other"), None);
}

#[test]
fn a_block_may_stand_in_several_places_if_it_is_the_same() {
    let block = |indent: &str, host: &str| {
        format!(
            "{indent}protectedCustomRegistry:\n{indent}  enabled: true\n\
             {indent}  updateRegistry: {{enabled: true, host: {host}}}\n"
        )
    };
    let both = |old: &str| {
        format!(
            "astronomer:\n  houston:\n    config:\n      registry:\n{}  registry:\n{}",
            block("        ", "r.corp/a"),
            block("    ", old)
        )
    };
    assert_eq!(codes(&import_one(&both("r.corp/a"))), ["9:5 W-MISPLACED"]);
    let imported = import_one(&both("r.corp/b"));
    assert_eq!(codes(&imported), ["9:5 W-MISPLACED", "11:7 W-MISPLACED"]);
    assert!(imported.is_refused());
    assert!(
        lines(&imported)[1].contains("f:7:11"),
        "{:?}",
        lines(&imported)
    );
    for (place, code) in [
        ("astronomer: {houston: {config: {registry: ", None),
        ("houston: {config: {registry: ", None),
        (
            "houston: {config: {deployments: {registry: ",
            Some("W-MISPLACED"),
        ),
        ("astronomer: {registry: ", Some("W-MISPLACED")),
        ("registry: ", Some("W-MISPLACED")),
    ] {
        let block = "{protectedCustomRegistry: {enabled: 'true', updateRegistry: \
                     {enabled: true, host: r.corp/a}}}";
        let closed = "}".repeat(place.matches('{').count());
        let imported = import_one(&format!("{place}{block}{closed}"));
        let found: Vec<_> = imported
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code.as_str())
            .collect();
        assert_eq!(found, Vec::from_iter(code), "{place}");
        check(&imported, &[("update", "r.corp/a:1", &["r.corp/a"])]);
    }
    let oldest = "registry: {protectedCustomRegistryEnabled: true, protectedCustomRegistry: \
                  {updateRegistry: {enabled: true, host: r.corp/a}}}";
    let imported = import_one(oldest);
    assert_eq!(codes(&imported), ["1:12 W-MISPLACED", "1:50 W-MISPLACED"]);
    check(&imported, &[("oldest", "r.corp/a:1", &["r.corp/a"])]);
    let old = "astronomer: {global: {privateRegistry: {enabled: true, repository: r.corp/a}}}";
    assert_eq!(codes(&import_one(old)), ["1:23 W-MISPLACED"]);
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let private =
        |rest: &str| format!("global:\n  privateRegistry:\n    enabled: true\n    {rest}\n");
    for (text, want) in [
        (private("repository: https://r.corp/a"), "4:17 E-SCHEME"),
        (private("repository: r.corp/A"), "4:17 E-REF"),
        (private("repository: r.corp/a:1"), "4:17 E-REF"),
        (private("repository: r.corp:x/a"), "4:17 E-REF"),
        (private("repository: mirror"), "4:17 E-REF"),
        (private("repository: r.corp/{name}"), "4:17 E-REF"),
        (private("repository: [r.corp/a]"), "4:17 E-VALUE"),
        (private("repository: ''"), "2:3 E-VALUE"),
        (private("secretName: s"), "2:3 E-VALUE"),
        (private("repository: r.corp/a/"), "4:17 W-SLASH"),
        (
            private("repository: r.corp/a").replace("true", "maybe"),
            "3:14 E-VALUE",
        ),
        ("global: x".to_owned(), "1:9 E-VALUE"),
        ("global: {privateRegistry: [a]}".to_owned(), "1:27 E-VALUE"),
        ("global: {baseDomain: 'a b'}".to_owned(), "1:23 E-REF"),
        ("- global".to_owned(), "1:1 E-VALUE"),
        ("kind: Pod".to_owned(), "1:1 I-SKIPPED"),
        ("astronomer: {}".to_owned(), "1:1 E-KIND"),
    ] {
        let found = codes(&import_one(&text));
        assert!(found.contains(&want.to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn no_login_in_an_address_is_repeated() {
    for host in ["https://me:canary@r.corp/a", "me:canary@r.corp/a"] {
        let text = format!("global: {{privateRegistry: {{enabled: true, repository: '{host}'}}}}");
        let imported = import_one(&text);
        assert!(imported.is_refused());
        let said = lines(&imported).concat();
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn bases_are_candidates_once_each() {
    let helm = |repository: &str| {
        format!(
            "global: {{privateRegistry: {{enabled: true, repository: r.corp}}}}\nastronomer: \
             {{houston: {{config: {{deployments: {{helm: {{airflow: {{defaultAirflowRepository: \
             {repository}, images: {{airflow: {{repository: {repository}}}}}}}}}}}}}}}}}\n"
        )
    };
    let airflow = "quay.io/astronomer/ap-airflow:1";
    for (repository, first) in [
        ("r.corp/base", Some("r.corp/base")),
        ("team/base", Some("docker.io/team/base")),
        ("quay.io/astronomer/ap-airflow", None),
        ("quay.io/astronomer/astro-runtime", None),
    ] {
        let imported = import_one(&helm(repository));
        let mut want = Vec::from_iter(first);
        want.push("r.corp/ap-airflow");
        assert_eq!(outcome(&table(&imported), airflow), want, "{repository}");
    }
}

#[test]
fn what_is_rendered_leads_to_the_mirror() {
    let mirror = Mirror {
        is_tls: false,
        authority: "mirror.corp:5000".parse().unwrap(),
        registries: vec!["quay.io".parse().unwrap()],
        falls_back: false,
        ca_file: None,
        aliases: Vec::new(),
        pins: Vec::new(),
    };
    let rendering = rendered("astronomer", &mirror);
    let files: Vec<_> = rendering
        .files
        .iter()
        .map(|file| ("f", file.text.clone()))
        .collect();
    let imported = import_all(&files, &OPTIONS);
    check(
        &imported,
        &[
            (
                "platform",
                "quay.io/astronomer/ap-ui:1",
                &["mirror.corp:5000/quay.io/astronomer/ap-ui"],
            ),
            (
                "base",
                "quay.io/astronomer/ap-airflow:1",
                &["mirror.corp:5000/quay.io/astronomer/ap-airflow"],
            ),
        ],
    );
    // The mirror itself must not take it.
    let own = |registry: &Registry| registry.as_str() == "mirror.corp:5000";
    let imported = import_all(
        &files,
        &ImportOptions {
            own: &own,
            ..OPTIONS
        },
    );
    assert!(
        lines(&imported)[0].contains("E-LOOP"),
        "{:?}",
        lines(&imported)
    );
    assert_eq!(rendering.notes.len(), 4, "{:?}", rendering.notes);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", host in "\\PC{0,20}", key in "\\PC{0,20}") {
        let values = format!("global:\n  privateRegistry: {{enabled: true, repository: {host}, secretName: s}}\n");
        let quoted = serde_json::json!({"global": {
            "baseDomain": key,
            "privateRegistry": {"enabled": true, "repository": host, "secretName": "s"},
        }});
        for text in [text, values.clone(), values + "---\n" + &secret("s", "n", &key, "u"), quoted.to_string()] {
            let _remarks = lines(&import_one(&text));
        }
    }
}
