//! The store's socket: what another command asks the server that holds the store.
//!
//! Promises: it listens on a Unix socket of mode 0600 only, and only reads. Called by `server`,
//! through `app`; the command line is its client. JSON over HTTP.

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    oci::{Origin, Reference, Registry, Repository},
    pull::Stored,
    store::Store,
    wire::Body,
};

/// Most places in one question.
const PLACES_MAX: usize = 1000;

/// Answers questions about a store.
#[derive(Clone, Debug)]
pub struct Control {
    store: Store,
}

/// One place where something may be kept, as it travels over the socket.
#[derive(Debug, Serialize, Deserialize)]
struct PlaceLine {
    /// An upstream's name; none for a loaded bundle.
    upstream: Option<String>,
    /// The registry, for a loaded bundle.
    registry: Option<String>,
    repository: String,
    reference: String,
}

/// A question that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the question cannot be read")]
pub struct Unreadable;

impl Control {
    /// Speaks for this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Answers one question: `GET /stored?PLACES`, with a [`Stored`] or `null`.
    pub async fn answer(&self, parts: Parts) -> Response<Body> {
        let known = parts.method == Method::GET && parts.uri.path() == "/stored";
        if !known {
            return json(
                StatusCode::NOT_FOUND,
                "{\"error\":\"no such question\"}".into(),
            );
        }
        let Ok(places) = read(parts.uri.query().unwrap_or_default()) else {
            return json(
                StatusCode::BAD_REQUEST,
                format!("{{\"error\":\"{Unreadable}\"}}"),
            );
        };
        match Stored::of(&self.store, &places).await {
            Ok(stored) => json(
                StatusCode::OK,
                serde_json::to_string(&stored).unwrap_or_default(),
            ),
            Err(error) => {
                tracing::error!(%error, "the store could not be asked");
                json(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "{\"error\":\"the store failed\"}".into(),
                )
            }
        }
    }
}

/// The request target that asks what is kept in these places.
pub fn stored_target(places: &[(Origin, Reference)]) -> String {
    let lines: Vec<_> = places.iter().take(PLACES_MAX).map(line).collect();
    let text = serde_json::to_string(&lines).unwrap_or_default();
    format!("/stored?{}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
}

fn line((origin, reference): &(Origin, Reference)) -> PlaceLine {
    let reference = reference.to_string();
    match origin {
        Origin::Upstream { upstream, name } => PlaceLine {
            upstream: Some(upstream.to_string()),
            registry: None,
            repository: name.to_string(),
            reference,
        },
        Origin::Local(repository) => PlaceLine {
            upstream: None,
            registry: Some(repository.registry.to_string()),
            repository: repository.name.to_string(),
            reference,
        },
    }
}

fn read(query: &str) -> Result<Vec<(Origin, Reference)>, Unreadable> {
    let text = percent_decode_str(query)
        .decode_utf8()
        .map_err(|_bytes| Unreadable)?;
    let lines: Vec<PlaceLine> = serde_json::from_str(&text).map_err(|_json| Unreadable)?;
    lines.into_iter().take(PLACES_MAX).map(place).collect()
}

fn place(line: PlaceLine) -> Result<(Origin, Reference), Unreadable> {
    let name = line.repository.parse().map_err(|_name| Unreadable)?;
    let reference = if line.reference.contains(':') {
        Reference::Digest(line.reference.parse().map_err(|_digest| Unreadable)?)
    } else {
        Reference::Tag(line.reference.parse().map_err(|_tag| Unreadable)?)
    };
    let origin = match (line.upstream, line.registry) {
        (Some(upstream), None) => Origin::Upstream {
            upstream: upstream.parse().map_err(|_name| Unreadable)?,
            name,
        },
        (None, Some(registry)) => {
            let registry: Registry = registry.parse().map_err(|_name| Unreadable)?;
            Origin::Local(Repository { registry, name })
        }
        _ => return Err(Unreadable),
    };
    Ok((origin, reference))
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
    fn a_question_arrives_as_it_was_asked() {
        let name = "library/nginx".parse().unwrap();
        let tag = Reference::Tag("1.25".parse().unwrap());
        let digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let places = vec![
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
        let target: http::Uri = stored_target(&places).parse().unwrap();
        assert_eq!(read(target.query().unwrap()), Ok(places));
        for bad in ["", "[{}]", "null", "%ff"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
