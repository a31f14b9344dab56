//! Variants of registries with tokens, and of their token services.

use fake_registry::bare::Reply;
use fake_registry::{Builder, ChallengeOn, FakeRegistry, Match, StaleToken, TokenHabit};

use crate::client::{ask, get};

/// `user:password`.
const PAIR: &str = "Basic dXNlcjpwYXNzd29yZA==";
const TOKEN: &str = "/token?service=fake-registry&scope=repository:a:pull";

async fn token(hub: &FakeRegistry) -> Reply {
    get(hub, TOKEN).with("Authorization", PAIR).reply().await
}

async fn form(hub: &FakeRegistry, text: &str) -> Reply {
    ask(hub, "POST", "/token").form(text).reply().await
}

fn said<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
    let these = reply.headers().filter(|(key, _)| *key == name);
    these.map(|(_, value)| value).collect()
}

fn with_token(reply: &Reply) -> String {
    let answer = reply.json();
    let token = answer.get("token").or_else(|| answer.get("access_token"));
    format!("Bearer {}", token.unwrap().as_str().unwrap())
}

#[tokio::test]
async fn a_challenge_stands_where_it_is_told_to() {
    for (place, on_ping, on_resource) in [
        (ChallengeOn::Everything, (401, 1), (401, 1)),
        (ChallengeOn::Ping, (401, 1), (401, 0)),
        (ChallengeOn::Resources, (200, 0), (401, 1)),
    ] {
        let hub = FakeRegistry::builder().bearer_anonymous();
        let hub = hub.challenge_on(place).start().await;
        let seen = async |target| {
            let reply = get(&hub, target).reply().await;
            (reply.status, said(&reply, "www-authenticate").len())
        };
        assert_eq!(seen("/v2/").await, on_ping, "{place:?}");
        assert_eq!(seen("/v2/a/manifests/1").await, on_resource, "{place:?}");
    }
}

#[tokio::test]
async fn challenges_are_as_many_and_as_odd_as_one_likes() {
    let hub = FakeRegistry::builder()
        .bearer("user", "password")
        .realm("file:///a b")
        .service("x, \\\"y\\\"")
        .challenges(&["Negotiate, Basic realm=\"r\"", "{}"])
        .start()
        .await;
    let reply = get(&hub, "/v2/").reply().await;
    assert_eq!(
        said(&reply, "www-authenticate"),
        [
            "negotiate, basic realm=\"r\"",
            "bearer realm=\"file:///a b\",service=\"x, \\\"y\\\"\""
        ]
    );
    let basic = get(&hub, "/v2/").with("Authorization", PAIR);
    assert_eq!(basic.reply().await.status, 200);
}

#[tokio::test]
async fn a_token_service_answers_in_its_own_way() {
    let keys = async |habits: &[TokenHabit]| {
        let hub = FakeRegistry::builder().bearer("user", "password");
        let hub = habits.iter().cloned().fold(hub, Builder::token_habit);
        let hub = hub.start().await;
        let answer = token(&hub).await.json();
        let mut keys: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        (keys.join(" "), answer)
    };
    let usual = "access_token expires_in token";
    assert_eq!(keys(&[]).await.0, usual);
    let spare = [TokenHabit::OnlyAccessToken, TokenHabit::NoLifetime];
    assert_eq!(keys(&spare).await.0, "access_token");
    assert_eq!(keys(&[TokenHabit::OnlyToken]).await.0, "expires_in token");
    let odd = [
        TokenHabit::ExpiresIn("-1".into()),
        TokenHabit::IssuedAt("2200-01-01T00:00:00Z".into()),
    ];
    let (keys, answer) = keys(&odd).await;
    assert_eq!(keys, "access_token expires_in issued_at token");
    assert_eq!(answer["expires_in"], -1);
    assert_eq!(answer["issued_at"], "2200-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_token_service_refuses_what_it_is_told_to() {
    let hub = FakeRegistry::builder()
        .bearer("user", "password")
        .token_habit(TokenHabit::RefusesGet(405))
        .token_habit(TokenHabit::Refuses(403))
        .start()
        .await;
    assert_eq!(token(&hub).await.status, 405);
    let wrong = "grant_type=password&username=user&password=x";
    assert_eq!(form(&hub, wrong).await.status, 403);
    let hub = FakeRegistry::builder()
        .bearer_anonymous()
        .token_habit(TokenHabit::RefusesPost(404));
    let hub = hub.start().await;
    assert_eq!(form(&hub, wrong).await.status, 404);
    assert_eq!(token(&hub).await.status, 200);
}

#[tokio::test]
async fn a_form_gives_a_token_and_a_refresh_token_the_next() {
    let hub = FakeRegistry::builder()
        .bearer("user", "pass+word")
        .token_habit(TokenHabit::RotatingRefreshTokens)
        .start()
        .await;
    hub.image("a", "1", &[]);
    let first = form(
        &hub,
        "grant_type=password&username=user&password=pass%2Bword&scope=repository%3Aa%3Apull+x",
    );
    let first = first.await;
    let pulled = get(&hub, "/v2/a/manifests/1")
        .accepting_oci()
        .with("Authorization", &with_token(&first));
    assert_eq!(pulled.reply().await.status, 200);
    let refresh = first.json()["refresh_token"].as_str().unwrap().to_owned();
    let again = format!("grant_type=refresh_token&refresh_token={refresh}");
    let second = form(&hub, &again).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.json()["refresh_token"], refresh);
    assert_eq!(form(&hub, &again).await.status, 401, "it was good once");
    let asked = hub.asked(Match::token());
    assert_eq!(
        asked[0].form_value("password").as_deref(),
        Some("pass+word")
    );
}

#[tokio::test]
async fn a_kept_identity_token_is_good_from_the_beginning() {
    let hub = FakeRegistry::builder()
        .bearer("user", "password")
        .token_habit(TokenHabit::IdentityToken("kept".into()))
        .start()
        .await;
    for (brought, status) in [("kept", 200), ("other", 401), ("kept", 200)] {
        let text = format!("grant_type=refresh_token&refresh_token={brought}");
        assert_eq!(form(&hub, &text).await.status, status, "{brought}");
    }
}

#[tokio::test]
async fn a_registry_may_need_a_scope_of_its_own_and_a_slash() {
    let hub = FakeRegistry::builder().bearer_anonymous().scope("aws");
    let hub = hub.start().await;
    hub.image("a", "1", &[]);
    let challenge = get(&hub, "/v2/").reply().await;
    assert!(said(&challenge, "www-authenticate")[0].ends_with("scope=\"aws\""));
    for (scope, status) in [("aws", 200), ("repository:a:pull", 401)] {
        let target = format!("/token/?scope={scope}");
        let bearer = with_token(&get(&hub, &target).reply().await);
        let pull = get(&hub, "/v2/a/manifests/1")
            .accepting_oci()
            .with("Authorization", &bearer);
        assert_eq!(pull.reply().await.status, status, "{scope}");
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_in_three_ways() {
    for (says, status, challenge) in [
        (StaleToken::Challenged, 401, "bearer"),
        (StaleToken::BadRequest, 400, ""),
        (StaleToken::AsksForBasic, 401, "basic"),
    ] {
        let hub = FakeRegistry::builder().bearer("user", "password");
        let hub = hub.stale_token(says).start().await;
        hub.image("a", "1", &[]);
        let bearer = with_token(&token(&hub).await);
        let pull = async || {
            let pull = get(&hub, "/v2/a/manifests/1").accepting_oci();
            pull.with("Authorization", &bearer).reply().await
        };
        assert_eq!(pull().await.status, 200);
        hub.expire_tokens();
        let refused = pull().await;
        let said = refused.header("www-authenticate").unwrap_or_default();
        let scheme = said.split(' ').next();
        assert_eq!(
            (refused.status, scheme),
            (status, Some(challenge)),
            "{says:?}"
        );
        // Without any token the real challenge comes.
        let bare = get(&hub, "/v2/a/manifests/1").reply().await;
        assert!(
            bare.header("www-authenticate")
                .unwrap()
                .starts_with("bearer")
        );
    }
}

#[tokio::test]
async fn tokens_live_as_long_as_they_say_if_they_are_told_to() {
    for (seconds, status) in [(60, 200), (0, 401)] {
        let hub = FakeRegistry::builder()
            .bearer_anonymous()
            .token_lifetime_s(seconds)
            .tokens_expire();
        let hub = hub.start().await;
        let bearer = with_token(&token(&hub).await);
        let ping = get(&hub, "/v2/").with("Authorization", &bearer);
        assert_eq!(ping.reply().await.status, status, "{seconds}");
    }
}
