//! Upstreams that want to know who asks: each gives with the right login, and with a wrong one the
//! client, the log and `check --online` say so, while what is kept goes on being served.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use super::{
    certificates::{Authority, Pair, write_secret},
    clients::Skopeo,
    gate::can_play,
    http::{self, Reply},
    image::Image,
    mirror::{Mirror, Setup},
    process::{command, eventually, free_address, run},
    proxy::Proxy,
    registry::{Guard, Registry},
    tokens::{Login, Tokens},
};

const HTPASSWD_MAX: Duration = Duration::from_secs(10);
/// A change of a file is seen within a second, and without a signal.
const CHANGE_MAX: Duration = Duration::from_secs(15);
const LIFETIME: Duration = Duration::from_mins(5);
const USERNAME: &str = "robot";
const RIGHT: &str = "open-sesame";
const WRONG: &str = "open-wheat";

/// An image behind a lock, pulled once; the tests turn the key.
struct Stage<'a> {
    registry: &'a Registry,
    mirror: Mirror,
    kept: Image,
    fresh: Image,
}

/// Variables and their values.
type Environment = Vec<(&'static str, String)>;

/// How a wrong login shows.
struct Refusal<'a> {
    /// What a client is told about what is not kept.
    status: u16,
    /// How the log calls it.
    level: &'a str,
    /// What the log and `check --online` say of the upstream.
    reason: &'a str,
}

impl<'a> Refusal<'a> {
    /// The upstream has heard the login and refuses it.
    fn refused(reason: &'a str) -> Self {
        Self {
            status: 403,
            level: "ERROR",
            reason,
        }
    }

    /// The upstream was never reached.
    fn unreachable(reason: &'a str) -> Self {
        Self {
            status: 503,
            level: "WARN",
            reason,
        }
    }
}

impl<'a> Stage<'a> {
    /// Proves that the mirror's login is good.
    fn set(registry: &'a Registry, seed: u64, table: &str) -> Self {
        Self::set_among(registry, seed, table, Vec::new())
    }

    /// The same, with variables in the mirror's environment.
    fn set_among(registry: &'a Registry, seed: u64, table: &str, environment: Environment) -> Self {
        let kept = Image::new(seed);
        registry.push("team/kept", "1.0", &kept);
        let mirror = Mirror::start_as(Setup {
            rest: configuration(table),
            environment,
            ..Setup::default()
        });
        let skopeo = Skopeo::new(&mirror.address.to_string());
        let pulled = skopeo.pull("docker.io/team/kept:1.0");
        assert_eq!(pulled, kept.manifests[0].digest);
        mirror.gives("team/kept", &kept);
        let checked = mirror.command("check", &["--online"]);
        checked.succeed("check --online with the right login");
        Self {
            registry,
            mirror,
            kept,
            fresh: Image::small(seed + 1),
        }
    }

    /// Proves what the wrong login does, once `turn` has put it in place.
    fn refuses(&mut self, turn: impl FnOnce(&mut Mirror), refusal: &Refusal<'_>) {
        self.registry.push("team/fresh", "1.0", &self.fresh);
        turn(&mut self.mirror);
        eventually("the wrong login", CHANGE_MAX, || {
            self.ask("kept").header("warning").map(|_| ())
        });
        let stale = self.ask("kept").expect_status(200, "a kept tag");
        assert_eq!(stale.sha256(|_| ()), self.kept.index.digest);
        let refused = self.ask("fresh").expect_status(refusal.status, "not kept");
        let body: Value = serde_json::from_slice(&refused.bytes()).unwrap();
        assert!(body["errors"][0]["code"].is_string(), "{body}");
        let log = self.mirror.log();
        let parts = [refusal.level, "harbor.test", refusal.reason];
        let told = log
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(told, "no line with {parts:?} in\n{log}");
        let checked = self.mirror.command("check", &["--online"]);
        let text = checked.out + &checked.err;
        assert!(!checked.ok, "check --online is content: {text}");
        for part in ["harbor.test", refusal.reason] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    /// Proves that the mirror takes the login as soon as it is right.
    fn gives_again(&mut self, turn: impl FnOnce(&mut Mirror)) {
        turn(&mut self.mirror);
        eventually("the right login", CHANGE_MAX, || {
            (self.ask("fresh").status == 200).then_some(())
        });
        self.mirror.gives("team/fresh", &self.fresh);
    }

    fn ask(&self, name: &str) -> Reply {
        let target = format!("/v2/team/{name}/manifests/1.0?ns=docker.io");
        http::get(self.mirror.address, &target)
    }
}

fn configuration(table: &str) -> String {
    format!(
        "[log]\nformat = \"json\"\n[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"\n\
         [[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n\
         [upstream.\"harbor.test\"]\n{table}\n"
    )
}

/// A login by name and password at this address.
fn login(registry: &Registry, password: &Path) -> String {
    format!(
        "url = \"http://{}\"\nusername = \"{USERNAME}\"\npassword_file = \"{}\"",
        registry.address,
        password.display()
    )
}

fn robot() -> Login {
    Login {
        username: USERNAME.to_owned(),
        password: RIGHT.to_owned(),
        refresh: "none".to_owned(),
    }
}

/// Writes a file for a registry's `htpasswd`, which takes bcrypt only.
pub(crate) fn write_htpasswd(file: &Path, username: &str, password: &str) {
    let mut htpasswd = command("htpasswd");
    htpasswd.args(["-B", "-b", "-n", "-C", "5", username, password]);
    let line = run("htpasswd", &mut htpasswd, HTPASSWD_MAX).succeed("htpasswd");
    fs::write(file, line.trim()).unwrap();
}

/// The stage itself: where this fails, the mirror is not to blame.
#[test]
fn the_locked_registries_open_to_skopeo_itself() {
    let scene = "the_locked_registries_open_to_skopeo_itself";
    if !can_play(scene, &["docker-registry", "skopeo", "htpasswd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = Registry::start();
    let image = Image::small(690);
    open.push("team/app", "1.0", &image);
    let file = folder.path().join("htpasswd");
    write_htpasswd(&file, USERNAME, RIGHT);
    let tokens = Tokens::start(folder.path(), robot(), LIFETIME);
    for guard in [Guard::Basic(&file), tokens.guard()] {
        let registry = open.guarded(&guard);
        let locked = registry.address.to_string();
        let reference = format!("{locked}/team/app:1.0");
        let skopeo = |password| Skopeo::new(&locked).login(USERNAME, password);
        assert_eq!(skopeo(RIGHT).pull(&reference), image.manifests[0].digest);
        assert!(skopeo(WRONG).try_pull(&reference).is_err());
    }
}

#[test]
fn a_password_opens_and_a_wrong_one_does_not() {
    let scene = "a_password_opens_and_a_wrong_one_does_not";
    if !can_play(scene, &["docker-registry", "skopeo", "htpasswd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = Registry::start();
    let file = folder.path().join("htpasswd");
    write_htpasswd(&file, USERNAME, RIGHT);
    let locked = open.guarded(&Guard::Basic(&file));
    let password = folder.path().join("password");
    write_secret(&password, RIGHT);
    let mut stage = Stage::set(&open, 700, &login(&locked, &password));
    let refusal = Refusal::refused("it does not accept the login");
    stage.refuses(|_| write_secret(&password, WRONG), &refusal);
    stage.gives_again(|_| write_secret(&password, RIGHT));
}

#[test]
fn a_token_service_opens_and_refuses() {
    let scene = "a_token_service_opens_and_refuses";
    if !can_play(scene, &["docker-registry", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = Registry::start();
    let tokens = Tokens::start(folder.path(), robot(), LIFETIME);
    let locked = open.guarded(&tokens.guard());
    let password = folder.path().join("password");
    write_secret(&password, RIGHT);
    let mut stage = Stage::set(&open, 710, &login(&locked, &password));
    assert_eq!(tokens.refused(), 0, "logins that the service refused");
    let issued = tokens.issued().len();
    // One for the mirror's pulls, and one for `check --online`.
    assert!(
        (1..=2).contains(&issued),
        "{issued} tokens for one repository"
    );
    let refusal = Refusal::refused("its token service refuses us a token");
    stage.refuses(|_| write_secret(&password, WRONG), &refusal);
    assert!(tokens.refused() > 0, "the wrong login never came");
    stage.gives_again(|_| write_secret(&password, RIGHT));
}

#[test]
fn a_client_certificate_opens_and_a_strangers_does_not() {
    let scene = "a_client_certificate_opens_and_a_strangers_does_not";
    if !can_play(scene, &["docker-registry", "skopeo"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("house"), Authority::new("stranger"));
    let bundle = authority.write(folder.path(), "house.crt");
    let own = authority.issue(&["127.0.0.1"]).write(folder.path(), "own");
    let open = Registry::start();
    let locked = open.guarded(&Guard::Certificate {
        own: &own,
        clients: &bundle,
    });
    let right = authority.issue(&[]);
    let wrong = stranger.issue(&[]);
    let files = right.write(folder.path(), "client");
    let table = format!(
        "url = \"https://{}\"\nca_file = \"{}\"\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"",
        locked.address,
        bundle.display(),
        files.certificate.display(),
        files.key.display()
    );
    let mut stage = Stage::set(&open, 720, &table);
    let refusal = Refusal::refused("it does not accept our client certificate");
    let turn = |pair: &Pair| drop(pair.write(folder.path(), "client"));
    stage.refuses(|_| turn(&wrong), &refusal);
    stage.gives_again(|_| turn(&right));
}

#[test]
fn a_proxy_is_the_only_way() {
    if !can_play(
        "a_proxy_is_the_only_way",
        &["docker-registry", "skopeo", "tinyproxy"],
    ) {
        return;
    }
    let open = Registry::start();
    let proxy = Proxy::start(open.address, None);
    // Nobody listens there: that the proxy gets there all the same is its own doing.
    let nowhere = free_address();
    let table = |way: &str| format!("url = \"http://{nowhere}\"\nproxy = \"{way}\"");
    let right = table(&format!("http://{}", proxy.address));
    let mut stage = Stage::set(&open, 730, &right);
    proxy_was_used(&proxy, &nowhere.to_string());
    let refusal = Refusal::unreachable("Connection refused");
    stage.refuses(
        |mirror| mirror.rewrite(&configuration(&table("none"))),
        &refusal,
    );
    stage.gives_again(|mirror| mirror.rewrite(&configuration(&right)));
}

#[test]
fn a_proxy_opens_to_the_login_in_the_environment() {
    let scene = "a_proxy_opens_to_the_login_in_the_environment";
    if !can_play(scene, &["docker-registry", "skopeo", "tinyproxy"]) {
        return;
    }
    let open = Registry::start();
    let proxy = Proxy::start(open.address, Some((USERNAME, RIGHT)));
    let way = |login: &str| vec![("HTTP_PROXY", format!("http://{login}{}", proxy.address))];
    let right = format!("{USERNAME}:{RIGHT}@");
    let table = "url = \"http://harbor.invalid\"";
    let mut stage = Stage::set_among(&open, 740, table, way(&right));
    proxy_was_used(&proxy, "harbor.invalid");
    let reason = format!("the proxy {} refuses its credentials", proxy.address);
    let refusal = Refusal::unreachable(&reason);
    stage.refuses(|mirror| mirror.restart_with(way("")), &refusal);
    stage.gives_again(|mirror| mirror.restart_with(way(&right)));
}

fn proxy_was_used(proxy: &Proxy, host: &str) {
    let asked = format!("http://{host}/v2/team/kept/manifests/1.0");
    let log = proxy.log();
    assert!(log.contains(&asked), "no {asked} in\n{log}");
}
