//! Headers that the distribution specification names.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ETAG, IF_NONE_MATCH},
};

use crate::oci::Digest;

/// Old clients recognise a registry by it.
pub(super) const DISTRIBUTION_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("docker-distribution-api-version"),
    HeaderValue::from_static("registry/2.0"),
);
/// The digest of the whole content.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Echoes an honoured `ns` (distribution-spec, "Registry Proxying").
pub(super) const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// Says that a referrers list was filtered.
pub(super) const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Capacity for all headers of a response, so that their map never has to grow.
pub(super) const HEADERS_MAX: usize = 12;

/// The size of nearly every entity tag, so that its buffer is never reallocated.
const SHA256_QUOTED_BYTES: usize = r#""sha256:""#.len() + 2 * 32;

/// Digest and entity tag of some content; a digest's text is always a valid header.
pub(super) fn content(digest: &Digest) -> [(HeaderName, Option<HeaderValue>); 2] {
    let mut quoted = String::with_capacity(SHA256_QUOTED_BYTES);
    quoted.push('"');
    digest.push_to(&mut quoted);
    quoted.push('"');
    let quoted = Bytes::from(quoted);
    let text = quoted.slice(1..quoted.len().saturating_sub(1));
    let value = |bytes| HeaderValue::from_maybe_shared(bytes).ok();
    [(CONTENT_DIGEST, value(text)), (ETAG, value(quoted))]
}

/// Whether `If-None-Match` names this content.
pub(super) fn not_modified(request_headers: &HeaderMap, response_headers: &HeaderMap) -> bool {
    let Some(tag) = response_headers.get(ETAG).map(HeaderValue::as_bytes) else {
        return false;
    };
    let known = request_headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = known.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag
    })
}
