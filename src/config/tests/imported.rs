//! What is imported, written down and read again is what was imported.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    oci::{ImageReference, UpstreamName},
    platform::{
        self, CertificateAuthority, Imported, ImportedCredentials, ImportedUpstream, Location,
        RegistryAlias,
    },
    route::{
        Action, ConfigLocation, Decision, ImageName, LibraryPrefix, MatchText, RefKind,
        RewriteText, Rule, RuleText, TargetText,
    },
    secret::Secret,
    upstream::KeyringEntry,
};

const NAMES: [&str; 9] = [
    "nginx:1",
    "nginx",
    "library/a'b",
    "docker.io/a/b:1",
    "docker.io/a/b/c",
    "quay.io/a/b:1",
    "r.example:5000/a/b",
    "x.corp/a",
    "other.example/a\\b",
];

fn matches() -> impl Strategy<Value = MatchText> {
    let from = select(vec![
        "docker.io",
        "docker.io/a",
        "docker.io/a/b:1",
        "docker.io/a/b:*",
        "quay.io",
        "*.corp",
        "r.example:*",
        "*",
    ]);
    let text = select(vec![
        "nginx*",
        r"docker\.io/(a)/.*",
        "a",
        "\"",
        "'\\",
        "\u{85}\u{7f}\t\n",
        "ä",
    ]);
    prop_oneof![
        4 => vec(from, 1..4).prop_map(|from| {
            MatchText::From(from.into_iter().map(str::to_owned).collect())
        }),
        1 => text.clone().prop_map(|text| MatchText::Glob(text.to_owned())),
        1 => text.clone().prop_map(|text| MatchText::Regex(text.to_owned())),
        1 => text.prop_map(|text| MatchText::Contains(text.to_owned())),
    ]
}

fn target() -> impl Strategy<Value = TargetText> {
    let target = select(vec![
        "source",
        "h.example/p",
        "h.example:5000/p-{registry}/{repository}",
        "h.example/{name}:{tag}",
        "[::1]:1/x/{rest}",
    ]);
    let kind = select(vec![
        RefKind::Any,
        RefKind::Any,
        RefKind::Tag,
        RefKind::Digest,
    ]);
    let refused = option::of(select(vec![
        RefusalPolicy::Auto,
        RefusalPolicy::Next,
        RefusalPolicy::Stop,
    ]));
    (target, kind, refused).prop_map(|(target, ref_kind, refused)| TargetText {
        target: target.to_owned(),
        ref_kind,
        refused,
    })
}

fn route() -> impl Strategy<Value = RuleText> {
    let kind = select(vec![
        RefKind::Any,
        RefKind::Any,
        RefKind::Tag,
        RefKind::Digest,
    ]);
    let library = select(vec![
        LibraryPrefix::Auto,
        LibraryPrefix::Both,
        LibraryPrefix::Keep,
        LibraryPrefix::Strip,
    ]);
    let rewrite = (
        select(vec!["^a/", "\"(b)'", "c"]),
        select(vec!["x/", "$1", "\\"]),
    );
    let rewrite = rewrite.prop_map(|(regex, with)| RewriteText {
        regex: regex.to_owned(),
        with: with.to_owned(),
    });
    let time = option::of(select(vec![
        Duration::from_secs(5),
        Duration::from_millis(1500),
    ]));
    let digest = option::of(Just(format!("sha256:{}", "a".repeat(64))));
    let how = (kind, library, option::of(0_u16..=500), time, digest);
    let place = "a file\n[[route]]:1:2";
    (matches(), vec(target(), 0..8), vec(rewrite, 0..3), how).prop_map(
        move |(matches, to, rewrite, (ref_kind, library, band, time, digest))| {
            let action = if to.is_empty() {
                Action::Deny
            } else {
                Action::Route
            };
            let new = RuleText::new(matches, to, ConfigLocation(place.into()));
            RuleText {
                action,
                rewrite,
                ref_kind,
                library,
                band,
                digest,
                tag_fresh: time,
                tag_stale_max: time,
                ..new
            }
        },
    )
}

fn upstream(name: &str, pem: &str) -> impl Strategy<Value = ImportedUpstream> {
    let name: UpstreamName = name.parse().unwrap();
    let urls = select(vec![
        vec![],
        vec!["https://h.example"],
        vec!["http://h.example:5000", "https://[::1]:5000"],
    ]);
    let authority = option::of(select(vec![
        CertificateAuthority::Pem(pem.to_owned()),
        CertificateAuthority::File("/etc/it's \"a\".pem".to_owned()),
    ]));
    let path = option::of(Just("/artifactory/v2".to_owned()));
    let client = option::of(Just(("c.pem".to_owned(), "c.key".to_owned())));
    (urls, path, any::<[bool; 2]>(), authority, client).prop_map(
        move |(urls, api_path, [send_ns, is_verified], authority, client)| ImportedUpstream {
            name: name.clone(),
            urls: urls.into_iter().map(str::to_owned).collect(),
            api_path,
            send_ns,
            ca: authority,
            client,
            is_verified,
            location: Location::start("a\u{1b}b"),
        },
    )
}

fn login() -> impl Strategy<Value = ImportedCredentials> {
    let place = select(vec![
        "h.example",
        "h.example:5000/a/b",
        "*.corp",
        "docker.io",
    ]);
    let secret =
        select(vec!["plain", " spaced ", "two\nlines", " ", "ü\"'\\"]).prop_map(Secret::new);
    let source = prop_oneof![
        secret
            .clone()
            .prop_map(|password| CredentialSource::Static(Credential::Password {
                username: "robot$\"a'".to_owned(),
                password,
            })),
        secret
            .clone()
            .prop_map(|token| CredentialSource::Static(Credential::Token(token))),
        secret.prop_map(|token| CredentialSource::Static(Credential::Refresh(token))),
    ];
    (place, source).prop_map(|(place, source)| ImportedCredentials {
        entry: KeyringEntry {
            scope: place.parse().unwrap(),
            source,
        },
        location: Location::start("logins.json"),
    })
}

/// With every route at the same location: lines of two files are never the same.
fn without_location(decision: Decision) -> Decision {
    let nowhere = ConfigLocation("".into());
    match decision {
        Decision::Route {
            location,
            from,
            candidates,
            pin,
            tag_fresh,
            tag_stale_max,
        } => Decision::Route {
            location: location.map(|_location| nowhere),
            from,
            candidates,
            pin,
            tag_fresh,
            tag_stale_max,
        },
        Decision::Deny { from, .. } => Decision::Deny {
            location: nowhere,
            from,
        },
        unmatched @ Decision::Unmatched { .. } => unmatched,
    }
}

fn decisions(table: &RouteTable) -> Vec<Decision> {
    let digest = format!("sha256:{}", "b".repeat(64));
    let images = NAMES
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{name}@{digest}")]);
    let decide = |image: String| {
        let image: ImageReference = image.parse().ok()?;
        let named = ImageName::from(image.repository);
        Some(without_location(table.decide(&named, &image.reference)))
    };
    images.filter_map(decide).collect()
}

/// What the configuration says of an upstream, in the importers' words.
fn seen(settings: &crate::upstream::Settings) -> (Vec<EndpointAddress>, String, [bool; 4]) {
    let transport = &settings.transport;
    let flags = [
        settings.send_ns,
        transport.is_verified,
        transport.authorities == crate::tls::Authorities::default(),
        transport.identity.is_some(),
    ];
    (settings.endpoints.clone(), settings.api_path.clone(), flags)
}

proptest! {
    #[test]
    fn what_is_written_is_what_was_imported(
        routes in vec(route(), 0..5),
        upstreams in (upstream("h.example", &PAIR.0), upstream("[::1]:1", &PAIR.0)),
        mut logins in vec(login(), 0..4),
        unmatched in option::of(select(vec![UnmatchedPolicy::Auto, UnmatchedPolicy::Deny, UnmatchedPolicy::Source])),
        alias in select(vec!["a/b", "airgap-images/docker.io"]),
    ) {
        logins.sort_by_key(|login| login.entry.scope.to_string());
        logins.dedup_by_key(|login| login.entry.scope.to_string());
        let rules: Vec<Rule> = routes.iter().filter_map(|route| route.clone().compile().ok()).collect();
        let routes: Vec<_> = routes.into_iter().filter(|route| route.clone().compile().is_ok()).collect();
        let table = RouteTable::new(rules, unmatched.unwrap_or_default());
        let imported = Imported {
            routes,
            aliases: vec![RegistryAlias {
                prefix: alias.to_owned(),
                registries: vec!["docker.io".parse().unwrap(), "quay.io".parse().unwrap()],
                location: Location::start("f"),
            }],
            upstreams: vec![upstreams.0, upstreams.1],
            credentials: logins,
            unmatched,
            diagnostics: Vec::new(),
            ..Imported::default()
        };
        let without = platform::write(&imported, None);
        prop_assert!(without.files.is_empty());
        prop_assert!(!without.toml.contains("plain") && !without.toml.contains("spaced"));
        let written = platform::write(&imported, Some("secrets"));
        prop_assert_eq!(written.credentials_left_out, 0);
        let secrets: BTreeMap<_, _> = written.files.iter()
            .map(|file| (Path::new("secrets").join(&file.name), file.text.reveal()))
            .collect();
        prop_assert_eq!(secrets.len(), written.files.len());
        let find = |path: &Path, content| match secrets.get(path) {
            Some(text) => Ok(text.as_bytes().to_owned()),
            None => files(path, content),
        };
        let context = LoadContext { read_file: &find, ..CONTEXT };
        let read = |toml: &str| read(toml, "i.toml", &Overrides::default(), &context);
        let (Ok(table), loaded) = (table, read(&written.toml)) else {
            prop_assert!(read(&written.toml).is_err(), "a conflict is one in both");
            return Ok(());
        };
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{}", written.toml));
        let settings = loaded.settings;
        prop_assert_eq!(decisions(&settings.table), decisions(&table.0), "{}", written.toml);
        prop_assert!(read(&without.toml).is_ok());
        for one in &imported.upstreams {
            let there = settings.upstreams.iter().find(|(there, _)| there.name == one.name);
            let (urls, path, flags) = seen(&there.unwrap().0);
            if !one.urls.is_empty() {
                let want: Vec<_> = one.urls.iter().cloned().map(EndpointAddress::Url).collect();
                prop_assert_eq!(urls, want);
            }
            prop_assert_eq!(path, one.api_path.clone().unwrap_or_else(|| "/v2".to_owned()));
            let want = [one.send_ns, one.is_verified, one.ca.is_none(), one.client.is_some()];
            prop_assert_eq!(flags, want);
        }
        let mut keys = settings.upstream_defaults.keyring.entries().to_vec();
        keys.sort_by_key(|entry| entry.scope.to_string());
        let want: Vec<_> = imported.credentials.iter().map(|login| login.entry.clone()).collect();
        prop_assert_eq!(keys, want);
    }
}
