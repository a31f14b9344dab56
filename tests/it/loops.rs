//! Mirrors that point at each other or at themselves, and valid chains of mirrors.

use std::{path::Path, time::Duration};

use fake_registry::{
    Content, FakeRegistry, Fault, Image, Match,
    bare::{Ask, Reply},
    random_bytes,
};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    mirror::{ALWAYS_ASK, Mirror, failure},
    site::{manifest_of, route, upstream},
};

const NAME: &str = "library/nginx";
/// Longest wait for an answer; a request that waits for itself takes twelve seconds.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Another mirror as an upstream, which is told whose names we mean.
fn peer(mirror: &Mirror) -> String {
    let address = mirror.address();
    format!("[upstream.peer]\nurl = \"http://{address}\"\nsend_ns = true\n")
}

/// A route from `docker.io`, names as they are.
fn hub_from(to: &str) -> String {
    route("docker.io", to, "library = \"keep\"")
}

/// A mirror whose routes come later: who points at it must know its address first.
async fn blank() -> Mirror {
    Mirror::with("").start().await
}

async fn at_once(ask: Ask) -> Reply {
    let reply = timeout(AT_ONCE, ask.reply()).await;
    reply.expect("mirrors wait for each other")
}

/// Requests that a mirror has sent upstream.
async fn sent(mirror: &Mirror) -> usize {
    let metrics = mirror.metrics().await;
    let lines = metrics.lines();
    let counts = lines.filter(|line| line.starts_with("roadstead_upstream_requests_total{"));
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    counts.map(count).sum()
}

/// Files of what a mirror keeps, or has begun to.
fn kept(mirror: &Mirror) -> usize {
    fn files(folder: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return 0;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        let count = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { 1 };
        paths.map(count).sum()
    }
    let store = mirror.folder().join("store");
    let rooms = ["blobs", "partial", "origins"];
    rooms.iter().map(|room| files(&store.join(room))).sum()
}

/// Everything that may be asked of a name.
fn questions() -> Vec<(&'static str, String)> {
    let digest = Content::new("", "nowhere").digest;
    let at = |what: &str| format!("/v2/{NAME}/{what}?ns=docker.io");
    vec![
        ("GET", at("manifests/1")),
        ("HEAD", at("manifests/1")),
        ("GET", at(&format!("manifests/{digest}"))),
        ("GET", at(&format!("blobs/{digest}"))),
        ("HEAD", at(&format!("blobs/{digest}"))),
        ("GET", at("tags/list")),
        ("GET", at(&format!("referrers/{digest}"))),
    ]
}

/// Asks `asked` for everything, and finds that each of `round` passed each question on once.
async fn each_goes_round_once(asked: &Mirror, round: &[&Mirror]) {
    let count = async || join_all(round.iter().map(|mirror| sent(mirror))).await;
    for (method, target) in questions() {
        let before = count().await;
        let reply = at_once(Ask::new(asked.address(), method, &target)).await;
        is_circle(&reply, method, &target);
        let once: Vec<_> = before.iter().map(|sent| sent + 1).collect();
        assert_eq!(count().await, once, "{method} {target}");
    }
    for mirror in round {
        assert_eq!(kept(mirror), 0);
        let metrics = mirror.metrics().await;
        let up = "roadstead_upstream_up{upstream=\"peer\"} 1";
        assert!(metrics.contains(up), "a circle says nothing against a peer");
    }
}

fn is_circle(reply: &Reply, method: &str, what: &str) {
    assert_eq!(reply.status, 508, "{method} {what}");
    if method == "GET" {
        assert_eq!(failure(reply), (508, "UNSUPPORTED".into()), "{what}");
    }
}

fn image(hub: &FakeRegistry) -> Image {
    hub.image(NAME, "1", &[random_bytes(1000, 71)])
}

#[tokio::test]
async fn t48_two_mirrors_that_point_at_each_other_say_so_at_once() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let near = blank().await;
    let quay = |to: &str| route("quay.io", to, "");
    let far = peer(&near) + &upstream("hub", &hub) + &hub_from("\"peer\"") + &quay("\"hub\"");
    let far = Mirror::with(&far).config(ALWAYS_ASK).start().await;
    let routes = peer(&far) + &hub_from("\"peer\"") + &quay("\"peer\"") + ALWAYS_ASK;
    near.adopt(&routes).await.unwrap();
    let both = [&near, &far];
    each_goes_round_once(&near, &both).await;
    each_goes_round_once(&far, &both).await;
    // What they do not ask each other for is served on, by the same connections.
    for mirror in both {
        let reply = manifest_of(mirror, "quay.io", NAME, "1").await;
        assert_eq!(reply.whole(), image.manifest.bytes);
    }
    assert_eq!(hub.count(Match::tags(NAME)), 0);
}

#[tokio::test]
async fn t48_a_mirror_that_points_at_itself_by_another_name_says_so_at_once() {
    let mirror = blank().await;
    // Which port it got, no check of the configuration can know.
    let itself = peer(&mirror).replace("127.0.0.1", "localhost");
    let routes = itself + &hub_from("\"peer\"") + ALWAYS_ASK;
    mirror.adopt(&routes).await.unwrap();
    each_goes_round_once(&mirror, &[&mirror]).await;
}

#[tokio::test]
async fn t48_a_circle_is_passed_by_where_there_is_somebody_else_but_is_no_absence() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let near = blank().await;
    let routes = |other: &Mirror| {
        peer(other) + &upstream("hub", &hub) + &hub_from("\"peer\", \"hub\"") + ALWAYS_ASK
    };
    let far = Mirror::with(&routes(&near)).start().await;
    near.adopt(&routes(&far)).await.unwrap();
    let layer = &image.layers[0];
    let reply = at_once(near.manifest(NAME, "1")).await;
    assert_eq!(reply.whole(), image.manifest.bytes);
    assert_eq!(at_once(near.blob(NAME, layer)).await.whole(), layer.bytes);
    assert_eq!(hub.served(layer).gets(), 1, "the far one asked");
    let missing = at_once(near.manifest(NAME, "2")).await;
    assert_eq!(failure(&missing), (508, "UNSUPPORTED".into()));
}

#[tokio::test]
async fn t48_a_tag_that_is_kept_is_stale_while_upstream_goes_in_a_circle() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let mirror = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    let fresh = at_once(mirror.manifest(NAME, "1")).await;
    assert_eq!(fresh.header("warning"), None);
    hub.next(Match::any(), Fault::Status(508)).always();
    let stale = at_once(mirror.manifest(NAME, "1")).await;
    assert_eq!(stale.whole(), image.manifest.bytes);
    assert!(
        stale
            .header("warning")
            .is_some_and(|text| text.starts_with("110"))
    );
}

#[tokio::test]
async fn b071_a_request_with_our_own_marker_is_508_whatever_it_asks_for() {
    let hub = FakeRegistry::start().await;
    let image = image(&hub);
    let mirror = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    mirror.pulls(NAME, "1", &image, "before").await;
    let own = hub.requests()[0].header("via").unwrap().to_owned();
    let other = |number: usize| format!("1.1 roadstead-{number:016x}");
    let others = |count| (0..count).map(other).collect::<Vec<_>>().join(", ");
    let asked = hub.count(Match::any());
    let blob = format!("/v2/{NAME}/blobs/{}?ns=docker.io", image.layers[0].digest);
    let kept = [("GET", "/v2/".to_owned()), ("GET", blob.clone())];
    for (method, target) in questions().into_iter().chain(kept) {
        for via in [
            own.clone(),
            format!("1.0 fred (a, b), {own} (by another name)"),
            format!("{}, {own}", other(1)),
            own.replace("1.1", "2"),
            others(9),
        ] {
            let ask = Ask::new(mirror.address(), method, &target).with("Via", &via);
            is_circle(&at_once(ask).await, method, &format!("{target} {via}"));
        }
    }
    let lines = mirror.get(&blob).with("Via", &other(1)).with("Via", &own);
    assert_eq!(at_once(lines).await.status, 508);
    assert_eq!(hub.count(Match::any()), asked, "upstream was contacted");
    for via in ["", "garbage", "1.1 varnish", "1.1 roadstead-", &others(8)] {
        let reply = at_once(mirror.manifest(NAME, "1").with("Via", via)).await;
        assert_eq!(reply.status, 200, "{via}");
    }
}

#[tokio::test]
async fn t48_markers_of_an_honest_chain_reach_the_registry_and_nobody_else() {
    let hub = FakeRegistry::builder().bearer_anonymous().start().await;
    let storage = FakeRegistry::start().await;
    let image = image(&hub);
    let layer = &image.layers[0];
    storage.place("/there", layer);
    let there = Fault::RedirectTo(format!("{}/there", storage.url()));
    hub.next(Match::blob(layer), there).always();
    let far = Mirror::of(&hub).config(ALWAYS_ASK).start().await;
    let routes = peer(&far) + &hub_from("\"peer\"") + ALWAYS_ASK;
    let near = Mirror::with(&routes).start().await;
    let seen = |which: Match| {
        let via = |request: &fake_registry::Recorded| request.header("via").map(str::to_owned);
        let mut all: Vec<_> = hub.asked(which).iter().map(via).collect();
        all.dedup();
        all
    };
    near.pulls(NAME, "1", &image, "through both").await;
    let through_both = seen(Match::repository(NAME));
    let [Some(value)] = through_both.as_slice() else {
        panic!("{through_both:?}");
    };
    let entries: Vec<_> = value.split(", ").collect();
    let [first, second] = entries[..] else {
        panic!("{value}");
    };
    assert_ne!(first, second);
    for entry in [first, second] {
        let digits = entry.strip_prefix("1.1 roadstead-").unwrap();
        assert!(digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit()));
    }
    assert_eq!(seen(Match::token()), [None]);
    let at_storage = storage.requests();
    assert!(
        at_storage
            .iter()
            .all(|request| request.header("via").is_none())
    );
    assert!(!at_storage.is_empty());
    // A reload keeps the instance's id; foreign entries end here.
    near.adopt(&routes).await.unwrap();
    far.adopt(&(upstream("hub", &hub) + &hub_from("\"hub\"") + ALWAYS_ASK))
        .await
        .unwrap();
    let asks = [near.manifest(NAME, "1"), far.manifest(NAME, "1")];
    for ask in asks {
        let reply = at_once(ask.with("Via", "1.1 proxy.example")).await;
        assert_eq!(reply.whole(), image.manifest.bytes);
    }
    let both = Some(value.clone());
    assert_eq!(seen(Match::manifests()), [both, Some(second.to_owned())]);
}
