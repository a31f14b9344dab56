//! Nodes that come by TLS.

use rustls::version::{TLS12, TLS13};

use super::{
    nodes::{Authority, HTTP1, HTTP2, NO_WORD},
    *,
};

#[tokio::test]
async fn nodes_speak_what_they_offer_and_http1_without_a_word() {
    let house = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&house.tls(None))), settings());
    for (words, spoken) in [
        (NO_WORD, None),
        (HTTP1, Some("http/1.1")),
        (HTTP2, Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
    ] {
        let stream = scene.meet(&house.node(words, None)).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol();
        assert_eq!(agreed, spoken.map(str::as_bytes), "{words:?}");
    }
    let other = house.node(&["spdy/3"], None);
    assert!(scene.meet(&other).await.is_err());
    let mut client = Client(scene.meet(&house.node(NO_WORD, None)).await.unwrap());
    for _ in 0..3 {
        client.send(get("/file")).await;
        let got = client.until("0123456789").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    }
    client.send(get_last("/remote")).await;
    // `rest` fails if the end is not an orderly one, with a last word of TLS.
    assert!(client.rest().await.contains("127.0.0.1:"));
    scene.close().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let house = Authority::new();
    let brief = Settings {
        header_max: SOON,
        ..settings()
    };
    let scene = open_behind(LiveTls::new(Some(&house.tls(None))), brief);
    assert_eq!(scene.exchange("").await, "");
    assert_eq!(scene.exchange("\u{16}\u{3}\u{1}").await, "");
    assert_eq!(scene.refused(), 2);
    scene.close().await;
}

#[tokio::test]
async fn slow_handshakes_do_not_keep_others_waiting() {
    let house = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&house.tls(None))), settings());
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(scene.connect().await);
    }
    let told = scene.ask(&house.node(NO_WORD, None)).await.unwrap();
    assert!(told.text.ends_with("hello"), "{told:?}");
    // They count as connections, and a stop does not wait for them.
    assert!(scene.metric("roadstead_connections ") >= 50);
    scene.close().await;
}

#[tokio::test]
async fn plain_http_at_a_tls_port_ends_without_an_answer() {
    let house = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&house.tls(None))), settings());
    let got = scene.exchange(get("/")).await;
    assert!(!got.contains("HTTP"), "{got}");
    assert_eq!(scene.refused(), 1);
    // Whoever only looks whether the port is open is no trouble.
    drop(scene.connect().await);
    let told = scene.ask(&house.node(NO_WORD, None)).await.unwrap();
    assert!(told.text.ends_with("hello"), "{told:?}");
    assert_eq!(scene.refused(), 1);
    scene.close().await;
}

#[tokio::test]
async fn b068_only_clients_of_the_authority_get_in() {
    let (house, nodes, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let scene = open_behind(LiveTls::new(Some(&house.tls(Some(&nodes)))), settings());
    let (own, foreign) = (nodes.identity(), strangers.identity());
    for version in [&TLS12, &TLS13] {
        let node = |own| house.node_of(&[version], NO_WORD, own);
        let refused = scene.refused();
        // Each is told why by an alert, not by a reset.
        for stranger in [None, Some(&foreign)] {
            let error = scene.ask(&node(stranger)).await.unwrap_err().to_string();
            assert!(
                error.contains("received fatal alert"),
                "{version:?}: {error}"
            );
        }
        assert_eq!(scene.refused(), refused + 2);
        let told = scene.ask(&node(Some(&own))).await.unwrap();
        assert!(told.text.ends_with("hello"), "{told:?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn what_was_agreed_with_old_settings_opens_nothing() {
    let (house, nodes, others) = (Authority::new(), Authority::new(), Authority::new());
    let door = LiveTls::new(Some(&house.tls(None)));
    let scene = open_behind(door.clone(), settings());
    for version in [&TLS12, &TLS13] {
        door.set(Some(&house.tls(None)));
        let node = house.node_of(&[version], NO_WORD, Some(&nodes.identity()));
        assert!(!scene.ask(&node).await.unwrap().resumed);
        assert!(scene.ask(&node).await.unwrap().resumed, "{version:?}");
        door.set(Some(&house.tls(None)));
        assert!(!scene.ask(&node).await.unwrap().resumed);
        door.set(Some(&house.tls(Some(&nodes))));
        // With certificates of clients every handshake is a whole one.
        assert!(!scene.ask(&node).await.unwrap().resumed);
        assert!(!scene.ask(&node).await.unwrap().resumed);
        door.set(Some(&house.tls(Some(&others))));
        assert!(scene.ask(&node).await.is_err());
    }
    scene.close().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_only() {
    let house = Authority::new();
    let (old, new) = (house.tls(None), house.tls(None));
    let door = LiveTls::new(Some(&old));
    let scene = open_behind(door.clone(), settings());
    let node = house.node(NO_WORD, None);
    let mut kept = Client(scene.meet(&node).await.unwrap());
    kept.send(get("/growing")).await;
    scene.stage.tide.lock().as_ref().unwrap().advance(4);
    kept.until("0123").await;
    door.set(Some(&new));
    let told = scene.ask(&node).await.unwrap();
    assert_eq!(told.shown, new.identity().chain()[0].to_vec());
    scene.stage.tide.lock().as_ref().unwrap().finish(10);
    kept.until("456789").await;
    door.set(None);
    assert!(scene.exchange(get_last("/")).await.ends_with("hello"));
    kept.send(get_last("/")).await;
    assert!(kept.rest().await.ends_with("hello"));
    scene.close().await;
}

#[tokio::test]
async fn a_hundred_rotations_under_load_fail_no_request() {
    let house = Authority::new();
    let door = LiveTls::new(Some(&house.tls(None)));
    let scene = open_behind(door.clone(), settings());
    let node = house.node(NO_WORD, None);
    let asking = async {
        let mut kept = Client(scene.meet(&node).await.unwrap());
        let mut shown = std::collections::BTreeSet::new();
        while shown.len() < 50 {
            let told = scene.ask(&node).await.unwrap();
            assert!(told.text.ends_with("hello"), "{told:?}");
            shown.insert(told.shown);
            kept.send(get("/file")).await;
            kept.until("0123456789").await;
        }
    };
    let rotating = async {
        for _ in 0..100 {
            door.set(Some(&house.tls(None)));
            let told = scene.ask(&node).await.unwrap();
            assert!(told.text.ends_with("hello"), "{told:?}");
        }
    };
    tokio::join!(asking, rotating);
    assert_eq!(scene.refused(), 0);
    scene.close().await;
}
