//! Shutdown: readiness fails at once, running responses finish, idle connections close.

use fake_registry::{FakeRegistry, Fault, Gate, MIB, Match, bare::Reply, random_bytes};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::mirror::Mirror;

const SEED: u64 = 9;
const NAME: &str = "library/nginx";

#[tokio::test]
async fn a_stop_lets_answers_finish_and_nobody_else_in() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(6 * MIB, SEED));
    let (body, head) = (Gate::new(), Gate::new());
    hub.next(Match::blob(&blob), Fault::HoldAfter(MIB, body.clone()));
    hub.image(NAME, "1", &[]);
    hub.next(Match::manifests(), Fault::HoldHead(head.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let ready = async |mirror: &Mirror| mirror.probe("/readyz").reply().await.status;
    assert_eq!(ready(&mirror).await, 200);

    let mut idle = TcpStream::connect(mirror.address()).await.unwrap();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: m\r\n\r\n")
        .await
        .unwrap();
    assert_ne!(idle.read(&mut [0; 1024]).await.unwrap(), 0);
    let body_running = mirror.blob(NAME, &blob).open().await;
    let head_running = mirror.manifest(NAME, "1").open().await;
    hub.until(Match::blobs(), 1).await;
    hub.until(Match::manifests(), 1).await;

    mirror.begin_stop();
    assert_eq!(ready(&mirror).await, 503);
    assert_eq!(mirror.probe("/readyz").reply().await.body, b"draining\n");
    assert_eq!(mirror.probe("/livez").reply().await.status, 200);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "it ends, and with FIN");
    while TcpStream::connect(mirror.address()).await.is_ok() {
        // The listener closes on a task of its own.
        tokio::task::yield_now().await;
    }
    body.open();
    head.open();
    assert!(Reply::read(body_running).await.whole() == blob.bytes);
    assert_eq!(Reply::read(head_running).await.status, 200);
    mirror.stop().await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_cut_at_the_drains_end() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(6 * MIB, SEED));
    hub.next(Match::blob(&blob), Fault::StallAfter(MIB));
    let mirror = Mirror::of(&hub)
        .config("[timeouts]\ndrain = \"100ms\"")
        .start()
        .await;
    let running = mirror.blob(NAME, &blob).open().await;
    hub.until(Match::blobs(), 1).await;
    let (reply, _folder) = tokio::join!(Reply::read(running), mirror.stop());
    assert!(reply.body.len() < blob.size());
}
