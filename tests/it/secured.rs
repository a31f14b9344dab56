//! Registries over https: private authorities, client certificates, a proxy, and never a fallback to
//! plain text.

use std::{net::Ipv4Addr, path::Path};

use fake_registry::{
    Canary, FakeProxy, FakeRegistry, Fault, Image, Match,
    certificates::{Authority, Pair},
    random_bytes,
};

use futures_util::future::join_all;

use crate::{
    mirror::{ALWAYS_ASK, Builder, Mirror, PASSWORD, failure},
    site::route,
};

const REPOSITORY: &str = "library/nginx";

/// What one test writes for its mirror to read.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The line of configuration that names a file of this content.
    fn key(&self, key: &str, content: &str) -> String {
        let path = self.0.path().join(key);
        std::fs::write(&path, content).unwrap();
        format!("{key} = \"{}\"\n", Path::display(&path))
    }

    fn identity(&self, pair: &Pair) -> String {
        self.key("client_cert_file", &pair.certificate) + &self.key("client_key_file", &pair.key)
    }
}

/// A mirror of `docker.io` from `url`; `more` goes into the upstream's table.
fn mirror(url: &str, more: &str) -> Builder {
    let table = format!("[upstream.hub]\nurl = \"{url}\"\n{more}\n");
    let routes = table + &route("docker.io", "\"hub\"", "library = \"keep\"");
    Mirror::with(&routes).config(ALWAYS_ASK)
}

fn image(hub: &FakeRegistry) -> Image {
    hub.image(REPOSITORY, "1", &[random_bytes(100_000, 1)])
}

async fn secured(pair: &Pair) -> FakeRegistry {
    FakeRegistry::builder().tls(pair).start().await
}

#[tokio::test]
async fn a_proxy_and_an_authority_serve_the_token_host_and_the_storage_too() {
    let ours = Authority::new("ours");
    let pair = ours.server(&[
        "registry.corp.example",
        "auth.corp.example",
        "data.corp.example",
    ]);
    let tokens = FakeRegistry::builder().bearer("robot", PASSWORD).tls(&pair);
    let tokens = tokens.start().await;
    let hub = FakeRegistry::builder()
        .bearer("robot", PASSWORD)
        .realm("https://auth.corp.example/token")
        .tls(&pair)
        .start()
        .await;
    let image = image(&hub);
    let storage = secured(&pair).await;
    let layer = &image.layers[0];
    storage.place("/signed", layer);
    let mut to = http::Response::builder().status(307);
    to = to.header("location", "https://data.corp.example/signed");
    let to = Fault::Answer(to.body(bytes::Bytes::new()).unwrap());
    hub.next(Match::blob(layer), to);
    let proxy = FakeProxy::start().await;
    for (name, registry) in [("registry", &hub), ("auth", &tokens), ("data", &storage)] {
        proxy.lead(&format!("{name}.corp.example:443"), registry.address());
    }

    let files = Files::new();
    let login = "username = \"robot\"\npassword_file = \"password\"\n";
    let more = files.key("ca_file", &ours.pem) + login + &format!("proxy = \"{}\"", proxy.url());
    let mirror = mirror("https://registry.corp.example", &more).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    assert_eq!(tokens.count(Match::token()), 1);
    assert_eq!(storage.requests()[0].header("authorization"), None);
    let mut asked: Vec<_> = proxy.asked().into_iter().map(|one| one.target).collect();
    assert!(proxy.asked().iter().all(|one| one.method == "CONNECT"));
    asked.sort();
    asked.dedup();
    let all = ["auth", "data", "registry"].map(|name| format!("{name}.corp.example:443"));
    assert_eq!(asked, all);
}

#[tokio::test]
async fn a_registry_that_wants_our_certificate_gets_it() {
    let ours = Authority::new("ours");
    let hub = FakeRegistry::builder()
        .tls(&ours.server(&["127.0.0.1"]))
        .client_ca(&ours.pem)
        .start()
        .await;
    let image = image(&hub);
    let files = Files::new();
    let ca = files.key("ca_file", &ours.pem);
    let without = mirror(&hub.url(), &ca).start().await;
    let reply = without.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()));
    let strange = files.identity(&Authority::new("others").client("mirror"));
    let stranger = mirror(&hub.url(), &(ca.clone() + &strange)).start().await;
    let reply = stranger.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(failure(&reply), (403, "DENIED".into()));
    let more = ca + &files.identity(&ours.client("mirror"));
    let with = mirror(&hub.url(), &more).start().await;
    with.pulls(REPOSITORY, "1", &image, "").await;
}

#[tokio::test]
async fn b103_t37_a_bad_certificate_is_trouble_and_never_plain_text() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let pairs = [
        ("expired", ours.expired_server(&["127.0.0.1"])),
        ("another name", ours.server(&["other.example"])),
        ("unknown", others.server(&["127.0.0.1"])),
        ("a client's", ours.client("127.0.0.1")),
    ];
    let ca = &ours.pem;
    let scenes = pairs.map(|(what, pair)| async move {
        let hub = secured(&pair).await;
        image(&hub);
        let files = Files::new();
        let more = files.key("ca_file", ca);
        let mirror = mirror(&hub.url(), &more).start().await;
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()), "{what}");
        assert_eq!(hub.count(Match::any()), 0, "{what}");
    });
    join_all(scenes).await;
    let canary = Canary::on(Ipv4Addr::LOCALHOST).await;
    let url = format!("https://{}", canary.address());
    let soon = "[timeouts]\nconnect = \"200ms\"\nmanifest = \"500ms\"";
    let mirror = mirror(&url, "").config(soon).start().await;
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(failure(&reply), (503, "UNAVAILABLE".into()));
    let heard = canary.heard();
    assert!(!heard.is_empty());
    for text in heard {
        assert!(
            text.starts_with('\u{16}') && !text.contains("HTTP/1.1"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_kept_tag_outlives_its_registrys_certificate() {
    let ours = Authority::new("ours");
    let hub = secured(&ours.server(&["127.0.0.1"])).await;
    let image = image(&hub);
    let address = hub.address();
    let files = Files::new();
    let more = files.key("ca_file", &ours.pem);
    let mirror = mirror(&hub.url(), &more).start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    drop(hub);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let expired = ours.expired_server(&["127.0.0.1"]);
    let again = FakeRegistry::builder().listen(address).tls(&expired);
    let again = again.start().await;
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(reply.body, image.manifest.bytes);
    assert!(reply.header("warning").is_some());
    assert_eq!(again.count(Match::any()), 0);
}

#[tokio::test]
async fn b093_q23_from_https_no_redirect_leads_to_http() {
    let ours = Authority::new("ours");
    let hub = secured(&ours.server(&["127.0.0.1"])).await;
    let plain = FakeRegistry::start().await;
    let image = image(&hub);
    let layer = &image.layers[0];
    plain.place("/signed", layer);
    let to = format!("{}/signed", plain.url());
    hub.next(Match::blob(layer), Fault::RedirectTo(to));
    let files = Files::new();
    let more = files.key("ca_file", &ours.pem);
    let mirror = mirror(&hub.url(), &more).start().await;
    let reply = mirror.blob(REPOSITORY, layer).reply().await;
    assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()));
    assert_eq!(plain.count(Match::any()), 0);
}

#[tokio::test]
async fn t06_a_plain_realm_of_an_https_registry_gets_nothing() {
    let ours = Authority::new("ours");
    let canary = Canary::on(Ipv4Addr::LOCALHOST).await;
    let realm = format!("http://{}/token", canary.address());
    let hub = FakeRegistry::builder()
        .bearer("robot", PASSWORD)
        .realm(&realm)
        .tls(&ours.server(&["127.0.0.1"]))
        .start()
        .await;
    image(&hub);
    let files = Files::new();
    let login = "username = \"robot\"\npassword_file = \"password\"\nrealms = [\"127.0.0.1\"]";
    let more = files.key("ca_file", &ours.pem) + login;
    let mirror = mirror(&hub.url(), &more).start().await;
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert!([403, 502].contains(&failure(&reply).0));
    assert_eq!(canary.connections(), 0);
}
