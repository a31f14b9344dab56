//! Files are sent by sendfile where possible, and arrive byte for byte on every kind of connection.

use std::sync::LazyLock;

use tokio::net::UnixStream;

use super::{
    multiplexed::{Mux, open_mux},
    nodes::{Authority, HTTP1},
    *,
};

/// Longer than two placeholders, and no two chunks alike.
static NUMBERS: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..700_000_u32).flat_map(u32::to_le_bytes).collect());

static FILE: LazyLock<Arc<dyn File>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = RealDisk.create(&folder.path().join("numbers")).unwrap();
    file.write_at(&NUMBERS, 0).unwrap();
    file
});

/// Parts of a file between bytes, one of them a single byte.
pub(super) fn large() -> Body {
    let file_part = |offset, length| BodyPart::File {
        file: Arc::clone(&FILE),
        offset,
        length,
    };
    let parts = [
        file_part(5, 1),
        BodyPart::Bytes(Bytes::from_static(b"between")),
        file_part(0, 2_800_000),
        BodyPart::Bytes(Bytes::from_static(b"the end")),
    ];
    Body::from_parts(parts.into())
}

fn expected() -> Vec<u8> {
    [&NUMBERS[5..6], b"between", &NUMBERS, b"the end"].concat()
}

/// The bodies that one HTTP/1.1 connection sends for these pipelined paths.
async fn answers<S>(mut stream: S, paths: &[&str]) -> Vec<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (last, first) = paths.split_last().unwrap();
    let mut requests: String = first.iter().map(|path| get(path)).collect();
    requests += &get_last(last);
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut got))
        .await
        .expect("the connection stays open")
        .expect("the connection was reset");
    let mut bodies = Vec::new();
    let mut rest = &got[..];
    while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let body = rest.get(end + 4..end + 4 + expected().len());
        bodies.push(body.unwrap().to_vec());
        rest = &rest[end + 4 + expected().len()..];
    }
    bodies
}

#[tokio::test]
async fn files_leave_whole_by_every_kind_of_connection() {
    // The connection's own queue replaces any other; `/strayed` starts with that of another
    // connection.
    let paths = ["/large", "/strayed", "/large"];
    let right = vec![expected(); 3];

    let scene = open(settings());
    *scene.state.stray.lock() = Some(SendfileQueue::of(&scene.connect().await.0));
    assert!(answers(scene.connect().await.0, &paths).await == right);
    scene.close().await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let scene = open_at(
        settings(),
        &ListenAddress::Unix(path.clone()),
        LiveTls::default(),
    );
    let other = open(settings());
    let stray = SendfileQueue::of(&other.connect().await.0);
    *scene.state.stray.lock() = Some(stray.clone());
    assert!(answers(UnixStream::connect(&path).await.unwrap(), &paths).await == right);
    scene.close().await;

    let authority = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&authority.tls(None))), settings());
    *scene.state.stray.lock() = Some(stray.clone());
    let stream = scene
        .connect_tls(&authority.node(HTTP1, None))
        .await
        .unwrap();
    assert!(answers(stream, &paths).await == right);
    scene.close().await;

    let (scene, authority) = open_mux(settings());
    *scene.state.stray.lock() = Some(stray);
    let mut mux = Mux::open(&scene, &authority).await;
    for path in paths {
        assert!(mux.get(path).await.unwrap().body == expected());
    }
    drop(mux);
    scene.close().await;
    other.close().await;
}
