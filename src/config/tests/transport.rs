//! How connections to an upstream are made: what is read, and what people are told.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::{secret::Secret, upstream::Settings};

/// The table with these keys.
fn table(keys: &str) -> String {
    format!("[upstream.\"r.example\"]\n{keys}\n")
}

fn settings(keys: &str) -> Settings {
    let mut upstreams = loaded(&table(keys)).settings.upstreams;
    upstreams.remove(0).0
}

/// What is said about files whose content is this.
fn told(keys: &str, files: &[(&str, &str)]) -> Result<Vec<String>, Vec<ConfigProblem>> {
    let open = |path: &Path, _content| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        let found = found.map(|(_, text)| (*text).into());
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let context = LoadContext {
        read_file: &open,
        ..CONTEXT
    };
    let loaded = read(&table(keys), "x", &Overrides::default(), &context);
    match loaded {
        Ok(loaded) => Ok(loaded.notes),
        Err(problems) => Err(problems.problems),
    }
}

#[test]
fn every_key_is_read() {
    let plain = settings("");
    assert!(plain.transport.is_verified && plain.transport.identity.is_none());
    assert!(plain.transport.authorities.certificates().is_empty() && plain.realm_hosts.is_empty());
    let full = settings(
        "ca_file = \"a.pem\"\nclient_cert_file = \"b.pem\"\nclient_key_file = \"b.key\"\n\
         tls_verify = false\nrealms = [\"Auth.corp:8443\"]\nproxy = \"http://10.0.0.1:3128\"",
    );
    assert_eq!(full.transport.authorities.certificates().len(), 1);
    assert!(!full.transport.is_verified && full.transport.identity.is_some());
    assert_eq!(full.realm_hosts, ["auth.corp:8443"]);
    let proxy = full.transport.proxy;
    assert_eq!(proxy.https.unwrap().reveal(), "http://10.0.0.1:3128/");
    assert_eq!((proxy.http.is_some(), proxy.no_proxy), (true, None));
    let unset = "ca_file = \"\"\nclient_cert_file = \"\"\nclient_key_file = \"\"\nrealms = []";
    assert_eq!(settings(unset), plain);
}

#[test]
fn the_environments_proxies_are_used_unless_the_table_says_otherwise() {
    let environment = Environment {
        http_proxy: None,
        https_proxy: Some(Secret::new("http://user:canary@proxy.corp:3128")),
        no_proxy: Some("corp".into()),
    };
    let context = LoadContext {
        environment: &environment,
        ..CONTEXT
    };
    let load = |text: &str| read(text, "x", &Overrides::default(), &context);
    let proxy = |keys: &str| {
        let loaded = load(&table(keys)).unwrap();
        assert!(!format!("{loaded:?}").contains("canary"));
        loaded.settings.upstreams[0].0.transport.proxy.clone()
    };
    assert_eq!(proxy("").https, environment.https_proxy);
    assert_eq!(proxy("proxy = \"env\"").no_proxy, environment.no_proxy);
    let own = proxy("proxy = \"http://10.0.0.1:3128\"");
    assert_eq!(own.no_proxy, None, "NO_PROXY is about the environment's");
    assert_eq!(
        proxy("proxy = \"none\""),
        crate::connect::ProxySettings::default()
    );
    for bad in ["socks5://me:canary@p:1080", "http://me:canary@p/x", "a b"] {
        let environment = Environment {
            https_proxy: Some(Secret::new(bad)),
            ..Environment::default()
        };
        let context = LoadContext {
            environment: &environment,
            ..CONTEXT
        };
        let problems = read("", "x", &Overrides::default(), &context).unwrap_err();
        assert_eq!(problems.problems[0].key, "HTTPS_PROXY");
        assert!(!problems.to_string().contains("canary"), "{problems}");
    }
}

#[test]
fn proxies_that_cannot_be_used_are_refused() {
    for (value, hint) in [
        ("http://me:canary@p:3128", Some("set HTTPS_PROXY")),
        ("http://canary@p:3128", Some("set HTTPS_PROXY")),
        ("me:canary@p:3128", None),
        ("p.corp:3128", Some("did you mean \"http://p.corp:3128\"?")),
        ("nnoe", None),
        ("", None),
        ("socks5://p:1080", None),
        ("http://p/path", None),
    ] {
        let problem = one_problem(&table(&format!("proxy = \"{value}\"")));
        assert_eq!(problem.key, "upstream.\"r.example\".proxy");
        let found = problem.hint.as_deref();
        let fits = hint.is_none_or(|hint| found.unwrap().starts_with(hint))
            && hint.is_some() == found.is_some();
        assert!(fits, "{value}: {found:?}");
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }
}

#[test]
fn b124_certificates_and_keys_that_cannot_be_used_are_refused() {
    let ((chain, key), (_, other)) = (pair(), pair());
    let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let both = "client_cert_file = \"c\"\nclient_key_file = \"k\"";
    for (keys, c, k, at, reason) in [
        (
            "client_cert_file = \"c\"",
            &*chain,
            &*key,
            "cert",
            "without its key",
        ),
        (
            "client_key_file = \"k\"",
            &*chain,
            &*key,
            "key",
            "without its cert",
        ),
        (both, &*chain, &*other, "key", "does not belong"),
        (both, &*chain, &*sealed, "key", "encrypted"),
        (both, &*chain, "", "key", "no private key"),
        (both, "", &*key, "cert", "no certificate"),
    ] {
        let problems = told(keys, &[("c", c), ("k", k)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = &problems[0];
        let want = format!("upstream.\"r.example\".client_{at}_file");
        assert_eq!(problem.key, want, "{problem:?}");
        assert!(
            problem.reason.contains(reason) && problem.hint.is_some(),
            "{problem:?}"
        );
        assert!(!format!("{problem:?}").contains(key.lines().nth(1).unwrap()));
    }
    let missing = told("ca_file = \"nowhere\"", &[]).unwrap_err();
    assert!(missing[0].reason.starts_with("cannot use the file"));
    let open = one_problem(&table(
        "client_cert_file = \"a.pem\"\nclient_key_file = \"open\"",
    ));
    assert!(open.hint.unwrap().starts_with("chmod 600"));
}

#[test]
fn b125_a_certificate_out_of_its_time_is_said_and_used() {
    let key = KeyPair::generate().unwrap();
    let both = "client_cert_file = \"c\"\nclient_key_file = \"k\"";
    let years = |year| date_time_ymd(year, 1, 1);
    let soon = SystemTime::now() + Duration::from_hours(10 * 24);
    for (from, to, note) in [
        (years(2001), years(2002), Some("expired at 2002")),
        (years(3000), years(3001), Some("not valid before 3000")),
        (years(2001), soon.into(), Some("within two weeks")),
        (years(2001), years(3001), None),
    ] {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = from;
        params.not_after = to;
        let chain = params.self_signed(&key).unwrap().pem();
        let notes = told(both, &[("c", &chain), ("k", &key.serialize_pem())]).unwrap();
        let said = notes.concat();
        assert!(
            note.map_or(notes.is_empty(), |note| said.contains(note)),
            "{notes:?}"
        );
    }
}

#[test]
fn what_weakens_or_does_nothing_is_said() {
    let notes = |keys| told(keys, &[("c", &PAIR.0)]).unwrap();
    let [note] = notes("tls_verify = false").try_into().unwrap();
    assert!(note.contains("r.example") && note.contains("certificates are not verified"));
    assert!(notes("tls_verify = true\nca_file = \"c\"").is_empty());
    let notes = notes("url = \"http://r.example\"\nca_file = \"c\"");
    assert!(
        matches!(notes.as_slice(), [note] if note.contains("ca_file")),
        "{notes:?}"
    );
    let realm = one_problem(&table("realms = [\"https://auth.corp/token\"]"));
    assert_eq!(realm.key, "upstream.\"r.example\".realms[0]");
}
