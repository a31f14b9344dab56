//! Tokens over time: renewed during a pull, fetched once, refused for good, never sent to another
//! registry.

use std::time::Duration;

use fake_registry::{FakeRegistry, Fault, Gate, MIB, Match, StaleToken, TokenHabit, random_bytes};
use futures_util::future::join_all;

use crate::{
    mirror::{ALWAYS_ASK, Mirror, PASSWORD, failure},
    nginx::{REPOSITORY, image},
    site::{manifest_of, private, route, upstream},
};

async fn bearer() -> FakeRegistry {
    let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
    hub.start().await
}

#[tokio::test]
async fn a_blob_outlives_its_token_however_often_it_is_cut() {
    const CUTS: usize = 10;
    for says in [
        StaleToken::Challenged,
        StaleToken::BadRequest,
        StaleToken::AsksForBasic,
    ] {
        let hub = FakeRegistry::builder()
            .bearer("robot", PASSWORD)
            .token_lifetime_s(2)
            .stale_token(says)
            .start()
            .await;
        let layer = hub.blob(REPOSITORY, random_bytes(6 * MIB, 1));
        let mirror = Mirror::logging_in(&hub, "").start().await;
        let hold = Fault::HoldAfter(MIB / 2, Gate::new());
        hub.next(Match::blob(&layer), hold).times(CUTS);
        let pull = mirror.blob(REPOSITORY, &layer).reply();
        let expiry = async {
            for cut in 1..=CUTS {
                sent(&hub, cut * MIB / 2).await;
                hub.expire_tokens();
                hub.hang_up();
            }
        };
        let (reply, ()) = tokio::join!(pull, expiry);
        assert!(reply.whole() == layer.bytes, "{says:?}");
        assert!(hub.count(Match::token()) > CUTS, "{says:?}");
    }
}

/// Waits until so many bytes have left.
async fn sent(hub: &FakeRegistry, bytes: usize) {
    while hub.bytes_sent() < bytes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn tokens_that_live_for_a_second_are_renewed_in_time() {
    let hub = FakeRegistry::builder()
        .bearer("robot", PASSWORD)
        .token_lifetime_s(1)
        .tokens_expire()
        .start()
        .await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1300) {
        mirror.pulls(REPOSITORY, "1", &image, "").await;
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        assert_eq!(reply.header("warning"), None);
    }
    let tokens = hub.count(Match::token());
    assert!((2..=4).contains(&tokens), "{tokens}");
}

#[tokio::test]
async fn a_hundred_requests_with_an_expired_token_fetch_one() {
    let hub = bearer().await;
    let image = image(&hub);
    let blobs: Vec<_> = (0..100)
        .map(|seed| hub.blob(REPOSITORY, random_bytes(100, 100 + seed)))
        .collect();
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    hub.expire_tokens();
    let pulls = blobs
        .iter()
        .map(|blob| mirror.blob(REPOSITORY, blob).reply());
    for (reply, blob) in join_all(pulls).await.iter().zip(&blobs) {
        assert_eq!(reply.whole(), blob.bytes);
    }
    assert_eq!(hub.count(Match::token()), 2, "the first one, and the one");
}

#[tokio::test]
async fn b096_a_401_for_ever_is_403_after_two_tokens() {
    let hub = bearer().await;
    let image = image(&hub);
    let challenge = format!("Bearer realm=\"{}/token\",service=\"x\"", hub.url());
    for refusal in [Some(challenge), None, Some("Basic realm=\"x\"".to_owned())] {
        let text = format!("{refusal:?}");
        let tokens = hub.count(Match::token());
        let asked = hub.count(Match::manifests());
        let refusal = hub
            .next(Match::repository(REPOSITORY), Fault::Unauthorized(refusal))
            .always();
        let mirror = Mirror::logging_in(&hub, "").start().await;
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        assert_eq!(failure(&reply), (403, "DENIED".into()), "{text}");
        assert_eq!(reply.header("www-authenticate"), None, "T09: {text}");
        assert!(hub.count(Match::token()) - tokens <= 2, "{text}");
        assert!(hub.count(Match::manifests()) - asked <= 4, "{text}");
        refusal.stop();
        mirror.pulls(REPOSITORY, "1", &image, &text).await;
    }
}

#[tokio::test]
async fn t08_a_token_is_never_used_by_another_credential() {
    let hub = bearer().await;
    let image = image(&hub);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong");
    std::fs::write(&file, "wrong").unwrap();
    let wrong = format!(
        "username = \"robot\"\npassword_file = \"{}\"\n",
        file.display()
    );
    let routes = private("ours", &hub)
        + &upstream("anonymous", &hub)
        + &upstream("wrong", &hub)
        + &wrong
        + &route("docker.io", "\"ours\"", "library = \"keep\"")
        + &route("quay.io", "\"anonymous\"", "library = \"keep\"")
        + &route("ghcr.io", "\"wrong\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).config(ALWAYS_ASK).start().await;
    for _again in 0..2 {
        mirror.pulls(REPOSITORY, "1", &image, "").await;
        for registry in ["quay.io", "ghcr.io"] {
            let reply = manifest_of(&mirror, registry, REPOSITORY, "1").await;
            assert_eq!(failure(&reply), (403, "DENIED".into()), "{registry}");
        }
    }
}

/// Two repositories of one registry: a token is asked for each, and each is used for its own.
#[tokio::test]
async fn t08_a_token_is_never_used_for_another_scope() {
    let hub = bearer().await;
    let images: Vec<_> = (0..5)
        .map(|at| hub.image(&format!("library/n{at}"), "1", &[random_bytes(10, at)]))
        .collect();
    let mirror = Mirror::logging_in(&hub, "").start().await;
    for _again in 0..2 {
        let pulls = images.iter().enumerate().map(|(at, image)| {
            let (mirror, name) = (&mirror, format!("library/n{at}"));
            async move { mirror.pulls(&name, "1", image, "").await }
        });
        join_all(pulls).await;
    }
    assert_eq!(hub.count(Match::token()), 5);
}

#[tokio::test]
async fn t10_no_login_of_a_client_goes_up_where_we_log_in_ourselves() {
    let hub = bearer().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    for value in ["Basic dmlzaXRvcjp4", "Bearer visitor"] {
        let reply = mirror
            .manifest(REPOSITORY, "1")
            .with("Authorization", value);
        assert_eq!(reply.reply().await.whole(), image.manifest.bytes);
    }
    for request in hub.requests() {
        let value = request.header("authorization").unwrap_or_default();
        assert!(
            !value.contains("visitor") && !value.contains("dmlz"),
            "{value}"
        );
    }
}

/// T07: a redirect to storage and back to the registry does not restore the credentials.
#[tokio::test]
async fn t07_a_chain_that_comes_back_home_comes_without_the_token() {
    let hub = bearer().await;
    let cdn = FakeRegistry::start().await;
    let blob = hub.blob(REPOSITORY, random_bytes(1000, 1));
    let mirror = Mirror::logging_in(&hub, "").start().await;
    let home = format!("{}/home", hub.url());
    hub.next(
        Match::blob(&blob),
        Fault::RedirectTo(format!("{}/away", cdn.url())),
    );
    cdn.next(Match::path("/away"), Fault::RedirectTo(home));
    let given = http::Response::builder().body(blob.bytes.clone()).unwrap();
    hub.next(Match::path("/home"), Fault::Answer(given));
    let reply = mirror.blob(REPOSITORY, &blob).reply().await;
    assert_eq!(reply.whole(), blob.bytes);
    for asked in cdn
        .requests()
        .iter()
        .chain(&hub.asked(Match::path("/home")))
    {
        assert_eq!(asked.header("authorization"), None, "{asked}");
    }
}

#[tokio::test]
async fn refresh_tokens_are_used_and_rotated() {
    for habit in [TokenHabit::RefreshTokens, TokenHabit::RotatingRefreshTokens] {
        let text = format!("{habit:?}");
        let hub = FakeRegistry::builder()
            .bearer("robot", PASSWORD)
            .token_habit(habit)
            .start()
            .await;
        let image = image(&hub);
        let mirror = Mirror::logging_in(&hub, "").start().await;
        for _again in 0..4 {
            mirror.pulls(REPOSITORY, "1", &image, &text).await;
            let reply = mirror.manifest(REPOSITORY, "1").reply().await;
            assert_eq!(reply.header("warning"), None, "{text}");
            hub.expire_tokens();
        }
    }
}
