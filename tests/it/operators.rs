//! Probes and metrics of a running mirror.
#![expect(clippy::too_many_lines, reason = "tables")]

use fake_registry::{FakeRegistry, Fault, Match, random_bytes};

use crate::{
    mirror::Mirror,
    rows::{Rows, raw},
};

const SEED: u64 = 9;

#[tokio::test]
async fn probes_and_metrics_are_on_their_own_port_only() {
    let hub = FakeRegistry::start().await;
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    for (target, body) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let reply = mirror.probe(target).reply().await;
        rows.same(
            target,
            (reply.status, reply.whole()),
            (200, body.as_bytes()),
        );
        rows.same(target, mirror.get(target).reply().await.status, 404);
    }
    rows.same("/metrics", mirror.get("/metrics").reply().await.status, 404);
    rows.same("/v2/ here", mirror.probe("/v2/").reply().await.status, 404);
    hub.down();
    rows.same(
        "upstreams do not matter",
        mirror.probe("/readyz").reply().await.status,
        200,
    );
}

#[tokio::test]
async fn requests_are_counted_by_kind_outcome_and_status() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1", &[random_bytes(1000, SEED)]);
    hub.next(
        Match::manifest("library/nginx", "broken"),
        Fault::Status(500),
    )
    .always();
    let mirror = Mirror::of(&hub)
        .config("[[route]]\nfrom = \"docker.io/secret\"\naction = \"deny\"")
        .start()
        .await;
    let mut rows = Rows::default();
    let blob = format!("blobs/{}", image.layers[0].digest);
    for (target, labels) in [
        ("/v2/", "kind=\"ping\",outcome=\"hit\",status=\"200\""),
        (
            "/v2/library/nginx/manifests/1",
            "kind=\"manifest\",outcome=\"miss\",status=\"200\"",
        ),
        (
            "/v2/library/nginx/manifests/1",
            "kind=\"manifest\",outcome=\"hit\",status=\"200\"",
        ),
        (
            "/v2/library/nginx/manifests/2",
            "kind=\"manifest\",outcome=\"absent\",status=\"404\"",
        ),
        (
            "/v2/library/nginx/manifests/broken",
            "kind=\"manifest\",outcome=\"upstream\",status=\"503\"",
        ),
        (
            &format!("/v2/library/nginx/{blob}"),
            "kind=\"blob\",outcome=\"miss\",status=\"200\"",
        ),
        (
            &format!("/v2/library/nginx/{blob}"),
            "kind=\"blob\",outcome=\"hit\",status=\"200\"",
        ),
        (
            "/v2/library/nginx/tags/list",
            "kind=\"tags\",outcome=\"miss\",status=\"200\"",
        ),
        (
            "/v2/secret/a/manifests/1",
            "kind=\"manifest\",outcome=\"refused\",status=\"403\"",
        ),
        (
            "/v2/a/manifests/1?ns=unknown.example",
            "kind=\"manifest\",outcome=\"refused\",status=\"404\"",
        ),
        (
            "/v2/A/manifests/1",
            "kind=\"other\",outcome=\"client\",status=\"400\"",
        ),
        (
            "/nowhere",
            "kind=\"other\",outcome=\"client\",status=\"404\"",
        ),
    ] {
        let line = format!("roadstead_requests_total{{{labels}}} ");
        let count = |metrics: &str| {
            let found = metrics.lines().find_map(|one| one.strip_prefix(&line));
            found.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        let before = count(&mirror.metrics().await);
        mirror.get(target).reply().await;
        if target.contains("/blobs/") {
            mirror.keeps(1).await;
        }
        rows.same(
            &format!("{target}: {labels}"),
            count(&mirror.metrics().await),
            before + 1,
        );
    }
}

#[tokio::test]
async fn labels_never_come_from_requests() {
    let hub = FakeRegistry::start().await;
    hub.image("library/nginx", "1", &[]);
    let mirror = Mirror::of(&hub)
        .config("[[route]]\nfrom = \"*.corp\"\nto = [\"source\"]\n[freshness]\noffline = true")
        .start()
        .await;
    let ask = async |at: usize| {
        for target in [
            format!("/v2/a{at}/b/manifests/t{at}?ns=r{at}.example"),
            format!("/v2/a{at}/manifests/t{at}?ns=r{at}.corp"),
            format!("/v2/a{at}/tags/list"),
            format!("/r{at}.corp/v2/a/blobs/sha256:{at:064x}"),
            format!("/x{at}"),
        ] {
            mirror
                .get(&target)
                .with("User-Agent", &format!("u{at}"))
                .reply()
                .await;
        }
    };
    // Each outcome once, so that every series that may exist does.
    ask(0).await;
    let series = |metrics: String| {
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        let names = lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned());
        names.collect::<Vec<_>>()
    };
    let before = series(mirror.metrics().await);
    for at in 1..=200 {
        ask(at).await;
    }
    for method in ["POST", "BREW", "TRACE"] {
        raw(
            &mirror,
            format!("{method} /v2/ HTTP/1.1\r\nHost: m\r\n\r\n"),
        )
        .await;
    }
    let after = series(mirror.metrics().await);
    let new: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
    let refused = "roadstead_requests_total{kind=\"other\",outcome=\"client\",status=\"405\"}";
    assert_eq!(new, [refused]);
}
