//! Headers: HEAD and GET agree, no header of an upstream reaches clients, and none of a client
//! reaches upstreams.
#![expect(clippy::excessive_nesting, clippy::too_many_lines, reason = "tables")]

use std::collections::BTreeMap;

use bytes::Bytes;
use fake_registry::{FakeRegistry, Fault, MIB, Match, bare::Reply, media_type, random_bytes};
use http::Response;

use crate::{mirror::Mirror, rows::Rows};

const SEED: u64 = 24;

/// Every header that a mirror's answers may have.
const OURS: &[&str] = &[
    "accept-ranges",
    "connection",
    "content-length",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "link",
    "oci-filters-applied",
    "oci-namespace",
];

/// All headers but the time, each once.
fn fields(reply: &Reply) -> BTreeMap<&str, &str> {
    let mut fields = BTreeMap::new();
    for (name, value) in reply.headers().filter(|(name, _)| *name != "date") {
        assert!(OURS.contains(&name), "{name}: {value}");
        assert_eq!(fields.insert(name, value), None, "{name} twice");
    }
    fields
}

#[tokio::test]
async fn r024_to_r026_r049_to_r052_head_and_get_say_the_same() {
    let hub = FakeRegistry::start().await;
    let layers = [
        random_bytes(5 * MIB, SEED),
        random_bytes(70_000, SEED),
        random_bytes(10, SEED),
    ];
    let image = hub.image("library/nginx", "1.25", &layers);
    hub.index("library/nginx", "all", &[&image]);
    hub.attach("library/nginx", &image.manifest, "text/sbom", "s");
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    let mut targets = vec![
        "/v2/".to_owned(),
        "/nowhere".to_owned(),
        "/v2/library/nginx/manifests/1.25".to_owned(),
        "/v2/library/nginx/manifests/1.25?ns=docker.io".to_owned(),
        "/v2/library/nginx/manifests/all".to_owned(),
        "/v2/library/nginx/manifests/absent".to_owned(),
        format!("/v2/library/nginx/manifests/{}", image.manifest.digest),
        "/v2/library/nginx/tags/list?n=1".to_owned(),
        format!(
            "/v2/library/nginx/referrers/{}?artifactType=text/sbom",
            image.manifest.digest
        ),
    ];
    let blobs = image.layers.iter().chain([&image.config]);
    targets
        .extend(blobs.map(|blob| format!("/v2/library/nginx/blobs/{}?ns=docker.io", blob.digest)));
    for round in ["cold", "kept"] {
        for target in &targets {
            let row = format!("{round}: {target}");
            let head = mirror.head(target).reply().await;
            let get = mirror.get(target).reply().await;
            rows.same(&row, head.status, get.status);
            rows.same(&row, fields(&head), fields(&get));
            rows.same(&row, head.body.len(), 0);
            rows.same(
                &row,
                head.header("content-length"),
                Some(get.body.len().to_string().as_str()),
            );
            rows.same(&row, get.header("transfer-encoding"), None);
            if target.contains("/blobs/") {
                rows.same(&row, get.header("accept-ranges"), Some("bytes"));
                rows.same(
                    &row,
                    get.header("content-type"),
                    Some("application/octet-stream"),
                );
                let digest = get.header("docker-content-digest").unwrap_or_default();
                rows.holds(&row, target.contains(digest) && !digest.is_empty(), &digest);
            }
        }
        mirror.keeps(4).await;
    }
    for (target, digest, kind) in [(
        "/v2/library/nginx/manifests/1.25",
        &image.manifest.digest,
        media_type::MANIFEST,
    )] {
        let reply = mirror.head(target).reply().await;
        rows.same(
            target,
            reply.header("docker-content-digest"),
            Some(digest.as_str()),
        );
        rows.same(
            target,
            reply.header("etag"),
            Some(format!("\"{digest}\"").as_str()),
        );
        rows.same(target, reply.header("content-type"), Some(kind));
    }
}

#[tokio::test]
async fn r094_no_header_of_an_upstream_gets_through() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(1000, SEED)]);
    let noisy = |status: u16, kind: &str, body: Bytes| {
        let answer = Response::builder()
            .status(status)
            .header("content-type", kind)
            .header("Set-Cookie", "session=1")
            .header("Via", "1.1 varnish")
            .header("RateLimit-Limit", "100;w=21600")
            .header("RateLimit-Remaining", "7;w=21600")
            .header("Docker-RateLimit-Source", "10.0.0.1")
            .header("Retry-After", "77")
            .header("Alt-Svc", "h3=\":443\"")
            .header("Warning", "299 - \"old\"")
            .header("Strict-Transport-Security", "max-age=1")
            .header(
                "WWW-Authenticate",
                "Bearer realm=\"http://127.0.0.2:9/evil\"",
            )
            .header("X-Registry-Supports-Signatures", "1")
            .header("Cache-Control", "no-store")
            .header("Content-Disposition", "attachment")
            .header("Server", "upstream")
            .header("ETag", "\"upstream\"")
            .header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            .header("Location", "http://127.0.0.2:9/evil")
            .header("OCI-Namespace", "evil.example")
            .header("Link", "<http://127.0.0.2:9/evil>; rel=\"prev\"");
        Fault::Answer(answer.body(body).unwrap())
    };
    let layer = &image.layers[0];
    let digest = &image.manifest.digest;
    let index = "{\"schemaVersion\":2,\"manifests\":[]}";
    for (which, fault) in [
        (
            Match::manifest("library/nginx", "1.25"),
            noisy(200, media_type::MANIFEST, image.manifest.bytes.clone()),
        ),
        (
            Match::manifest("library/nginx", "absent"),
            noisy(404, "text/html", "<html>".into()),
        ),
        (
            Match::manifest("library/nginx", "denied"),
            noisy(403, "text/html", "<html>".into()),
        ),
        (
            Match::manifest("library/nginx", "login"),
            noisy(401, "text/html", "<html>".into()),
        ),
        (
            Match::manifest("library/nginx", "throttled"),
            noisy(503, "text/html", "<html>".into()),
        ),
        (
            Match::blob(layer),
            noisy(200, "text/plain", layer.bytes.clone()),
        ),
        (
            Match::tags("library/nginx"),
            noisy(
                200,
                "application/json",
                "{\"name\":\"x\",\"tags\":[\"a\"]}".into(),
            ),
        ),
        (
            Match::referrers("library/nginx"),
            noisy(200, media_type::INDEX, index.into()),
        ),
    ] {
        hub.next(which, fault).always();
    }
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    for (target, status) in [
        ("manifests/1.25".to_owned(), 200),
        (format!("blobs/{}", layer.digest), 200),
        ("tags/list".to_owned(), 200),
        (format!("referrers/{digest}"), 200),
        ("manifests/absent".to_owned(), 404),
        ("manifests/denied".to_owned(), 403),
        // The token service that it names is nowhere.
        ("manifests/login".to_owned(), 503),
        ("manifests/throttled".to_owned(), 503),
    ] {
        let target = format!("/v2/library/nginx/{target}");
        for ask in [mirror.head(&target), mirror.get(&target)] {
            let reply = ask.reply().await;
            let retry_after = reply.header("retry-after").map(str::to_owned);
            rows.holds(
                &target,
                retry_after.as_deref() != Some("77") || status == 503,
                &reply,
            );
            // A mirror's own wait may be what upstream asked for, but only where it fails.
            let others = reply.headers().filter(|(name, _)| *name != "retry-after");
            let foreign: Vec<_> = others.filter(|(name, _)| !OURS.contains(name)).collect();
            rows.same(&target, foreign, Vec::new());
            rows.holds(&target, !format!("{reply:?}").contains("evil"), &reply);
            rows.holds(
                &target,
                reply.header("etag") != Some("\"upstream\""),
                &reply,
            );
            rows.same(&target, reply.status, status);
        }
    }
}

#[tokio::test]
async fn r035_r084_r109_nothing_of_a_client_goes_up() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(1000, SEED)]);
    let mirror = Mirror::of(&hub).start().await;
    let blob = format!("/v2/library/nginx/blobs/{}", image.layers[0].digest);
    for target in [
        "/v2/library/nginx/manifests/1.25",
        "/v2/library/nginx/tags/list",
        blob.as_str(),
    ] {
        let reply = mirror
            .get(target)
            .with("Authorization", "Basic c2VjcmV0OnNlY3JldA==")
            .with("Cookie", "a=secret")
            .with("X-Secret", "secret")
            .with("X-Forwarded-For", "10.9.8.7")
            .with("User-Agent", "secret/1")
            .with("Accept", "application/vnd.secret")
            .with("Accept-Encoding", "gzip")
            .with("If-None-Match", "\"secret\"")
            .with("Referer", "http://secret/")
            .with("Via", "1.1 secret (secret)")
            .reply()
            .await;
        assert_eq!(reply.status, 200, "{target}");
    }
    for request in hub.requests() {
        for (name, value) in &request.headers {
            let value = value.to_str().unwrap().to_lowercase();
            assert!(
                !value.contains("secret") && !value.contains("10.9.8.7"),
                "{name}: {value}"
            );
        }
        let encoding = request.header("accept-encoding");
        assert!(
            encoding.is_none_or(|value| value == "identity"),
            "{encoding:?}"
        );
        if request.path.contains("/manifests/") {
            let accept = request.header("accept").unwrap();
            for kind in [
                media_type::INDEX,
                media_type::MANIFEST,
                media_type::DOCKER_LIST,
                media_type::DOCKER_MANIFEST,
            ] {
                assert!(accept.contains(kind), "R035: {accept}");
            }
        }
    }
}

#[tokio::test]
async fn b051_r095_not_modified_only_if_asked() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(1000, SEED)]);
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    let blob = format!(
        "/v2/library/nginx/blobs/{}?ns=docker.io",
        image.layers[0].digest
    );
    let manifest = "/v2/library/nginx/manifests/1.25?ns=docker.io";
    for (target, digest) in [
        (manifest, &image.manifest.digest),
        (&blob, &image.layers[0].digest),
    ] {
        for (tags, status) in [
            (None, 200),
            (Some(format!("\"{digest}\"")), 304),
            (Some(format!("W/\"{digest}\"")), 304),
            (Some(format!("\"other\", \"{digest}\"")), 304),
            (Some("*".to_owned()), 304),
            (Some("\"other\"".to_owned()), 200),
            (Some(digest.clone()), 200),
            (Some(String::new()), 200),
        ] {
            for ask in [mirror.get(target), mirror.head(target)] {
                let ask = tags
                    .iter()
                    .fold(ask, |ask, tags| ask.with("If-None-Match", tags));
                let reply = ask.reply().await;
                let row = format!("{target} {tags:?}");
                rows.same(&row, reply.status, status);
                rows.same(
                    &row,
                    reply.header("etag"),
                    Some(format!("\"{digest}\"").as_str()),
                );
                rows.same(&row, reply.header("oci-namespace"), Some("docker.io"));
                if status == 304 {
                    rows.same(
                        &row,
                        (reply.body.len(), reply.header("content-length")),
                        (0, None),
                    );
                }
            }
        }
    }
}
