//! Lists of tags and of referrers.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use oci_spec::distribution::TagListBuilder;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    ApiError, ContentKind,
    answer::Answer,
    header::{DISTRIBUTION_VERSION, FILTERS_APPLIED},
    request::ReadMethod,
};
use crate::{
    oci::{Digest, MediaType},
    pull::{Puller, ReferrersPage, TagListPage},
    route::ImageName,
    wire::Body,
};

/// What must be percent-encoded in a query value.
const VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>');

/// Answers with a page of a tag list. The link to the next page is relative, so it keeps the
/// client's address and prefix.
pub(super) async fn tags(
    puller: &Puller,
    image: &ImageName,
    page: &TagListPage,
    method: ReadMethod,
    path: &str,
) -> Result<Answer, ApiError> {
    let list = puller
        .tags(image, page)
        .await
        .map_err(|error| ApiError::Pull(error, ContentKind::Tags))?;
    let next = list
        .tags
        .last()
        .filter(|_last| list.more)
        .map(|last| link(image, page, path, last));
    let name = image.repository.name.as_str();
    let body = TagListBuilder::default()
        .name(name)
        .tags(list.tags)
        .build()
        .ok();
    let body = body
        .and_then(|list| serde_json::to_vec(&list).ok())
        .unwrap_or_default();
    let mut response = json(Bytes::from(body), "application/json", method);
    let next = next.and_then(|next| HeaderValue::try_from(next).ok());
    response
        .headers_mut()
        .extend(next.map(|next| (header::LINK, next)));
    Ok(Answer {
        response,
        outcome: "miss",
        origin: None,
    })
}

/// Answers with the referrers of a digest.
pub(super) async fn referrers(
    puller: &Puller,
    image: &ImageName,
    digest: &Digest,
    page: &ReferrersPage,
    method: ReadMethod,
    path: &str,
) -> Result<Answer, ApiError> {
    let found = puller.referrers(image, digest, page).await;
    let found = found.map_err(|error| ApiError::Pull(error, ContentKind::Manifest))?;
    let mut response = json(found.bytes, MediaType::oci_index().as_str(), method);
    let headers = response.headers_mut();
    if found.filtered {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    // Upstream's query is passed as one opaque value, because its keys may differ from ours.
    let next = found.next.map(|query| {
        let query = format!("next={}", utf8_percent_encode(&query, VALUE));
        format!("<{path}?{}>; rel=\"next\"", with_ns(&query, image))
    });
    let next = next.and_then(|next| HeaderValue::try_from(next).ok());
    headers.extend(next.map(|next| (header::LINK, next)));
    Ok(Answer {
        response,
        outcome: "miss",
        origin: None,
    })
}

fn json(body: Bytes, media_type: &str, method: ReadMethod) -> Response<Body> {
    let length = body.len();
    let body = if method == ReadMethod::Get {
        Body::bytes(body)
    } else {
        Body::empty()
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(DISTRIBUTION_VERSION.0, DISTRIBUTION_VERSION.1);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let media_type = HeaderValue::try_from(media_type);
    headers.extend(media_type.ok().map(|value| (header::CONTENT_TYPE, value)));
    response
}

fn link(image: &ImageName, page: &TagListPage, path: &str, last: &str) -> String {
    let last = utf8_percent_encode(last, VALUE);
    let query = format!("n={}&last={last}", page.count);
    format!("<{path}?{}>; rel=\"next\"", with_ns(&query, image))
}

fn with_ns(query: &str, image: &ImageName) -> String {
    match &image.ns {
        Some(ns) => format!("{query}&ns={}", utf8_percent_encode(ns.as_str(), VALUE)),
        None => query.to_owned(),
    }
}
