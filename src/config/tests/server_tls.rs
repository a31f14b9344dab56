//! How nodes are met: certificates, keys and clients' authorities.

use std::collections::BTreeMap;

use super::*;

/// Files by name: two pairs, and what can be wrong with one.
fn pem_files() -> BTreeMap<&'static str, String> {
    let pair = |from: i32, to: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let ((cert, key), (cert2, key2)) = (pair(2020, 3000), pair(2020, 3000));
    let ((old_cert, old_key), (new_cert, new_key)) = (pair(2000, 2001), pair(2999, 3000));
    let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = cert.chars().take(100).collect();
    BTreeMap::from([
        ("cert", cert),
        ("key", key),
        ("cert2", cert2),
        ("key2", key2),
        ("old_cert", old_cert),
        ("old_key", old_key),
        ("new_cert", new_cert),
        ("new_key", new_key),
        ("sealed", sealed),
        ("half", half),
        ("empty", String::new()),
    ])
}

fn load_with(
    files: &BTreeMap<&str, String>,
    overrides: &Overrides,
    text: &str,
) -> Result<Loaded, ConfigProblems> {
    let files = |path: &Path, content: FileSensitivity| {
        let name = path.to_str().unwrap();
        assert_eq!(
            content == FileSensitivity::Secret,
            name.contains("key") || name == "sealed"
        );
        if name == "open_key" {
            check_secret_mode(0o100_644)?;
        }
        let text = files.get(name).map(|text| text.clone().into_bytes());
        text.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let context = LoadContext {
        read_file: &files,
        ..CONTEXT
    };
    read(text, "roadstead.toml", overrides, &context)
}

#[test]
fn b124_b126_what_is_no_pair_is_refused_where_it_stands() {
    let files = pem_files();
    // The two keys, the one at fault, and why.
    let rows = [
        ("cert", "", "tls_cert_file", "a certificate without its key"),
        ("", "key", "tls_key_file", "a key without its certificate"),
        (
            "cert",
            "key2",
            "tls_key_file",
            "the private key does not belong to the certificate",
        ),
        (
            "empty",
            "key",
            "tls_cert_file",
            "the file holds no certificate in PEM form",
        ),
        ("half", "key", "tls_cert_file", "the file's PEM is broken"),
        (
            "gone",
            "key",
            "tls_cert_file",
            "cannot use the file: entity not found",
        ),
        (
            "cert",
            "gone_key",
            "tls_key_file",
            "cannot use the file: entity not found",
        ),
        (
            "cert",
            "open_key",
            "tls_key_file",
            "cannot use the file: it is world-readable (mode 644)",
        ),
        (
            "cert",
            "sealed",
            "tls_key_file",
            "the private key is encrypted; only unencrypted keys are supported",
        ),
    ];
    for section in ["[server]", "[[listener]]\nlisten = \"127.0.0.1:1\""] {
        for (cert, key, at, why) in rows {
            let text = format!("{section}\ntls_cert_file = \"{cert}\"\ntls_key_file = \"{key}\"\n");
            let found = load_with(&files, &Overrides::default(), &text).expect_err(&text);
            let [problem] = &found.problems[..] else {
                panic!("{found}");
            };
            assert!(problem.key.ends_with(at), "{found}");
            assert_eq!(problem.reason, why, "{text}");
            assert!(problem.hint.is_some(), "{found}");
        }
    }
}

#[test]
fn clients_authorities_need_a_pair_and_a_certificate() {
    let files = pem_files();
    for (text, key) in [
        (
            "[server]\nclient_ca_file = \"cert\"",
            "server.client_ca_file",
        ),
        (
            "[server]\ntls_cert_file = \"cert\"\ntls_key_file = \"key\"\nclient_ca_file = \"empty\"",
            "server.client_ca_file",
        ),
    ] {
        let found = load_with(&files, &Overrides::default(), text).unwrap_err();
        let [problem] = &found.problems[..] else {
            panic!("{found}");
        };
        assert_eq!(problem.key, key);
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_complained_of_once_and_not_where_it_is_inherited() {
    let files = pem_files();
    let text = "[server]\ntls_cert_file = \"cert\"\ntls_key_file = \"key2\"\n\
                [[listener]]\nlisten = \"127.0.0.1:1\"\nclient_ca_file = \"cert\"\n";
    let found = load_with(&files, &Overrides::default(), text).unwrap_err();
    let [problem] = &found.problems[..] else {
        panic!("{found}");
    };
    assert_eq!(problem.key, "server.tls_key_file");
}

#[test]
fn listeners_inherit_how_nodes_are_met_or_say_otherwise() {
    let files = pem_files();
    let identity = |cert: &str, key: &str| {
        Some(crate::tls::Identity::from_pem(&files[cert], &files[key]).unwrap())
    };
    let server = "[server]\ntls_cert_file = \"cert\"\ntls_key_file = \"key\"\n\
                  client_ca_file = \"cert\"\n[[listener]]\nlisten = \"127.0.0.1:1\"\n";
    let own = "tls_cert_file = \"cert2\"\ntls_key_file = \"key2\"\n";
    let open = "client_ca_file = \"\"";
    let both = format!("{own}{open}");
    for (listener, shown, asks) in [
        ("", identity("cert", "key"), true),
        (open, identity("cert", "key"), false),
        (own, identity("cert2", "key2"), true),
        (&both, identity("cert2", "key2"), false),
        ("tls_cert_file = \"\"", None, false),
        ("tls_key_file = \"\"", None, false),
    ] {
        for listen in [None, Some("127.0.0.1:2".to_owned())] {
            let overrides = Overrides {
                listen,
                ..Overrides::default()
            };
            let text = format!("{server}{listener}");
            let loaded = load_with(&files, &overrides, &text).unwrap();
            let [first, second] = &loaded.settings.listeners[..] else {
                panic!("{text}");
            };
            let first = first.tls.as_ref().unwrap();
            assert_eq!(Some(first.identity()), identity("cert", "key").as_ref());
            assert!(first.requires_client_certificate());
            let second = second.tls.as_ref();
            assert_eq!(
                second.map(server::ListenerTls::identity),
                shown.as_ref(),
                "{text}"
            );
            assert_eq!(
                second.is_some_and(server::ListenerTls::requires_client_certificate),
                asks,
                "{text}"
            );
            assert_eq!(loaded.notes, Vec::<String>::new());
        }
    }
}

#[test]
fn b125_a_certificate_out_of_its_time_is_said_and_used() {
    let files = pem_files();
    for (pair, note) in [
        (
            "old",
            "the certificate expired at 2001-01-01T00:00:00Z; peers that verify it refuse it",
        ),
        (
            "new",
            "the certificate is not valid before 2999-01-01T00:00:00Z; is this machine's clock right?",
        ),
    ] {
        let text = format!(
            "[server]\ntls_cert_file = \"{pair}_cert\"\ntls_key_file = \"{pair}_key\"\n\
             [[listener]]\nlisten = \"127.0.0.1:1\"\n"
        );
        let loaded = load_with(&files, &Overrides::default(), &text).unwrap();
        // Once, however many listeners show it.
        assert_eq!(loaded.notes, [format!("server.tls_cert_file: {note}")]);
        assert!(
            loaded
                .settings
                .listeners
                .iter()
                .all(|one| one.tls.is_some())
        );
    }
}

#[test]
fn what_is_said_of_open_doors_knows_of_clients_certificates() {
    let files = pem_files();
    let route = "[[route]]\nfrom = \"*\"\nto = [\"source\"]\n";
    let pair = "[server]\ntls_cert_file = \"cert\"\ntls_key_file = \"key\"\n";
    let clients = format!("{pair}client_ca_file = \"cert\"\n");
    let also_open =
        format!("{clients}[[listener]]\nlisten = \"127.0.0.1:1\"\nclient_ca_file = \"\"\n");
    for (server, who) in [
        (pair, "every client that reaches a listener can"),
        (
            &clients,
            "every client with a certificate of client_ca_file can",
        ),
        (&also_open, "every client that reaches a listener can"),
    ] {
        let loaded = load_with(&files, &Overrides::default(), &format!("{server}{route}")).unwrap();
        assert!(loaded.notes[0].contains(who), "{:?}", loaded.notes);
    }
}
