//! Parses a request's head into one value; all later code uses the parsed type.

use std::borrow::Cow;

use http::{Method, Uri, uri::Authority};
use percent_encoding::percent_decode_str;

use super::ApiError;
use crate::{
    oci::{Digest, Reference, Tag},
    pull::{ReferrersPage, TAGS_PER_PAGE_MAX, TagListPage},
    route::{ImageName, Ingress, IngressError},
};

/// Longest request target, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Everything a client may request of a mirror.
#[derive(Clone, Debug)]
pub enum ApiRequest {
    /// `GET /v2/`: the version check.
    Ping,
    /// A manifest by tag or digest.
    Manifest(ImageName, Reference),
    /// A blob by digest.
    Blob(ImageName, Digest),
    /// A repository's tags.
    Tags(ImageName, TagListPage),
    /// The referrers of a digest, perhaps of one type only.
    Referrers(ImageName, Digest, ReferrersPage),
}

/// The method: with or without the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMethod {
    /// Headers only.
    Head,
    /// Headers and body.
    Get,
}

/// The query keys in use. A repeated key is an error, not a list.
#[derive(Debug, Default)]
struct QueryParameters<'a> {
    ns: Option<Cow<'a, str>>,
    n: Option<Cow<'a, str>>,
    last: Option<Cow<'a, str>>,
    artifact_type: Option<Cow<'a, str>>,
    /// Roadstead's own key, written into the link to the next page of referrers.
    next: Option<Cow<'a, str>>,
}

impl ReadMethod {
    /// A mirror reads; every other method is refused.
    pub(super) fn parse(method: &Method) -> Result<Self, ApiError> {
        match *method {
            Method::GET => Ok(Self::Get),
            Method::HEAD => Ok(Self::Head),
            _ => Err(ApiError::Method),
        }
    }
}

impl ApiRequest {
    /// Parses a request target; `host` is the `Host` header.
    ///
    /// # Errors
    /// If the target is malformed or not an endpoint.
    pub fn parse(uri: &Uri, host: Option<&str>, ingress: &Ingress) -> Result<Self, ApiError> {
        let query_bytes = uri.query().map_or(0, str::len);
        if uri.path().len() + query_bytes > TARGET_BYTES_MAX {
            return Err(ApiError::TargetTooLong);
        }
        let path = path(uri.path())?;
        let query = QueryParameters::parse(uri.query().unwrap_or_default())?;
        let ns = query.ns.as_deref();
        let authority = uri.authority().map(Authority::as_str);
        if authority.is_some_and(|other| !ingress.answers_for(other)) {
            // The request uses us as a forward proxy; our content under that name would pass for
            // another host's.
            return Err(IngressError::Unknown.into());
        }
        let host = authority.or(host);
        let image = |prefix: &str| ingress.resolve(prefix, ns, host).map_err(ApiError::from);
        if is_ping(&path, ingress) {
            return Ok(Self::Ping);
        }
        // From the right, because a repository may be called `a/manifests/b`.
        let mut elements = path.rsplitn(3, '/');
        let (last, kind, prefix) = (elements.next(), elements.next(), elements.next());
        match (prefix, kind, last) {
            (Some(prefix), Some("manifests"), Some(reference)) => {
                let image = image(prefix)?;
                Ok(Self::Manifest(image, parse_reference(reference)?))
            }
            (Some(prefix), Some("blobs"), Some(digest)) => {
                let image = image(prefix)?;
                Ok(Self::Blob(image, digest.parse()?))
            }
            (Some(prefix), Some("tags"), Some("list")) => {
                let image = image(prefix)?;
                Ok(Self::Tags(image, query.tag_list_page()?))
            }
            (Some(prefix), Some("referrers"), Some(digest)) => {
                let image = image(prefix)?;
                let page = ReferrersPage {
                    artifact_type: query.artifact_type.map(Cow::into_owned),
                    next: query.next.map(Cow::into_owned),
                };
                Ok(Self::Referrers(image, digest.parse()?, page))
            }
            (Some(""), Some("v2"), Some("_catalog")) => Err(ApiError::NoCatalog),
            _ => Err(ApiError::UnknownPath),
        }
    }

    /// The kind, as the metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Manifest(..) => "manifest",
            Self::Blob(..) => "blob",
            Self::Tags(..) => "tags",
            Self::Referrers(..) => "referrers",
        }
    }

    /// The requested image.
    pub fn image(&self) -> Option<&ImageName> {
        match self {
            Self::Ping => None,
            Self::Manifest(image, _)
            | Self::Blob(image, _)
            | Self::Tags(image, _)
            | Self::Referrers(image, ..) => Some(image),
        }
    }

    /// The requested tag or digest, for the log; empty if there is none.
    pub fn reference(&self) -> String {
        match self {
            Self::Ping | Self::Tags(..) => String::new(),
            Self::Manifest(_, reference) => reference.to_string(),
            Self::Blob(_, digest) | Self::Referrers(_, digest, _) => digest.to_string(),
        }
    }
}

/// Decodes a path once. Ambiguous paths (an encoded slash, control characters, text that is not
/// UTF-8) are refused.
fn path(raw: &str) -> Result<Cow<'_, str>, ApiError> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if raw.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_bytes| ApiError::BadPath)?;
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    if slashes(&decoded) != slashes(raw) || decoded.contains(char::is_control) {
        return Err(ApiError::BadPath);
    }
    Ok(decoded)
}

/// Whether `path` is `/v2` or `/v2/`, perhaps below a prefix that names a registry, as newer Docker
/// engines ask. A longer prefix would be part of a name, and a name alone has no endpoint.
fn is_ping(path: &str, ingress: &Ingress) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.strip_suffix("/v2") {
        Some("") => true,
        // A tag may be called `v2`.
        Some(prefix) if prefix.ends_with("/manifests") => false,
        Some(prefix) => ingress
            .resolve(&format!("{prefix}/v2/any/name"), None, None)
            .is_ok_and(|image| image.repository.name.as_str() == "any/name"),
        None => false,
    }
}

/// A reference with a colon can only be a digest. An invalid tag is reported as not found, as the
/// conformance suite requires.
fn parse_reference(text: &str) -> Result<Reference, ApiError> {
    if text.contains(':') {
        return Ok(Reference::Digest(text.parse()?));
    }
    text.parse::<Tag>()
        .map(Reference::Tag)
        .map_err(|_invalid| ApiError::NoSuchTag)
}

impl<'a> QueryParameters<'a> {
    fn parse(text: &'a str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, slot) = match key {
                "ns" => ("ns", &mut query.ns),
                "n" => ("n", &mut query.n),
                "last" => ("last", &mut query.last),
                "artifactType" => ("artifactType", &mut query.artifact_type),
                "next" => ("next", &mut query.next),
                _ => continue,
            };
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_bytes| ApiError::BadQuery("it is not UTF-8"))?;
            if slot.replace(value).is_some() {
                return Err(ApiError::RepeatedKey(name));
            }
        }
        Ok(query)
    }

    fn tag_list_page(self) -> Result<TagListPage, ApiError> {
        let count = match self.n.as_deref() {
            None => TAGS_PER_PAGE_MAX,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                // A number too large to parse exceeds the maximum anyway.
                digits.parse().unwrap_or(u64::MAX).min(TAGS_PER_PAGE_MAX)
            }
            Some(_) => return Err(ApiError::BadQuery("`n` is a number of tags")),
        };
        Ok(TagListPage {
            count,
            after: self.last.map(Cow::into_owned),
        })
    }
}
