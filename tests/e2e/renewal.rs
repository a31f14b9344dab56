//! A transfer that outlives its tokens and its connections.

use std::{path::Path, time::Duration};

use super::{
    certificates::write_secret,
    gate::can_play,
    http,
    mirror::Mirror,
    process::eventually,
    registry::Registry,
    relay::{Quality, Relay},
    tokens::{Login, Tokens},
};

const MIB: usize = 1024 * 1024;
const USERNAME: &str = "robot";
const PASSWORD: &str = "open-sesame";
const LIFETIME: Duration = Duration::from_secs(2);
const BLOB_BYTES: usize = 20 * MIB;
/// The blob takes twenty seconds, and each connection outlives its token by one.
const LINE: Quality = Quality {
    bytes_per_second: MIB,
    cut_after_bytes: 3 * MIB,
};
const CUTS_MIN: usize = BLOB_BYTES / LINE.cut_after_bytes;

fn tokens(folder: &Path) -> Tokens {
    let login = Login {
        username: USERNAME.to_owned(),
        password: PASSWORD.to_owned(),
        refresh: "none".to_owned(),
    };
    Tokens::start(folder, login, LIFETIME)
}

/// The stage itself: a token opens, and no longer does when its lifetime is over.
#[test]
fn the_registry_itself_refuses_an_old_token() {
    let scene = "the_registry_itself_refuses_an_old_token";
    if !can_play(scene, &["docker-registry"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(folder.path());
    let open = Registry::start();
    let digest = open.push_noise("team/old", 901, 1000);
    let locked = open.guarded(&tokens.guard());
    let bearer = format!("Bearer {}", tokens.get("team/old", USERNAME, PASSWORD));
    let target = format!("/v2/team/old/blobs/{digest}");
    let status = || {
        let headers = [("Authorization", bearer.as_str())];
        let reply = http::send(locked.address, "GET", &target, &headers, None);
        reply.unwrap().status
    };
    assert_eq!(status(), 200);
    eventually("the token's end", LIFETIME * 2, || {
        (status() == 401).then_some(())
    });
}

#[test]
fn f09_a_transfer_outlives_its_tokens_and_its_connections() {
    let scene = "f09_a_transfer_outlives_its_tokens_and_its_connections";
    if !can_play(scene, &["docker-registry"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(folder.path());
    let open = Registry::start();
    let digest = open.push_noise("team/long", 900, u64::try_from(BLOB_BYTES).unwrap());
    let locked = open.guarded(&tokens.guard());
    let relay = Relay::start(locked.address, LINE);
    let password = folder.path().join("password");
    write_secret(&password, PASSWORD);
    let mirror = Mirror::start(&format!(
        "[[route]]\nfrom = \"docker.io\"\nto = [\"harbor.test\"]\n\
         [upstream.\"harbor.test\"]\nurl = \"http://{}\"\nusername = \"{USERNAME}\"\npassword_file = \"{}\"\n",
        relay.address,
        password.display()
    ));
    let target = format!("/v2/team/long/blobs/{digest}?ns=docker.io");
    let reply = http::get(mirror.address, &target).expect_status(200, &target);
    assert_eq!(reply.sha256(|_| ()), digest);
    assert!(relay.cuts() >= CUTS_MIN, "{} cuts", relay.cuts());
    let gets = locked.blob_gets(0).len();
    assert!(gets > CUTS_MIN, "{gets} requests for the blob");
    // Each of the connections needed a token that had not been given when the one before began.
    let issued = tokens.issued().len();
    assert!(issued > CUTS_MIN, "{issued} tokens");
    assert_eq!(tokens.refused(), 0, "logins that the service refused");
}
