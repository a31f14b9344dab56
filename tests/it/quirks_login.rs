//! Q01 to Q15: authentication at registries and their token services.

use fake_registry::{ChallengeOn, FakeRegistry, Fault, Match, StaleToken, TokenHabit};

use futures_util::future::join_all;

use crate::{
    mirror::{ALWAYS_ASK, Mirror, PASSWORD, failure},
    nginx::{REPOSITORY, image, tag},
    site::{private, route, two, upstream},
};

/// Asked for by every challenge of a registry without a scope of its own.
const SCOPE: &str = "repository:library/nginx:pull";

/// A registry for `robot`, to be given habits.
fn bearer() -> fake_registry::Builder {
    FakeRegistry::builder().bearer("robot", PASSWORD)
}

fn tokens(hub: &FakeRegistry) -> usize {
    hub.count(Match::token())
}

#[tokio::test]
async fn q01_a_challenge_on_the_ping_only_is_looked_for_there() {
    let hub = bearer().challenge_on(ChallengeOn::Ping).start().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let asked = hub.asked(Match::token());
    assert_eq!(asked.len(), 1);
    let said = asked[0].query_value("scope");
    assert_eq!(
        said.or_else(|| asked[0].form_value("scope")).as_deref(),
        Some(SCOPE)
    );
}

#[tokio::test]
async fn q02_a_challenge_on_resources_only_is_found() {
    let hub = bearer().challenge_on(ChallengeOn::Resources).start().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    assert_eq!(tokens(&hub), 1);
}

#[tokio::test]
async fn q03_the_right_one_of_several_challenges_is_answered() {
    for lines in [
        &["Negotiate", "Basic realm=\"x\"", "{}"][..],
        &["{}", "Basic realm=\"x\"", "Negotiate"],
        &["Negotiate, Basic realm=\"a, b\", {}"],
        &["{}, Negotiate YWJj=="],
        &["NTLM", "Digest realm=\"x\", nonce=\"y, z\"", "{}"],
        // Token services that cannot or must not be asked, before the one that can.
        &["Bearer", "Bearer realm=\"nowhere\"", "{}"],
        &["Bearer realm=\"http://127.0.0.2:9/token\", {}"],
    ] {
        let hub = bearer().challenges(lines).start().await;
        let image = image(&hub);
        let mirror = Mirror::logging_in(&hub, "").start().await;
        mirror
            .pulls(REPOSITORY, "1", &image, &format!("{lines:?}"))
            .await;
    }
}

#[tokio::test]
async fn q04_where_post_is_refused_get_gives_the_token() {
    let scenes = [400, 401, 404, 405].map(|code| async move {
        let hub = bearer().token_habit(TokenHabit::RefusesPost(code));
        let hub = hub.start().await;
        let image = image(&hub);
        let mirror = Mirror::logging_in(&hub, "").start().await;
        mirror
            .pulls(REPOSITORY, "1", &image, &code.to_string())
            .await;
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn q04_where_get_is_refused_post_gives_the_token() {
    let hub = bearer().token_habit(TokenHabit::RefusesGet(405));
    let hub = hub.start().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let posted = hub.asked(Match::token()).into_iter().next_back().unwrap();
    assert_eq!(posted.form_value("username").as_deref(), Some("robot"));
    assert_eq!(posted.form_value("scope").as_deref(), Some(SCOPE));
}

#[tokio::test]
async fn q05_a_token_without_a_lifetime_or_of_a_skewed_clock_is_used_again() {
    let issued = |time: &str| TokenHabit::IssuedAt(time.to_owned());
    let scenes = [
        vec![TokenHabit::OnlyAccessToken, TokenHabit::NoLifetime],
        vec![TokenHabit::OnlyToken, TokenHabit::NoLifetime],
        vec![issued("2001-01-01T00:00:00Z")],
        vec![issued("2201-01-01T00:00:00Z")],
        vec![issued("yesterday")],
    ]
    .map(|habits| async move {
        let text = format!("{habits:?}");
        let hub = habits
            .into_iter()
            .fold(bearer(), fake_registry::Builder::token_habit);
        let hub = hub.start().await;
        let image = image(&hub);
        let mirror = Mirror::logging_in(&hub, "").start().await;
        for _again in 0..2 {
            mirror.pulls(REPOSITORY, "1", &image, &text).await;
        }
        assert_eq!(tokens(&hub), 1, "{text}");
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn q06_a_refused_anonymous_token_is_a_hidden_repository() {
    let scenes = [401, 403].map(|code| async move {
        let one = bearer().token_habit(TokenHabit::Refuses(code));
        let (one, other) = (one.start().await, FakeRegistry::start().await);
        image(&one);
        let image = image(&other);
        let mirror = Mirror::with(&two(&one, &other)).start().await;
        mirror
            .pulls(REPOSITORY, "1", &image, "the next one has it")
            .await;
        let mirror = Mirror::of(&one).start().await;
        let reply = tag(&mirror).await;
        assert_eq!(failure(&reply), (403, "DENIED".into()), "{code}");
        assert_eq!(reply.header("www-authenticate"), None);
    });
    join_all(scenes).await;
}

/// A pull after every token has expired, from a registry that says so in this way.
async fn pulls_after_expiry(says: StaleToken) {
    let hub = bearer().stale_token(says).start().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    tag(&mirror).await;
    hub.expire_tokens();
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    assert_eq!(tag(&mirror).await.header("warning"), None, "not stale");
    assert_eq!(tokens(&hub), 2);
}

#[tokio::test]
async fn q07_a_400_to_an_expired_token_brings_a_new_one() {
    pulls_after_expiry(StaleToken::BadRequest).await;
}

#[tokio::test]
async fn q08_a_basic_challenge_to_an_expired_token_is_not_believed() {
    pulls_after_expiry(StaleToken::AsksForBasic).await;
}

#[tokio::test]
async fn q09_a_password_that_lives_for_hours_is_read_anew() {
    let hub = FakeRegistry::builder().basic("AWS", "first").start().await;
    let image = image(&hub);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let login = format!(
        "username = \"AWS\"\npassword_file = \"{}\"\n",
        file.display()
    );
    let routes =
        upstream("hub", &hub) + &login + &route("docker.io", "\"hub\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).config(ALWAYS_ASK).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    hub.change_password("second");
    assert!(tag(&mirror).await.header("warning").is_some(), "stale");
    std::fs::write(&file, "second\n").unwrap();
    let change = mirror.adopt(&(routes + ALWAYS_ASK)).await.unwrap();
    assert_eq!(
        change.upstreams_changed, 1,
        "the same text, another password"
    );
    assert_eq!(tag(&mirror).await.header("warning"), None);
}

#[tokio::test]
async fn q10_a_realm_on_the_registry_itself_takes_basic_by_get() {
    let hub = bearer()
        .realm("{}/oauth2/token")
        .token_habit(TokenHabit::RefusesPost(400))
        .start()
        .await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let asked = hub.asked(Match::path("/oauth2/token"));
    assert!(
        asked
            .iter()
            .any(|one| one.header("authorization").is_some())
    );
}

#[tokio::test]
async fn q10_a_refresh_token_of_a_docker_login_is_posted() {
    let hub = bearer()
        .realm("{}/oauth2/token")
        .token_habit(TokenHabit::IdentityToken("kept-token".into()))
        .token_habit(TokenHabit::RefusesGet(401))
        .start()
        .await;
    let image = image(&hub);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    // The name is all zeros, and the password nothing.
    let auth = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
    let host = hub.host();
    let login =
        format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}","identitytoken":"kept-token"}}}}}}"#);
    std::fs::write(&file, login).unwrap();
    let config = format!(
        "[credentials]\ndocker_config_files = [\"{}\"]",
        file.display()
    );
    let mirror = Mirror::of(&hub).config(&config).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let asked = hub.asked(Match::token());
    let kept = asked.last().unwrap().form_value("refresh_token");
    assert_eq!(kept.as_deref(), Some("kept-token"));
}

#[tokio::test]
async fn q11_a_realm_under_another_name_gets_the_login_only_if_it_is_listed() {
    for (more, is_listed) in [("realms = [\"localhost\"]", true), ("", false)] {
        // Another name of the same machine, as a registry's external address.
        let hub = bearer().service("harbor-registry").start().await;
        let port = hub.address().port();
        let realm = format!("http://localhost:{port}/service/token");
        let front = bearer().realm(&realm).service("harbor-registry");
        let front = front.start().await;
        let image = image(&front);
        let mirror = Mirror::logging_in(&front, more).start().await;
        if is_listed {
            mirror.pulls(REPOSITORY, "1", &image, "").await;
            let asked = &hub.asked(Match::token())[0];
            let service = asked
                .query_value("service")
                .or_else(|| asked.form_value("service"));
            assert_eq!(service.as_deref(), Some("harbor-registry"));
        } else {
            assert!([403, 502].contains(&tag(&mirror).await.status));
        }
        for asked in hub.asked(Match::token()) {
            let is_ours = asked.header("authorization").is_some() || !asked.body.is_empty();
            assert_eq!(is_ours, is_listed);
        }
    }
}

#[tokio::test]
async fn q12_a_realm_on_another_host_gets_the_login_of_its_registry_and_no_other() {
    let tokens = bearer().start().await;
    let realm = format!("{}/token", tokens.url());
    let one = bearer().realm(&realm).start().await;
    let other = FakeRegistry::builder().basic("other", "other-password");
    let other = other.start().await;
    let (first, second) = (image(&one), image(&other));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other");
    std::fs::write(&file, "other-password").unwrap();
    let routes = private("one", &one)
        + &upstream("two", &other)
        + &format!(
            "username = \"other\"\npassword_file = \"{}\"\n",
            file.display()
        )
        + &route("docker.io", "\"one\"", "library = \"keep\"")
        + &route("quay.io", "\"two\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).start().await;
    mirror.pulls(REPOSITORY, "1", &first, "").await;
    let target = format!("/v2/{REPOSITORY}/manifests/1?ns=quay.io");
    let reply = mirror.get(&target).reply().await;
    assert_eq!(reply.whole(), second.manifest.bytes);
    let asked = tokens.asked(Match::any());
    assert_eq!(asked.len(), 1);
    let basic = |one: &fake_registry::Recorded| {
        let value = one.header("authorization").unwrap_or_default();
        value.strip_prefix("Basic ").map(str::to_owned)
    };
    let theirs: Vec<_> = other.requests().iter().filter_map(basic).collect();
    assert!(!theirs.is_empty());
    for one in one.requests().iter().chain(&asked) {
        assert!(basic(one).is_none_or(|value| !theirs.contains(&value)));
    }
}

#[tokio::test]
async fn q13_an_insufficient_scope_is_asked_for_once_as_offered() {
    let hub = bearer().start().await;
    let image = image(&hub);
    let layer = &image.layers[0];
    let offered = format!("{SCOPE} repository:library/base:pull");
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"fake-registry\",scope=\"{offered}\",\
         error=\"insufficient_scope\"",
        hub.url()
    );
    let refusal = || Fault::Unauthorized(Some(challenge.clone()));
    hub.next(Match::blob(layer), refusal());
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let asked = hub.asked(Match::token());
    assert_eq!(asked.len(), 2);
    let target = format!("{:?} {:?}", asked[1].query, asked[1].body);
    assert!(target.contains("base"), "{target}");

    // What stays insufficient is a refusal, and not a loop.
    let other = hub.blob(REPOSITORY, "other");
    hub.next(Match::blob(&other), refusal()).always();
    let reply = mirror.blob(REPOSITORY, &other).reply().await;
    assert_eq!(failure(&reply), (403, "DENIED".into()));
    assert!(tokens(&hub) <= 4, "{}", tokens(&hub));
}

#[tokio::test]
async fn q14_a_throttled_token_service_is_trouble_and_never_absence() {
    let scenes = [Fault::Throttle("3600".into()), Fault::Status(429)].map(|fault| async move {
        let hub = bearer().start().await;
        let image = image(&hub);
        let mirror = Mirror::logging_in(&hub, "").config("[timeouts]\nmanifest = \"300ms\"");
        let mirror = mirror.start().await;
        mirror.pulls(REPOSITORY, "1", &image, "").await;
        hub.expire_tokens();
        let text = format!("{fault:?}");
        hub.next(Match::token(), fault).always();
        let reply = tag(&mirror).await;
        assert_eq!(reply.body, image.manifest.bytes, "{text}");
        assert!(reply.header("warning").is_some(), "{text}");
        // Nothing kept: it may pass, so it is neither 404 nor 403.
        let reply = mirror.manifest(REPOSITORY, "2").reply().await;
        assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()), "{text}");
        assert!(reply.header("retry-after").is_some());
        let asked = tokens(&hub);
        assert!(asked <= 6, "it backs off: {asked}");
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn q15_a_scope_of_its_own_and_a_slash_at_the_end_are_kept() {
    let hub = FakeRegistry::builder()
        .bearer_anonymous()
        .scope("aws")
        .realm("{}/token/")
        .start()
        .await;
    let image = image(&hub);
    let mirror = Mirror::of(&hub).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    let asked = hub.asked(Match::path("/token/"));
    assert_eq!((asked.len(), tokens(&hub)), (1, 1));
    assert_eq!(asked[0].query_value("scope").as_deref(), Some("aws"));
}
