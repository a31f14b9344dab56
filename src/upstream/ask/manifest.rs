//! Manifests: the digest behind a tag, and verified bytes.

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::{
    oci::{Algorithm, Digest, InvalidManifest, Manifest, MediaType, Reference},
    upstream::{
        ProtocolViolation, RequestContext, Upstream, UpstreamError,
        call::{
            body::UpstreamResponse,
            judge,
            request::{RequestKind, UpstreamRequest},
        },
    },
};

impl Upstream {
    /// The digest of a manifest, by HEAD. None: it may well exist, but this upstream does not say
    /// so to HEAD, and GET must be asked.
    pub async fn manifest_head(
        &self,
        context: &RequestContext<'_>,
        reference: &Reference,
    ) -> Result<Option<Digest>, UpstreamError> {
        let answer = match self
            .0
            .call(context, &request(Method::HEAD, context, reference))
            .await
        {
            Ok(answer) => answer,
            Err(UpstreamError::Failed { status, .. }) if status < 500 || status == 501 => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let headers = answer.headers();
        // Neither a page nor an encoded body would have the digest that the header names, and
        // schema 1 has none at all: GET tells.
        if judge::body_kind(headers).is_err() || is_schema1(headers) {
            return Ok(None);
        }
        match (reference, named_digest(headers)) {
            (Reference::Digest(want), Some(named)) if named != *want => {
                Err(answer.violation(ProtocolViolation::Digest))
            }
            (Reference::Digest(want), _) => Ok(Some(*want)),
            (Reference::Tag(_), named) => Ok(named),
        }
    }

    /// A manifest, whole and verified: by digest against it, by tag against the digest that
    /// upstream names, if it names one. An upstream that sends the same bytes under the same wrong
    /// name twice is not believed about the name: a tag means what comes.
    pub async fn manifest(
        &self,
        context: &RequestContext<'_>,
        reference: &Reference,
    ) -> Result<Manifest, UpstreamError> {
        let request = request(Method::GET, context, reference);
        let mut misnamed = None;
        let answer = self.0.call(context, &request).await?;
        match self.read(context, answer, reference, &mut misnamed).await {
            Err(error) if error.is_retryable_body() && Instant::now() < context.deadline => {
                let answer = self.0.call(context, &request).await?;
                self.read(context, answer, reference, &mut misnamed).await
            }
            outcome => outcome,
        }
    }

    /// Reads and verifies one answer. `misnamed` is what a tag's last answer was named and what it
    /// hashed to, where that differed; a bit that flipped on the way never says the same twice.
    async fn read(
        &self,
        context: &RequestContext<'_>,
        answer: UpstreamResponse,
        reference: &Reference,
        misnamed: &mut Option<(Digest, Digest)>,
    ) -> Result<Manifest, UpstreamError> {
        let mut answer = answer.checked()?;
        let bytes_max = self.settings().manifest_bytes_max;
        let bytes = answer.whole(bytes_max, context.deadline).await?;
        let declared = judge::content_type(answer.headers());
        let found = match (reference, named_digest(answer.headers())) {
            (Reference::Digest(want), _) => verify(Some(*want), bytes, declared.as_ref()),
            (Reference::Tag(_), None) => verify(None, bytes, declared.as_ref()),
            (Reference::Tag(_), Some(named)) => {
                let found = verify_named(named, bytes, declared.as_ref(), misnamed);
                found.inspect(|found| {
                    let digest = found.digest();
                    if digest != named {
                        tracing::warn!(name = %context.name, %reference, %named, %digest, "taking misnamed bytes");
                    }
                })
            }
        };
        found.map_err(|breach| answer.violation(breach))
    }
}

fn request(method: Method, context: &RequestContext<'_>, reference: &Reference) -> UpstreamRequest {
    UpstreamRequest::new(
        RequestKind::Manifest,
        method,
        context,
        &format!("manifests/{reference}"),
    )
}

fn verify(
    want: Option<Digest>,
    bytes: Bytes,
    declared: Option<&MediaType>,
) -> Result<Manifest, ProtocolViolation> {
    let found = match want {
        Some(want) => Manifest::new(want, bytes, declared),
        None => Manifest::unnamed(bytes, declared),
    };
    found.map_err(|error| match error {
        InvalidManifest::Digest(_) => ProtocolViolation::Digest,
        InvalidManifest::Schema1 => ProtocolViolation::Schema1,
        InvalidManifest::Shape(_) | InvalidManifest::Ambiguous(_) => {
            ProtocolViolation::Content(error.to_string())
        }
    })
}

/// A tag's bytes against the digest they are named by, which counts for nothing once the same bytes
/// came under it before.
fn verify_named(
    named: Digest,
    bytes: Bytes,
    declared: Option<&MediaType>,
    misnamed: &mut Option<(Digest, Digest)>,
) -> Result<Manifest, ProtocolViolation> {
    match verify(Some(named), bytes.clone(), declared) {
        Err(ProtocolViolation::Digest) => {
            let came = (named, Digest::of(Algorithm::Sha256, &bytes));
            if misnamed.replace(came) == Some(came) {
                return verify(None, bytes, declared);
            }
            Err(ProtocolViolation::Digest)
        }
        found => found,
    }
}

/// The digest that upstream names, if it is one that we can verify.
fn named_digest(headers: &HeaderMap) -> Option<Digest> {
    let value = headers.get("docker-content-digest")?;
    value.to_str().ok()?.trim().parse().ok()
}

fn is_schema1(headers: &HeaderMap) -> bool {
    let declared = judge::content_type(headers);
    declared.is_some_and(|found| found.as_str().contains(".manifest.v1+prettyjws"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::scene::{NAME, Scene, digest, upstream, with};

    const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
    const OTHER: &[u8] = br#"{"schemaVersion":2,"manifests":[],"a":1}"#;

    fn tag() -> Reference {
        Reference::Tag("1".parse().unwrap())
    }

    fn on(method: &str, reference: &Reference) -> String {
        format!("{method} /v2/{NAME}/manifests/{reference}")
    }

    async fn get(scene: &Scene, reference: &Reference) -> Result<Manifest, UpstreamError> {
        let upstream = upstream(vec![scene.endpoint()], |settings| {
            settings.manifest_bytes_max = 1000;
        });
        with(async |ask| upstream.manifest(&ask, reference).await).await
    }

    async fn breach(head: &str, body: &[u8], reference: &Reference) -> (ProtocolViolation, usize) {
        let scene = Scene::new().await;
        scene.on(&on("GET", reference), head, body);
        match get(&scene, reference).await {
            Err(UpstreamError::ProtocolViolation { breach, .. }) => (breach, scene.asked().len()),
            other => panic!("{head}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_refused_as_a_manifest() {
        let ok = "HTTP/1.1 200 K";
        let by_digest = Reference::Digest(digest(INDEX));
        assert_eq!(
            breach(ok, OTHER, &by_digest).await,
            (ProtocolViolation::Digest, 2)
        );
        let lies = format!("{ok}\ndocker-content-digest: {}", digest(OTHER));
        let scene = Scene::new().await;
        scene.on(&on("GET", &tag()), &lies, INDEX);
        assert_eq!(get(&scene, &tag()).await.unwrap().digest(), digest(INDEX));
        assert_eq!(scene.asked().len(), 2);
        let html = format!("{ok}\ncontent-type: text/html");
        assert_eq!(
            breach(&html, INDEX, &tag()).await,
            (ProtocolViolation::WebPage, 1)
        );
        let gzip = format!("{ok}\ncontent-encoding: gzip");
        assert_eq!(
            breach(&gzip, INDEX, &tag()).await,
            (ProtocolViolation::Encoding, 2)
        );
        let schema1 = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert_eq!(
            breach(ok, schema1, &tag()).await,
            (ProtocolViolation::Schema1, 1)
        );
        for bad in [
            &b"<html>"[..],
            br#"{"manifests":[],"layers":[]}"#,
            &b"[".repeat(900),
        ] {
            let (found, _) = breach(ok, bad, &tag()).await;
            assert!(matches!(found, ProtocolViolation::Content(_)), "{found}");
        }
    }

    #[tokio::test]
    async fn huge_bodies_are_not_read() {
        let too_large = (ProtocolViolation::TooLarge { bytes_max: 1000 }, 1);
        let declared = "HTTP/1.1 200 K\ncontent-length: 99999999999";
        assert_eq!(breach(declared, b"", &tag()).await, too_large);
        let chunked = "HTTP/1.1 200 K\ntransfer-encoding: chunked";
        let endless = b"fffffff\r\n".iter().chain(&[b' '; 5000]);
        let endless: Vec<_> = endless.copied().collect();
        assert_eq!(breach(chunked, &endless, &tag()).await, too_large);
    }

    #[tokio::test]
    async fn a_bit_that_flipped_once_is_not_noticed() {
        let scene = Scene::new().await;
        let reference = Reference::Digest(digest(INDEX));
        for body in [OTHER, INDEX] {
            scene.on(&on("GET", &reference), "HTTP/1.1 200 K", body);
        }
        let found = get(&scene, &reference).await.unwrap();
        assert_eq!(
            (found.digest(), found.bytes().as_ref()),
            (digest(INDEX), INDEX)
        );
    }

    /// Damage on the way may strike twice; only the same bytes twice are upstream's own word.
    #[tokio::test]
    async fn a_tag_whose_bytes_are_damaged_in_two_ways_is_refused() {
        let named = format!("HTTP/1.1 200 K\ndocker-content-digest: {}", digest(INDEX));
        let twice = async |bodies: [&[u8]; 2]| {
            let scene = Scene::new().await;
            for body in bodies {
                scene.on(&on("GET", &tag()), &named, body);
            }
            get(&scene, &tag()).await
        };
        let third: &[u8] = br#"{"schemaVersion":2,"manifests":[],"a":2}"#;
        match twice([OTHER, third]).await {
            Err(UpstreamError::ProtocolViolation { breach, .. }) => {
                assert_eq!(breach, ProtocolViolation::Digest);
            }
            accepted => panic!("{accepted:?}"),
        }
        assert_eq!(twice([OTHER, OTHER]).await.unwrap().bytes(), OTHER);
        for damaged in [OTHER, b"{", b""] {
            assert_eq!(twice([damaged, INDEX]).await.unwrap().bytes(), INDEX);
        }
    }

    #[tokio::test]
    async fn head_gives_the_digest_or_sends_to_get() {
        let named = format!("docker-content-digest: {}", digest(INDEX));
        let cases = [
            (format!("HTTP/1.1 200 K\n{named}"), Some(digest(INDEX))),
            ("HTTP/1.1 200 K".into(), None),
            ("HTTP/1.1 200 K\ndocker-content-digest: md5:x".into(), None),
            ("HTTP/1.1 405 M".into(), None),
            ("HTTP/1.1 501 M".into(), None),
            (
                format!("HTTP/1.1 200 K\ncontent-type: text/html\n{named}"),
                None,
            ),
        ];
        for (head, want) in cases {
            let scene = Scene::new().await;
            scene.on(&on("HEAD", &tag()), &head, b"");
            let upstream = upstream(vec![scene.endpoint()], |_| {});
            let found = with(async |ask| upstream.manifest_head(&ask, &tag()).await).await;
            assert_eq!(found.unwrap(), want, "{head}");
            assert_eq!(scene.asked().len(), 1, "{head}");
        }
    }
}
