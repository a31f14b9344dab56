//! Every kind of secret is planted and used, well and badly; afterwards none is found anywhere.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{
    certificates::{Authority, write_secret},
    gate::can_play,
    hostile, http,
    image::Image,
    logins::write_htpasswd,
    mirror::{Mirror, Setup},
    process::eventually,
    proxy::Proxy,
    registry::{Guard, Registry},
    secrets::Places,
    tokens::{Login, Tokens},
    web::Web,
};

const LIFETIME: Duration = Duration::from_mins(5);
const REPORTED_MAX: Duration = Duration::from_secs(15);
const USERNAME: &str = "robot";

const PASSWORD: &str = "Canary1-of-password_file";
const AUTHS: &str = "Canary2-of-auths-in-config.json";
const IDENTITY: &str = "Canary3-of-identitytoken";
const HELPER: &str = "Canary4-of-a-helper";
const PROXY: &str = "Canary5-of-the-proxy";
const SIGNATURE: &str = "Canary6-of-a-signed-redirect";
const TOKEN: &str = "Canary7-of-token_file";
const GARBAGE: &str = "Canary8-in-broken-output";
const MISPLACED: &str = "Canary9-where-none-belongs";

/// Where the helpers write how they were started.
const SEEN: &str = "seen-by-a-helper";

/// Each upstream's name; Docker Hub's `NAME/app` is behind `NAME.test`.
const PULLED: [&str; 8] = [
    "basic", "auths", "identity", "helper", "client", "proxied", "signed", "token",
];

/// What an operator may write by mistake, secrets included.
const MISTAKES: [&str; 6] = [
    "[upstream.\"basic.test\"]\npassword = \"Canary9-where-none-belongs\"\n",
    "[upstream.\"basic.test\"]\nproxy = \"http://robot:Canary9-where-none-belongs@no host:x\"\n",
    "[upstream.\"basic.test\"]\nurl = \"http://robot:Canary9-where-none-belongs@127.0.0.1\"\n",
    "[upstream.\"basic.test\"]\nusername = \"robot:Canary9-where-none-belongs\"\npassword_file = \"/nowhere\"\n",
    "[[credential]]\nfor = \"robot:Canary9-where-none-belongs@basic.test\"\nhelper = \"canary\"\n",
    "[upstream.\"basic.test\"]\npassword = \"Canary9-where-none-belongs\n",
];

/// All players, on the stage for as long as this lives.
struct Cast {
    folder: tempfile::TempDir,
    open: Registry,
    locked: Vec<Registry>,
    tokens: Tokens,
    proxy: Proxy,
    hostile: Vec<Web>,
    key: String,
}

impl Cast {
    fn gather() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let open = Registry::start();
        let house = Authority::new("house");
        let bundle = house.write(place, "house.crt");
        let own = house.issue(&["127.0.0.1"]).write(place, "own");
        let client = house.issue(&[]);
        client.write(place, "client");
        let login = Login {
            username: USERNAME.to_owned(),
            password: AUTHS.to_owned(),
            refresh: IDENTITY.to_owned(),
        };
        let tokens = Tokens::start(place, login, LIFETIME);
        write_htpasswd(&place.join("of-password"), USERNAME, PASSWORD);
        write_htpasswd(&place.join("of-helper"), USERNAME, HELPER);
        let locked = vec![
            open.guarded(&Guard::Basic(&place.join("of-password"))),
            open.guarded(&tokens.guard()),
            open.guarded(&Guard::Basic(&place.join("of-helper"))),
            open.guarded(&Guard::Certificate {
                own: &own,
                clients: &bundle,
            }),
        ];
        let storage = hostile::storage(open.address, SIGNATURE);
        let hostile = vec![
            hostile::signing(open.address, storage.address, SIGNATURE),
            hostile::echoing(open.address, TOKEN),
            storage,
        ];
        write_files(place);
        Self {
            proxy: Proxy::start(open.address, Some((USERNAME, PROXY))),
            key: client.key.lines().nth(2).unwrap().to_owned(),
            folder,
            open,
            locked,
            tokens,
            hostile,
        }
    }

    fn configuration(&self) -> String {
        let place = self.folder.path().display();
        let [basic, token, helper, client] = [0, 1, 2, 3].map(|at| self.locked[at].address);
        let [signing, echoing] = [0, 1].map(|at: usize| self.hostile[at].address);
        let upstreams = [
            (
                "basic",
                format!(
                    "url = \"http://{basic}\"\nusername = \"{USERNAME}\"\npassword_file = \"{place}/password\""
                ),
            ),
            ("auths", format!("url = \"http://{token}\"")),
            ("identity", format!("url = \"http://{token}\"")),
            ("helper", format!("url = \"http://{helper}\"")),
            ("garbage", format!("url = \"http://{helper}\"")),
            (
                "client",
                format!(
                    "url = \"https://{client}\"\nca_file = \"{place}/house.crt\"\n\
                     client_cert_file = \"{place}/client.crt\"\nclient_key_file = \"{place}/client.key\""
                ),
            ),
            ("proxied", "url = \"http://harbor.invalid\"".to_owned()),
            ("signed", format!("url = \"http://{signing}\"")),
            ("token", format!("url = \"http://{echoing}\"")),
        ];
        let mut text = format!(
            "[log]\nlevel = \"trace\"\nformat = \"json\"\n\
             [credentials]\ndocker_config_files = [\"{place}/config.json\"]\n\
             [[credential]]\nfor = \"token.test\"\ntoken_file = \"{place}/token\"\n\
             [[credential]]\nfor = \"helper.test\"\nhelper = \"canary\"\n\
             [[credential]]\nfor = \"garbage.test\"\nhelper = \"garbage\"\n"
        );
        for (name, table) in upstreams {
            text = format!(
                "{text}[[route]]\nfrom = \"docker.io/{name}\"\nto = [\"{name}.test/{name}\"]\n\
                 [upstream.\"{name}.test\"]\n{table}\n"
            );
        }
        text
    }

    fn secrets(&self) -> Vec<(&'static str, String)> {
        let planted = [
            PASSWORD, AUTHS, IDENTITY, HELPER, PROXY, SIGNATURE, TOKEN, GARBAGE, MISPLACED,
        ];
        let mut secrets: Vec<_> = planted.map(|secret| (secret, secret.to_owned())).into();
        secrets.push(("the client's key", self.key.clone()));
        for token in self.tokens.issued() {
            let (_, signature) = token.rsplit_once('.').unwrap();
            secrets.push(("a token's signature", signature.to_owned()));
        }
        secrets
    }
}

/// The files that the configuration names, and the helpers.
fn write_files(place: &Path) {
    write_secret(&place.join("password"), PASSWORD);
    write_secret(&place.join("token"), TOKEN);
    let auth = BASE64_STANDARD.encode(format!("{USERNAME}:{AUTHS}"));
    let auths = json!({"auths": {
        "auths.test": {"auth": auth},
        "identity.test": {"auth": BASE64_STANDARD.encode("<token>:"), "identitytoken": IDENTITY},
    }});
    write_secret(&place.join("config.json"), &auths.to_string());
    let seen = place.join(SEEN);
    let look = format!(
        "#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ >>{}\n",
        seen.display()
    );
    let answer = json!({"ServerURL": "helper.test", "Username": USERNAME, "Secret": HELPER});
    for (name, answer) in [
        ("canary", answer.to_string()),
        (
            "garbage",
            format!("{{\"Username\": \"{GARBAGE}\", \"Secret\": \"{GARBAGE}"),
        ),
    ] {
        let file = place.join(format!("docker-credential-{name}"));
        write_program(&file, &format!("{look}cat <<'END'\n{answer}\nEND\n"));
    }
}

fn write_program(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn no_planted_secret_is_found_anywhere() {
    let scene = "no_planted_secret_is_found_anywhere";
    if !can_play(scene, &["docker-registry", "htpasswd", "tinyproxy"]) {
        return;
    }
    let cast = Cast::gather();
    let proxy = format!("http://{USERNAME}:{PROXY}@{}", cast.proxy.address);
    let mirror = Mirror::start_as(Setup {
        rest: cast.configuration(),
        programs: Some(cast.folder.path().to_owned()),
        environment: vec![("HTTP_PROXY", proxy)],
        ..Setup::default()
    });
    let mut places = Places::default();
    for (seed, name) in (960..).zip(PULLED) {
        let image = Image::small(seed);
        cast.open.push(&format!("{name}/app"), "1.0", &image);
        mirror.gives(&format!("{name}/app"), &image);
    }
    ask_and_tell(&mirror, &mut places);
    make_mistakes(&mirror, &cast, &mut places);
    let log = mirror.log();
    assert!(log.contains("TRACE"), "the log is not at its fullest");
    places.add("the log", log);
    places.add("metrics", mirror.metrics());
    places.add_folder(&mirror.folder().join("store"));
    let mut found = places.search(&cast.secrets());
    found.extend(seen_of_processes(&cast, &mirror));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every request that fails, and every command that tells of upstreams.
fn ask_and_tell(mirror: &Mirror, places: &mut Places) {
    for target in failing() {
        let reply = http::get(mirror.address, &target);
        assert!(reply.status >= 400, "{target}: {}", reply.status);
        places.add(&target, reply.whole());
    }
    let references = PULLED.map(|name| format!("docker.io/{name}/app:1.0"));
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    run(mirror, "explain", &references, places);
    run(mirror, "check", &[], places);
    run(mirror, "check", &["--online"], places);
}

/// Mistakes in the configuration while it is in use, then in the files it names.
fn make_mistakes(mirror: &Mirror, cast: &Cast, places: &mut Places) {
    for mistake in MISTAKES {
        mirror.rewrite(mistake);
        report(mirror, places);
    }
    for (file, text) in [
        ("client.key", MISPLACED),
        ("config.json", MISPLACED),
        ("password", "a\nb"),
    ] {
        write_secret(&cast.folder.path().join(file), text);
        mirror.rewrite(&cast.configuration());
        report(mirror, places);
    }
}

/// Lets the mirror find the mistake and say so.
fn report(mirror: &Mirror, places: &mut Places) {
    let failed = || mirror.metric("roadstead_config_reloads_total", "failed");
    let before = failed();
    mirror.reload();
    eventually("the mistake to be reported", REPORTED_MAX, || {
        (failed() > before).then_some(())
    });
    let checked = mirror.command("check", &[]);
    assert!(!checked.ok, "check is content: {}", checked.out);
    places.add("check", checked.out + &checked.err);
}

/// What everybody on the machine may see of the mirror, and of the helpers it starts. The operator
/// has put the proxy's login into their environment, where it stays.
fn seen_of_processes(cast: &Cast, mirror: &Mirror) -> Vec<String> {
    let mut places = Places::default();
    for name in ["cmdline", "environ"] {
        let of_mirror = Path::new("/proc").join(mirror.id().to_string());
        places.add_file(&of_mirror.join(name));
    }
    places.add_file(&cast.folder.path().join(SEEN));
    let mut secrets = cast.secrets();
    secrets.retain(|(name, _)| *name != PROXY);
    places.search(&secrets)
}

/// Requests that every upstream answers badly, each in its way.
fn failing() -> Vec<String> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let places = [
        "manifests/none".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{digest}"),
        "manifests/echo-401".to_owned(),
        "manifests/echo-403".to_owned(),
        "manifests/echo-500".to_owned(),
        "manifests/echo-200".to_owned(),
    ];
    let names = PULLED.iter().chain(&["garbage"]);
    let target = |name: &str, place: &String| format!("/v2/{name}/app/{place}?ns=docker.io");
    names
        .flat_map(|name| places.iter().map(move |place| target(name, place)))
        .collect()
}

/// Another command on the same configuration; what it says is one more place.
fn run(mirror: &Mirror, command: &str, arguments: &[&str], places: &mut Places) {
    let finished = mirror.command(command, arguments);
    places.add(
        &format!("{command} {arguments:?}"),
        finished.out + &finished.err,
    );
}
