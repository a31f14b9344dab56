//! Reloads while requests run: a configuration is applied as a whole or not at all.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fake_registry::{
    FakeRegistry, Fault, Gate, MIB, Match,
    bare::{Ask, Reply},
    random_bytes,
};
use roadstead::internals::{
    app::{ConfigSource, LoadError, LoadOutcome, LoadRecord, ReloadSummary, StartError},
    server::{Hangups, ListenAddress},
};
use rustix::process::{Signal, getpid, kill_process};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    mirror::{Mirror, failure},
    program::{Program, Roadstead, free_address},
    rows::Rows,
    site::{route, upstream},
};

const NAME: &str = "library/nginx";
const SEED: u64 = 132;
/// What metrics count.
pub(crate) const TAKEN: &str = "roadstead_config_reloads_total{result=\"ok\"}";
pub(crate) const FAILED: &str = "roadstead_config_reloads_total{result=\"failed\"}";
pub(crate) const LAST_OK: &str = "roadstead_config_last_reload_ok";

/// `docker.io` from the registry of this name, the only one that is asked.
fn to(name: &str, both: [(&str, &FakeRegistry); 2]) -> String {
    let [one, two] = both.map(|(name, registry)| upstream(name, registry));
    let target = format!("\"{name}\"");
    one + &two + &route("docker.io", &target, "library = \"keep\"")
}

/// A registry whose image differs from the others'.
async fn registry(seed: u64) -> (FakeRegistry, Vec<u8>) {
    let registry = FakeRegistry::start().await;
    let image = registry.image(NAME, "1", &[random_bytes(1000, seed)]);
    (registry, image.manifest.bytes.to_vec())
}

/// Waits until `holds`, for as long as a slow machine may take.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "in vain: {what}");
}

/// Writes a file aside and moves it into place, as careful editors do.
fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&aside, path).unwrap();
}

#[tokio::test]
async fn a_changed_route_holds_for_the_next_request_and_running_pulls_finish() {
    let ((one, _), (two, second)) = (registry(1).await, registry(2).await);
    let both = [("one", &one), ("two", &two)];
    let blob = one.blob(NAME, random_bytes(6 * MIB, SEED));
    let gate = Gate::new();
    one.next(Match::blob(&blob), Fault::HoldAfter(MIB, gate.clone()));
    let mirror = Mirror::with(&to("one", both)).start().await;
    let running = mirror.blob(NAME, &blob).open().await;
    one.until(Match::blobs(), 1).await;

    let change = mirror.adopt(&to("two", both)).await.unwrap();
    let nothing_else = ReloadSummary {
        routes: 1,
        ..ReloadSummary::default()
    };
    assert_eq!(change, nothing_else);
    let asked = one.count(Match::manifests());
    assert_eq!(mirror.manifest(NAME, "1").reply().await.whole(), second);
    assert_eq!(one.count(Match::manifests()), asked);
    gate.open();
    assert!(Reply::read(running).await.whole() == blob.bytes);
    assert_eq!(one.count(Match::blobs()), 1);
    mirror.stop().await;
}

#[tokio::test]
async fn a_flight_begun_before_the_change_answers_nobody_after_it() {
    let ((one, first), (two, second)) = (registry(1).await, registry(2).await);
    let both = [("one", &one), ("two", &two)];
    let gate = Gate::new();
    one.next(Match::manifests(), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::with(&to("one", both)).start().await;
    let before = mirror.manifest(NAME, "1").open().await;
    one.until(Match::manifests(), 1).await;
    mirror.adopt(&to("two", both)).await.unwrap();
    let after = mirror.manifest(NAME, "1").reply().await;
    assert_eq!(after.whole(), second, "while the first is still held");
    gate.open();
    assert_eq!(Reply::read(before).await.whole(), first);
    mirror.stop().await;
}

#[tokio::test]
async fn a_failure_under_the_old_settings_is_no_answer_under_the_new() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let blob = two.blob(NAME, random_bytes(1000, SEED));
    let gate = Gate::new();
    one.next(Match::blobs(), Fault::HoldHead(gate.clone()));
    let hub = |registry| upstream("hub", registry) + &route("docker.io", "\"hub\"", "");
    let mirror = Mirror::with(&hub(&one)).start().await;
    let before = mirror.blob(NAME, &blob).open().await;
    one.until(Match::blobs(), 1).await;
    mirror.adopt(&hub(&two)).await.unwrap();
    let after = mirror.blob(NAME, &blob).open().await;
    gate.open();
    assert_eq!(Reply::read(before).await.status, 404);
    assert_eq!(Reply::read(after).await.whole(), blob.bytes);
    mirror.stop().await;
}

#[tokio::test]
async fn an_upstream_that_moved_is_asked_at_once() {
    let ((one, first), (two, second)) = (registry(1).await, registry(2).await);
    let hub = |registry| {
        let fresh = "[freshness]\ntag_fresh = \"1h\"\nabsent = \"1h\"\n";
        upstream("hub", registry) + &route("docker.io", "\"hub\"", "library = \"keep\"") + fresh
    };
    let mirror = Mirror::with(&hub(&one)).start().await;
    assert_eq!(mirror.manifest(NAME, "1").reply().await.whole(), first);
    assert_eq!(mirror.manifest(NAME, "2").reply().await.status, 404);
    mirror.adopt(&hub(&one)).await.unwrap();
    assert_eq!(mirror.manifest(NAME, "1").reply().await.whole(), first);
    assert_eq!(one.count(Match::manifest(NAME, "1")), 1, "still fresh");
    let change = mirror.adopt(&hub(&two)).await.unwrap();
    assert_eq!((change.upstreams_changed, change.upstreams_new), (1, 0));
    assert_eq!(mirror.manifest(NAME, "1").reply().await.whole(), second);
    two.image(NAME, "2", &[]);
    assert_eq!(mirror.manifest(NAME, "2").reply().await.status, 200);
    mirror.stop().await;
}

#[tokio::test]
async fn a_deny_holds_for_kept_content_at_once() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "1", &[random_bytes(1000, SEED)]);
    let layer = &image.layers[0];
    let routes = upstream("hub", &hub) + &route("docker.io", "\"hub\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).start().await;
    assert_eq!(mirror.manifest(NAME, "1").reply().await.status, 200);
    assert_eq!(mirror.blob(NAME, layer).reply().await.status, 200);
    let deny = "[[route]]\nfrom = \"docker.io/library/nginx\"\naction = \"deny\"\n";
    mirror.adopt(&format!("{routes}{deny}")).await.unwrap();
    for ask in [mirror.manifest(NAME, "1"), mirror.blob(NAME, layer)] {
        assert_eq!(failure(&ask.reply().await), (403, "DENIED".into()));
    }
    mirror.adopt(&routes).await.unwrap();
    assert_eq!(mirror.blob(NAME, layer).reply().await.status, 200);
    mirror.stop().await;
}

#[tokio::test]
async fn listeners_come_and_go_and_kept_ones_keep_their_socket() {
    let (hub, _) = registry(1).await;
    let routes = upstream("hub", &hub) + &route("docker.io", "\"hub\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).start().await;
    let socket = mirror.folder().join("second.sock");
    let second = format!(
        "{routes}[[listener]]\nlisten = \"unix:{}\"\n",
        socket.display()
    );
    let first = mirror.addresses();

    let change = mirror.adopt(&second).await.unwrap();
    assert_eq!((change.listeners_added, change.listeners_removed), (1, 0));
    let both = [first[0].clone(), ListenAddress::Unix(socket.clone())];
    assert_eq!(mirror.addresses(), both);
    assert!(socket.exists());

    // An address that is not ours to take: nothing changes, not even the routes.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!(
        "[[listener]]\nlisten = \"{}\"\n",
        taken.local_addr().unwrap()
    );
    let refused = mirror.adopt(&taken).await;
    assert!(
        matches!(refused, Err(StartError::Listen { .. })),
        "{refused:?}"
    );
    assert_eq!(mirror.addresses(), both);
    assert_eq!(mirror.manifest(NAME, "1").reply().await.status, 200);

    // An address that is ours already, in other words.
    let ListenAddress::Tcp(own) = first[0] else {
        panic!("a TCP listener was configured")
    };
    let wider = format!("[[listener]]\nlisten = \"0.0.0.0:{}\"\n", own.port());
    let Err(StartError::Listen { source, .. }) = mirror.adopt(&wider).await else {
        panic!("one port was taken twice")
    };
    let told = source.to_string();
    for part in [own.to_string().as_str(), "our own listener", "restart"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(mirror.addresses(), both);

    let gate = Gate::new();
    let blob = hub.blob(NAME, random_bytes(MIB, SEED));
    hub.next(Match::blob(&blob), Fault::HoldHead(gate.clone()));
    let third = format!("{routes}[[listener]]\nlisten = \"127.0.0.1:0\"\n");
    mirror.adopt(&third).await.unwrap();
    assert!(!socket.exists());
    let ListenAddress::Tcp(third) = mirror.addresses()[1] else {
        panic!("a TCP listener was configured")
    };
    let target = format!("/v2/{NAME}/blobs/{}?ns=docker.io", blob.digest);
    let running = Ask::new(third, "GET", &target).open().await;
    hub.until(Match::blob(&blob), 1).await;
    let change = mirror.adopt(&routes).await.unwrap();
    assert_eq!((change.listeners_added, change.listeners_removed), (0, 1));
    assert!(TcpStream::connect(third).await.is_err(), "it is closed");
    gate.open();
    assert!(Reply::read(running).await.whole() == blob.bytes);
    assert_eq!(mirror.addresses(), first);
    mirror.stop().await;
}

#[tokio::test]
async fn what_only_a_start_can_change_is_named() {
    let mirror = Mirror::with("").start().await;
    let change = mirror.adopt("[limits]\nrequests_max = 7\n").await.unwrap();
    assert_eq!(change.restart_needed, ["limits.requests_max"]);
    let change = mirror
        .adopt("[store]\nsize_max = \"1MiB\"\n")
        .await
        .unwrap();
    assert_eq!(change.restart_needed, [""; 0]);
    mirror.stop().await;
}

#[tokio::test]
async fn a_smaller_store_evicts_at_once() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).start().await;
    for seed in 0..3 {
        let blob = hub.blob(NAME, random_bytes(MIB, seed));
        assert_eq!(mirror.blob(NAME, &blob).reply().await.status, 200);
    }
    mirror.keeps(3).await;
    mirror
        .adopt("[store]\nsize_max = \"2MiB\"\n")
        .await
        .unwrap();
    assert_eq!(mirror.blobs(), 2);
    mirror.stop().await;
}

/// Without a file SIGHUP reloads nothing, and does not end the process.
#[tokio::test]
async fn a_hangup_reads_a_file_anew_and_is_harmless_without_one() {
    let calls = Arc::new(AtomicUsize::new(0));
    let source = |calls: &Arc<AtomicUsize>| -> ConfigSource {
        let calls = Arc::clone(calls);
        Arc::new(move |_text| {
            calls.fetch_add(1, Ordering::SeqCst);
            let source = std::io::ErrorKind::NotFound.into();
            LoadOutcome {
                loaded: Err(LoadError::Unreadable {
                    path: "gone.toml".into(),
                    source,
                }),
                record: LoadRecord::default(),
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.toml");
    let with_file = LoadRecord {
        text: None,
        fingerprints: [(file.clone(), roadstead::internals::disk::fingerprint(&file))].into(),
    };
    let mirror = Mirror::with("").start().await;
    let none = Arc::new(AtomicUsize::new(0));
    for (calls, traces) in [(&none, LoadRecord::default()), (&calls, with_file)] {
        let hangups = Hangups::listen().unwrap();
        mirror
            .reloader()
            .watch(source(calls), traces, Vec::new(), hangups);
    }
    kill_process(getpid(), Signal::HUP).unwrap();
    until("the file is read", async || {
        calls.load(Ordering::SeqCst) == 1
    })
    .await;
    until("the failure is counted", async || {
        mirror.metrics().await.contains(&format!("{FAILED} 1"))
    })
    .await;
    assert_eq!(none.load(Ordering::SeqCst), 0);
    mirror.stop().await;
}

#[tokio::test]
async fn b132_a_reload_that_does_not_hold_changes_nothing_and_is_said() {
    let ((one, first), (two, second)) = (registry(1).await, registry(2).await);
    let both = [("one", &one), ("two", &two)];
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (to("one", both), to("two", both));
    let program = Program::with(folder.path(), None, &old);
    let program = Roadstead::ready(program).await;
    let target = format!("/v2/{NAME}/manifests/1?ns=docker.io");
    let mut rows = Rows::default();
    let broken = [
        ("invalid TOML", "[[route]\n", "invalid TOML"),
        (
            "unknown key",
            "[limits]\nspeed_max = 1\n",
            "limits.speed_max",
        ),
        (
            "bad size",
            "[limits]\nmanifest_bytes_max = \"10XB\"\n",
            "10XB",
        ),
        (
            "below zero",
            "[freshness]\nabsent = \"-1s\"\n",
            "freshness.absent",
        ),
        (
            "two routes",
            "[[route]]\nfrom = \"docker.io\"\nto = [\"x.example\"]\n",
            "docker.io",
        ),
        (
            "no file",
            "[upstream.x]\nurl = \"https://x.example\"\nusername = \"u\"\npassword_file = \"none\"\n",
            "password_file",
        ),
        (
            "taken",
            "[[listener]]\nlisten = \"TAKEN\"\n",
            "cannot listen",
        ),
    ];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for ((row, text, said), count) in broken.into_iter().zip(1..) {
        let text = text.replace("TAKEN", &taken);
        replace(program.file(), &program.text(&format!("{new}{text}")));
        program.hang_up();
        until(row, async || program.metric(FAILED).await >= count).await;
        rows.same(row, program.metric(LAST_OK).await, 0);
        let log = program.log();
        let complaint = log.lines().filter(|line| line.contains("\"ERROR\""));
        rows.holds(row, complaint.clone().any(|line| line.contains(said)), &log);
        rows.same(row, program.get(&target).reply().await.body, first.clone());
    }
    fs::remove_file(program.file()).unwrap();
    program.hang_up();
    let count = u64::try_from(broken.len()).unwrap() + 1;
    until("no file", async || program.metric(FAILED).await >= count).await;
    rows.same("no file", program.get(&target).reply().await.body, first);
    rows.same("taken", program.metric(TAKEN).await, 0);
    // Without SIGHUP: the watcher sees the change itself.
    replace(program.file(), &program.text(&new));
    until("mended", async || program.metric(TAKEN).await == 1).await;
    rows.same("mended", program.get(&target).reply().await.body, second);
    rows.same("mended", program.metric(LAST_OK).await, 1);
    let told = program.log().contains("configuration reloaded");
    rows.holds("mended", told, &program.log());
}

/// Some editors empty a file before they write it, and an empty file would be all defaults.
#[tokio::test]
async fn b132_an_emptied_file_is_not_taken_before_it_is_written() {
    let ((one, first), (two, second)) = (registry(1).await, registry(2).await);
    let both = [("one", &one), ("two", &two)];
    let folder = tempfile::tempdir().unwrap();
    let program = Program::with(folder.path(), None, &to("one", both));
    let program = Roadstead::ready(program).await;
    let target = format!("/v2/{NAME}/manifests/1?ns=docker.io");
    let (text, mode) = (
        program.text(&to("two", both)),
        fs::Permissions::from_mode(0o600),
    );
    for (blank, count) in [("", 1), (" \n\t\n", 2)] {
        fs::write(program.file(), blank).unwrap();
        fs::set_permissions(program.file(), mode.clone()).unwrap();
        program.hang_up();
        until("refused", async || program.metric(FAILED).await >= count).await;
        assert!(program.log().contains("is it still being written?"));
        assert_eq!(program.get(&target).reply().await.body, first);
    }
    fs::write(program.file(), text).unwrap();
    until("written", async || program.metric(TAKEN).await == 1).await;
    assert_eq!(program.get(&target).reply().await.body, second);
}

/// As Kubernetes mounts a `ConfigMap` and a Secret: a turned link exchanges all files at once.
#[tokio::test]
async fn a_turned_link_is_noticed_and_a_typo_keeps_no_rotated_password_out() {
    let hub = FakeRegistry::builder().basic("robot", "new").start().await;
    hub.image(NAME, "1", &[]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, config: &str, password: &str| {
        fs::create_dir(at(name)).unwrap();
        replace(&at(name).join("roadstead.toml"), config);
        replace(&at(name).join("password"), password);
        symlink(name, at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
    };
    version("..1", "", "old");
    for file in ["roadstead.toml", "password"] {
        symlink(Path::new("..data").join(file), at(file)).unwrap();
    }
    let login = format!(
        "username = \"robot\"\npassword_file = \"{}\"\n",
        at("password").display()
    );
    let good =
        upstream("hub", &hub) + &login + &route("docker.io", "\"hub\"", "library = \"keep\"");
    let program = Program::with(folder.path(), Some(at("roadstead.toml")), &good);
    let program = Roadstead::ready(program).await;
    let target = format!("/v2/{NAME}/manifests/1?ns=docker.io");
    let status = async || program.get(&target).reply().await.status;
    assert_ne!(status().await, 200);

    version("..2", &program.text("typo = \n"), "new");
    until("the new password, by the old text", async || {
        status().await == 200
    })
    .await;
    until("the typo is said", async || {
        program.metric(FAILED).await == 1
    })
    .await;
    assert_eq!(program.metric(LAST_OK).await, 0);
    assert!(program.log().contains("invalid TOML"), "{}", program.log());

    version("..3", &program.text(&good), "wrong");
    until("the mended text", async || {
        program.metric(LAST_OK).await == 1
    })
    .await;
    hub.image(NAME, "2", &[]);
    let other = format!("/v2/{NAME}/manifests/2?ns=docker.io");
    assert_ne!(program.get(&other).reply().await.status, 200);
    replace(&at("..3").join("password"), "new");
    until("the file behind the links", async || {
        program.get(&other).reply().await.status == 200
    })
    .await;
    assert_eq!(program.metric(FAILED).await, 1, "it is said once");
    assert!(
        !program.log().contains("wrong"),
        "a password must not be logged"
    );
}

/// Whether the listener presents this self-signed certificate.
async fn shows(address: SocketAddr, certificate: &str) -> bool {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(roadstead::internals::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "mirror.example".try_into().unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    shaken.await.is_ok()
}

#[tokio::test]
async fn a_half_written_pair_keeps_the_old_certificate_until_it_is_whole() {
    let pair = || {
        let made = rcgen::generate_simple_self_signed(["mirror.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (old, new) = (pair(), pair());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    replace(&certificate, &old.0);
    replace(&key, &old.1);
    let address = free_address();
    let routes = format!(
        "[[listener]]\nlisten = \"{address}\"\ntls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n",
        certificate.display(),
        key.display()
    );
    let program = Program::with(folder.path(), None, &routes);
    let program = Roadstead::ready(program).await;
    assert!(shows(address, &old.0).await && !shows(address, &new.0).await);

    replace(&certificate, &new.0);
    program.hang_up();
    until("half a pair is refused", async || {
        program.metric(FAILED).await >= 1
    })
    .await;
    assert!(shows(address, &old.0).await);
    replace(&key, &new.1);
    until("the whole pair", async || shows(address, &new.0).await).await;
    until("all is well", async || program.metric(LAST_OK).await == 1).await;
    assert!(!shows(address, &old.0).await);
    let ends = format!("roadstead_certificate_expires_seconds{{owner=\"listener {address}\"}}");
    assert!(program.metric(&ends).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_two_hundred_reloads_under_load_fail_no_request() {
    let ((one, first), (two, second)) = (registry(1).await, registry(2).await);
    let both = [("one", &one), ("two", &two)];
    let folder = tempfile::tempdir().unwrap();
    let (to_one, to_two) = (to("one", both), to("two", both));
    let program = Program::with(folder.path(), None, &to_one);
    let program = Arc::new(Roadstead::ready(program).await);
    let done = Arc::new(AtomicBool::new(false));
    let load = (0..4).map(|_client| {
        let (program, done) = (Arc::clone(&program), Arc::clone(&done));
        let wanted = [first.clone(), second.clone()];
        async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let target = format!("/v2/{NAME}/manifests/1?ns=docker.io");
                let reply = program.get(&target).reply().await;
                assert_eq!(reply.status, 200, "{reply:?}");
                assert!(wanted.contains(&reply.whole().to_vec()));
                count += 1;
            }
            count
        }
    });
    let reloads = async {
        for round in 1..=100 {
            let routes = if round % 2 == 0 { &to_one } else { &to_two };
            for (text, metric) in [(&format!("{routes}nonsense"), FAILED), (routes, TAKEN)] {
                replace(program.file(), &program.text(text));
                program.hang_up();
                until(metric, async || program.metric(metric).await >= round).await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let (requests, ()) = tokio::join!(futures_util::future::join_all(load), reloads);
    assert!(requests.iter().all(|count| *count > 0), "{requests:?}");
    assert_eq!(program.metric(LAST_OK).await, 1);
    assert!(program.metric(FAILED).await >= 100);
    assert_eq!(program.metric("roadstead_panics_total").await, 0);
}
