//! How bodies, connections and the server end.

use tokio::net::UnixStream;

use super::*;

#[tokio::test]
async fn a_broken_body_ends_short_and_in_order() {
    let scene = open(settings());
    // `rest` fails at a reset.
    let got = scene.exchange(get("/broken") + &get("/")).await;
    assert!(got.contains("content-length: 20\r\n"), "{got}");
    assert!(got.ends_with("\r\n\r\n0123456789"), "{got}");
    // No byte before the failure is lost, however slow the client is.
    let got = scene.exchange(get("/huge-broken")).await;
    let (_head, body) = got.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 100 * 256 * 1024 + 10);
    assert!(body.ends_with("-0123456789"));
    scene.close().await;
}

#[tokio::test]
async fn a_stop_lets_a_running_body_finish_and_closes_idle_connections() {
    let scene = open(settings());
    let mut idle = scene.connect().await;
    idle.send(get("/")).await;
    idle.until("hello").await;
    let silent = scene.connect().await;
    let mut running = scene.connect().await;
    running.send(get("/growing")).await;
    scene.state.progress.lock().as_ref().unwrap().advance(4);
    running.until("0123").await;
    scene.stop.begin();
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
    scene.state.progress.lock().as_ref().unwrap().finish(10);
    assert_eq!(running.rest().await, "456789");
    scene.close().await;
}

#[tokio::test]
async fn during_the_grace_connections_are_still_accepted() {
    let scene = open(Settings {
        grace: Duration::from_hours(1),
        ..settings()
    });
    let mut kept = scene.connect().await;
    kept.send(get("/")).await;
    kept.until("hello").await;
    scene.stop.begin();
    kept.send(get("/")).await;
    kept.until("hello").await;
    assert!(scene.exchange(get_last("/")).await.ends_with("hello"));
    drop(kept);
    scene.stop.end();
    scene.close().await;
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let scene = open(Settings {
        drain_max: SOON,
        ..settings()
    });
    let mut running = scene.connect().await;
    running.send(get("/growing")).await;
    scene.state.progress.lock().as_ref().unwrap().advance(4);
    running.until("0123").await;
    scene.stop.begin();
    assert_eq!(running.rest().await, "");
    scene.close().await;
}

#[tokio::test]
async fn the_end_cuts_running_answers() {
    let scene = open(settings());
    let mut running = scene.connect().await;
    running.send(get("/wait")).await;
    scene.state.waiting.acquire().await.unwrap().forget();
    scene.stop.begin();
    scene.stop.end();
    assert_eq!(running.rest().await, "");
    scene.close().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_answer() {
    let scene = open(settings());
    let mut client = scene.connect().await;
    client.send(get("/wait")).await;
    scene.state.waiting.acquire().await.unwrap().forget();
    drop(client);
    scene.close().await;
}

#[tokio::test]
async fn a_unix_socket_serves_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roadstead.sock");
    let scene = open_at(
        settings(),
        &ListenAddress::Unix(path.clone()),
        LiveTls::default(),
    );
    assert_eq!(
        scene.address.to_string(),
        format!("unix:{}", path.display())
    );
    let mut client = UnixStream::connect(&path).await.unwrap();
    client
        .write_all(get_last("/remote").as_bytes())
        .await
        .unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();
    assert!(got.ends_with("unix"), "{got}");
    scene.close().await;
    assert!(!path.exists());
}
