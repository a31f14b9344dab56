//! GET and HEAD of a manifest.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{
    ApiError, ContentKind,
    answer::Answer,
    header::{DISTRIBUTION_VERSION, HEADERS_MAX, content, not_modified},
    request::ReadMethod,
};
use crate::{
    oci::Reference,
    pull::{CacheStatus, Puller},
    route::ImageName,
    wire::Body,
};

/// Answers with the manifest of a reference. HEAD and GET give the same headers, and none of them
/// is upstream's.
pub(super) async fn answer(
    puller: &Puller,
    image: &ImageName,
    reference: &Reference,
    method: ReadMethod,
    request_headers: &HeaderMap,
) -> Result<Answer, ApiError> {
    let found = puller.manifest(image, reference).await;
    let found = found.map_err(|error| ApiError::Pull(error, ContentKind::Manifest))?;
    let manifest = &found.manifest;
    let body = Body::bytes(manifest.bytes().clone());
    let mut response = Response::new(if method == ReadMethod::Get {
        body
    } else {
        Body::empty()
    });
    let headers = response.headers_mut();
    headers.reserve(HEADERS_MAX);
    headers.insert(DISTRIBUTION_VERSION.0, DISTRIBUTION_VERSION.1);
    for (name, value) in content(&manifest.digest()) {
        headers.extend(value.map(|value| (name, value)));
    }
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(manifest.bytes().len()),
    );
    let media_type = HeaderValue::try_from(manifest.media_type().as_str());
    headers.extend(media_type.ok().map(|value| (header::CONTENT_TYPE, value)));
    if found.cache_status == CacheStatus::Stale {
        let warning = HeaderValue::from_static("110 roadstead \"upstream failed; this is stale\"");
        headers.insert(header::WARNING, warning);
    }
    if not_modified(request_headers, headers) {
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::CONTENT_TYPE);
        *response.body_mut() = Body::empty();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    Ok(Answer {
        response,
        outcome: found.cache_status.as_str(),
        origin: Some(found.origin).filter(|_| found.cache_status != CacheStatus::Hit),
    })
}
