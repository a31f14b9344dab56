//! TLS.

use fake_registry::bare::Ask;
use fake_registry::certificates::{Authority, connect};
use fake_registry::{FakeRegistry, Fault, Match, random_bytes};

#[tokio::test]
async fn a_registry_speaks_tls_to_whoever_trusts_it() {
    let ours = Authority::new("ours");
    let pair = ours.server(&["127.0.0.1", "registry.example"]);
    let hub = FakeRegistry::builder().bearer_anonymous().tls(&pair);
    let hub = hub.start().await;
    assert!(hub.url().starts_with("https://127.0.0.1:"));
    let ask = || Ask::new(hub.address(), "GET", "/v2/");
    let line = connect(hub.address(), "registry.example", &ours.pem, None);
    let reply = ask().reply_over(line.await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 401);
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains(&hub.url()), "{challenge}");

    let others = Authority::new("others");
    for (name, ca) in [("127.0.0.1", &others), ("other.example", &ours)] {
        assert!(connect(hub.address(), name, &ca.pem, None).await.is_err());
    }
    assert_eq!(hub.requests().len(), 1);
}

#[tokio::test]
async fn an_ended_certificate_is_refused() {
    let ours = Authority::new("ours");
    let hub = FakeRegistry::builder().tls(&ours.expired_server(&["127.0.0.1"]));
    let hub = hub.start().await;
    let line = connect(hub.address(), "127.0.0.1", &ours.pem, None).await;
    assert!(line.unwrap_err().to_string().contains("xpired"));
}

#[tokio::test]
async fn a_client_needs_a_certificate_where_one_is_asked_for() {
    let ours = Authority::new("ours");
    let hub = FakeRegistry::builder()
        .tls(&ours.server(&["127.0.0.1"]))
        .client_ca(&ours.pem)
        .start()
        .await;
    let others = Authority::new("others").client("node");
    let node = ours.client("node");
    for (client, is_in) in [(None, false), (Some(&others), false), (Some(&node), true)] {
        let reply = async {
            let line = connect(hub.address(), "127.0.0.1", &ours.pem, client)
                .await
                .ok()?;
            let ask = Ask::new(hub.address(), "GET", "/v2/");
            ask.reply_over(line).await.ok()
        };
        let status = reply.await.map(|reply| reply.status).unwrap_or_default();
        assert_eq!(status == 200, is_in);
    }
}

#[tokio::test]
async fn faults_work_over_tls_too() {
    let ours = Authority::new("ours");
    let hub = FakeRegistry::builder().tls(&ours.server(&["127.0.0.1"]));
    let hub = hub.start().await;
    let blob = hub.blob("a", random_bytes(100_000, 1));
    hub.next(Match::blobs(), Fault::CutAfter(70_000));
    for want in [70_000, 100_000] {
        let target = format!("/v2/a/blobs/{}", blob.digest);
        let line = connect(hub.address(), "127.0.0.1", &ours.pem, None);
        let ask = Ask::new(hub.address(), "GET", &target);
        let reply = ask.reply_over(line.await.unwrap()).await.unwrap();
        assert_eq!(reply.body, blob.bytes[..want]);
    }
}
