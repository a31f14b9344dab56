//! Tags and referrers.

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

/// What must be coded inside a query value.
const VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>');

/// Answers with a stretch of a tag list. The link to the next one is relative, so it leads back
/// here by whatever address and prefix the client came.
pub(super) async fn tags(
    puller: &Puller,
    named: &ImageName,
    page: &TagListPage,
    want: ReadMethod,
    path: &str,
) -> Result<Answer, ApiError> {
    let list = puller
        .tags(named, page)
        .await
        .map_err(|error| ApiError::Pull(error, ContentKind::Tags))?;
    let next = list
        .tags
        .last()
        .filter(|_last| list.more)
        .map(|last| link(named, page, path, last));
    let name = named.repository.name.as_str();
    let body = TagListBuilder::default()
        .name(name)
        .tags(list.tags)
        .build()
        .ok();
    let body = body
        .and_then(|list| serde_json::to_vec(&list).ok())
        .unwrap_or_default();
    let mut response = json(Bytes::from(body), "application/json", want);
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

/// Answers with what refers to a digest.
pub(super) async fn referrers(
    puller: &Puller,
    named: &ImageName,
    digest: &Digest,
    page: &ReferrersPage,
    want: ReadMethod,
    path: &str,
) -> Result<Answer, ApiError> {
    let found = puller.referrers(named, digest, page).await;
    let found = found.map_err(|error| ApiError::Pull(error, ContentKind::Manifest))?;
    let mut response = json(found.bytes, MediaType::oci_index().as_str(), want);
    let headers = response.headers_mut();
    if found.filtered {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    // Upstream's own query means nothing here, and may hold what means something else.
    let next = found.next.map(|query| {
        let query = format!("next={}", utf8_percent_encode(&query, VALUE));
        format!("<{path}?{}>; rel=\"next\"", with_ns(&query, named))
    });
    let next = next.and_then(|next| HeaderValue::try_from(next).ok());
    headers.extend(next.map(|next| (header::LINK, next)));
    Ok(Answer {
        response,
        outcome: "miss",
        origin: None,
    })
}

fn json(body: Bytes, media_type: &str, want: ReadMethod) -> Response<Body> {
    let length = body.len();
    let body = if want == ReadMethod::Get {
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

fn link(named: &ImageName, page: &TagListPage, path: &str, last: &str) -> String {
    let last = utf8_percent_encode(last, VALUE);
    let query = format!("n={}&last={last}", page.count);
    format!("<{path}?{}>; rel=\"next\"", with_ns(&query, named))
}

fn with_ns(query: &str, named: &ImageName) -> String {
    match &named.ns {
        Some(ns) => format!("{query}&ns={}", utf8_percent_encode(ns.as_str(), VALUE)),
        None => query.to_owned(),
    }
}
