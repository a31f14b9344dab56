//! Clients that connect by TLS.

use rustls::version::{TLS12, TLS13};

use super::{
    nodes::{Authority, HTTP1, HTTP2, NO_ALPN},
    *,
};

#[tokio::test]
async fn nodes_speak_what_they_offer_and_http1_without_a_word() {
    let authority = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&authority.tls(None))), settings());
    for (offered, expected) in [
        (NO_ALPN, None),
        (HTTP1, Some("http/1.1")),
        (HTTP2, Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
    ] {
        let stream = scene
            .connect_tls(&authority.node(offered, None))
            .await
            .unwrap();
        let agreed = stream.get_ref().1.alpn_protocol();
        assert_eq!(agreed, expected.map(str::as_bytes), "{offered:?}");
    }
    let other = authority.node(&["spdy/3"], None);
    assert!(scene.connect_tls(&other).await.is_err());
    let mut client = Client(
        scene
            .connect_tls(&authority.node(NO_ALPN, None))
            .await
            .unwrap(),
    );
    for _ in 0..3 {
        client.send(get("/file")).await;
        let got = client.until("0123456789").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    }
    client.send(get_last("/remote")).await;
    // `rest` fails unless the connection ends in order, with TLS's close_notify.
    assert!(client.rest().await.contains("127.0.0.1:"));
    scene.close().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let authority = Authority::new();
    let brief = Settings {
        header_max: SOON,
        ..settings()
    };
    let scene = open_behind(LiveTls::new(Some(&authority.tls(None))), brief);
    assert_eq!(scene.exchange("").await, "");
    assert_eq!(scene.exchange("\u{16}\u{3}\u{1}").await, "");
    assert_eq!(scene.refused(), 2);
    scene.close().await;
}

#[tokio::test]
async fn slow_handshakes_do_not_keep_others_waiting() {
    let authority = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&authority.tls(None))), settings());
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(scene.connect().await);
    }
    let response = scene.ask(&authority.node(NO_ALPN, None)).await.unwrap();
    assert!(response.text.ends_with("hello"), "{response:?}");
    // They count as connections, and a stop does not wait for them.
    assert!(scene.metric("roadstead_connections ") >= 50);
    scene.close().await;
}

#[tokio::test]
async fn plain_http_at_a_tls_port_ends_without_an_answer() {
    let authority = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&authority.tls(None))), settings());
    let got = scene.exchange(get("/")).await;
    assert!(!got.contains("HTTP"), "{got}");
    assert_eq!(scene.refused(), 1);
    // A client that only probes whether the port is open is not counted.
    drop(scene.connect().await);
    let response = scene.ask(&authority.node(NO_ALPN, None)).await.unwrap();
    assert!(response.text.ends_with("hello"), "{response:?}");
    assert_eq!(scene.refused(), 1);
    scene.close().await;
}

#[tokio::test]
async fn b068_only_clients_of_the_authority_get_in() {
    let (authority, nodes, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let scene = open_behind(LiveTls::new(Some(&authority.tls(Some(&nodes)))), settings());
    let (own, foreign) = (nodes.identity(), strangers.identity());
    for version in [&TLS12, &TLS13] {
        let node = |own| authority.node_of(&[version], NO_ALPN, own);
        let refused = scene.refused();
        // Each learns the cause from an alert, not from a reset.
        for stranger in [None, Some(&foreign)] {
            let error = scene.ask(&node(stranger)).await.unwrap_err().to_string();
            assert!(
                error.contains("received fatal alert"),
                "{version:?}: {error}"
            );
        }
        assert_eq!(scene.refused(), refused + 2);
        let response = scene.ask(&node(Some(&own))).await.unwrap();
        assert!(response.text.ends_with("hello"), "{response:?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn what_was_agreed_with_old_settings_opens_nothing() {
    let (authority, nodes, others) = (Authority::new(), Authority::new(), Authority::new());
    let tls = LiveTls::new(Some(&authority.tls(None)));
    let scene = open_behind(tls.clone(), settings());
    for version in [&TLS12, &TLS13] {
        tls.set(Some(&authority.tls(None)));
        let node = authority.node_of(&[version], NO_ALPN, Some(&nodes.identity()));
        assert!(!scene.ask(&node).await.unwrap().resumed);
        assert!(scene.ask(&node).await.unwrap().resumed, "{version:?}");
        tls.set(Some(&authority.tls(None)));
        assert!(!scene.ask(&node).await.unwrap().resumed);
        tls.set(Some(&authority.tls(Some(&nodes))));
        // With client certificates every handshake is a full one.
        assert!(!scene.ask(&node).await.unwrap().resumed);
        assert!(!scene.ask(&node).await.unwrap().resumed);
        tls.set(Some(&authority.tls(Some(&others))));
        assert!(scene.ask(&node).await.is_err());
    }
    scene.close().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_only() {
    let authority = Authority::new();
    let (old, new) = (authority.tls(None), authority.tls(None));
    let tls = LiveTls::new(Some(&old));
    let scene = open_behind(tls.clone(), settings());
    let node = authority.node(NO_ALPN, None);
    let mut kept = Client(scene.connect_tls(&node).await.unwrap());
    kept.send(get("/growing")).await;
    scene.state.progress.lock().as_ref().unwrap().advance(4);
    kept.until("0123").await;
    tls.set(Some(&new));
    let response = scene.ask(&node).await.unwrap();
    assert_eq!(response.shown, new.identity().chain()[0].to_vec());
    scene.state.progress.lock().as_ref().unwrap().finish(10);
    kept.until("456789").await;
    tls.set(None);
    assert!(scene.exchange(get_last("/")).await.ends_with("hello"));
    kept.send(get_last("/")).await;
    assert!(kept.rest().await.ends_with("hello"));
    scene.close().await;
}

#[tokio::test]
async fn a_hundred_rotations_under_load_fail_no_request() {
    let authority = Authority::new();
    let tls = LiveTls::new(Some(&authority.tls(None)));
    let scene = open_behind(tls.clone(), settings());
    let node = authority.node(NO_ALPN, None);
    let asking = async {
        let mut kept = Client(scene.connect_tls(&node).await.unwrap());
        let mut shown = std::collections::BTreeSet::new();
        while shown.len() < 50 {
            let response = scene.ask(&node).await.unwrap();
            assert!(response.text.ends_with("hello"), "{response:?}");
            shown.insert(response.shown);
            kept.send(get("/file")).await;
            kept.until("0123456789").await;
        }
    };
    let rotating = async {
        for _ in 0..100 {
            tls.set(Some(&authority.tls(None)));
            let response = scene.ask(&node).await.unwrap();
            assert!(response.text.ends_with("hello"), "{response:?}");
        }
    };
    tokio::join!(asking, rotating);
    assert_eq!(scene.refused(), 0);
    scene.close().await;
}
