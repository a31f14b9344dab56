//! Lists of tags and referrers: pages, links, filters, and upstreams that fail.
#![expect(clippy::excessive_nesting, reason = "a walk over pages in a table")]

use fake_registry::{FakeRegistry, Fault, Link, Match, bare::Reply, media_type, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    rows::Rows,
};

const NAME: &str = "library/nginx";
const SEED: u64 = 96;

/// Where the link to the next page leads.
fn next(reply: &Reply) -> Option<String> {
    let link = reply.header("link")?;
    let target = link
        .strip_prefix('<')
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap();
    assert!(target.starts_with('/'), "relative: {link}");
    Some(target.to_owned())
}

/// The tags of an answer that lists some.
pub(crate) fn tags(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let list = reply.json()["tags"].clone();
    serde_json::from_value(list).unwrap()
}

/// A hub with tags `t00` to `t24`, which gives at most `page` at once.
async fn hub(page: usize) -> FakeRegistry {
    let hub = FakeRegistry::builder().page_size(page).start().await;
    let image = hub.image(NAME, "t00", &[random_bytes(10, SEED)]);
    for at in 1..25 {
        hub.tag(NAME, &format!("t{at:02}"), &image.manifest.digest);
    }
    hub
}

#[tokio::test]
async fn r096_links_lead_to_the_end_in_every_shape() {
    let all: Vec<_> = (0..25).map(|at| format!("t{at:02}")).collect();
    for page in [1000, 7] {
        let hub = hub(page).await;
        let mirror = Mirror::of(&hub)
            .config("[aliases]\n\"airgap-images/docker.io\" = \"docker.io\"")
            .start()
            .await;
        for (prefix, query) in [
            ("/v2/library/nginx", "ns=docker.io&n=10"),
            ("/v2/library/nginx", "n=10&ns=docker.io"),
            ("/library/nginx", "ns=docker.io&n=10"),
            ("/v2/docker.io/library/nginx", "n=10"),
            ("/v2/docker.io/library/nginx", "n=10&ns=docker.io"),
            ("/docker.io/v2/library/nginx", "n=10"),
            ("/docker.io/library/nginx", "n=10&ns=docker.io"),
            ("/v2/nginx", "n=10"),
            ("/v2/airgap-images/docker.io/library/nginx", "n=10"),
            (
                "/airgap-images/docker.io/v2/library/nginx",
                "n=10&ns=docker.io",
            ),
            ("/v2/docker.io/v2/nginx", "n=3"),
        ] {
            let path = format!("{prefix}/tags/list");
            let mut target = Some(format!("{path}?{query}"));
            let mut found = Vec::new();
            while let Some(here) = target {
                let reply = mirror.get(&here).reply().await;
                found.extend(tags(&reply));
                target = next(&reply);
                if let Some(target) = &target {
                    assert!(
                        target.starts_with(&format!("{path}?")),
                        "prefix kept: {target}"
                    );
                    assert_eq!(
                        target.contains("ns=docker.io"),
                        query.contains("ns="),
                        "{target}"
                    );
                }
            }
            assert_eq!(found, all, "{prefix} {query}");
        }
    }
}

#[tokio::test]
async fn b055_to_b057_r097_stretches_of_a_list() {
    let hub = hub(1000).await;
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    let list = |query: &str| mirror.get(&format!("/v2/{NAME}/tags/list{query}")).reply();
    for (row, query, first, count, more) in [
        ("all", "", "t00", 25, false),
        ("B055", "?n=0", "", 0, false),
        ("B055", "?n=0&last=t03", "", 0, false),
        ("B057", "?n=1000000000", "t00", 25, false),
        ("B057", "?n=99999999999999999999999", "t00", 25, false),
        ("R096", "?n=2", "t00", 2, true),
        ("R096", "?n=25", "t00", 25, false),
        ("last is exclusive", "?last=t03", "t04", 21, false),
        ("last and n", "?n=2&last=t03", "t04", 2, true),
        ("last need not exist", "?last=t03a", "t04", 21, false),
        ("the last", "?last=t24", "", 0, false),
        ("unknown keys", "?foo=bar&n=1", "t00", 1, true),
    ] {
        let reply = list(query).await;
        let found = tags(&reply);
        rows.same(&format!("{row}: {query}"), found.len(), count);
        rows.same(row, found.first().map_or("", String::as_str), first);
        rows.same(&format!("{row}: {query}"), next(&reply).is_some(), more);
        rows.same(row, reply.header("content-type"), Some("application/json"));
        rows.same(row, reply.json()["name"].as_str(), Some(NAME));
    }
    for query in ["?n=-1", "?n=x", "?n=", "?n=1.5", "?n=+1"] {
        rows.same(
            &format!("B056: {query}"),
            failure(&list(query).await),
            (400, "UNSUPPORTED".to_owned()),
        );
    }
    rows.same("n twice", failure(&list("?n=1&n=2").await).0, 400);
    let absent = mirror.get("/v2/library/absent/tags/list").reply().await;
    rows.same("absent", failure(&absent), (404, "NAME_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn b057_a_clamped_page_has_a_link() {
    let hub = FakeRegistry::builder().page_size(5000).start().await;
    let image = hub.image(NAME, "t0000", &[]);
    for at in 1..1500 {
        hub.tag(NAME, &format!("t{at:04}"), &image.manifest.digest);
    }
    let mirror = Mirror::of(&hub).start().await;
    let first = mirror
        .get(&format!("/v2/{NAME}/tags/list?n=1000000000"))
        .reply()
        .await;
    assert_eq!(tags(&first).len(), 1000);
    let second = mirror.get(&next(&first).unwrap()).reply().await;
    assert_eq!((tags(&second).len(), next(&second)), (500, None));
}

#[tokio::test]
async fn q35_links_of_every_style_are_understood_and_none_is_relayed() {
    for link in [
        Link::Absolute,
        Link::Relative,
        Link::Foreign("http://evil.example".into()),
    ] {
        let hub = hub(10).await;
        hub.next(Match::tags(NAME), Fault::Link(link)).always();
        let mirror = Mirror::of(&hub).start().await;
        let mut target = Some(format!("/v2/{NAME}/tags/list"));
        let mut count = 0;
        while let Some(here) = target {
            let reply = mirror.get(&here).reply().await;
            count += tags(&reply).len();
            target = next(&reply);
        }
        assert_eq!(count, 25);
    }
}

#[tokio::test]
async fn r098_a_failing_upstream_is_never_an_empty_list() {
    let hub = hub(1000).await;
    for (fault, status) in [
        (Fault::Status(500), 503),
        (Fault::Status(503), 503),
        (Fault::Status(429), 503),
        (Fault::HangUp, 503),
        (Fault::Reset, 503),
        (Fault::Html, 502),
        (Fault::CutAfter(5), 503),
    ] {
        let row = format!("{fault:?}");
        let scripted = hub.next(Match::tags(NAME), fault).always();
        let mirror = Mirror::of(&hub).start().await;
        let reply = mirror.get(&format!("/v2/{NAME}/tags/list")).reply().await;
        let (got, code) = failure(&reply);
        assert!(
            (got == status || got == 502) && code == "UNAVAILABLE",
            "{row}: {reply:?}"
        );
        scripted.stop();
    }
    let mirror = Mirror::of(&hub).start().await;
    hub.down();
    let reply = mirror.get(&format!("/v2/{NAME}/tags/list")).reply().await;
    assert_eq!(failure(&reply), (503, "UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn r099_referrers_are_passed_on_filtered_or_not() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "1", &[random_bytes(10, SEED)]);
    let sbom = hub.attach(NAME, &image.manifest, "text/sbom", "a");
    let signature = hub.attach(NAME, &image.manifest, "text/sig", "b");
    let mirror = Mirror::of(&hub).start().await;
    let digest = &image.manifest.digest;
    let mut rows = Rows::default();
    for (query, found, filtered) in [
        ("", 2, None),
        ("?ns=docker.io", 2, None),
        ("?artifactType=text/sbom", 1, Some("artifacttype")),
        (
            "?artifactType=text%2Fsig&ns=docker.io",
            1,
            Some("artifacttype"),
        ),
        ("?artifactType=none", 0, Some("artifacttype")),
    ] {
        let reply = mirror
            .get(&format!("/v2/{NAME}/referrers/{digest}{query}"))
            .reply()
            .await;
        rows.same(
            query,
            (reply.status, reply.header("content-type")),
            (200, Some(media_type::INDEX)),
        );
        rows.same(query, reply.header("oci-filters-applied"), filtered);
        let index = reply.json();
        rows.same(
            query,
            index["manifests"].as_array().map(Vec::len),
            Some(found),
        );
    }
    for artifact in [&sbom, &signature] {
        let reply = mirror
            .manifest(NAME, &artifact.manifest.digest)
            .reply()
            .await;
        rows.same(
            "the artifact itself",
            reply.body,
            artifact.manifest.bytes.to_vec(),
        );
    }
}

#[tokio::test]
async fn r099_pages_of_referrers_are_followed_by_upstreams_own_words() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "1", &[random_bytes(10, SEED)]);
    hub.attach(NAME, &image.manifest, "text/sbom", "a");
    let digest = &image.manifest.digest;
    // What upstream calls its next page may look like words of our own.
    let theirs = "token=a%2Fb%26c&ns=theirs&artifactType=text%2Fsbom";
    let link = format!("<http://evil.example/v2/x?{theirs}>; rel=\"next\"");
    hub.next(Match::referrers(NAME), Fault::Header("link".into(), link));
    let mirror = Mirror::of(&hub).start().await;
    let first =
        format!("/docker.io/v2/{NAME}/referrers/{digest}?artifactType=text/sbom&ns=docker.io");
    let reply = mirror.get(&first).reply().await;
    let next = next(&reply).unwrap();
    assert!(
        next.starts_with(&format!("/docker.io/v2/{NAME}/referrers/{digest}?")),
        "{next}"
    );
    assert!(
        next.contains("ns=docker.io") && !next.contains("evil"),
        "{next}"
    );
    // The client lowers nothing; this test's reader does.
    let next = next
        .replace("artifacttype", "artifactType")
        .replace("%2f", "%2F");
    let reply = mirror.get(&next).reply().await;
    assert_eq!((reply.status, reply.header("link")), (200, None));
    let asked: Vec<_> = hub
        .requests()
        .into_iter()
        .filter(|one| one.path.contains("/referrers/"))
        .collect();
    assert_eq!(asked[1].path, format!("/v2/{NAME}/referrers/{digest}"));
    assert!(
        asked[1]
            .query
            .as_deref()
            .unwrap()
            .eq_ignore_ascii_case(theirs),
        "{:?}",
        asked[1].query
    );
}

#[tokio::test]
async fn r100_r101_without_the_api_there_is_no_empty_list() {
    let hub = FakeRegistry::builder().no_referrers().start().await;
    let image = hub.image(NAME, "1", &[random_bytes(10, SEED)]);
    let mirror = Mirror::of(&hub).start().await;
    let target = format!("/v2/{NAME}/referrers/{}", image.manifest.digest);
    // Kept or not, a mirror does not know what it was never told.
    mirror.manifest(NAME, "1").reply().await;
    let reply = mirror.get(&target).reply().await;
    assert_eq!(failure(&reply), (404, "UNSUPPORTED".to_owned()));
    let hub = FakeRegistry::start().await;
    for (fault, want) in [
        (Fault::Status(404), 404),
        (Fault::Status(405), 404),
        (Fault::Status(501), 404),
        (Fault::Status(500), 503),
        (Fault::HangUp, 503),
        (Fault::Html, 502),
    ] {
        let row = format!("{fault:?}");
        let scripted = hub.next(Match::referrers(NAME), fault).always();
        let mirror = Mirror::of(&hub).start().await;
        let (status, code) = failure(&mirror.get(&target).reply().await);
        let known = if want == 404 {
            "UNSUPPORTED"
        } else {
            "UNAVAILABLE"
        };
        assert_eq!((status, code.as_str()), (want, known), "{row}");
        scripted.stop();
    }
}
