//! Imported platform files, while they change under a running mirror.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fake_registry::{FakeRegistry, certificates::Authority, random_bytes};

use crate::{
    program::{Program, Roadstead},
    reload::{FAILED, LAST_OK, TAKEN, until},
    site::upstream,
};

const NAME: &str = "library/nginx";
const TARGET: &str = "/v2/library/nginx/manifests/1?ns=docker.io";
/// How soon a change has to hold.
const SOON: Duration = Duration::from_secs(2);

/// Three registries that know the name, and the tables that call them `one.example` to
/// `three.example`.
struct Site {
    /// They end with it.
    registries: Vec<FakeRegistry>,
    tables: String,
    /// What each answers.
    manifests: [Vec<u8>; 3],
}

impl Site {
    async fn start() -> Self {
        let mut site = Self {
            registries: Vec::new(),
            tables: String::new(),
            manifests: Default::default(),
        };
        let names = ["one.example", "two.example", "three.example"];
        for ((name, seed), manifest) in names.into_iter().zip(1..).zip(&mut site.manifests) {
            let registry = FakeRegistry::start().await;
            let image = registry.image(NAME, "1", &[random_bytes(1000, seed)]);
            *manifest = image.manifest.bytes.to_vec();
            site.tables += &upstream(name, &registry);
            site.registries.push(registry);
        }
        site
    }

    /// A mirror that imports these files, each a path or a pattern below `folder`.
    async fn mirror(&self, folder: &Path, files: &[&str], more: &str) -> Roadstead {
        let program = Program::with(folder, None, &self.text(folder, files, more));
        Roadstead::ready(program).await
    }

    fn text(&self, folder: &Path, files: &[&str], more: &str) -> String {
        let files: Vec<_> = files.iter().map(|file| folder.join(file)).collect();
        format!("{}[[import]]\nfiles = {files:?}\n{more}", self.tables)
    }
}

/// A `ConfigMap` of imageswap's that leads Docker Hub to a registry.
fn config_map(target: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: imageswap-maps\ndata:\n  maps: |\n    \
         default::rest.example\n    docker.io::{target}\n"
    )
}

/// Mounts another version of a volume as the kubelet does: the files of all versions are reached
/// through one link, which is turned.
fn mount(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = volume.join(version);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        if !volume.join(name).exists() {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

async fn body(program: &Roadstead) -> Vec<u8> {
    let reply = program.get(TARGET).reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_volume_holds_within_two_seconds_and_fails_no_pull() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("maps");
    let [one, two, _] = &site.manifests;
    mount(&volume, "..1", &[("maps.yaml", &config_map("one.example"))]);
    let program = site.mirror(folder.path(), &["maps"], "").await;
    let program = Arc::new(program);
    assert_eq!(body(&program).await, *one);

    let done = Arc::new(AtomicBool::new(false));
    let wanted = [one.clone(), two.clone()];
    let load = (0..4).map(|_client| {
        let (program, done, wanted) = (Arc::clone(&program), Arc::clone(&done), wanted.clone());
        async move {
            while !done.load(Ordering::Relaxed) {
                assert!(wanted.contains(&body(&program).await));
            }
        }
    });
    let exchange = async {
        let begun = Instant::now();
        mount(&volume, "..2", &[("maps.yaml", &config_map("two.example"))]);
        until("the other target", async || body(&program).await == *two).await;
        let took = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        took
    };
    let (_, took) = tokio::join!(futures_util::future::join_all(load), exchange);
    assert!(took < SOON, "{took:?}");
    assert_eq!(program.metric(FAILED).await, 0, "{}", program.log());
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_that_held_and_is_said_with_its_place() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maps.yaml");
    let [one, two, _] = &site.manifests;
    fs::write(&file, config_map("one.example")).unwrap();
    let program = site.mirror(folder.path(), &["maps.yaml"], "").await;
    assert_eq!(program.probe("/readyz").await, "ready\n");

    let broken = config_map("two.example") + "    nonsense\n";
    fs::write(&file, broken).unwrap();
    until("it is refused", async || program.metric(FAILED).await == 1).await;
    assert_eq!(program.metric(LAST_OK).await, 0);
    let place = format!("{}:9:5: E-SEP: ", file.display());
    let log = program.log();
    let told = log.lines().filter(|line| line.contains(&place));
    assert_eq!(told.count(), 1, "{log}");
    let ready = program.probe("/readyz").await;
    let lines: Vec<_> = ready.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "ready"), "{ready}");
    assert!(lines[1].contains(&place), "{ready}");
    assert_eq!(body(&program).await, *one);

    // Neither does its absence change anything.
    fs::remove_file(&file).unwrap();
    until("it is gone", async || program.metric(FAILED).await == 2).await;
    assert_eq!(body(&program).await, *one);

    fs::write(&file, config_map("two.example")).unwrap();
    until("it is mended", async || body(&program).await == *two).await;
    assert_eq!(program.metric(LAST_OK).await, 1);
    assert_eq!(program.probe("/readyz").await, "ready\n");
}

#[tokio::test]
async fn files_come_and_go_in_a_folder_and_under_a_pattern() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["all", "some"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("all/a.yaml"), config_map("one.example")).unwrap();
    fs::write(at("some/b.map"), "default::rest.example\n").unwrap();
    fs::write(at("some/ignored"), "nonsense").unwrap();
    let program = site.mirror(folder.path(), &["all", "some/*.map"], "").await;
    let target = "/v2/library/nginx/manifests/1?ns=quay.io";
    let status = async || program.get(target).reply().await.status;
    assert_ne!(status().await, 200);

    fs::write(at("some/quay.map"), "quay.io::two.example\n").unwrap();
    until("the new file", async || status().await == 200).await;
    fs::remove_file(at("some/quay.map")).unwrap();
    until("it is gone", async || status().await != 200).await;

    fs::create_dir(at("all/below")).unwrap();
    fs::write(at("all/below/quay.map"), "quay.io::three.example\n").unwrap();
    until("a new folder", async || status().await == 200).await;
    assert_eq!(program.metric(FAILED).await, 0, "{}", program.log());

    fs::rename(at("all"), at("moved")).unwrap();
    until("the folder is gone", async || {
        program.metric(FAILED).await == 1
    })
    .await;
    assert_eq!(status().await, 200);
    fs::rename(at("moved"), at("all")).unwrap();
    until("it is back", async || program.metric(LAST_OK).await == 1).await;
    assert_eq!(status().await, 200);
}

/// Several kinds in one folder, each document saying which one it is in; what is written by hand
/// wins over them.
#[tokio::test]
async fn a_folder_of_several_kinds_gives_routes_and_logins() {
    let site = Site::start().await;
    let login = FakeRegistry::builder()
        .basic("robot", "secret")
        .start()
        .await;
    let image = login.image("team/app", "1", &[]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("site")).unwrap();
    let map = config_map("one.example") + "    quay.io::login.example\n";
    fs::write(at("site/maps.yaml"), map).unwrap();
    let auths = r#"{"auths": {"login.example": {"username": "robot", "password": "secret"}}}"#;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\n\
         metadata:\n  name: pull\nstringData:\n  .dockerconfigjson: '{auths}'\n"
    );
    fs::write(at("site/secret.yaml"), secret).unwrap();
    let permit = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(at("site/secret.yaml"), mode).unwrap();
    };
    permit(0o600);
    let by_hand = "[[route]]\nfrom = \"docker.io:*\"\nto = [\"three.example\"]\n";
    let more = upstream("login.example", &login) + by_hand;
    let program = site.mirror(folder.path(), &["site"], &more).await;
    assert_eq!(body(&program).await, site.manifests[2]);
    let reply = program
        .get("/v2/team/app/manifests/1?ns=quay.io")
        .reply()
        .await;
    assert_eq!(reply.whole(), image.manifest.bytes, "{}", program.log());
    assert!(
        program.log().contains("replaces the one from"),
        "{}",
        program.log()
    );

    permit(0o644);
    until("all may read it", async || {
        program.metric(FAILED).await == 1
    })
    .await;
    let log = program.log();
    assert!(log.contains("it is world-readable"), "{log}");
    assert!(!log.contains("secret\\\""), "{log}");
    permit(0o400);
    until("put right", async || program.metric(LAST_OK).await == 1).await;
    assert_eq!(program.metric(TAKEN).await, 1);
}

/// What a start refuses, a reload refuses too.
#[tokio::test]
async fn contradictions_and_loops_are_refused_with_both_places() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [one, ..] = &site.manifests;
    fs::write(at("one.yaml"), config_map("one.example")).unwrap();
    fs::write(at("two.yaml"), config_map("two.example")).unwrap();
    let text = |more: &str| site.text(folder.path(), &["one.yaml"], more);
    let program = site.mirror(folder.path(), &["one.yaml"], "").await;
    let refused = async |text: &str, count: u64, said: &[&str]| {
        fs::write(program.file(), program.text(text)).unwrap();
        until("it is refused", async || {
            program.metric(FAILED).await == count
        })
        .await;
        let log = program.log();
        let fits = |line: &str| said.iter().all(|part| line.contains(part));
        assert!(log.lines().any(fits), "{said:?}: {log}");
        assert_eq!(body(&program).await, *one);
    };
    let other = format!("[[import]]\nfiles = {:?}\n", at("two.yaml"));
    refused(&text(&other), 1, &["E-DUP", "one.yaml:8:", "two.yaml:8:"]).await;
    let loops = config_map(&program.mirror().to_string());
    fs::write(at("loop.yaml"), loops).unwrap();
    let text = site.text(folder.path(), &["loop.yaml"], "");
    refused(&text, 2, &["E-LOOP", "loop.yaml:8:"]).await;
}

/// Authorities stand in the files themselves; and a path that nodes ask for without `ns` names its
/// registry.
#[tokio::test]
async fn imported_authorities_are_trusted_and_aliases_are_known() {
    let ours = Authority::new("ours");
    let registry = FakeRegistry::builder().tls(&ours.server(&["127.0.0.1"]));
    let registry = registry.start().await;
    let folders = ["", "airgap/docker.io/"];
    let [whole, below] = folders.map(|folder| {
        let layer = random_bytes(1000, folder.len().try_into().unwrap());
        let image = registry.image(&format!("{folder}{NAME}"), "1", &[layer]);
        image.manifest.bytes
    });
    let (host, pem) = (registry.address(), ours.pem.replace('\n', "\n    "));
    let talos = format!(
        "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nskipFallback: true\n\
         endpoints:\n- url: https://{host}\n"
    );
    let trust = format!(
        "---\napiVersion: v1alpha1\nkind: RegistryTLSConfig\nname: {host}\nca: |\n    {pem}\n"
    );
    let palette = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: registry-info\nstringData:\n  \
         DOMAIN: {host}\n  BASE_PATH: airgap\n  CA_CERT: |\n    {pem}\n  \
         MIRROR_REGISTRIES: docker.io::{host}/airgap/docker.io\n"
    );
    let alias = "/v2/airgap/docker.io/library/nginx/manifests/1";
    for (text, target, want) in [
        (talos.clone(), TARGET, None),
        (talos + &trust, TARGET, Some(&whole)),
        (palette, alias, Some(&below)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.yaml");
        fs::write(&file, &text).unwrap();
        let routes = format!("[[import]]\nfiles = {file:?}\n");
        let program = Roadstead::ready(Program::with(folder.path(), None, &routes)).await;
        let reply = program.get(target).reply().await;
        match want {
            Some(want) => assert_eq!(reply.whole(), *want, "{text}"),
            None => assert_eq!(reply.status, 503, "{text}"),
        }
    }
}
