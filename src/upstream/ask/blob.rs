//! Blobs: whether one is there, and its bytes from some offset on.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header::CONTENT_RANGE};
use tokio::time::Instant;

use crate::{
    oci::Digest,
    upstream::{
        ProtocolViolation, RequestContext, Upstream, UpstreamError,
        call::{
            body::UpstreamResponse,
            judge,
            request::{RequestKind, UpstreamRequest},
        },
    },
};

/// The bytes of a blob as they arrive, not verified yet.
#[derive(Debug)]
pub struct BlobStream {
    answer: UpstreamResponse,
    start: u64,
    size: Option<u64>,
}

impl Upstream {
    /// Whether the repository has the blob, with its size if upstream tells; an error says that
    /// it has not. Where HEAD is refused, a GET of one byte asks the same.
    pub async fn blob_head(
        &self,
        context: &RequestContext<'_>,
        digest: &Digest,
    ) -> Result<Option<u64>, UpstreamError> {
        let head = UpstreamRequest::new(RequestKind::Blob, Method::HEAD, context, &path(digest));
        match self.0.call(context, &head).await {
            Ok(answer) => return answer.checked().map(|found| size(found.headers(), digest)),
            Err(UpstreamError::Refused { .. }) => {}
            // A 5xx was tried often enough; what is left is a server that knows no HEAD here.
            Err(UpstreamError::Failed { status, .. }) if status < 500 || status == 501 => {}
            Err(error) => return Err(error),
        }
        let get = UpstreamRequest::new(RequestKind::Blob, Method::GET, context, &path(digest));
        match self.0.call(context, &get.range("bytes=0-0".into())).await {
            Ok(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => {
                let part = ContentRange::of(answer.headers());
                Ok(part.and_then(|part| part.total))
            }
            Ok(answer) => answer.checked().map(|found| size(found.headers(), digest)),
            // Of an empty blob no byte can be had.
            Err(UpstreamError::Failed { status: 416, .. }) if is_empty(digest) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// The bytes from `offset` on. A server that ignores the offset starts at 0, and says so.
    pub async fn blob(
        &self,
        context: &RequestContext<'_>,
        digest: &Digest,
        offset: u64,
    ) -> Result<BlobStream, UpstreamError> {
        let mut request =
            UpstreamRequest::new(RequestKind::Blob, Method::GET, context, &path(digest));
        if offset > 0 {
            request = request.range(format!("bytes={offset}-"));
        }
        let stream = |answer: UpstreamResponse| BlobStream::new(answer.checked()?, offset);
        let first = stream(self.blob_response(context, &request).await?);
        match first {
            Err(error) if error.is_retryable_body() && Instant::now() < context.deadline => {
                stream(self.blob_response(context, &request).await?)
            }
            outcome => outcome,
        }
    }

    async fn blob_response(
        &self,
        context: &RequestContext<'_>,
        request: &UpstreamRequest,
    ) -> Result<UpstreamResponse, UpstreamError> {
        self.0
            .call(context, request)
            .await
            .map_err(|error| match error {
                UpstreamError::Failed {
                    endpoint,
                    status: 416,
                } => UpstreamError::ProtocolViolation {
                    endpoint,
                    breach: ProtocolViolation::Range,
                },
                error => error,
            })
    }
}

impl BlobStream {
    fn new(answer: UpstreamResponse, offset: u64) -> Result<Self, UpstreamError> {
        if answer.status() == StatusCode::OK {
            let size = judge::content_length(answer.headers());
            return Ok(Self {
                answer,
                start: 0,
                size,
            });
        }
        match ContentRange::of(answer.headers()) {
            // A part of what was asked for as a whole is as wrong as another part.
            Some(part) if offset > 0 && part.first == offset => Ok(Self {
                answer,
                start: offset,
                size: part.total,
            }),
            _ => Err(answer.violation(ProtocolViolation::Range)),
        }
    }

    /// The offset of the first byte: the one asked for, or 0.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The size of the whole blob, if upstream tells.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next bytes; none at the announced end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        self.answer.chunk().await
    }
}

/// What a `Content-Range` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(CONTENT_RANGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        Self::parse(value.to_str().ok()?)
    }

    /// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
    fn parse(value: &str) -> Option<Self> {
        let (unit, value) = value.trim().split_once(' ')?;
        let (range, total) = value.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let sound = unit.eq_ignore_ascii_case("bytes")
            && first <= last
            && total.is_none_or(|total| last < total);
        sound.then_some(Self { first, total })
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/{digest}")
}

/// The announced size; some servers announce 0 for any HEAD.
fn size(headers: &HeaderMap, digest: &Digest) -> Option<u64> {
    judge::content_length(headers).filter(|size| *size > 0 || is_empty(digest))
}

fn is_empty(digest: &Digest) -> bool {
    *digest == Digest::of(digest.algorithm(), b"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::scene::{NAME, Scene, digest, upstream, with};

    const BYTES: &[u8] = b"hello world";

    fn on(method: &str) -> String {
        format!("{method} /v2/{NAME}/blobs/{}", digest(BYTES))
    }

    async fn stage(method: &str, head: &str, body: &[u8]) -> (Scene, Upstream) {
        let scene = Scene::new().await;
        scene.on(&on(method), head, body);
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        (scene, upstream)
    }

    async fn from(
        upstream: &Upstream,
        offset: u64,
    ) -> Result<(u64, Option<u64>, Vec<u8>), UpstreamError> {
        with(async |ask| {
            let mut stream = upstream.blob(&ask, &digest(BYTES), offset).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await? {
                bytes.extend_from_slice(&chunk);
            }
            Ok((stream.start(), stream.size(), bytes))
        })
        .await
    }

    #[tokio::test]
    async fn a_blob_is_read_from_an_offset() {
        let (_scene, upstream) = stage("GET", "HTTP/1.1 200 K", BYTES).await;
        assert_eq!(
            from(&upstream, 0).await.unwrap(),
            (0, Some(11), BYTES.into())
        );
        assert_eq!(
            from(&upstream, 6).await.unwrap(),
            (0, Some(11), BYTES.into())
        );
        let head = "HTTP/1.1 206 P\ncontent-range: bytes 6-10/11";
        let (scene, upstream) = stage("GET", head, b"world").await;
        assert_eq!(
            from(&upstream, 6).await.unwrap(),
            (6, Some(11), b"world".into())
        );
        assert!(scene.asked()[0].contains("\r\nrange: bytes=6-\r\n"));
        let chunked = "HTTP/1.1 200 K\ntransfer-encoding: chunked";
        let (_scene, upstream) = stage("GET", chunked, b"3\r\nabc\r\n0\r\n\r\n").await;
        assert_eq!(from(&upstream, 0).await.unwrap(), (0, None, b"abc".into()));
    }

    #[tokio::test]
    async fn wrong_parts_and_pages_are_breaches() {
        let part = "HTTP/1.1 206 P\ncontent-range: bytes";
        let cases = [
            (0, format!("{part} 0-10/11"), ProtocolViolation::Range),
            (6, format!("{part} 5-10/11"), ProtocolViolation::Range),
            (6, "HTTP/1.1 206 P".into(), ProtocolViolation::Range),
            (6, "HTTP/1.1 416 R".into(), ProtocolViolation::Range),
            (
                0,
                "HTTP/1.1 200 K\ncontent-type: text/html; x=y".into(),
                ProtocolViolation::WebPage,
            ),
            (
                0,
                "HTTP/1.1 200 K\ncontent-encoding: gzip".into(),
                ProtocolViolation::Encoding,
            ),
        ];
        for (offset, head, want) in cases {
            let (scene, upstream) = stage("GET", &head, b"hello").await;
            let error = from(&upstream, offset).await.unwrap_err();
            let UpstreamError::ProtocolViolation { breach, .. } = error else {
                panic!("{head}: {error}");
            };
            assert_eq!(breach, want, "{head}");
            let tries = if want == ProtocolViolation::Encoding {
                2
            } else {
                1
            };
            assert_eq!(scene.asked().len(), tries, "{head}");
        }
    }

    #[tokio::test]
    async fn a_body_cut_short_is_no_end() {
        let head = "HTTP/1.1 200 K\nconnection: close\ncontent-length: 11";
        let (_scene, upstream) = stage("GET", head, b"hello").await;
        let error = from(&upstream, 0).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Unreachable { .. }),
            "{error}"
        );
        assert!(error.is_transient());
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up() {
        let scene = Scene::new().await;
        scene.on(&on("GET"), "HTTP/1.1 200 K\ncontent-length: 11", b"hello");
        let upstream = upstream(vec![scene.endpoint()], |settings| {
            settings.progress_max = std::time::Duration::from_millis(50);
        });
        let error = from(&upstream, 0).await.unwrap_err();
        assert!(matches!(error, UpstreamError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn head_gives_the_size_and_get_helps_out() {
        let ask = |upstream: Upstream| async move {
            with(async |ask| upstream.blob_head(&ask, &digest(BYTES)).await).await
        };
        let (_scene, upstream) = stage("HEAD", "HTTP/1.1 200 K\ncontent-length: 11", b"").await;
        assert_eq!(ask(upstream).await.unwrap(), Some(11));
        let (_scene, upstream) = stage("HEAD", "HTTP/1.1 200 K", b"").await;
        assert_eq!(ask(upstream).await.unwrap(), None);
        let (scene, upstream) = stage("HEAD", "HTTP/1.1 404 N", b"").await;
        assert!(matches!(
            ask(upstream).await,
            Err(UpstreamError::Absent { .. })
        ));
        assert_eq!(scene.asked().len(), 1);
        for refusal in ["HTTP/1.1 401 U", "HTTP/1.1 403 F", "HTTP/1.1 405 M"] {
            let (scene, upstream) = stage("HEAD", refusal, b"").await;
            let part = "HTTP/1.1 206 P\ncontent-range: bytes 0-0/11";
            scene.on(&on("GET"), part, b"h");
            assert_eq!(ask(upstream).await.unwrap(), Some(11), "{refusal}");
            let last = scene.asked().pop().unwrap();
            assert!(last.contains("\r\nrange: bytes=0-0\r\n"));
        }
    }

    #[test]
    fn parts_say_where_they_are() {
        let part = |first, total| Some(ContentRange { first, total });
        let check = |value, want| assert_eq!(ContentRange::parse(value), want, "{value}");
        check("bytes 3-9/10", part(3, Some(10)));
        check("Bytes 3-9/*", part(3, None));
        for bad in [
            "",
            "bytes */10",
            "bytes 9-3/10",
            "bytes 3-10/10",
            "bytes 3-9",
            "lines 3-9/10",
            "bytes -9/10",
            "bytes 3-9/x",
            "bytes=3-9/10",
        ] {
            check(bad, None);
        }
    }
}
