//! Clients that drip, stall or stay idle.

use super::*;

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let scene = open(Settings {
        header_max: SOON,
        ..settings()
    });
    assert_eq!(scene.exchange("GET / HTTP/1.1\r\nHos").await, "");
    // So is the second head of a connection.
    let got = scene.exchange(get("/") + "GE").await;
    assert!(got.ends_with("hello"), "{got}");
    assert_eq!(scene.refused(), 2);
    scene.close().await;
}

#[tokio::test]
async fn a_silent_connection_ends_quietly() {
    let scene = open(Settings {
        idle_max: SOON,
        ..settings()
    });
    assert_eq!(scene.exchange("").await, "");
    let got = scene.exchange(get("/")).await;
    assert!(got.ends_with("hello"), "{got}");
    assert_eq!(scene.refused(), 0);
    scene.close().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let scene = open(Settings {
        progress_max: SOON,
        ..settings()
    });
    let mut client = scene.connect().await;
    client.send(get("/huge")).await;
    client.until("\r\n\r\n").await;
    // The stop alone would wait much longer for a running response.
    scene.stop.begin();
    assert!(scene.tasks.wait(DEADLINE).await);
    assert_eq!(scene.refused(), 1);
    let got = client.rest().await;
    assert!(got.len() < 400 * 256 * 1024, "{}", got.len());
    scene.close().await;
}

#[tokio::test]
async fn waiting_for_us_is_never_the_clients_fault() {
    let scene = open(Settings {
        progress_max: Duration::ZERO,
        header_max: Duration::ZERO,
        idle_max: SOON,
        ..settings()
    });
    let mut client = scene.connect().await;
    client.send(get("/wait")).await;
    scene.state.waiting.acquire().await.unwrap().forget();
    let other = scene.connect().await;
    // Once this one is cut off for its silence, the first has been silent for longer.
    assert_eq!(other.rest().await, "");
    scene.state.gate.add_permits(1);
    client.until("waited").await;
    drop(client);
    scene.close().await;
}

#[tokio::test]
async fn a_thousand_short_connections_leave_nothing() {
    let scene = open(settings());
    for _ in 0..1000 {
        let got = scene.exchange(get_last("/")).await;
        assert!(got.ends_with("hello"), "{got}");
    }
    scene.close().await;
}

#[tokio::test]
async fn at_the_limit_clients_wait_to_be_accepted() {
    let scene = open(Settings {
        connections_max: 1,
        ..settings()
    });
    let mut first = scene.connect().await;
    first.send(get("/")).await;
    first.until("hello").await;
    let mut second = scene.connect().await;
    second.send(get_last("/")).await;
    first.send(get("/")).await;
    first.until("hello").await;
    assert_eq!(scene.metric("roadstead_connections "), 1);
    drop(first);
    assert!(second.rest().await.ends_with("hello"));
    scene.close().await;
}
