//! GET and HEAD of a blob, whole or in parts.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{
    ApiError, ContentKind,
    answer::Answer,
    header::{DISTRIBUTION_VERSION, HEADERS_MAX, content, not_modified},
    request::ReadMethod,
};
use crate::{
    oci::{ByteRange, Digest, RangeOutcome, RangeRequest},
    pull::{BlobBody, Puller},
    route::ImageName,
    store::KeptBlob,
    wire::{Body, BodyPart},
};

/// Only the manifest that names a blob knows its real type.
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Separates the parts of a multipart answer. Fixed: a client finds parts by their lengths.
const BOUNDARY: &str = "roadstead-part-f4a1c7d2e95b";
const MULTIPART: HeaderValue =
    HeaderValue::from_static("multipart/byteranges; boundary=roadstead-part-f4a1c7d2e95b");

/// Answers with a blob. A range of a blob whose size is not known yet is answered with the whole, as
/// RFC 9110 (14.2) allows.
pub(super) async fn answer(
    puller: &Puller,
    image: &ImageName,
    digest: &Digest,
    method: ReadMethod,
    request_headers: &HeaderMap,
) -> Result<Answer, ApiError> {
    let found = match method {
        ReadMethod::Get => puller.blob(image, digest).await,
        ReadMethod::Head => puller.blob_size(image, digest).await,
    };
    let found = found.map_err(|error| ApiError::Pull(error, ContentKind::Blob))?;
    let size = size(&found.body);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(HEADERS_MAX);
    headers.insert(DISTRIBUTION_VERSION.0, DISTRIBUTION_VERSION.1);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    for (name, value) in content(digest) {
        headers.extend(value.map(|value| (name, value)));
    }
    let answer = |response| Answer {
        response,
        outcome: found.cache_status.as_str(),
        origin: found.origin.clone(),
    };
    if not_modified(request_headers, headers) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer(response));
    }
    headers.insert(header::CONTENT_TYPE, OCTET_STREAM);
    // Ranges are for GET only (RFC 9110, 14.2).
    let range = range(request_headers, headers).filter(|_| method == ReadMethod::Get);
    if let Some((range, size)) = range.zip(size) {
        match range.within(size) {
            RangeOutcome::Unsatisfiable => return Err(ApiError::RangeOutside { size }),
            RangeOutcome::TooMany => return Err(ApiError::TooManyRanges),
            RangeOutcome::Single(one) => part(&mut response, &found.body, one, size),
            RangeOutcome::Multiple(parts) => multipart(&mut response, &found.body, &parts, size),
        }
    } else {
        headers.extend(size.map(|size| (header::CONTENT_LENGTH, HeaderValue::from(size))));
        let whole = body_part(&found.body, 0, size);
        *response.body_mut() = Body::from_parts(whole.into_iter().collect());
    }
    if method == ReadMethod::Head {
        *response.body_mut() = Body::empty();
    }
    Ok(answer(response))
}

fn size(body: &BlobBody) -> Option<u64> {
    match body {
        BlobBody::Kept(KeptBlob::Small(bytes)) => u64::try_from(bytes.len()).ok(),
        BlobBody::Kept(KeptBlob::Trusted { size, .. } | KeptBlob::Unverified { size, .. })
        | BlobBody::SizeOnly { size } => Some(*size),
        BlobBody::Arriving { size, .. } => *size,
    }
}

/// The requested range; ignored if `If-Range` names other content.
fn range(request_headers: &HeaderMap, response_headers: &HeaderMap) -> Option<RangeRequest> {
    if request_headers
        .get(header::IF_RANGE)
        .is_some_and(|tag| Some(tag) != response_headers.get(header::ETAG))
    {
        return None;
    }
    RangeRequest::from_header(request_headers.get(header::RANGE)?.to_str().ok()?)
}

/// A byte range of the blob; without an end, to the end of the blob.
fn body_part(body: &BlobBody, from: u64, to: Option<u64>) -> Option<BodyPart> {
    let length = to.map(|to| to.saturating_sub(from));
    Some(match body {
        BlobBody::Kept(KeptBlob::Small(bytes)) => {
            let from = usize::try_from(from).ok()?;
            let length = usize::try_from(length?).ok()?;
            let to = from.checked_add(length).filter(|to| *to <= bytes.len())?;
            BodyPart::Bytes(bytes.slice(from..to))
        }
        BlobBody::Kept(KeptBlob::Trusted { file, .. }) => BodyPart::File {
            file: Arc::clone(file),
            offset: from,
            length: length?,
        },
        BlobBody::Kept(KeptBlob::Unverified { file, .. }) | BlobBody::Arriving { file, .. } => {
            BodyPart::Growing {
                file: file.clone(),
                offset: from,
                end: to,
            }
        }
        BlobBody::SizeOnly { .. } => return None,
    })
}

fn part(response: &mut Response<Body>, body: &BlobBody, range: ByteRange, size: u64) {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let part = body_part(body, range.first(), Some(range.last() + 1));
    *response.body_mut() = Body::from_parts(part.into_iter().collect());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.length()));
    let value = HeaderValue::try_from(content_range(range, size));
    headers.extend(value.ok().map(|value| (header::CONTENT_RANGE, value)));
}

fn multipart(response: &mut Response<Body>, body: &BlobBody, ranges: &[ByteRange], size: u64) {
    let mut parts = VecDeque::new();
    for (at, range) in ranges.iter().enumerate() {
        let break_before = if at == 0 { "" } else { "\r\n" };
        let head = format!(
            "{break_before}--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: {}\r\n\r\n",
            content_range(*range, size),
        );
        parts.push_back(BodyPart::Bytes(Bytes::from(head)));
        parts.extend(body_part(body, range.first(), Some(range.last() + 1)));
    }
    parts.push_back(BodyPart::Bytes(Bytes::from(format!(
        "\r\n--{BOUNDARY}--\r\n"
    ))));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let body = Body::from_parts(parts);
    let headers = response.headers_mut();
    if let Some(length) = body.length() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.insert(header::CONTENT_TYPE, MULTIPART);
    *response.body_mut() = body;
}

fn content_range(range: ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.first(), range.last())
}
