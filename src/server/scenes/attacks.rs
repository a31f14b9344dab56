//! Attacks through HTTP/2. Each test shows that the connection ends, that this is counted, and that
//! other clients are served.

use tokio_rustls::client::TlsStream;

use super::{
    multiplexed::{Mux, open_mux},
    nodes::{Authority, HTTP2},
    *,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET https://mirror/` as HPACK, by the static table.
const GET: &[u8] = b"\x82\x87\x84\x01\x06mirror";
/// The same with POST.
const POST: &[u8] = b"\x83\x87\x84\x01\x06mirror";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The numbers of a client's streams.
fn odd(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| 2 * index + 1)
}

struct Attack {
    scene: Scene,
    authority: Authority,
    stream: TlsStream<TcpStream>,
}

impl Attack {
    async fn open(settings: Settings) -> Self {
        let (scene, authority) = open_mux(settings);
        let mut stream = scene
            .connect_tls(&authority.node(HTTP2, None))
            .await
            .unwrap();
        let mut greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        greeting.extend(frame(SETTINGS, 0, 0, &[]));
        stream.write_all(&greeting).await.unwrap();
        Self {
            scene,
            authority,
            stream,
        }
    }

    /// Sends until the server closes the connection.
    async fn send(&mut self, frames: impl Iterator<Item = Vec<u8>>) {
        let sending = async {
            for frame in frames {
                if self.stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
            drop(self.stream.flush().await);
        };
        timeout(DEADLINE, sending).await.expect("the server stalls");
    }

    async fn ends_and_others_are_served(mut self) {
        let mut unwanted = Vec::new();
        let reading = self.stream.read_to_end(&mut unwanted);
        drop(timeout(DEADLINE, reading).await.expect("it stays open"));
        let mut other = Mux::open(&self.scene, &self.authority).await;
        assert!(other.get("/").await.is_ok());
        drop(other);
        assert_eq!(self.scene.refused(), 1);
        self.scene.close().await;
    }
}

#[tokio::test]
async fn t21_a_flood_of_resets_ends_the_connection() {
    let mut attack = Attack::open(settings()).await;
    let head = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
    let reset = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let pairs = odd(10_000).map(|stream| [head(stream), reset(stream)].concat());
    attack.send(pairs).await;
    attack.ends_and_others_are_served().await;
}

#[tokio::test]
async fn t21_a_flood_of_our_own_resets_ends_the_connection() {
    let mut attack = Attack::open(settings()).await;
    // Each stream violates the protocol, so the server resets it.
    let head = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
    let broken = |stream| frame(8, 0, stream, &0_u32.to_be_bytes());
    let pairs = odd(10_000).map(|stream| [head(stream), broken(stream)].concat());
    attack.send(pairs).await;
    attack.ends_and_others_are_served().await;
}

#[tokio::test]
async fn t21_a_flood_of_continuations_ends_the_connection() {
    let mut attack = Attack::open(settings()).await;
    let begin = [frame(HEADERS, 0, 1, GET)].into_iter();
    let more = (0..10_000).map(|_| frame(CONTINUATION, 0, 1, &[0; 64]));
    attack.send(begin.chain(more)).await;
    attack.ends_and_others_are_served().await;
}

#[tokio::test]
async fn t21_a_flood_of_empty_data_ends_the_connection() {
    let mut attack = Attack::open(settings()).await;
    let begin = [frame(HEADERS, END_HEADERS, 1, POST)].into_iter();
    let more = (0..100_000).map(|_| frame(DATA, 0, 1, &[]));
    attack.send(begin.chain(more)).await;
    attack.ends_and_others_are_served().await;
}

#[tokio::test]
async fn t21_a_head_that_never_ends_is_cut() {
    for bytes in [
        frame(HEADERS, 0, 1, GET),
        frame(HEADERS, END_HEADERS, 1, GET)[..12].to_vec(),
    ] {
        let mut attack = Attack::open(Settings {
            header_max: SOON,
            ..settings()
        })
        .await;
        attack.send([bytes].into_iter()).await;
        attack.ends_and_others_are_served().await;
    }
}

#[tokio::test]
async fn t21_a_head_that_is_too_large_is_refused() {
    let (scene, authority) = open_mux(settings());
    let mut mux = Mux::open(&scene, &authority).await;
    for (header_bytes, status) in [(60_000, 200), (70_000, 431), (10, 200)] {
        assert_eq!(mux.get_with(header_bytes).await, status, "{header_bytes}");
    }
    drop(mux);
    scene.close().await;
}
