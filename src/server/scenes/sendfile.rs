//! Stretches of files leave by sendfile where that can be, and never as anything but their bytes.

use std::sync::LazyLock;

use tokio::net::UnixStream;

use super::{
    multiplexed::{Mux, open_mux},
    nodes::{Authority, HTTP1},
    *,
};

/// More than two windows, no two pieces alike.
static NUMBERS: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..700_000_u32).flat_map(u32::to_le_bytes).collect());

static FILE: LazyLock<Arc<dyn File>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = RealDisk.create(&folder.path().join("numbers")).unwrap();
    file.write_at(&NUMBERS, 0).unwrap();
    file
});

/// Windows between bytes, one of them as short as a window can be.
pub(super) fn large() -> Body {
    let window = |offset, length| BodyPart::File {
        file: Arc::clone(&FILE),
        offset,
        length,
    };
    let parts = [
        window(5, 1),
        BodyPart::Bytes(Bytes::from_static(b"between")),
        window(0, 2_800_000),
        BodyPart::Bytes(Bytes::from_static(b"the end")),
    ];
    Body::from_parts(parts.into())
}

fn expected() -> Vec<u8> {
    [&NUMBERS[5..6], b"between", &NUMBERS, b"the end"].concat()
}

/// What one connection of HTTP/1.1 answers to each of these paths, several at once.
async fn answers<S>(mut stream: S, paths: &[&str]) -> Vec<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (last, first) = paths.split_last().unwrap();
    let mut asked: String = first.iter().map(|path| get(path)).collect();
    asked += &get_last(last);
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut got))
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
    // Whatever lane a body was given before, its connection decides; `/strayed` has that of another
    // connection.
    let paths = ["/large", "/strayed", "/large"];
    let right = vec![expected(); 3];

    let scene = open(settings());
    *scene.stage.stray.lock() = Some(SendfileQueue::of(&scene.connect().await.0));
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
    *scene.stage.stray.lock() = Some(stray.clone());
    assert!(answers(UnixStream::connect(&path).await.unwrap(), &paths).await == right);
    scene.close().await;

    let house = Authority::new();
    let scene = open_behind(LiveTls::new(Some(&house.tls(None))), settings());
    *scene.stage.stray.lock() = Some(stray.clone());
    let stream = scene.meet(&house.node(HTTP1, None)).await.unwrap();
    assert!(answers(stream, &paths).await == right);
    scene.close().await;

    let (scene, house) = open_mux(settings());
    *scene.stage.stray.lock() = Some(stray);
    let mut mux = Mux::open(&scene, &house).await;
    for path in paths {
        assert!(mux.get(path).await.unwrap().body == expected());
    }
    drop(mux);
    scene.close().await;
    other.close().await;
}
