//! Requests, row by row: the response's status and the specification's code. Ids that begin with B
//! are rows of `docs/FAILURES.md`, with R of `docs/REQUIREMENTS.md`.
#![expect(clippy::too_many_lines, reason = "tables")]

use fake_registry::{Content, FakeRegistry, Image, Match, bare::Reply, media_type, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    rows::Rows,
};

const SEED: u64 = 44;

/// A mirror of `docker.io` with `library/nginx:1.25`, an image of one small layer.
pub(crate) async fn stage() -> (FakeRegistry, Image, Mirror) {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(1000, SEED)]);
    let mirror = Mirror::of(&hub).start().await;
    (hub, image, mirror)
}

/// Status and code; for a success no code. Every failure is the specification's JSON.
pub(crate) fn verdict(reply: &Reply) -> (u16, String) {
    if reply.status < 400 {
        return (reply.status, String::new());
    }
    let errors = reply.json();
    let first = &errors["errors"][0];
    assert!(
        first["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    failure(reply)
}

/// Asks each target with GET and with HEAD.
async fn check(mirror: &Mirror, table: &[(&str, &str, u16, &str)]) {
    let mut rows = Rows::default();
    for (id, target, status, code) in table {
        let row = format!("{id}: {target:?}");
        let got = mirror.get(target).reply().await;
        rows.same(&row, verdict(&got), (*status, (*code).to_owned()));
        let head = mirror.head(target).reply().await;
        rows.same(&format!("{row} HEAD"), head.status, *status);
        rows.same(&format!("{row} HEAD's body"), head.body, Vec::new());
    }
}

#[tokio::test]
async fn b001_to_b010_paths() {
    let (hub, _image, mirror) = stage().await;
    let long = format!("/v2/{}/manifests/1", "a".repeat(256));
    let table = [
        ("B001", "/v2", 200, ""),
        ("B001", "/v2/", 200, ""),
        ("B002", "/v1/_ping", 404, "NAME_UNKNOWN"),
        ("B002", "/foo", 404, "NAME_UNKNOWN"),
        ("R018", "/", 404, "NAME_UNKNOWN"),
        ("R018", "/favicon.ico", 404, "NAME_UNKNOWN"),
        ("R018", "/api/x", 404, "NAME_UNKNOWN"),
        ("R018", "/v2/library/nginx", 404, "NAME_UNKNOWN"),
        ("R018", "/v2/library/nginx/manifests", 404, "NAME_UNKNOWN"),
        ("R018", "/v2/library/nginx/v2/", 404, "NAME_UNKNOWN"),
        ("R018", "/v2/v2/", 404, "NAME_UNKNOWN"),
        ("R018", "/v3/", 404, "NAME_UNKNOWN"),
        ("B003", "/v2/Library/nginx/manifests/1", 400, "NAME_INVALID"),
        ("B004", "/v2/a//b/manifests/1", 400, "NAME_INVALID"),
        ("B005", "/v2/../../etc/manifests/1", 400, "NAME_INVALID"),
        (
            "B005",
            "/v2/%2e%2e%2f%2e%2e%2fetc/manifests/1",
            400,
            "NAME_INVALID",
        ),
        (
            "B005",
            "/v2/%2e%2e/%2E%2E/etc/manifests/1",
            400,
            "NAME_INVALID",
        ),
        ("B006", "/v2/a%2Fb/manifests/1", 400, "NAME_INVALID"),
        (
            "B006",
            "/v2/library/nginx/manifests%2f1.25",
            400,
            "NAME_INVALID",
        ),
        ("B007", "/v2/%252e%252e/manifests/1", 400, "NAME_INVALID"),
        ("B008", "/v2/a%00b/manifests/1", 400, "NAME_INVALID"),
        ("B008", "/v2/a%0d%0ab/manifests/1", 400, "NAME_INVALID"),
        ("B008", "/v2/a%ffb/manifests/1", 400, "NAME_INVALID"),
        ("B008", "/v2/a/manifests/1%00", 400, "NAME_INVALID"),
        ("B009", long.as_str(), 400, "NAME_INVALID"),
        ("B010", "/v2/a//manifests/1", 400, "NAME_INVALID"),
        ("B010", "/v2/a./manifests/1", 400, "NAME_INVALID"),
        ("B010", "/v2/a-/manifests/1", 400, "NAME_INVALID"),
        ("B010", "/v2/a___/manifests/1", 400, "NAME_INVALID"),
        ("B010", "/v2/a___b/manifests/1", 400, "NAME_INVALID"),
    ];
    check(&mirror, &table).await;
    assert_eq!(hub.requests().len(), 0, "R017: upstream was contacted");
}

#[tokio::test]
async fn b011_to_b019_namespaces() {
    let (hub, _image, mirror) = stage().await;
    let table = [
        ("B011", "unknown.example", 404, "NAME_UNKNOWN"),
        ("B011", "unknown.example:5000", 404, "NAME_UNKNOWN"),
        ("B012", "http://169.254.169.254/", 400, "NAME_INVALID"),
        ("B013", "user:pw@registry-1.docker.io", 400, "NAME_INVALID"),
        ("B014", "docker.io:99999", 400, "NAME_INVALID"),
        ("B014", "docker.io:", 400, "NAME_INVALID"),
        ("B015", "docker.io&ns=evil.example", 400, "NAME_INVALID"),
        ("B015", "docker.io&ns=docker.io", 400, "NAME_INVALID"),
        ("B017", "DOCKER.IO", 200, ""),
        ("B017", "docker.io.", 200, ""),
        ("B018", "xn--dcker-jua.io", 404, "NAME_UNKNOWN"),
        (
            "B018, which no reference can hold",
            "d%C3%B6cker.io",
            400,
            "NAME_INVALID",
        ),
        ("B019", "2130706433", 404, "NAME_UNKNOWN"),
        ("B019", "0x7f.1", 404, "NAME_UNKNOWN"),
        ("B019", "%5B::ffff:7f00:1%5D", 404, "NAME_UNKNOWN"),
        ("R002", "registry-1.docker.io", 200, ""),
        ("R002", "index.docker.io", 200, ""),
    ];
    let target = |ns: &str| format!("/v2/library/nginx/manifests/1.25?ns={ns}");
    let targets: Vec<_> = table.iter().map(|row| target(row.1)).collect();
    let table: Vec<_> = table
        .iter()
        .zip(&targets)
        .map(|(row, target)| (row.0, target.as_str(), row.2, row.3))
        .collect();
    check(&mirror, &table).await;
    assert!(hub.count(Match::manifests()) <= 2, "R002: one cache entry");
    let metrics = mirror.metrics().await;
    let asked = metrics
        .lines()
        .filter(|line| line.starts_with("roadstead_upstream_requests_total"));
    assert!(
        asked.clone().all(|line| line.contains("\"hub\"")),
        "B011: {metrics}"
    );

    let mirror = Mirror::of(&hub)
        .config("[server]\ndefault_registry = \"\"")
        .start()
        .await;
    let none = [
        (
            "B016",
            "/v2/library/nginx/manifests/1.25?ns=",
            400,
            "NAME_INVALID",
        ),
        (
            "IN-10",
            "/v2/library/nginx/manifests/1.25",
            404,
            "NAME_UNKNOWN",
        ),
    ];
    check(&mirror, &none).await;
}

#[tokio::test]
async fn b020_to_b027_references_and_digests() {
    let (hub, image, mirror) = stage().await;
    let big = Content::sha512(media_type::OCTETS, random_bytes(2000, SEED + 1));
    hub.put_blob("library/nginx", &big);
    let longest = "t".repeat(128);
    hub.tag("library/nginx", &longest, &image.manifest.digest);
    let of = |kind: &str, reference: &str| format!("/v2/library/nginx/{kind}/{reference}");
    let hex = |count: usize| "a".repeat(count);
    let layer = &image.layers[0].digest;
    let table = [
        ("R013", of("manifests", &longest), 200, ""),
        (
            "B020",
            of("manifests", &"t".repeat(129)),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            "B020",
            of("manifests", ".INVALID_MANIFEST_NAME"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        ("B020", of("manifests", "a%20b"), 404, "MANIFEST_UNKNOWN"),
        (
            "B020, where a colon means a digest",
            of("manifests", "a:b"),
            400,
            "DIGEST_INVALID",
        ),
        ("B021", of("blobs", "sha256:abc"), 400, "DIGEST_INVALID"),
        (
            "B021",
            of("blobs", &format!("sha256:{}", hex(63))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B021",
            of("blobs", &format!("sha256:{}", hex(65))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B021",
            of("blobs", &format!("sha256:{}", "A".repeat(64))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B021",
            of("manifests", &format!("sha256:{}", hex(63))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B022",
            of("blobs", &format!("md5:{}", hex(32))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B022",
            of("blobs", &format!("sha1:{}", hex(40))),
            400,
            "DIGEST_INVALID",
        ),
        (
            "B022",
            of("blobs", &format!("foo+bar:{}", hex(40))),
            400,
            "DIGEST_INVALID",
        ),
        ("B022", of("blobs", "latest"), 400, "DIGEST_INVALID"),
        ("B023", of("blobs", &big.digest), 200, ""),
        (
            "B024, no endpoint",
            of("blobs", "sha256:../../../../etc/passwd"),
            404,
            "NAME_UNKNOWN",
        ),
        (
            "B024",
            of("blobs", "sha256:..%2F..%2Fetc%2Fpasswd"),
            400,
            "NAME_INVALID",
        ),
        ("B024", of("blobs", "sha256:.."), 400, "DIGEST_INVALID"),
        (
            "B025",
            of("blobs", &format!("sha256:{}", hex(64))),
            404,
            "BLOB_UNKNOWN",
        ),
        ("B026", of("manifests", "absent"), 404, "MANIFEST_UNKNOWN"),
        (
            "B026",
            of("manifests", &format!("sha256:{}", hex(64))),
            404,
            "MANIFEST_UNKNOWN",
        ),
        ("B027", of("manifests", layer), 404, "MANIFEST_UNKNOWN"),
        ("B025", of("blobs", layer), 200, ""),
        (
            "B027, the blob kept",
            of("manifests", layer),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            "R045",
            of("blobs", &image.manifest.digest),
            404,
            "BLOB_UNKNOWN",
        ),
        (
            "containerd tries one after the other",
            of("manifests", &image.manifest.digest),
            200,
            "",
        ),
        ("B059", of("referrers", "sha256:abc"), 400, "DIGEST_INVALID"),
        ("B059", of("referrers", "latest"), 400, "DIGEST_INVALID"),
        (
            "B060",
            of("referrers", &format!("sha256:{}", hex(64))),
            200,
            "",
        ),
    ];
    let table: Vec<_> = table
        .iter()
        .map(|(id, target, status, code)| (*id, target.as_str(), *status, *code))
        .collect();
    check(&mirror, &table).await;
    let reply = mirror.blob("library/nginx", &big).reply().await;
    assert_eq!(reply.whole(), big.bytes, "R016");
}

#[tokio::test]
async fn r010_r011_names_are_split_from_the_right() {
    let (hub, _image, mirror) = stage().await;
    let mut rows = Rows::default();
    for name in [
        "a/manifests/b",
        "a/blobs",
        "manifests/blobs",
        "a/tags/list",
        "v2/x",
    ] {
        let image = hub.image(name, "t", &[random_bytes(500, SEED)]);
        let manifest = mirror.manifest(name, "t").reply().await;
        rows.same(name, &manifest.body, &image.manifest.bytes.to_vec());
        let blob = mirror.blob(name, &image.config).reply().await;
        rows.same(name, &blob.body, &image.config.bytes.to_vec());
    }
}

#[tokio::test]
async fn b053_b054_heads_of_what_is_kept_and_what_is_not() {
    let (hub, image, mirror) = stage().await;
    let mut rows = Rows::default();
    let layer = &image.layers[0];
    let blob = format!("/v2/library/nginx/blobs/{}", layer.digest);
    for (row, target, content) in [
        ("B054", blob.as_str(), layer),
        ("B054", "/v2/library/nginx/manifests/1.25", &image.manifest),
        ("B053", "/v2/library/nginx/manifests/1.25", &image.manifest),
    ] {
        let head = mirror.head(target).reply().await;
        rows.same(
            row,
            (head.status, head.body.len(), head.error),
            (200, 0, None),
        );
        let length = content.size().to_string();
        rows.same(row, head.header("content-length"), Some(length.as_str()));
        rows.same(
            row,
            head.header("docker-content-digest"),
            Some(content.digest.as_str()),
        );
        rows.same(row, head.header("transfer-encoding"), None);
    }
    rows.same(
        "B054: the blob was not fetched for its size",
        hub.served(layer).gets(),
        0,
    );
    assert_eq!(mirror.get(&blob).reply().await.whole(), layer.bytes);
    hub.down();
    let head = mirror.head(&blob).reply().await;
    rows.same("B053: kept", head.header("content-length"), Some("1000"));
}

#[tokio::test]
async fn b058_b072_what_a_mirror_has_not() {
    let (_hub, _image, mirror) = stage().await;
    let table = [
        ("B058, R093", "/v2/_catalog", 404, "UNSUPPORTED"),
        ("B058", "/v2/_catalog?n=10", 404, "UNSUPPORTED"),
        ("B072", "/metrics", 404, "NAME_UNKNOWN"),
        ("B072", "/debug", 404, "NAME_UNKNOWN"),
        ("B072", "/debug/pprof/", 404, "NAME_UNKNOWN"),
        ("B072", "/admin", 404, "NAME_UNKNOWN"),
        ("B072", "/livez", 404, "NAME_UNKNOWN"),
        ("B072", "/readyz", 404, "NAME_UNKNOWN"),
        ("B072", "/stored", 404, "NAME_UNKNOWN"),
        ("B072", "/v2/metrics", 404, "NAME_UNKNOWN"),
    ];
    check(&mirror, &table).await;
}
