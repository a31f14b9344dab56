//! The right answer to a request, before any fault. Pure.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LINK,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::body::Step;
use crate::content::{Content, media_type};
use crate::gate::Pause;
use crate::line::Ending;
use crate::record::Recorded;
use crate::shelf::{Repository, Shelf};
use crate::target::{Endpoint, Ranged, query_value, ranged};

/// An answer, and all a fault can do to it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body of a GET.
    pub(crate) bytes: Bytes,
    /// What `bytes` are a part of.
    pub(crate) whole: Bytes,
    /// Where in `whole` they begin.
    pub(crate) start: usize,
    /// How the body is played; `None` sends `bytes`.
    pub(crate) steps: Option<Vec<Step>>,
    /// Waited for before the head.
    pub(crate) pause: Option<Pause>,
    /// Done instead of answering.
    pub(crate) instead: Option<Ending>,
}

/// Properties of the whole registry.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) referrers: bool,
    pub(crate) tags_per_page_max: usize,
}

/// The answer of a registry with this content and these properties.
pub(crate) fn answer(shelf: &Shelf, habits: &Habits, request: &Recorded) -> Answer {
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        let refused = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        return refused.with(ALLOW, "GET, HEAD");
    }
    if request.endpoint == Endpoint::Ping {
        return Answer::new(StatusCode::OK, "application/json", "{}")
            .with(API_VERSION, "registry/2.0");
    }
    let Some(name) = request.endpoint.repository() else {
        return match shelf.paths.get(&request.path) {
            Some(content) => Answer::content(content, request, &content.media_type),
            None => Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED"),
        };
    };
    if matches!(request.endpoint, Endpoint::Referrers { .. }) && !habits.referrers {
        return Answer::new(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n");
    }
    let Some(repository) = shelf.repositories.get(name) else {
        return Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    };
    match &request.endpoint {
        Endpoint::Blob { digest, .. } => match repository.blobs.get(digest) {
            Some(blob) => Answer::content(blob, request, media_type::OCTETS)
                .with(DIGEST, &blob.digest)
                .with(ETAG, &format!("\"{}\"", blob.digest)),
            None => Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        },
        Endpoint::Manifest { reference, .. } => {
            match repository
                .manifest(reference)
                .filter(|found| accepts(request, found))
            {
                Some(manifest) => Answer::manifest(manifest),
                None => Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            }
        }
        Endpoint::Tags { .. } => tags(name, repository, habits, request),
        Endpoint::Referrers { digest, .. } => referrers(repository, digest, request),
        Endpoint::Ping | Endpoint::Token | Endpoint::Other => {
            Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED")
        }
    }
}

impl Answer {
    pub(crate) fn new(status: StatusCode, kind: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let answer = Self {
            status,
            headers: HeaderMap::new(),
            whole: bytes.clone(),
            bytes,
            start: 0,
            steps: None,
            pause: None,
            instead: None,
        };
        let length = answer.bytes.len().to_string();
        answer
            .with(CONTENT_TYPE, kind)
            .with(CONTENT_LENGTH, &length)
    }

    /// A failure in the specification's shape.
    pub(crate) fn error(status: StatusCode, code: &str) -> Self {
        let message = status
            .canonical_reason()
            .unwrap_or("unknown")
            .to_lowercase();
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": {} }] });
        Self::new(status, "application/json", body.to_string())
    }

    /// With this header, in place of any before.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value a test can write");
        self.headers.insert(name, value);
        self
    }

    /// With this header, behind any before.
    pub(crate) fn and(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value a test can write");
        self.headers.append(name, value);
        self
    }

    fn manifest(manifest: &Content) -> Self {
        Self::new(StatusCode::OK, &manifest.media_type, manifest.bytes.clone())
            .with(DIGEST, &manifest.digest)
            .with(ETAG, &format!("\"{}\"", manifest.digest))
    }

    fn content(content: &Content, request: &Recorded, kind: &str) -> Self {
        let range = request
            .range
            .as_deref()
            .filter(|_| request.method == Method::GET);
        let size = content.size();
        let whole = content.bytes.clone();
        let answer = match ranged(range, size) {
            Ranged::Whole => Self::new(StatusCode::OK, kind, whole),
            Ranged::Unsatisfiable => {
                Self::error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID")
                    .with(CONTENT_RANGE, &format!("bytes */{size}"))
            }
            Ranged::Part(part) => {
                let said = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                let bytes = whole.slice(part.clone());
                let answer = Self::new(StatusCode::PARTIAL_CONTENT, kind, bytes);
                Self {
                    whole,
                    start: part.start,
                    ..answer
                }
                .with(CONTENT_RANGE, &said)
            }
        };
        answer.with(ACCEPT_RANGES, "bytes")
    }
}

/// As distribution does, and GHCR: a type that is not listed by name does not exist.
fn accepts(request: &Recorded, manifest: &Content) -> bool {
    request
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| kind.trim() == manifest.media_type)
}

fn tags(name: &str, repository: &Repository, habits: &Habits, request: &Recorded) -> Answer {
    let query = request.query.as_deref();
    let asked = query_value(query, "n").and_then(|text| text.parse().ok());
    let count = habits.tags_per_page_max.min(asked.unwrap_or(usize::MAX));
    let last = query_value(query, "last");
    let mut rest = repository
        .tags
        .keys()
        .filter(|tag| last.as_ref().is_none_or(|last| *tag > last));
    let page: Vec<_> = rest.by_ref().take(count).collect();
    let body = json!({ "name": name, "tags": page });
    let answer = Answer::new(StatusCode::OK, "application/json", body.to_string());
    match (page.last(), rest.next()) {
        (Some(last), Some(_)) => {
            let next = format!("</v2/{name}/tags/list?n={count}&last={last}>; rel=\"next\"");
            answer.with(LINK, &next)
        }
        _ => answer,
    }
}

fn referrers(repository: &Repository, digest: &str, request: &Recorded) -> Answer {
    let filter = query_value(request.query.as_deref(), "artifactType");
    let manifests = repository.referrers(digest, filter.as_deref());
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::INDEX,
        "manifests": manifests,
    });
    let answer = Answer::new(StatusCode::OK, media_type::INDEX, index.to_string());
    match filter {
        Some(_) => answer.with(FILTERS_APPLIED, "artifactType"),
        None => answer,
    }
}

pub(crate) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
