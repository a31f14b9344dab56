//! Whose token service gets our login, and whose does not.

use super::{
    OK, ProtocolViolation, Scene, UpstreamError, anonymous, ask, bearer, given, logged_in,
    manifest, password, sent, stage, token_path, upstream,
};

#[tokio::test]
async fn t08_each_upstream_has_its_own_tokens() {
    let scene = stage(r#"{"token":"t1"}"#).await;
    scene.on(&manifest(), &bearer(&scene, ""), b"");
    scene.on(&token_path(), "HTTP/1.1 403 F", b"");
    ask(&logged_in(&scene)).await.unwrap();
    let error = ask(&anonymous(&scene)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(sent(&scene, "HEAD"), ["", "Bearer t1", ""]);
}

#[tokio::test]
async fn b095_a_realm_of_strangers_gets_no_login() {
    let (scene, canary) = (Scene::new().await, Scene::new().await);
    let foreign = format!("http://127.9.9.9:{}/token", canary.address.port());
    let refusal = format!("HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"{foreign}\"");
    scene.on(&manifest(), &refusal, b"");
    let error = ask(&logged_in(&scene)).await.unwrap_err();
    let UpstreamError::ProtocolViolation { breach, .. } = &error else {
        panic!("{error}");
    };
    assert!(matches!(breach, ProtocolViolation::Realm(_)), "{error}");
    assert!(!error.to_string().contains("token?") && !error.is_transient());
    assert_eq!((scene.asked().len(), canary.asked().len()), (1, 0));
    // It may be listed.
    scene.on(&manifest(), OK, b"");
    let listed = upstream(vec![scene.endpoint()], |settings| {
        given(password())(settings);
        settings.realm_hosts = vec!["127.9.9.9".into()];
    });
    assert!(ask(&listed).await.is_err(), "no listener there");
}

#[tokio::test]
async fn t06_a_realm_that_changes_gets_nothing_either() {
    let (scene, canary) = (stage(r#"{"token":"t1"}"#).await, Scene::new().await);
    let upstream = logged_in(&scene);
    ask(&upstream).await.unwrap();
    // The canary has the same address, but lists as a stranger: a name of another domain.
    let foreign = format!("http://localhost:{}/token", canary.address.port());
    let refusal = format!("HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"{foreign}\"");
    scene.on(&manifest(), &refusal, b"");
    // The last answer of before is still to come.
    ask(&upstream).await.unwrap();
    for _ in 0..2 {
        let error = ask(&upstream).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::ProtocolViolation { .. }),
            "{error}"
        );
    }
    assert!(canary.asked().is_empty());
}

#[tokio::test]
async fn t06_a_redirect_of_the_token_service_is_not_followed() {
    let canary = Scene::new().await;
    for status in [301, 302, 303, 307, 308] {
        let scene = stage("").await;
        let service = Scene::new().await;
        let head = format!("HTTP/1.1 {status} R\nlocation: {}", canary.url("/"));
        service.on(&token_path(), &head, b"");
        let registry = Scene::new().await;
        registry.on(&manifest(), &bearer(&service, ""), b"");
        drop(scene);
        let error = ask(&logged_in(&registry)).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::ProtocolViolation { .. }),
            "{error}"
        );
    }
    assert!(canary.asked().is_empty());
}

#[tokio::test]
async fn t06_no_strangers_listener_ever_hears_our_password() {
    let canary = Scene::new().await;
    let port = canary.address.port();
    let hosts = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.2",
        "127.9.9.9",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "user:pw@localhost",
        "127.0.0.1@localhost",
        "127.0.0.1:80@localhost",
        "localhost:1#@127.0.0.1",
        "localhost\\\\@127.0.0.1",
        "127.0.0.1.localhost",
        "x.localhost",
    ];
    let quoted = |host| format!("Bearer realm=\"http://{host}:{port}/token\",service=s");
    let bare = |host| format!("Bearer service=s, realm=http://{host}:{port}/token?x=1");
    for challenge in hosts.map(quoted).into_iter().chain(hosts.map(bare)) {
        let scene = Scene::new().await;
        let refusal = format!("HTTP/1.1 401 U\nwww-authenticate: {challenge}");
        scene.on(&manifest(), &refusal, b"");
        let upstream = logged_in(&scene);
        for _ in 0..2 {
            let error = ask(&upstream).await.unwrap_err();
            assert!(
                matches!(error, UpstreamError::ProtocolViolation { .. }),
                "{challenge} {error}"
            );
            assert!(!format!("{error} {error:?}").contains("token?"), "{error}");
        }
    }
    assert_eq!(canary.asked(), Vec::<String>::new());
    // Anyone may be sent there without a login, so the listener does listen.
    let scene = Scene::new().await;
    let refusal = format!("HTTP/1.1 401 U\nwww-authenticate: {}", quoted("localhost"));
    scene
        .on(&manifest(), &refusal, b"")
        .on(&manifest(), OK, b"");
    canary.on(&token_path(), OK, br#"{"token":"t1"}"#);
    ask(&anonymous(&scene)).await.unwrap();
    assert_eq!(sent(&canary, ""), [""]);
}
