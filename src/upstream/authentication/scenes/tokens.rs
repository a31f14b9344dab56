//! What token services do to us.

use std::{path::Path, time::Duration};

use futures_util::future::join_all;

use super::{
    BASIC, Credential, CredentialSource, Keyring, KeyringEntry, NAME, OK, Scene, Secret, Upstream,
    UpstreamError, anonymous, ask, bearer, given, logged_in, manifest, sent, stage, token_path,
    upstream, within,
};
use crate::upstream::authentication::{authorization::TokenKey, realm::Realm};

#[tokio::test]
async fn q05_q10_a_token_is_fetched_once_and_used_from_then_on() {
    let scene = stage(r#"{"access_token":"t1"}"#).await;
    let upstream = logged_in(&scene);
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    assert_eq!(sent(&scene, "HEAD"), ["", "Bearer t1", "Bearer t1"]);
    assert_eq!(sent(&scene, "GET /token"), ["Basic dXNlcjpjYW5hcnk="]);
    let metrics = upstream.0.metrics.render();
    let line = "upstream_tokens_total{result=\"ok\",upstream=\"test\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn anyone_gets_a_token_without_a_login() {
    let scene = stage(r#"{"token":"t1"}"#).await;
    ask(&anonymous(&scene)).await.unwrap();
    assert_eq!(sent(&scene, "GET /token"), [""]);
}

#[tokio::test]
async fn one_fetch_for_all_who_wait() {
    let scene = Scene::new().await;
    let refusal = bearer(&scene, "");
    for _ in 0..8 {
        scene.on(&manifest(), &refusal, b"");
    }
    scene.on(&manifest(), OK, b"");
    scene.on(&token_path(), OK, br#"{"token":"t1"}"#);
    let upstream = anonymous(&scene);
    let outcomes = join_all((0..8).map(|_| ask(&upstream))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(sent(&scene, "GET /token").len(), 1);
}

#[tokio::test]
async fn q04_a_service_without_get_is_asked_by_post() {
    let scene = stage("").await;
    scene.on("POST /token", OK, br#"{"access_token":"t1"}"#);
    let other = Scene::new().await;
    other
        .on(&manifest(), &bearer(&other, ""), b"")
        .on(&manifest(), OK, b"");
    other.on(&token_path(), "HTTP/1.1 405 M", b"");
    other.on("POST /token", OK, br#"{"access_token":"t1"}"#);
    ask(&logged_in(&other)).await.unwrap();
    let post = other
        .asked()
        .into_iter()
        .find(|request| request.starts_with("POST"))
        .unwrap();
    let form = format!(
        "grant_type=password&username=user&password=canary&service=s&scope=repository%3A{}%3Apull&client_id=roadstead",
        NAME.replace('/', "%2F")
    );
    assert!(post.ends_with(&format!("\r\n\r\n{form}")), "{post}");
}

#[tokio::test]
async fn q04_a_service_without_post_is_asked_by_get() {
    for refusal in [400, 401, 404, 405] {
        let scene = stage(r#"{"token":"t1"}"#).await;
        scene.on("POST /token", &format!("HTTP/1.1 {refusal} X"), b"");
        let refresh = Credential::Refresh(Secret::new("r0"));
        ask(&upstream(vec![scene.endpoint()], given(refresh)))
            .await
            .unwrap();
        // `<token>:r0`
        assert_eq!(
            sent(&scene, "GET /token"),
            ["Basic PHRva2VuPjpyMA=="],
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_refresh_token_is_replaced_by_the_one_that_comes_back() {
    let scene = Scene::new().await;
    let refusal = bearer(&scene, "");
    for head in [&refusal, OK, &refusal, OK] {
        scene.on(&manifest(), head, b"");
    }
    scene.on(
        "POST /token",
        OK,
        br#"{"access_token":"t1","refresh_token":"r1"}"#,
    );
    let refresh = Credential::Refresh(Secret::new("r0"));
    let upstream = upstream(vec![scene.endpoint()], given(refresh));
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    assert_eq!(posted(&scene), ["r0", "r1"]);
}

/// Such a service takes each refresh token once, and two scopes ask at the same time.
#[tokio::test]
async fn a_refresh_token_that_another_scope_spent_is_replaced_by_the_newer_one() {
    let scene = Scene::new().await;
    let refuse = "HTTP/1.1 401 U";
    let issue = |number| format!(r#"{{"access_token":"t{number}","refresh_token":"r{number}"}}"#);
    scene
        .on("POST /token", OK, issue(1).as_bytes())
        .on("POST /token", refuse, b"")
        .on("POST /token", OK, issue(2).as_bytes());
    for scope in ["a", "b"] {
        scene.on(&format!("GET /token?scope={scope}"), refuse, b"");
    }
    let refresh = Credential::Refresh(Secret::new("r0"));
    let key = |scope: &str| TokenKey {
        credential: Some(refresh.clone()),
        realm: Realm::parse(&scene.url("/token")).unwrap(),
        service: None,
        scope: Some(scope.into()),
    };
    let upstream = anonymous(&scene);
    let station = upstream.0.preferred_endpoint();
    let (a, b) = (key("a"), key("b"));
    let (a, b) = tokio::join!(upstream.0.token(station, &a), upstream.0.token(station, &b));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(posted(&scene), ["r0", "r0", "r1"]);
    assert!(upstream.0.token(station, &key("c")).await.is_ok());
    assert_eq!(posted(&scene).last().unwrap(), "r2");
}

/// The refresh tokens that a service was sent.
fn posted(scene: &Scene) -> Vec<String> {
    let token = |post: &String| {
        let (_, rest) = post.split_once("&refresh_token=")?;
        rest.split('&').next().map(str::to_owned)
    };
    scene.asked().iter().filter_map(token).collect()
}

#[tokio::test]
async fn q14_a_throttled_service_leaves_the_old_token_in_use() {
    let scene = Scene::new().await;
    let refusal = bearer(&scene, "");
    for head in [&refusal, OK, OK, &refusal] {
        scene.on(&manifest(), head, b"");
    }
    scene.on(&token_path(), OK, br#"{"token":"t1","expires_in":10}"#);
    scene.on(&token_path(), "HTTP/1.1 429 T\nretry-after: 7", b"");
    let upstream = anonymous(&scene);
    ask(&upstream).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    ask(&upstream).await.unwrap();
    for _ in 0..3 {
        let error = ask(&upstream).await.unwrap_err();
        let UpstreamError::Throttled { retry_after, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }
    assert_eq!(sent(&scene, "GET /token").len(), 2);
    assert_eq!(
        sent(&scene, "HEAD").get(..4).unwrap(),
        ["", "Bearer t1", "Bearer t1", "Bearer t1"]
    );
}

#[tokio::test]
async fn b096_a_refusal_for_ever_ends_after_two_rounds() {
    let scene = Scene::new().await;
    for scope in ["a", "b", "c", "d"] {
        scene.on(
            &manifest(),
            &bearer(&scene, &format!(",scope={scope}")),
            b"",
        );
        let path = format!("GET /token?service=s&scope={scope}");
        scene.on(&path, OK, br#"{"token":"t"}"#);
    }
    let error = ask(&logged_in(&scene)).await.unwrap_err();
    assert!(error.is_refused_credentials(), "{error}");
    assert_eq!(sent(&scene, "GET /token").len(), 2);
    assert_eq!(sent(&scene, "HEAD").len(), 3);
    let stubborn = Scene::new().await;
    stubborn.on(&manifest(), &bearer(&stubborn, ""), b"");
    stubborn.on(&token_path(), OK, br#"{"token":"t"}"#);
    let error = ask(&logged_in(&stubborn)).await.unwrap_err();
    assert!(error.is_refused_credentials(), "{error}");
    assert_eq!(sent(&stubborn, "HEAD"), ["", "Bearer t"]);
}

#[tokio::test]
async fn b105_token_answers_that_are_none_are_breaches() {
    let large = format!(r#"{{"token":"{}"}}"#, "a".repeat(70_000));
    let answers = [
        (OK, "{}"),
        (OK, "<html>"),
        (OK, &large),
        ("HTTP/1.1 404 N", ""),
        ("HTTP/1.1 204 N", ""),
    ];
    for (head, body) in answers {
        let scene = Scene::new().await;
        scene.on(&manifest(), &bearer(&scene, ""), b"");
        scene.on(&token_path(), head, body.as_bytes());
        let error = ask(&anonymous(&scene)).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::ProtocolViolation { .. }),
            "{head} {error}"
        );
    }
}

#[tokio::test]
async fn a_service_that_fails_does_not_speak_against_the_endpoint() {
    let (scene, service) = (Scene::new().await, Scene::new().await);
    scene.on(&manifest(), &bearer(&service, ""), b"");
    service.on(&token_path(), "HTTP/1.1 503 S", b"");
    let upstream = anonymous(&scene);
    for _ in 0..5 {
        let error = ask(&upstream).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Failed { status: 503, .. }),
            "{error}"
        );
    }
    assert!(!upstream.0.preferred_endpoint().is_circuit_open());
    // Three tries, and then the failure speaks for a while.
    assert_eq!(sent(&service, "GET").len(), 3);
}

#[tokio::test]
async fn a_service_that_moved_is_found_again() {
    let (scene, old, new) = (Scene::new().await, Scene::new().await, Scene::new().await);
    for head in [&bearer(&old, ""), OK, &bearer(&new, ""), OK] {
        scene.on(&manifest(), head, b"");
    }
    old.on(&token_path(), OK, br#"{"token":"t1"}"#);
    new.on(&token_path(), OK, br#"{"token":"t2"}"#);
    let upstream = anonymous(&scene);
    ask(&upstream).await.unwrap();
    ask(&upstream).await.unwrap();
    assert_eq!(
        sent(&scene, "HEAD"),
        ["", "Bearer t1", "Bearer t1", "Bearer t2"]
    );
}

#[tokio::test]
async fn a_configured_token_is_sent_as_it_is() {
    let scene = Scene::new().await;
    scene
        .on(&manifest(), OK, b"")
        .on(&manifest(), &bearer(&scene, ""), b"");
    let token = Credential::Token(Secret::new("canary"));
    let upstream = upstream(vec![scene.endpoint()], given(token));
    ask(&upstream).await.unwrap();
    let error = ask(&upstream).await.unwrap_err();
    assert!(error.is_refused_credentials());
    assert_eq!(sent(&scene, ""), ["Bearer canary", "Bearer canary"]);
    assert!(!format!("{error} {error:?} {:?}", upstream.settings()).contains("canary"));
}

#[tokio::test]
async fn q09_a_helper_is_asked_again_when_its_login_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new().await;
    scene
        .on(&manifest(), BASIC, b"")
        .on(&manifest(), BASIC, b"")
        .on(&manifest(), OK, b"");
    let upstream = helped(&scene, folder.path());
    ask(&upstream).await.unwrap();
    // `AWS:` and how often it was asked.
    assert_eq!(sent(&scene, ""), ["", "Basic QVdTOjE=", "Basic QVdTOjEx"]);
}

#[tokio::test]
async fn a_helper_that_is_slow_does_not_speak_against_the_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new().await;
    let mut upstream = upstream(vec![scene.endpoint(), scene.endpoint()], |settings| {
        settings.keyring = helper_entry();
        settings.connect_max = Duration::from_millis(1);
    });
    program(folder.path(), "exec sleep 60");
    let shared = std::sync::Arc::get_mut(&mut upstream.0).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    shared.helpers = crate::upstream::credentials::helper::CredentialHelpers::in_path(path);
    let reference = "1".parse().map(crate::oci::Reference::Tag).unwrap();
    let error = within(Duration::from_millis(500), async |ask| {
        upstream.manifest_head(&ask, &reference).await.unwrap_err()
    });
    let error = error.await.to_string();
    assert!(error.contains("docker-credential-aws"), "{error}");
    let stations = &upstream.0.endpoints;
    assert!(
        stations.iter().all(|station| !station.is_circuit_open()),
        "{error}"
    );
    assert!(scene.asked().is_empty());
}

#[tokio::test]
async fn one_refusal_of_a_helpers_login_is_one_more_run() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new().await;
    scene.on(&manifest(), BASIC, b"");
    let upstream = helped(&scene, folder.path());
    let all = join_all((0..16).map(|_| ask(&upstream))).await;
    assert!(all.iter().all(Result::is_err));
    // A login refused by mistake is not refused for ever, and does not run a program each time.
    for _ in 0..3 {
        ask(&upstream).await.unwrap_err();
    }
    let runs = std::fs::read_to_string(folder.path().join("count")).unwrap();
    assert!(runs.len() <= 3, "{} runs", runs.len());
}

/// An upstream that has its login from a program whose password grows each time.
fn helped(scene: &Scene, folder: &Path) -> Upstream {
    let mut upstream = upstream(vec![scene.endpoint()], |settings| {
        settings.keyring = helper_entry();
    });
    let count = folder.join("count");
    let count = count.display();
    let script = format!(
        "read -r server\nprintf 1 >> {count}\nread -r n < {count}\n\
         printf '{{\"Username\":\"AWS\",\"Secret\":\"%s\"}}' \"$n\""
    );
    program(folder, &script);
    let shared = std::sync::Arc::get_mut(&mut upstream.0).unwrap();
    shared.helpers = crate::upstream::credentials::helper::CredentialHelpers::in_path(folder);
    upstream
}

fn helper_entry() -> Keyring {
    Keyring::new(vec![KeyringEntry {
        scope: "test".parse().unwrap(),
        source: CredentialSource::Helper {
            name: "aws".into(),
            server: "test".into(),
        },
    }])
}

fn program(folder: &Path, script: &str) {
    let text = folder.join("text");
    std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Another process writes it: see the helpers' own stage.
    let mut install = std::process::Command::new("install");
    install.args(["-m", "755"]).arg(text);
    let status = install.arg(folder.join("docker-credential-aws")).status();
    assert!(status.unwrap().success());
}
