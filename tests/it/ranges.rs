//! Ranges of stored blobs of every size, single and multiple.

use std::fmt::Write as _;

use fake_registry::{Content, FakeRegistry, MIB, bare::Reply, media_type, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    rows::Rows,
};

const SEED: u64 = 53;
pub(crate) const NAME: &str = "library/nginx";

/// An id, a `Range` header, the status, and the first and last byte of a part.
type Row = (&'static str, String, u16, Option<(u64, u64)>);

/// What a `Range` header comes to: status, and first and last byte of a part.
fn meant(size: u64) -> Vec<Row> {
    let end = size - 1;
    let all = None;
    let many: Vec<_> = (0..10_000).map(|at| format!("{at}-{at}")).collect();
    vec![
        ("B044", "bytes=0-0".into(), 206, Some((0, 0))),
        ("B045", "bytes=-5".into(), 206, Some((size - 5, end))),
        ("B046, R057", format!("bytes={size}-"), 416, None),
        ("B046", format!("bytes={size}-{}", size + 5), 416, None),
        ("B046", "bytes=-0".into(), 416, None),
        ("B047", "bytes=5-2".into(), 200, all),
        ("B047", "bytes=a-b".into(), 200, all),
        ("B047", "bytes=0-18446744073709551616".into(), 200, all),
        (
            "B047",
            "bytes=0-18446744073709551615".into(),
            206,
            Some((0, end)),
        ),
        ("B047", "bytes=".into(), 200, all),
        ("B047", "bytes 0-1".into(), 200, all),
        ("B048, touching", "bytes=0-1,2-4".into(), 206, Some((0, 4))),
        (
            "B048, overlapping",
            "bytes=0-9,5-20".into(),
            206,
            Some((0, 20)),
        ),
        (
            "B048, one inside",
            format!("bytes={size}-,0-4"),
            206,
            Some((0, 4)),
        ),
        (
            "B048, 10,000 touching",
            format!("bytes={}", many[..5_000].join(",")),
            206,
            Some((0, 4_999)),
        ),
        ("B049, R062", "lines=1-2".into(), 200, all),
        ("R053", "bytes=0-".into(), 206, Some((0, end))),
        ("R054", "bytes=100-".into(), 206, Some((100, end))),
        (
            "R054, the last",
            format!("bytes={end}-"),
            206,
            Some((end, end)),
        ),
        (
            "R055",
            format!("bytes=10-{}", size + 1000),
            206,
            Some((10, end)),
        ),
        ("R056", "bytes=-500".into(), 206, Some((size - 500, end))),
        (
            "R056, more than all",
            format!("bytes=-{}", size * 2),
            206,
            Some((0, end)),
        ),
        ("a pair", "bytes=1000-1999".into(), 206, Some((1000, 1999))),
    ]
}

/// Sends every row and compares bytes, headers and lengths.
async fn check(mirror: &Mirror, blob: &Content, state: &str) {
    let mut rows = Rows::default();
    let size = u64::try_from(blob.size()).unwrap();
    for (id, range, status, part) in meant(size) {
        let row = format!("{id} ({state}): {}", range.get(..40).unwrap_or(&range));
        let reply = mirror.blob(NAME, blob).with("Range", &range).reply().await;
        rows.same(&row, reply.status, status);
        let head = mirror
            .head(&format!("/v2/{NAME}/blobs/{}", blob.digest))
            .with("Range", &range);
        let head = head.reply().await;
        // R078; ranges are for GET (RFC 9110, 14.2).
        rows.same(
            &format!("R078: {row}"),
            (head.status, head.body.len()),
            (200, 0),
        );
        rows.same(
            &row,
            head.header("content-length"),
            Some(size.to_string().as_str()),
        );
        if status == 416 {
            rows.same(&row, failure(&reply).1, "SIZE_INVALID".to_owned());
            rows.same(
                &row,
                reply.header("content-range"),
                Some(format!("bytes */{size}").as_str()),
            );
            continue;
        }
        let (first, last) = part.unwrap_or((0, size - 1));
        let want = &blob.bytes[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()];
        rows.holds(&row, reply.whole() == want, &"R064: other bytes");
        rows.same("R052", reply.header("accept-ranges"), Some("bytes"));
        rows.same(
            "R058",
            reply.header("content-type"),
            Some("application/octet-stream"),
        );
        rows.same(
            &row,
            reply.header("docker-content-digest"),
            Some(blob.digest.as_str()),
        );
        let said: Vec<_> = reply
            .headers()
            .filter(|(name, _)| *name == "content-range")
            .collect();
        let range = format!("bytes {first}-{last}/{size}");
        let want = part.map(|_| ("content-range", range.as_str()));
        rows.same(&format!("R059: {row}"), said, want.into_iter().collect());
    }
}

#[tokio::test]
async fn b044_to_b049_kept_blobs_of_every_size() {
    let hub = FakeRegistry::start().await;
    for size in [6_000, 70_000, 5 * MIB] {
        let blob = hub.blob(NAME, random_bytes(size, SEED));
        let mirror = Mirror::of(&hub).start().await;
        check(&mirror, &blob, "cold").await;
        mirror.keeps(1).await;
        check(&mirror, &blob, "kept").await;
        assert_eq!(hub.served(&blob).gets(), 1);
        let mirror = mirror.restart().await;
        check(&mirror, &blob, "kept, after a restart").await;
    }
}

#[tokio::test]
async fn b050_a_manifest_has_no_ranges() {
    let hub = FakeRegistry::start().await;
    let image = hub.image(NAME, "1", &[]);
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror
        .manifest(NAME, "1")
        .with("Range", "bytes=0-0")
        .reply()
        .await;
    assert_eq!(
        (reply.status, reply.whole()),
        (200, &image.manifest.bytes[..])
    );
}

/// Takes a multipart answer apart: content range and bytes of each part.
pub(crate) fn parts(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let kinds: Vec<_> = reply
        .headers()
        .filter(|(name, _)| *name == "content-type")
        .collect();
    let [(_, kind)] = kinds[..] else {
        panic!("one content type: {kinds:?}")
    };
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let delimiter = format!("--{boundary}");
    let mut rest = reply.whole().strip_prefix(delimiter.as_bytes()).unwrap();
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = part
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(part[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let mut fields: Vec<_> = head.lines().collect();
        fields.sort_unstable();
        assert_eq!(fields[1..], ["content-type: application/octet-stream"]);
        let range = fields[0]
            .strip_prefix("content-range: ")
            .unwrap()
            .to_owned();
        let (span, _size) = range
            .strip_prefix("bytes ")
            .unwrap()
            .split_once('/')
            .unwrap();
        let (first, last) = span.split_once('-').unwrap();
        let length = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        let body = &part[end + 4..];
        parts.push((range, body[..length].to_vec()));
        let after = body[length..].strip_prefix(b"\r\n").unwrap();
        rest = after.strip_prefix(delimiter.as_bytes()).unwrap();
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

pub(crate) fn list(spans: &[(usize, usize)]) -> String {
    let spans: Vec<_> = spans
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    format!("bytes={}", spans.join(","))
}

pub(crate) fn expected(blob: &Content, spans: &[(usize, usize)]) -> Vec<(String, Vec<u8>)> {
    let part = |(first, last): &(usize, usize)| {
        let range = format!("bytes {first}-{last}/{}", blob.size());
        (range, blob.bytes[*first..=*last].to_vec())
    };
    spans.iter().map(part).collect()
}

#[tokio::test]
async fn b048_r060_r061_several_ranges_are_multipart() {
    let hub = FakeRegistry::start().await;
    let sixty_four: Vec<_> = (0..64).map(|at| (at * 90, at * 90 + 7)).collect();
    for size in [6_000, 70_000, 5 * MIB] {
        let blob = hub.blob(NAME, random_bytes(size, SEED + 1));
        let mirror = Mirror::of(&hub).start().await;
        for _cold_and_kept in 0..2 {
            for spans in [
                &[(0, 1), (3, 4)][..],
                &[(size - 1, size - 1), (0, 0)],
                &[(0, 99), (200, 300), (100, 150)],
                &sixty_four,
            ] {
                let reply = mirror
                    .blob(NAME, &blob)
                    .with("Range", &list(spans))
                    .reply()
                    .await;
                assert_eq!(reply.status, 206, "{spans:?}");
                assert_eq!(reply.header("content-range"), None, "only in the parts");
                assert!(parts(&reply) == expected(&blob, spans), "{size} {spans:?}");
            }
            let mut more = String::from("bytes=");
            for at in 0..1024 {
                write!(more, "{}-{},", at * 3, at * 3).unwrap();
            }
            for too_many in [format!("{},5990-5991", list(&sixty_four)), more] {
                let reply = mirror
                    .blob(NAME, &blob)
                    .with("Range", &too_many)
                    .reply()
                    .await;
                assert_eq!(failure(&reply), (400, "UNSUPPORTED".to_owned()));
            }
            mirror.keeps(1).await;
        }
    }
}

#[tokio::test]
async fn if_range_guards_a_range() {
    let hub = FakeRegistry::start().await;
    let blob = hub.blob(NAME, random_bytes(6_000, SEED));
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    for (tag, status) in [
        (format!("\"{}\"", blob.digest), 206),
        (format!("W/\"{}\"", blob.digest), 200),
        ("\"other\"".to_owned(), 200),
        ("Thu, 01 Jan 2026 00:00:00 GMT".to_owned(), 200),
    ] {
        let ask = mirror
            .blob(NAME, &blob)
            .with("Range", "bytes=1-2")
            .with("If-Range", &tag);
        rows.same(&tag, ask.reply().await.status, status);
    }
}

#[tokio::test]
async fn r077_an_empty_blob() {
    let hub = FakeRegistry::start().await;
    let blob = Content::new(media_type::OCTETS, "");
    hub.put_blob(NAME, &blob);
    let mirror = Mirror::of(&hub).start().await;
    for _cold_and_kept in 0..2 {
        let reply = mirror.blob(NAME, &blob).reply().await;
        assert_eq!((reply.status, reply.whole().len()), (200, 0));
        let range = mirror
            .blob(NAME, &blob)
            .with("Range", "bytes=0-")
            .reply()
            .await;
        assert_eq!(failure(&range).0, 416);
        assert_eq!(range.header("content-range"), Some("bytes */0"));
        mirror.keeps(1).await;
    }
}
