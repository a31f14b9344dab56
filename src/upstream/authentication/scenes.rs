//! Logins on the stage: what registries and token services do to us, by the quirk's number.

mod realms;
mod tokens;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    challenge::Challenge,
    known_challenges::{KnownChallenges, SILENT_ROOT_MAX},
};
use crate::{
    oci::Reference,
    secret::Secret,
    upstream::{
        Credential, CredentialSource, Keyring, KeyringEntry, PingOutcome, ProtocolViolation,
        Settings, Upstream, UpstreamError,
        scene::{NAME, Scene, upstream, with, within},
    },
};

const OK: &str = "HTTP/1.1 200 K";
const BARE: &str = "HTTP/1.1 401 U";
const BASIC: &str = "HTTP/1.1 401 U\nwww-authenticate: Basic realm=x";
/// `user:canary`.
const PASSWORD: &str = "authorization: Basic dXNlcjpjYW5hcnk=";

fn password() -> Credential {
    Credential::Password {
        username: "user".into(),
        password: Secret::new("canary"),
    }
}

fn given(credential: Credential) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.keyring = Keyring::new(vec![KeyringEntry {
            scope: "test".parse().unwrap(),
            source: CredentialSource::Static(credential),
        }]);
    }
}

fn anonymous(scene: &Scene) -> Upstream {
    upstream(vec![scene.endpoint()], |_| {})
}

fn logged_in(scene: &Scene) -> Upstream {
    upstream(vec![scene.endpoint()], given(password()))
}

fn manifest() -> String {
    format!("HEAD /v2/{NAME}/manifests/1")
}

/// A refusal that sends us to the scene's own token service.
fn bearer(service: &Scene, more: &str) -> String {
    let realm = service.url("/token");
    format!("HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"{realm}\",service=\"s\"{more}")
}

fn token_path() -> String {
    let scope = format!("repository:{NAME}:pull");
    let scope = scope.replace(':', "%3A").replace('/', "%2F");
    format!("GET /token?service=s&scope={scope}")
}

async fn ask(upstream: &Upstream) -> Result<(), UpstreamError> {
    let reference = Reference::Tag("1".parse().unwrap());
    with(async |ask| upstream.manifest_head(&ask, &reference).await.map(drop)).await
}

/// Which of the requests to a path carried what, as far as it is told apart here.
fn sent(scene: &Scene, start: &str) -> Vec<String> {
    let carried = |request: &String| {
        let line = request
            .split("\r\n")
            .find_map(|line| line.strip_prefix("authorization: "));
        line.unwrap_or_default().to_owned()
    };
    let asked = scene.asked();
    let asked = asked.iter().filter(|request| request.starts_with(start));
    asked.map(carried).collect()
}

/// A registry that is its own token service and wants what it gave last.
async fn stage(token: &str) -> Scene {
    let scene = Scene::new().await;
    scene
        .on(&manifest(), &bearer(&scene, ""), b"")
        .on(&manifest(), OK, b"");
    scene.on(&token_path(), OK, token.as_bytes());
    scene
}

#[tokio::test]
async fn q01_a_challenge_may_be_found_at_the_root_only() {
    let scene = stage(r#"{"token":"t1"}"#).await;
    let gcr = Scene::new().await;
    gcr.on(&manifest(), BARE, b"").on(&manifest(), OK, b"");
    gcr.on("GET /v2/", "HTTP/1.1 404 N", b"")
        .on("GET /v2", &bearer(&scene, ""), b"");
    let upstream = logged_in(&gcr);
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    assert_eq!(sent(&gcr, "HEAD"), ["", "Bearer t1", "Bearer t1"]);
    assert_eq!(sent(&gcr, "GET"), ["", ""]);
    let silent = Scene::new().await;
    silent.on(&manifest(), BARE, b"").on("GET /v2/", OK, b"");
    let upstream = logged_in(&silent);
    for requests in [2, 3, 4] {
        let error = ask(&upstream).await.unwrap_err();
        assert!(error.is_refused_credentials(), "{error}");
        assert_eq!(silent.asked().len(), requests, "the root is asked once");
    }
}

#[tokio::test(start_paused = true)]
async fn q01_a_silent_root_is_asked_again_after_a_while() {
    let (lessons, nothing) = (KnownChallenges::default(), Challenge::default());
    let began = Instant::now();
    assert!(lessons.may_ping(began));
    lessons.record_ping(&nothing, began);
    assert!(!lessons.may_ping(began));
    assert!(!lessons.may_ping(began + SILENT_ROOT_MAX - Duration::from_millis(1)));
    assert!(lessons.may_ping(began + SILENT_ROOT_MAX));
    let spoken = Challenge {
        basic: true,
        ..nothing
    };
    lessons.record_ping(&spoken, began);
    assert!(lessons.may_ping(began));
}

/// ghcr.io's root names a repository that does not exist.
#[tokio::test]
async fn q01_the_roots_scope_is_about_no_repository_of_ours() {
    let scene = stage(r#"{"token":"t1"}"#).await;
    let gcr = Scene::new().await;
    gcr.on(&manifest(), BARE, b"").on(&manifest(), OK, b"");
    let root = bearer(&scene, ",scope=\"repository:user/image:pull\"");
    gcr.on("GET /v2/", &root, b"");
    ask(&anonymous(&gcr)).await.unwrap();
    assert_eq!(sent(&gcr, "HEAD"), ["", "Bearer t1"]);
}

#[tokio::test]
async fn q03_bearer_is_preferred_if_its_realm_may_have_the_login() {
    for (realm, want) in [
        ("", "Bearer t1"),
        ("http://127.9.9.9/", "Basic dXNlcjpjYW5hcnk="),
    ] {
        let scene = stage(r#"{"token":"t1"}"#).await;
        let realm = if realm.is_empty() {
            scene.url("/token")
        } else {
            realm.to_owned()
        };
        let both = format!(
            "HTTP/1.1 401 U\nwww-authenticate: Negotiate, Basic realm=\"a, b\", Bearer realm=\"{realm}\",service=s"
        );
        let both_ways = Scene::new().await;
        both_ways
            .on(&manifest(), &both, b"")
            .on(&manifest(), OK, b"");
        ask(&logged_in(&both_ways)).await.unwrap();
        assert_eq!(sent(&both_ways, "HEAD"), ["", want]);
    }
}

#[tokio::test]
async fn q06_a_token_refused_to_anyone_is_a_refusal() {
    let scene = stage("").await;
    let service = Scene::new().await;
    service.on(&token_path(), "HTTP/1.1 403 F", b"");
    let hidden = Scene::new().await;
    hidden.on(&manifest(), &bearer(&service, ""), b"");
    drop(scene);
    for (upstream, with) in [(anonymous(&hidden), false), (logged_in(&hidden), true)] {
        let error = ask(&upstream).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
        assert_eq!(error.is_refused_credentials(), with);
        let line = "logins_refused_total{upstream=\"test\"} 1";
        assert_eq!(upstream.0.metrics.render().contains(line), with);
    }
}

#[tokio::test]
async fn q07_a_400_to_a_token_is_tried_once_with_another() {
    let scene = Scene::new().await;
    let bad = "HTTP/1.1 400 B";
    for head in [&bearer(&scene, ""), OK, bad, OK, bad] {
        scene.on(&manifest(), head, b"");
    }
    for token in ["t1", "t2", "t3", "t4"] {
        scene.on(
            &token_path(),
            OK,
            format!(r#"{{"token":"{token}"}}"#).as_bytes(),
        );
    }
    let upstream = anonymous(&scene);
    for _ in 0..2 {
        ask(&upstream).await.unwrap();
    }
    // A 400 that stays is the answer; to HEAD it says nothing.
    ask(&upstream).await.unwrap();
    let want = [
        "",
        "Bearer t1",
        "Bearer t1",
        "Bearer t2",
        "Bearer t2",
        "Bearer t3",
    ];
    assert_eq!(sent(&scene, "HEAD"), want);
}

#[tokio::test]
async fn q08_an_expired_token_answered_with_basic_is_renewed() {
    let scene = Scene::new().await;
    let refusal = bearer(&scene, "");
    for head in [&refusal, OK, BASIC, &refusal, OK] {
        scene.on(&manifest(), head, b"");
    }
    for token in ["t1", "t2"] {
        scene.on(
            &token_path(),
            OK,
            format!(r#"{{"token":"{token}"}}"#).as_bytes(),
        );
    }
    let upstream = logged_in(&scene);
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    let want = ["", "Bearer t1", "Bearer t1", "", "Bearer t2"];
    assert_eq!(sent(&scene, "HEAD"), want);
}

#[tokio::test]
async fn q13_a_wider_scope_is_fetched_once() {
    let scene = Scene::new().await;
    let more = bearer(&scene, ",scope=\"a b\",error=\"insufficient_scope\"");
    let more = more.replace("401", "403");
    for head in [&bearer(&scene, ""), &more, OK] {
        scene.on(&manifest(), head, b"");
    }
    scene.on(&token_path(), OK, br#"{"token":"t1"}"#);
    scene.on(
        "GET /token?service=s&scope=a&scope=b",
        OK,
        br#"{"token":"t2"}"#,
    );
    let upstream = logged_in(&scene);
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    assert_eq!(
        sent(&scene, "HEAD"),
        ["", "Bearer t1", "Bearer t2", "Bearer t2"]
    );
}

#[tokio::test]
async fn q15_a_scope_and_a_trailing_slash_are_kept_as_offered() {
    let scene = Scene::new().await;
    let realm = scene.url("/token/?x=1");
    let refusal = format!("HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"{realm}\",scope=aws");
    scene
        .on(&manifest(), &refusal, b"")
        .on(&manifest(), OK, b"");
    scene.on("GET /token/?x=1&scope=aws", OK, br#"{"token":"t1"}"#);
    ask(&anonymous(&scene)).await.unwrap();
}

#[tokio::test]
async fn greetings_say_who_we_are() {
    let soon = || Instant::now() + Duration::from_secs(10);
    let name = NAME.parse().unwrap();
    let open = Scene::new().await;
    open.on("GET /v2/", OK, b"");
    assert_eq!(
        logged_in(&open).ping(None, soon()).await.unwrap(),
        PingOutcome::NoCredentialsNeeded
    );
    let basic = Scene::new().await;
    basic.on("GET /v2/", BASIC, b"").on("GET /v2/", OK, b"");
    let user = PingOutcome::Authenticated("user".into());
    assert_eq!(
        logged_in(&basic).ping(Some(&name), soon()).await.unwrap(),
        user
    );
    assert!(basic.asked()[1].contains(PASSWORD));
    let refused = Scene::new().await;
    refused.on("GET /v2/", BASIC, b"");
    assert!(
        logged_in(&refused)
            .ping(None, soon())
            .await
            .unwrap_err()
            .is_refused_credentials()
    );
    // A root that accepts no token without a scope.
    let picky = Scene::new().await;
    picky.on("GET /v2/", &bearer(&picky, ""), b"");
    picky.on("GET /token?service=s", OK, br#"{"token":"t"}"#);
    assert_eq!(logged_in(&picky).ping(None, soon()).await.unwrap(), user);
    assert!(anonymous(&picky).ping(None, soon()).await.is_err());
    let hub = Scene::new().await;
    hub.on("GET /v2/", &bearer(&hub, ""), b"")
        .on("GET /v2/", OK, b"");
    hub.on("GET /token?service=s", OK, br#"{"token":"t"}"#);
    assert_eq!(
        anonymous(&hub).ping(None, soon()).await.unwrap(),
        PingOutcome::AnonymousToken
    );
}
