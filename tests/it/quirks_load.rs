//! Q39 to Q46: registries under load, and names of one registry. Q42, Q43 and Q45 are in `resume`
//! and `tags`.

use fake_registry::{FakeRegistry, Fault, Match, bare::Reply, random_bytes};

use futures_util::future::join_all;

use crate::mirror::{ALWAYS_ASK, Mirror, failure};

const REPOSITORY: &str = "library/nginx";

async fn tag(mirror: &Mirror, tag: &str) -> Reply {
    mirror.manifest(REPOSITORY, tag).reply().await
}

#[tokio::test]
async fn q39_a_budget_is_told_and_spared() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
    let says = Fault::Header("ratelimit-remaining".into(), "76;w=21600".into());
    hub.next(Match::any(), says).always();
    let mirror = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    for _ in 0..5 {
        let reply = tag(&mirror, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        assert_eq!(reply.header("ratelimit-remaining"), None);
    }
    // HEAD is free, and the one GET is the one that counts.
    assert_eq!(hub.count(Match::manifests().get()), 1);
    let metrics = mirror.metrics().await;
    let budget = "roadstead_upstream_ratelimit_remaining{upstream=\"hub\"} 76";
    assert!(metrics.lines().any(|line| line == budget), "{metrics}");
}

/// The pull limit hits GET, the abuse limit everything. Neither is ever handed to a client.
#[tokio::test]
async fn q40_both_kinds_of_429_leave_what_is_kept() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(10, 1)]);
    let other = hub.image(REPOSITORY, "2", &[random_bytes(10, 2)]);
    let mirror = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    tag(&mirror, "1").await;
    let throttle = || Fault::Throttle("3600".into());
    let pulls = hub.next(Match::manifests().get(), throttle()).always();
    let reply = tag(&mirror, "1").await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    assert_eq!(reply.header("warning"), None, "confirmed by HEAD");
    assert_eq!(failure(&tag(&mirror, "2").await).0, 503);
    pulls.stop();
    hub.next(Match::any(), throttle()).always().optional();
    let reply = tag(&mirror, "1").await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    assert!(reply.header("warning").is_some(), "stale");
    let reply = tag(&mirror, &other.manifest.digest).await;
    assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()));
}

#[tokio::test]
async fn b100_b101_q41_a_429_with_nothing_kept_is_503_with_a_clamped_wait() {
    // The design's answer is 503 and not 429, which containerd would hand to the pod.
    let in_a_minute = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
    let in_a_minute = httpdate::fmt_http_date(in_a_minute);
    let scenes = [
        (Some("17"), 10..=17),
        (Some(in_a_minute.as_str()), 40..=60),
        (Some("315360000"), 3500..=3600),
        (None, 1..=3600),
        (Some("soon"), 1..=3600),
    ]
    .map(|(says, within)| async move {
        let hub = FakeRegistry::start().await;
        let fault = says.map_or(Fault::Status(429), |text| Fault::Throttle(text.to_owned()));
        hub.next(Match::any(), fault).always();
        let mirror = Mirror::of(&hub).config(ALWAYS_ASK);
        let mirror = mirror
            .config("[timeouts]\nmanifest = \"300ms\"")
            .start()
            .await;
        let reply = tag(&mirror, "1").await;
        assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()), "{says:?}");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!(within.contains(&wait), "{says:?}: {wait}");
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn q44_idle_connections_that_were_closed_cost_nothing() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    for seed in 0..5 {
        let image = hub.image(REPOSITORY, "1", &[random_bytes(1000, seed)]);
        mirror.pulls(REPOSITORY, "1", &image, "").await;
        assert_eq!(tag(&mirror, "1").await.header("warning"), None);
        hub.hang_up();
    }
    assert!(
        mirror
            .metrics()
            .await
            .contains("upstream_up{upstream=\"hub\"} 1")
    );
}

#[tokio::test]
async fn q46_docker_hub_has_three_names_and_one_copy() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(REPOSITORY, "1", &[random_bytes(1000, 1)]);
    let mirror = Mirror::of(&hub).config("[freshness]\ntag_fresh = \"1h\"");
    let mirror = mirror.start().await;
    for name in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        for what in [
            "manifests/1".to_owned(),
            format!("blobs/{}", image.layers[0].digest),
        ] {
            let target = format!("/v2/{REPOSITORY}/{what}?ns={name}");
            assert_eq!(mirror.get(&target).reply().await.status, 200, "{target}");
        }
    }
    assert_eq!(hub.count(Match::manifests().get()), 1);
    assert_eq!(hub.count(Match::blobs()), 1);
}
