//! The control socket: answers other commands about the store that the server holds.
//!
//! Promises: it listens on a Unix socket of mode 0600 only, and only reads. Called by `server`,
//! through `app`; the command line is its client. JSON over HTTP.

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    oci::{Digest, Origin, Reference, Registry, Repository},
    pull::StoredImage,
    store::{Store, StoreError},
    wire::Body,
};

/// Most store keys of one request.
const STORE_KEYS_MAX: usize = 1000;

/// Most tags of one response.
const TAGS_MAX: usize = 100_000;

/// The request target of the list of tags.
pub const TAGS_TARGET: &str = "/tags";

/// A tag at its origin, and its stored digest.
pub type KeptTag = (Origin, Reference, Digest);

/// Answers requests about a store.
#[derive(Clone, Debug)]
pub struct Control {
    store: Store,
}

/// A store key as JSON: an origin and a reference there.
#[derive(Debug, Serialize, Deserialize)]
struct StoreKeyLine {
    /// The upstream's name; `None` for a loaded bundle.
    upstream: Option<String>,
    /// The registry of a loaded bundle.
    registry: Option<String>,
    repository: String,
    reference: String,
}

/// A message that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid control message")]
pub struct InvalidControlMessage;

impl Control {
    /// Answers for this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Answers one request: `GET /stored?KEYS` with a [`StoredImage`] or `null`, or `GET /tags`.
    pub async fn answer(&self, parts: Parts) -> Response<Body> {
        match (parts.method, parts.uri.path()) {
            (Method::GET, "/stored") => self.stored(parts.uri.query().unwrap_or_default()).await,
            (Method::GET, TAGS_TARGET) => json_response(
                kept_tags(&self.store)
                    .await
                    .map(|tags| tags.iter().map(tag_line).collect::<Vec<_>>()),
            ),
            _ => json(
                StatusCode::NOT_FOUND,
                "{\"error\":\"no such endpoint\"}".into(),
            ),
        }
    }

    async fn stored(&self, query: &str) -> Response<Body> {
        match parse_query(query) {
            Ok(keys) => json_response(StoredImage::look_up(&self.store, &keys).await),
            Err(error) => json(
                StatusCode::BAD_REQUEST,
                format!("{{\"error\":\"{error}\"}}"),
            ),
        }
    }
}

/// Every stored tag, up to a maximum.
///
/// # Errors
/// If the store cannot be read.
pub async fn kept_tags(store: &Store) -> Result<Vec<KeptTag>, StoreError> {
    let mut kept = Vec::new();
    for origin in store.origins().await? {
        for tag in store.tags(&origin).await? {
            if kept.len() == TAGS_MAX {
                return Ok(kept);
            }
            if let Some(record) = store.tag(&origin, &tag).await? {
                kept.push((origin.clone(), Reference::Tag(tag), record.digest));
            }
        }
    }
    Ok(kept)
}

/// Parses the response to [`TAGS_TARGET`].
///
/// # Errors
/// If it is malformed.
pub fn read_tags(answer: &[u8]) -> Result<Vec<KeptTag>, InvalidControlMessage> {
    let lines: Vec<(StoreKeyLine, String)> =
        serde_json::from_slice(answer).map_err(|_json| InvalidControlMessage)?;
    let tag = |(line, digest): (StoreKeyLine, String)| {
        let (origin, reference) = from_line(line)?;
        Ok((
            origin,
            reference,
            digest.parse().map_err(|_digest| InvalidControlMessage)?,
        ))
    };
    lines.into_iter().map(tag).collect()
}

/// The request target that asks which of these keys is stored.
pub fn stored_target(keys: &[(Origin, Reference)]) -> String {
    let lines = keys.iter().take(STORE_KEYS_MAX);
    let lines: Vec<_> = lines
        .map(|(origin, reference)| to_line(origin, reference))
        .collect();
    let text = serde_json::to_string(&lines).unwrap_or_default();
    format!("/stored?{}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
}

fn tag_line((origin, reference, digest): &KeptTag) -> (StoreKeyLine, String) {
    (to_line(origin, reference), digest.to_string())
}

fn to_line(origin: &Origin, reference: &Reference) -> StoreKeyLine {
    let reference = reference.to_string();
    match origin {
        Origin::Upstream { upstream, name } => StoreKeyLine {
            upstream: Some(upstream.to_string()),
            registry: None,
            repository: name.to_string(),
            reference,
        },
        Origin::Local(repository) => StoreKeyLine {
            upstream: None,
            registry: Some(repository.registry.to_string()),
            repository: repository.name.to_string(),
            reference,
        },
    }
}

fn parse_query(query: &str) -> Result<Vec<(Origin, Reference)>, InvalidControlMessage> {
    let text = percent_decode_str(query)
        .decode_utf8()
        .map_err(|_bytes| InvalidControlMessage)?;
    let lines: Vec<StoreKeyLine> =
        serde_json::from_str(&text).map_err(|_json| InvalidControlMessage)?;
    lines
        .into_iter()
        .take(STORE_KEYS_MAX)
        .map(from_line)
        .collect()
}

fn from_line(line: StoreKeyLine) -> Result<(Origin, Reference), InvalidControlMessage> {
    let name = line
        .repository
        .parse()
        .map_err(|_name| InvalidControlMessage)?;
    let reference = if line.reference.contains(':') {
        Reference::Digest(
            line.reference
                .parse()
                .map_err(|_digest| InvalidControlMessage)?,
        )
    } else {
        Reference::Tag(
            line.reference
                .parse()
                .map_err(|_tag| InvalidControlMessage)?,
        )
    };
    let origin = match (line.upstream, line.registry) {
        (Some(upstream), None) => Origin::Upstream {
            upstream: upstream.parse().map_err(|_name| InvalidControlMessage)?,
            name,
        },
        (None, Some(registry)) => {
            let registry: Registry = registry.parse().map_err(|_name| InvalidControlMessage)?;
            Origin::Local(Repository { registry, name })
        }
        _ => return Err(InvalidControlMessage),
    };
    Ok((origin, reference))
}

fn json_response<E: std::fmt::Display>(answer: Result<impl Serialize, E>) -> Response<Body> {
    match answer {
        Ok(answer) => json(
            StatusCode::OK,
            serde_json::to_string(&answer).unwrap_or_default(),
        ),
        Err(error) => {
            tracing::error!(%error, "cannot read the store");
            json(
                StatusCode::INTERNAL_SERVER_ERROR,
                "{\"error\":\"the store failed\"}".into(),
            )
        }
    }
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::bytes(text.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_tags_survive_the_round_trip() {
        let name = "library/nginx".parse().unwrap();
        let tag = Reference::Tag("1.25".parse().unwrap());
        let digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let keys = vec![
            (
                Origin::Upstream {
                    upstream: "h.example:5000".parse().unwrap(),
                    name,
                },
                tag,
            ),
            (
                Origin::Local(Repository {
                    registry: "[::1]:5000".parse().unwrap(),
                    name: "a/b".parse().unwrap(),
                }),
                Reference::Digest(digest),
            ),
        ];
        let target: http::Uri = stored_target(&keys).parse().unwrap();
        assert_eq!(parse_query(target.query().unwrap()), Ok(keys.clone()));
        let digest: Digest = format!("sha256:{}", "cd".repeat(32)).parse().unwrap();
        let tags: Vec<KeptTag> = keys.into_iter().map(|(o, r)| (o, r, digest)).collect();
        let lines: Vec<_> = tags.iter().map(tag_line).collect();
        assert_eq!(read_tags(&serde_json::to_vec(&lines).unwrap()), Ok(tags));
        for bad in ["", "[{}]", "null", "%ff"] {
            assert!(parse_query(bad).is_err(), "{bad}");
        }
    }
}
