//! Tags: fresh for a while, revalidated by HEAD, stale while upstream fails, removed on its 404.

use std::time::Duration;

use fake_registry::{FakeRegistry, Fault, Gate, Image, Match, bare::Reply, random_bytes};
use futures_util::future::join_all;

use crate::{
    mirror::{ALWAYS_ASK, Builder, Mirror, failure},
    site::{private, route, two, upstream},
};

const REPOSITORY: &str = "library/nginx";
/// Nothing is asked twice.
const NEVER_ASK: &str = "[freshness]\ntag_fresh = \"1h\"\nabsent = \"1h\"";

fn image(hub: &FakeRegistry, tag: &str, seed: u64) -> Image {
    hub.image(REPOSITORY, tag, &[random_bytes(1000, seed)])
}

fn asking(hub: &FakeRegistry) -> Builder {
    Mirror::of(hub).config(ALWAYS_ASK)
}

async fn tag(mirror: &Mirror, tag: &str) -> Reply {
    mirror.manifest(REPOSITORY, tag).reply().await
}

fn counts(hub: &FakeRegistry) -> (usize, usize) {
    (
        hub.count(Match::manifests().head()),
        hub.count(Match::manifests().get()),
    )
}

#[tokio::test]
async fn r044_a_cold_tag_is_one_head_and_one_get_and_a_fresh_one_nothing() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = Mirror::of(&hub).config(NEVER_ASK).start().await;
    for _cold_and_fresh in 0..2 {
        let head = mirror
            .head("/v2/library/nginx/manifests/1?ns=docker.io")
            .reply()
            .await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        let get = tag(&mirror, "1").await;
        assert_eq!(get.whole(), image.manifest.bytes);
        for name in ["content-length", "content-type", "docker-content-digest"] {
            assert_eq!(head.header(name), get.header(name), "R024: {name}");
        }
        assert_eq!(counts(&hub), (1, 1));
    }
}

#[tokio::test]
async fn an_old_tag_is_confirmed_by_one_head_and_nothing_else() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = asking(&hub).start().await;
    tag(&mirror, "1").await;
    for heads in 2..5 {
        let reply = tag(&mirror, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        assert_eq!(reply.header("warning"), None);
        assert_eq!(counts(&hub), (heads, 1));
    }
}

#[tokio::test]
async fn r040_a_moved_tag_shows_its_new_digest_and_the_old_one_stays_readable() {
    let hub = FakeRegistry::start().await;
    let old = image(&hub, "1", 1);
    let mirror = asking(&hub).start().await;
    assert_eq!(tag(&mirror, "1").await.whole(), old.manifest.bytes);
    let new = image(&hub, "1", 2);
    assert_eq!(tag(&mirror, "1").await.whole(), new.manifest.bytes);
    let asked = hub.count(Match::any());
    assert_eq!(
        tag(&mirror, &old.manifest.digest).await.whole(),
        old.manifest.bytes
    );
    assert_eq!(hub.count(Match::any()), asked);
}

#[tokio::test]
async fn q30_where_head_is_refused_or_has_no_digest_get_tells() {
    for fault in [Fault::RefuseHead, Fault::NoDigestHeader] {
        let hub = FakeRegistry::start().await;
        let old = image(&hub, "1", 1);
        hub.next(Match::manifests(), fault).always();
        let mirror = asking(&hub).start().await;
        for _ in 0..2 {
            let reply = tag(&mirror, "1").await;
            assert_eq!(reply.whole(), old.manifest.bytes);
            assert_eq!(
                reply.header("docker-content-digest"),
                Some(old.manifest.digest.as_str())
            );
        }
        let new = image(&hub, "1", 2);
        assert_eq!(tag(&mirror, "1").await.whole(), new.manifest.bytes);
    }
}

#[tokio::test]
async fn f12_a_tag_is_served_stale_and_says_so_when_upstream_fails() {
    let held = Gate::new();
    let faults = [
        Fault::HangUp,
        Fault::Reset,
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Throttle("3600".into()),
        Fault::Html,
        Fault::HoldHead(held.clone()),
    ];
    let scenes = faults.into_iter().map(|fault| async move {
        let hub = FakeRegistry::start().await;
        let image = image(&hub, "1", 1);
        let mirror = asking(&hub).config("[timeouts]\nmanifest = \"500ms\"");
        let mirror = mirror.start().await;
        while tag(&mirror, "1").await.status != 200 {}
        let text = format!("{fault:?}");
        hub.next(Match::any(), fault).always();
        let reply = tag(&mirror, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes, "{text}");
        let warning = reply.header("warning");
        assert!(
            warning.is_some_and(|text| text.starts_with("110 ")),
            "{text}"
        );
        // F11: by digest no upstream is contacted.
        let asked = hub.count(Match::any());
        let reply = tag(&mirror, &image.manifest.digest).await;
        assert_eq!(
            (reply.whole(), reply.header("warning")),
            (&image.manifest.bytes[..], None)
        );
        assert_eq!(hub.count(Match::any()), asked);
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn b098_a_deleted_tag_is_never_served_stale_and_its_record_is_gone() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = asking(&hub).start().await;
    tag(&mirror, "1").await;
    hub.untag(REPOSITORY, "1");
    let unknown = (404, "MANIFEST_UNKNOWN".to_owned());
    assert_eq!(failure(&tag(&mirror, "1").await), unknown);
    hub.down();
    assert_eq!(
        tag(&mirror, "1").await.status,
        503,
        "nothing is left of the tag"
    );
    let mirror = mirror.restart().await;
    assert_eq!(tag(&mirror, "1").await.status, 503);
    let digest = &image.manifest.digest;
    assert_eq!(
        tag(&mirror, digest).await.whole(),
        image.manifest.bytes,
        "Q45"
    );
}

#[tokio::test]
async fn a_tag_older_than_tag_stale_max_is_not_served() {
    let hub = FakeRegistry::start().await;
    image(&hub, "1", 1);
    let mirror = Mirror::of(&hub).config("[freshness]\ntag_fresh = \"0s\"\ntag_stale_max = \"0s\"");
    let mirror = mirror.start().await;
    tag(&mirror, "1").await;
    hub.down();
    assert_eq!(
        failure(&tag(&mirror, "1").await),
        (503, "UNAVAILABLE".into())
    );
}

#[tokio::test]
async fn what_an_unreachable_candidate_last_said_beats_a_later_candidate() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let (first, _) = (image(&one, "1", 1), image(&other, "1", 2));
    let unseen = image(&other, "2", 3);
    let mirror = Mirror::with(&two(&one, &other))
        .config(ALWAYS_ASK)
        .start()
        .await;
    tag(&mirror, "1").await;
    one.down();
    let reply = tag(&mirror, "1").await;
    assert_eq!(reply.whole(), first.manifest.bytes);
    assert!(reply.header("warning").is_some());
    assert_eq!(other.count(Match::any()), 0);
    let reply = tag(&mirror, "2").await;
    assert_eq!(
        reply.whole(),
        unseen.manifest.bytes,
        "a tag never seen there goes on"
    );
}

#[tokio::test]
async fn an_absent_candidate_hands_over_and_forgets() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let (_, second) = (image(&one, "1", 1), image(&other, "1", 2));
    let mirror = Mirror::with(&two(&one, &other))
        .config(ALWAYS_ASK)
        .start()
        .await;
    tag(&mirror, "1").await;
    one.untag(REPOSITORY, "1");
    assert_eq!(tag(&mirror, "1").await.whole(), second.manifest.bytes);
    other.down();
    let reply = tag(&mirror, "1").await;
    assert_eq!(
        reply.whole(),
        second.manifest.bytes,
        "the later one's own record"
    );
    assert!(reply.header("warning").is_some());
}

#[tokio::test]
async fn what_candidates_failures_come_to() {
    // What two candidates say, and what the client hears.
    let absent = || Fault::Status(404);
    let cases = [
        (absent(), absent(), 404, "MANIFEST_UNKNOWN"),
        (absent(), Fault::Status(410), 404, "MANIFEST_UNKNOWN"),
        (absent(), Fault::Status(503), 503, "UNAVAILABLE"),
        (Fault::HangUp, absent(), 503, "UNAVAILABLE"),
        (absent(), Fault::Status(403), 403, "DENIED"),
        (Fault::Unauthorized(None), absent(), 403, "DENIED"),
        (Fault::Status(403), Fault::Status(500), 503, "UNAVAILABLE"),
        (Fault::Throttle("3600".into()), absent(), 503, "UNAVAILABLE"),
        (Fault::Html, absent(), 502, "UNAVAILABLE"),
        (Fault::Html, Fault::Status(502), 503, "UNAVAILABLE"),
        (absent(), Fault::Status(508), 508, "UNSUPPORTED"),
        (Fault::Status(508), Fault::Html, 508, "UNSUPPORTED"),
        (Fault::Status(508), Fault::Status(500), 503, "UNAVAILABLE"),
    ];
    let scenes = cases
        .into_iter()
        .map(|(first, second, status, code)| async move {
            let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
            let text = format!("{first:?} and {second:?}");
            one.next(Match::any(), first).always();
            other.next(Match::any(), second).always();
            let mirror = Mirror::with(&two(&one, &other)).start().await;
            let reply = tag(&mirror, "1").await;
            assert_eq!(failure(&reply), (status, code.to_owned()), "{text}");
            assert_eq!(reply.header("www-authenticate"), None, "T09");
            assert_eq!(
                reply.header("retry-after").is_some(),
                status == 503,
                "{text}"
            );
        });
    join_all(scenes).await;
}

#[tokio::test]
async fn r082_a_throttled_upstream_is_503_with_its_own_wait() {
    let hub = FakeRegistry::start().await;
    hub.next(Match::any(), Fault::Throttle("17".into()));
    let mirror = asking(&hub).start().await;
    for _again_without_asking in 0..2 {
        let reply = tag(&mirror, "1").await;
        assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()));
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((10..=17).contains(&wait), "{wait}");
    }
    assert_eq!(hub.count(Match::any()), 1);
}

#[tokio::test]
async fn f06_q43_a_short_429_is_waited_for_when_nothing_is_kept() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    for reference in ["1", &image.manifest.digest] {
        hub.next(Match::any(), Fault::Throttle("1".into()));
        let mirror = asking(&hub).start().await;
        assert_eq!(tag(&mirror, reference).await.whole(), image.manifest.bytes);
    }
}

#[tokio::test]
async fn a_moved_tag_whose_new_manifest_cannot_be_had_is_stale() {
    let hub = FakeRegistry::start().await;
    let old = image(&hub, "1", 1);
    let mirror = asking(&hub).start().await;
    tag(&mirror, "1").await;
    image(&hub, "1", 2);
    hub.next(Match::manifests().get(), Fault::Status(500))
        .always();
    let reply = tag(&mirror, "1").await;
    assert_eq!(reply.whole(), old.manifest.bytes);
    assert!(reply.header("warning").is_some());
}

#[tokio::test]
async fn b104_a_timeout_with_nothing_kept_is_504() {
    let hub = FakeRegistry::start().await;
    hub.next(Match::any(), Fault::HoldHead(Gate::new()))
        .always();
    let mirror = asking(&hub)
        .config("[timeouts]\nmanifest = \"100ms\"")
        .start()
        .await;
    assert_eq!(
        failure(&tag(&mirror, "1").await),
        (504, "UNAVAILABLE".into())
    );
}

#[tokio::test]
async fn a_refusal_of_an_anonymous_pull_is_hidden_and_of_a_login_final() {
    for status in [401, 403] {
        for with_login in [false, true] {
            let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
            let there = image(&other, "1", 2);
            one.next(Match::any(), Fault::Status(status)).always();
            let table = if with_login { private } else { upstream };
            let routes = table("one", &one)
                + &upstream("two", &other)
                + &route("docker.io", "\"one\", \"two\"", "library = \"keep\"");
            let mirror = Mirror::with(&routes).start().await;
            let reply = tag(&mirror, "1").await;
            if with_login {
                assert_eq!(failure(&reply), (403, "DENIED".into()));
                assert_eq!(other.count(Match::any()), 0);
            } else {
                assert_eq!(reply.whole(), there.manifest.bytes);
            }
        }
    }
}

#[tokio::test]
async fn refused_says_how_a_refusal_reads() {
    // (in the upstream's table, at the target, credentials, whether the next one is asked)
    let cases = [
        ("refused = \"next\"", "", true, true),
        ("refused = \"stop\"", "", false, false),
        ("", ", refused = \"next\"", true, true),
        ("refused = \"next\"", ", refused = \"stop\"", true, false),
    ];
    for (of_upstream, of_target, with_login, goes_on) in cases {
        let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        image(&other, "1", 2);
        one.next(Match::any(), Fault::Status(403)).always();
        let table = if with_login { private } else { upstream };
        let to = format!("{{ target = \"one\"{of_target} }}, \"two\"");
        let routes = table("one", &one)
            + of_upstream
            + "\n"
            + &upstream("two", &other)
            + &route("docker.io", &to, "library = \"keep\"");
        let mirror = Mirror::with(&routes).start().await;
        let status = tag(&mirror, "1").await.status;
        assert_eq!(status, if goes_on { 200 } else { 403 }, "{routes}");
        assert_eq!(other.count(Match::any()) > 0, goes_on, "{routes}");
    }
}

#[tokio::test]
async fn hub_ghcr_and_quay_hide_what_is_missing_even_from_a_login() {
    for name in ["docker.io", "ghcr.io", "quay.io"] {
        let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let there = image(&other, "1", 2);
        one.next(Match::any(), Fault::Status(403)).always();
        let to = format!("\"{name}\", \"two\"");
        let routes = private(name, &one)
            + &upstream("two", &other)
            + &route("docker.io", &to, "library = \"keep\"");
        let mirror = Mirror::with(&routes).start().await;
        assert_eq!(tag(&mirror, "1").await.whole(), there.manifest.bytes);
    }
}

#[tokio::test]
async fn a_login_that_is_suddenly_refused_is_upstreams_fault_and_answered_stale() {
    for refused in ["", "refused = \"next\"", "refused = \"stop\""] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub, "1", 1);
        let routes = private("hub", &hub)
            + refused
            + "\n"
            + &route("docker.io", "\"hub\"", "library = \"keep\"");
        let mirror = Mirror::with(&routes).config(ALWAYS_ASK).start().await;
        tag(&mirror, "1").await;
        hub.next(Match::any(), Fault::Status(403)).always();
        let reply = tag(&mirror, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
        assert!(reply.header("warning").is_some());
    }
}

#[tokio::test]
async fn q45_a_tag_made_private_ends_for_the_anonymous_and_its_digest_stays() {
    for refused in ["", "refused = \"next\"", "refused = \"stop\""] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub, "1", 1);
        let routes = upstream("hub", &hub)
            + refused
            + "\n"
            + &route("docker.io", "\"hub\"", "library = \"keep\"");
        let mirror = Mirror::with(&routes).config(ALWAYS_ASK).start().await;
        tag(&mirror, "1").await;
        hub.next(Match::any(), Fault::Status(403)).always();
        assert_eq!(
            failure(&tag(&mirror, "1").await),
            (403, "DENIED".into()),
            "{refused}"
        );
        let reply = tag(&mirror, &image.manifest.digest).await;
        assert_eq!(reply.whole(), image.manifest.bytes);
    }
}

#[tokio::test]
async fn a_route_has_its_own_patience_with_tags() {
    let hub = FakeRegistry::start().await;
    image(&hub, "1", 1);
    hub.image("calico/node", "1", &[random_bytes(10, 2)]);
    let routes = upstream("hub", &hub)
        + &route("docker.io", "\"hub\"", "library = \"keep\"")
        + &route(
            "docker.io/calico",
            "\"hub/calico\"",
            "tag_fresh = \"0s\"\ntag_stale_max = \"0s\"",
        );
    let mirror = Mirror::with(&routes).config(NEVER_ASK).start().await;
    for repository in [REPOSITORY, "calico/node"] {
        for _ in 0..3 {
            let reply = mirror.manifest(repository, "1").reply().await;
            assert_eq!(reply.status, 200);
        }
    }
    assert_eq!(hub.count(Match::manifest(REPOSITORY, "1")), 1);
    assert_eq!(hub.count(Match::manifest("calico/node", "1")), 3);
    hub.down();
    assert_eq!(
        mirror.manifest("calico/node", "1").reply().await.status,
        503
    );
}

#[tokio::test]
async fn a_pinned_tag_is_its_digest_whatever_upstream_says() {
    let hub = FakeRegistry::start().await;
    let pinned = image(&hub, "1", 1);
    image(&hub, "1", 2);
    let pin = format!(
        "digest = \"{}\"\nlibrary = \"keep\"",
        pinned.manifest.digest
    );
    let routes =
        upstream("hub", &hub) + &route("docker.io/library/nginx:1", "\"hub/library/nginx\"", &pin);
    let mirror = Mirror::with(&routes).config(ALWAYS_ASK).start().await;
    for _ in 0..2 {
        assert_eq!(tag(&mirror, "1").await.whole(), pinned.manifest.bytes);
    }
    assert_eq!(hub.count(Match::manifest(REPOSITORY, "1")), 0);
    assert_eq!(hub.served(&pinned.manifest).requests(), 1);
}

#[tokio::test]
async fn f41_not_found_is_believed_for_a_while_only() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).config("[freshness]\nabsent = \"300ms\"");
    let mirror = mirror.start().await;
    assert_eq!(tag(&mirror, "1").await.status, 404);
    let asked = hub.count(Match::any());
    assert_eq!(asked, 1);
    image(&hub, "1", 1);
    let appears = async { while tag(&mirror, "1").await.status == 404 {} };
    let deadline = Duration::from_secs(10);
    tokio::time::timeout(deadline, appears)
        .await
        .expect("it never appeared");

    let mirror = Mirror::of(&hub).config(NEVER_ASK).start().await;
    for _ in 0..5 {
        assert_eq!(tag(&mirror, "2").await.status, 404);
    }
    assert_eq!(hub.count(Match::manifest(REPOSITORY, "2")), 1);
}

#[tokio::test]
async fn trouble_is_never_remembered_as_absence() {
    for fault in [Fault::Status(403), Fault::Status(500), Fault::Html] {
        let hub = FakeRegistry::start().await;
        let image = image(&hub, "1", 1);
        let mirror = Mirror::of(&hub).config(NEVER_ASK).start().await;
        let outage = hub.next(Match::any(), fault).always();
        assert_ne!(tag(&mirror, "1").await.status, 200);
        outage.stop();
        let appears = async {
            let mut reply = tag(&mirror, "1").await;
            while reply.status != 200 {
                assert_ne!(reply.status, 404);
                reply = tag(&mirror, "1").await;
            }
            reply
        };
        let reply = tokio::time::timeout(Duration::from_secs(10), appears).await;
        assert_eq!(reply.unwrap().whole(), image.manifest.bytes);
    }
}

#[tokio::test]
async fn f41_a_blob_that_a_pulled_manifest_names_is_asked_for_again() {
    let hub = FakeRegistry::start().await;
    let image = Image::new(&[random_bytes(1000, 1)]);
    let mirror = Mirror::of(&hub).config(NEVER_ASK).start().await;
    let layer = || mirror.blob(REPOSITORY, &image.layers[0]).reply();
    assert_eq!(layer().await.status, 404);
    let by_digest = tag(&mirror, &image.manifest.digest).await;
    assert_eq!(by_digest.status, 404);
    // Now it is pushed, with an index over it.
    let index = hub.index(REPOSITORY, "1", &[&image]);
    assert_eq!(tag(&mirror, "1").await.whole(), index.bytes);
    let child = tag(&mirror, &image.manifest.digest).await;
    assert_eq!(child.whole(), image.manifest.bytes);
    assert_eq!(layer().await.whole(), image.layers[0].bytes);
}

#[tokio::test]
async fn a_tag_may_be_called_as_the_protocols_version() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "v2", 1);
    let mirror = asking(&hub).start().await;
    assert_eq!(tag(&mirror, "v2").await.whole(), image.manifest.bytes);
}

#[tokio::test]
async fn r043_fifty_heads_and_fifty_gets_of_a_cold_tag_ask_once() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let gate = Gate::new();
    hub.next(Match::manifests().head(), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::of(&hub).config(NEVER_ASK).start().await;
    let target = "/v2/library/nginx/manifests/1?ns=docker.io";
    let heads = join_all((0..50).map(|_| mirror.head(target).reply()));
    let gets = join_all((0..50).map(|_| mirror.get(target).reply()));
    let open = async {
        hub.until(Match::manifests().head(), 1).await;
        gate.open();
    };
    let (heads, gets, ()) = tokio::join!(heads, gets, open);
    assert!(heads.iter().all(|reply| reply.status == 200));
    assert!(
        gets.iter()
            .all(|reply| reply.whole() == image.manifest.bytes)
    );
    assert_eq!(counts(&hub), (1, 1));
}

#[tokio::test]
async fn a_flight_that_fails_fails_all_and_the_next_one_asks_again() {
    let hub = FakeRegistry::start().await;
    let gate = Gate::new();
    hub.next(Match::manifests(), Fault::HoldHead(gate.clone()));
    let mirror = asking(&hub).start().await;
    let gets = join_all((0..10).map(|_| tag(&mirror, "1")));
    let open = async {
        hub.until(Match::manifests(), 1).await;
        gate.open();
    };
    let (gets, ()) = tokio::join!(gets, open);
    assert!(gets.iter().all(|reply| reply.status == 404));
    let image = image(&hub, "1", 1);
    assert_eq!(tag(&mirror, "1").await.whole(), image.manifest.bytes);
}

#[tokio::test]
async fn t10_nothing_of_a_clients_request_reaches_an_upstream() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub, "1", 1);
    let mirror = asking(&hub).start().await;
    let targets = [
        format!("/v2/{REPOSITORY}/manifests/1?ns=docker.io&canary=1"),
        format!(
            "/v2/{REPOSITORY}/blobs/{}?ns=docker.io",
            image.config.digest
        ),
        format!("/v2/{REPOSITORY}/tags/list?ns=docker.io&canary=1"),
        format!(
            "/v2/{REPOSITORY}/referrers/{}?ns=docker.io",
            image.manifest.digest
        ),
    ];
    for target in targets {
        for method in [mirror.head(&target), mirror.get(&target)] {
            let reply = method
                .with("Authorization", "Basic canary")
                .with("Cookie", "canary=1")
                .with("X-Canary", "canary")
                .with("User-Agent", "canary/1")
                .with("Accept", "application/canary")
                .with("Accept-Encoding", "canary")
                .with("Forwarded", "for=canary")
                .reply()
                .await;
            assert_eq!(reply.status, 200, "{target}");
        }
    }
    assert!(hub.count(Match::any()) >= 4);
    for request in hub.requests() {
        assert!(!format!("{request:?}").contains("canary"), "{request:?}");
    }
}
