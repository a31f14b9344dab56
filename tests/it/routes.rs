//! The worked examples of routing, end to end: the requests that upstreams receive.

use fake_registry::{Content, FakeRegistry, Fault, Image, Match, bare::Reply, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    site::{blob_of, manifest_of, paths, route, upstream},
};

fn image(seed: u64) -> Image {
    Image::new(&[random_bytes(1000, seed)])
}

/// A registry with one image in each of these repositories, all under one tag.
async fn registry(repositories: &[&str], tag: &str) -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    for (seed, repository) in (1..).zip(repositories) {
        registry.put_image(repository, Some(tag), &image(seed));
    }
    registry
}

/// Pulls a manifest and all its blobs, as a node does.
async fn pull(mirror: &Mirror, registry: &str, repository: &str, tag: &str) -> Reply {
    let by_tag = manifest_of(mirror, registry, repository, tag).await;
    assert_eq!(
        by_tag.status, 200,
        "{registry}/{repository}:{tag}: {by_tag:?}"
    );
    let document = by_tag.json();
    let layers = document["layers"].as_array().unwrap().iter();
    for blob in layers.chain([&document["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let reply = blob_of(mirror, registry, repository, digest).await;
        assert_eq!(Content::new("", reply.whole().to_vec()).digest, digest);
    }
    let digest = Content::new("", by_tag.whole().to_vec()).digest;
    let by_digest = manifest_of(mirror, registry, repository, &digest).await;
    assert_eq!(by_digest.whole(), by_tag.whole());
    by_tag
}

/// Whether all that was asked lies in this repository.
fn only(registry: &FakeRegistry, repository: &str) -> bool {
    let below = format!("/v2/{repository}/");
    paths(registry).iter().all(|path| path.starts_with(&below))
}

#[tokio::test]
async fn w1_hub_below_a_path_with_and_without_library() {
    for there in ["library/nginx", "nginx"] {
        let path = format!("airgap-images/docker.io/{there}");
        let harbor = registry(&[&path], "1.25").await;
        let to = "\"harbor.example.org/airgap-images/docker.io\"";
        let routes = upstream("harbor.example.org", &harbor) + &route("docker.io", to, "");
        let mirror = Mirror::with(&routes).start().await;
        pull(&mirror, "docker.io", "library/nginx", "1.25").await;
        let asked = paths(&harbor);
        let first = "/v2/airgap-images/docker.io/library/nginx/manifests/1.25";
        assert_eq!(asked[0], first);
        assert_eq!(only(&harbor, &path), there == "library/nginx", "{asked:?}");
        // The same image in the other spellings of the request, from what is kept.
        let count = harbor.count(Match::blobs());
        for target in [
            "/v2/library/nginx/manifests/1.25",
            "/v2/nginx/manifests/1.25",
            "/v2/docker.io/library/nginx/manifests/1.25",
            "/v2/docker.io/nginx/manifests/1.25?ns=docker.io",
            "/docker.io/v2/library/nginx/manifests/1.25?ns=docker.io",
            "/docker.io/library/nginx/manifests/1.25?ns=docker.io",
            "/v2/library/nginx/manifests/1.25?ns=registry-1.docker.io",
            "/v2/library/nginx/manifests/1.25?ns=index.docker.io",
        ] {
            let reply = mirror.get(target).reply().await;
            assert_eq!(reply.status, 200, "IN: {target}");
        }
        assert_eq!(harbor.count(Match::blobs()), count);
        // The airgap's own list ends there: nothing goes to the Hub.
        let reply = manifest_of(&mirror, "docker.io", "library/other", "1").await;
        assert_eq!(failure(&reply), (404, "MANIFEST_UNKNOWN".into()));
    }
}

#[tokio::test]
async fn w2_two_equal_sources_are_one_repository() {
    let mine = registry(&["calico-mirror/cal-node"], "v3.27").await;
    let routes = upstream("myregistry.com", &mine)
        + "[[route]]\nfrom = [\"quay.io/calico\", \"docker.io/calico\"]\n\
           to = [\"myregistry.com/calico-mirror/cal-{name}\"]\n";
    let mirror = Mirror::with(&routes).config("[freshness]\ntag_fresh = \"1h\"");
    let mirror = mirror.start().await;
    pull(&mirror, "docker.io", "calico/node", "v3.27").await;
    let asked = mine.count(Match::any());
    pull(&mirror, "quay.io", "calico/node", "v3.27").await;
    assert_eq!(mine.count(Match::any()), asked, "shared");
    assert!(only(&mine, "calico-mirror/cal-node"));
    let reply = manifest_of(&mirror, "quay.io", "other/node", "v3.27").await;
    assert_eq!(failure(&reply), (404, "NAME_UNKNOWN".into()));
}

#[tokio::test]
async fn w3_kr01_to_kr04_the_last_element_below_one_path() {
    let names = [
        "cass-management-api",
        "dse-mgmtapi-6_8",
        "cass-config-builder",
        "system-logger",
    ];
    let there: Vec<_> = names.map(|name| format!("enterprise/{name}")).into();
    let there: Vec<_> = there.iter().map(String::as_str).collect();
    let mine = registry(&there, "latest").await;
    let to = "\"private-registry.local/enterprise/{name}\"";
    let routes = upstream("private-registry.local", &mine)
        + &route("ghcr.io/k8ssandra", to, "")
        + &route("docker.io/datastax", to, "");
    let mirror = Mirror::with(&routes).start().await;
    let sources = [
        ("ghcr.io", "k8ssandra/cass-management-api"),
        ("docker.io", "datastax/dse-mgmtapi-6_8"),
        ("docker.io", "datastax/cass-config-builder"),
        ("ghcr.io", "k8ssandra/system-logger"),
    ];
    for ((registry, repository), seed) in sources.into_iter().zip(1..) {
        let reply = pull(&mirror, registry, repository, "latest").await;
        assert_eq!(reply.whole(), image(seed).manifest.bytes);
    }
    let digest = &image(1).manifest.digest;
    let reply = manifest_of(&mirror, "docker.io", "k8ssandra/k8ssandra-client", digest).await;
    assert_eq!(
        failure(&reply),
        (404, "NAME_UNKNOWN".into()),
        "KR-07: no rule"
    );
}

#[tokio::test]
async fn w4_e01_to_e03_an_unqualified_name_leads_to_the_internal_registry() {
    let name = "iot-device-registry-infinispan";
    let there = format!("enmasse-infra/{name}");
    let internal = registry(&[&there], "latest").await;
    let routes = upstream("internal", &internal)
        + &route(
            &format!("docker.io/library/{name}"),
            "\"internal/enmasse-infra/{name}\"",
            "",
        );
    let mirror = Mirror::with(&routes).start().await;
    let reply = mirror
        .get(&format!("/v2/{name}/manifests/latest"))
        .reply()
        .await;
    assert_eq!(reply.whole(), image(1).manifest.bytes, "IN-14");
    pull(&mirror, "docker.io", &format!("library/{name}"), "latest").await;
    assert!(only(&internal, &there));
    let reply = manifest_of(&mirror, "docker.io", "library/nginx", "1").await;
    assert_eq!(reply.status, 404, "E-03: not hijacked");
    assert!(only(&internal, &there));
}

#[tokio::test]
async fn w5_e05_to_e09_mirrors_for_digests_and_mirrors_for_tags() {
    let corp = registry(&["enmasse/agent", "quay/coreos/etcd"], "1").await;
    let quay = registry(&["enmasse/agent", "enmasse/other", "coreos/etcd"], "1").await;
    let routes = upstream("registry.corp", &corp)
        + &upstream("quay.io", &quay)
        + &route(
            "quay.io/enmasse",
            "{ target = \"registry.corp/enmasse\", ref = \"digest\" }, \"source\"",
            "",
        )
        + &route(
            "quay.io",
            "{ target = \"registry.corp/quay\", ref = \"tag\" }",
            "",
        );
    let mirror = Mirror::with(&routes).start().await;
    let get = async |repository: &str, reference: &str| {
        manifest_of(&mirror, "quay.io", repository, reference).await
    };
    // E-05: the mirror, then the source.
    let agent = image(1).manifest;
    assert_eq!(
        get("enmasse/agent", &agent.digest).await.whole(),
        agent.bytes
    );
    assert_eq!(quay.count(Match::any()), 0);
    let other = image(2).manifest;
    assert_eq!(
        get("enmasse/other", &other.digest).await.whole(),
        other.bytes
    );
    assert_eq!(quay.count(Match::any()), 1);
    // E-06: by tag the source alone.
    let asked = corp.count(Match::any());
    assert_eq!(get("enmasse/agent", "1").await.whole(), agent.bytes);
    assert_eq!(corp.count(Match::any()), asked);
    // E-08, E-07 and E-09: an unknown digest is denied, until a tag has produced it.
    let etcd = image(2);
    let denied = get("coreos/etcd", &image(9).manifest.digest).await;
    assert_eq!(failure(&denied), (403, "DENIED".into()));
    let asked = quay.count(Match::any());
    let reply = pull(&mirror, "quay.io", "coreos/etcd", "1").await;
    assert_eq!(reply.whole(), etcd.manifest.bytes);
    assert_eq!(quay.count(Match::any()), asked, "never the source");
    let denied = get("coreos/etcd", &image(9).manifest.digest).await;
    assert_eq!(failure(&denied), (403, "DENIED".into()));
}

#[tokio::test]
async fn w6_a01_a02_one_image_has_a_list_of_its_own() {
    let corp = registry(&["astro/ap-houston-api", "astro/ap-airflow"], "2.2.5").await;
    let routes = upstream("registry.corp", &corp)
        + &route("quay.io/astronomer", "\"registry.corp/astro/{name}\"", "")
        + &route(
            "quay.io/astronomer/ap-airflow:*",
            "\"registry.corp/airflow-base\", \"registry.corp/astro/ap-airflow\"",
            "",
        );
    let config = "[freshness]\ntag_fresh = \"0s\"\nabsent = \"0s\"";
    let mirror = Mirror::with(&routes).config(config).start().await;
    pull(&mirror, "quay.io", "astronomer/ap-houston-api", "2.2.5").await;
    assert!(only(&corp, "astro/ap-houston-api"), "A-01");
    pull(&mirror, "quay.io", "astronomer/ap-airflow", "2.2.5").await;
    assert_eq!(
        corp.count(Match::manifest("airflow-base", "2.2.5")),
        1,
        "asked first"
    );
    // now the base repository has it, and comes first.
    corp.put_image("airflow-base", Some("2.2.5"), &image(7));
    let reply = pull(&mirror, "quay.io", "astronomer/ap-airflow", "2.2.5").await;
    assert_eq!(reply.whole(), image(7).manifest.bytes);
}

#[tokio::test]
async fn w7_one_tag_leads_elsewhere_and_its_digests_follow() {
    let mine = registry(&["patched-coolstuff"], "latest").await;
    let corp = registry(&["other/thing", "fantasy/coolstuff"], "v2").await;
    let routes = upstream("my-local-registry.com", &mine)
        + &upstream("m.corp", &corp)
        + &route(
            "ghcr.io/fantasy/coolstuff:v1.0",
            "\"my-local-registry.com/patched-coolstuff:latest\"",
            "",
        )
        + &route("ghcr.io", "\"m.corp\"", "");
    let mirror = Mirror::with(&routes).start().await;
    let reply = pull(&mirror, "ghcr.io", "fantasy/coolstuff", "v1.0").await;
    assert_eq!(reply.whole(), image(1).manifest.bytes);
    assert_eq!(corp.count(Match::any()), 0);
    let asked = mine.count(Match::any());
    let reply = pull(&mirror, "ghcr.io", "fantasy/coolstuff", "v2").await;
    assert_eq!(reply.whole(), image(2).manifest.bytes);
    assert_eq!(mine.count(Match::any()), asked);
    assert!(only(&corp, "fantasy/coolstuff"));
    let target = "/v2/fantasy/coolstuff/manifests/v1.0?ns=ghcr.io";
    let reply = mirror.get(target).reply().await;
    assert_eq!(reply.header("oci-namespace"), Some("ghcr.io"), "R023");
}

#[tokio::test]
async fn w8_nested_names_and_flat_names() {
    for there in ["k8s/coredns/coredns", "k8s/coredns"] {
        let corp = registry(&[there], "v1.11.1").await;
        let to = "\"h.corp/k8s/{repository}\", \"h.corp/k8s/{name}\"";
        let routes = upstream("h.corp", &corp) + &route("registry.k8s.io", to, "");
        let mirror = Mirror::with(&routes).start().await;
        pull(&mirror, "registry.k8s.io", "coredns/coredns", "v1.11.1").await;
        let asked = paths(&corp);
        assert_eq!(asked[0], "/v2/k8s/coredns/coredns/manifests/v1.11.1");
        assert_eq!(
            only(&corp, "k8s/coredns/coredns"),
            there == "k8s/coredns/coredns"
        );
    }
}

#[tokio::test]
async fn in11_ns_names_an_internal_registry_with_a_path_like_ours() {
    let harbor = registry(&["docker.io/library/nginx"], "1").await;
    let routes = upstream("harbor.corp", &harbor) + &route("harbor.corp", "\"source\"", "");
    let mirror = Mirror::with(&routes).start().await;
    pull(&mirror, "harbor.corp", "docker.io/library/nginx", "1").await;
    assert!(only(&harbor, "docker.io/library/nginx"));
}

#[tokio::test]
async fn r010_r011_names_may_hold_the_words_of_the_protocol() {
    let names = [
        "a/manifests/b",
        "a/blobs/b",
        "tags/list",
        "manifests",
        "v2/v2",
        "blobs/blobs",
    ];
    let hub = registry(&names, "list").await;
    let routes = upstream("hub", &hub) + &route("r.test", "\"hub\"", "");
    let mirror = Mirror::with(&routes).start().await;
    for (seed, name) in (1..).zip(names) {
        let reply = pull(&mirror, "r.test", name, "list").await;
        assert_eq!(reply.whole(), image(seed).manifest.bytes, "{name}");
    }
}

#[tokio::test]
async fn equal_endpoints_of_one_upstream_stand_in_for_each_other() {
    let (one, other) = (registry(&["a/b"], "1").await, registry(&["a/b"], "1").await);
    one.next(Match::any(), Fault::Status(503)).always();
    let routes = format!(
        "[upstream.hub]\nurl = [\"{}\", \"{}\"]\n",
        one.url(),
        other.url()
    ) + &route("r.test", "\"hub\"", "");
    let mirror = Mirror::with(&routes).start().await;
    pull(&mirror, "r.test", "a/b", "1").await;
    assert!(other.count(Match::any()) > 0);
}
