//! Passwords and tokens.

use fake_registry::{FakeRegistry, Match};

use crate::client::{get, head};

/// `user:password`.
const PAIR: &str = "Basic dXNlcjpwYXNzd29yZA==";

#[tokio::test]
async fn a_password_is_asked_for_everywhere() {
    let hub = FakeRegistry::builder()
        .basic("user", "password")
        .start()
        .await;
    hub.image("a", "1", &[]);
    for target in ["/v2/", "/v2/a/manifests/1", "/v2/b/manifests/1"] {
        let reply = get(&hub, target).accepting_oci().reply().await;
        assert_eq!(
            (reply.status, reply.json()["errors"][0]["code"].as_str()),
            (401, Some("UNAUTHORIZED"))
        );
        assert_eq!(
            reply.header("www-authenticate"),
            Some("basic realm=\"fake registry\"")
        );
    }
    let wrong = get(&hub, "/v2/")
        .with("Authorization", "Basic dXNlcjp4")
        .reply()
        .await;
    assert_eq!(wrong.status, 401);
    let right = get(&hub, "/v2/a/manifests/1")
        .accepting_oci()
        .with("Authorization", PAIR);
    assert_eq!(right.reply().await.status, 200);
    hub.change_password("other");
    let old = get(&hub, "/v2/").with("Authorization", PAIR);
    assert_eq!(old.reply().await.status, 401);
}

#[tokio::test]
async fn a_token_is_good_for_its_scope_until_it_expires() {
    let hub = FakeRegistry::builder()
        .bearer("user", "password")
        .token_lifetime_s(60)
        .start()
        .await;
    hub.image("a/b", "1", &[]);

    let reply = head(&hub, "/v2/a/b/manifests/1").reply().await;
    let challenge = format!(
        "bearer realm=\"{}/token\",service=\"fake-registry\",scope=\"repository:a/b:pull\"",
        hub.url()
    );
    assert_eq!(
        (reply.status, reply.header("www-authenticate")),
        (401, Some(&*challenge))
    );

    let target = "/token?service=fake-registry&scope=repository%3Aa%2Fb%3Apull";
    assert_eq!(get(&hub, target).reply().await.status, 401);
    let answer = get(&hub, target)
        .with("Authorization", PAIR)
        .reply()
        .await
        .json();
    assert_eq!(answer["expires_in"], 60);
    let bearer = format!("Bearer {}", answer["token"].as_str().unwrap());

    let pull = async |target| {
        let reply = get(&hub, target)
            .accepting_oci()
            .with("Authorization", &bearer)
            .reply()
            .await;
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        let error = challenge
            .split("error=")
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        (reply.status, error)
    };
    assert_eq!(pull("/v2/").await, (200, String::new()));
    assert_eq!(pull("/v2/a/b/manifests/1").await, (200, String::new()));
    assert_eq!(
        pull("/v2/a/c/manifests/1").await,
        (401, "\"insufficient_scope\"".to_owned())
    );
    hub.expire_tokens();
    assert_eq!(
        pull("/v2/a/b/manifests/1").await,
        (401, "\"invalid_token\"".to_owned())
    );
    assert_eq!(hub.count(Match::token()), 2);
}

#[tokio::test]
async fn tokens_can_come_from_another_host() {
    let tokens = FakeRegistry::builder().bearer_anonymous().start().await;
    let realm = format!("{}/token", tokens.url());
    let hub = FakeRegistry::builder()
        .bearer_anonymous()
        .realm(&realm)
        .start()
        .await;
    hub.image("a", "1", &[]);
    let challenge = get(&hub, "/v2/").reply().await;
    assert!(
        challenge
            .header("www-authenticate")
            .unwrap()
            .contains(&realm)
    );
    let answer = get(&tokens, "/token?scope=repository:a:pull")
        .reply()
        .await
        .json();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let reply = get(&hub, "/v2/a/manifests/1")
        .accepting_oci()
        .with("Authorization", &bearer);
    assert_eq!(reply.reply().await.status, 200);
}
