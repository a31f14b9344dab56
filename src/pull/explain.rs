//! What a pull would do, without doing it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    PullError, UpstreamDirectory,
    resolve::{kind_name, origin_of},
};
use crate::{
    oci::{Digest, Origin, Reference, Tag},
    route::{Candidate, Decision, ImageName, RouteTable},
    store::Store,
    upstream::CredentialSource,
};

/// What a pull of a reference would do; `explain --json` prints this.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The reference in canonical form.
    pub reference: String,
    /// What the routes decide.
    pub outcome: RouteOutcome,
    /// Why, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The deciding route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteLine>,
    /// The upstreams that a pull would contact, in order.
    pub candidates: Vec<CandidateLine>,
    /// What is stored, if the store could be read.
    pub stored: Option<StoredImage>,
}

/// What the routes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteOutcome {
    /// Some candidate is not the image's own registry.
    Route,
    /// The image's own registry is the only candidate.
    Source,
    /// A route denies it.
    Deny,
    /// No route matches the name.
    Unmatched,
}

/// The deciding route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteLine {
    /// The pattern as written.
    pub from: String,
    /// Its location, `FILE:LINE`; `built-in` if it is not configured.
    pub origin: String,
}

/// One candidate.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateLine {
    /// Host and port.
    pub upstream: String,
    /// Its address.
    pub url: String,
    /// The repository there.
    pub repository: String,
    /// The tag or digest there.
    pub reference: String,
    /// The user name of the credentials, or the helper's program.
    pub credential: Option<String>,
}

/// What is stored of a reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The digest.
    pub digest: String,
    /// Whether everything it references is stored too.
    pub complete: bool,
    /// When upstream last confirmed the tag.
    pub checked: Option<Timestamp>,
}

impl Explanation {
    /// Decides by the routes. The store comes later ([`Self::add_stored`]): another process may
    /// have it open.
    pub fn of(
        table: &RouteTable,
        directory: &UpstreamDirectory,
        image: &ImageName,
        reference: &Reference,
    ) -> Self {
        let separator = if matches!(reference, Reference::Tag(_)) {
            ':'
        } else {
            '@'
        };
        let mut explanation = Self {
            reference: format!("{}{separator}{reference}", image.repository),
            outcome: RouteOutcome::Unmatched,
            reason: None,
            route: None,
            candidates: Vec::new(),
            stored: None,
        };
        match table.decide(image, reference) {
            Decision::Unmatched { reason } => explanation.reason = Some(reason),
            Decision::Deny { location, from } => {
                explanation.outcome = RouteOutcome::Deny;
                explanation.route = Some(RouteLine {
                    from,
                    origin: location.to_string(),
                });
            }
            Decision::Route {
                location,
                from,
                candidates,
                pin,
                ..
            } => {
                let own = |one: &Candidate| one.upstream.as_str() == one.registry.as_str();
                let source = candidates.iter().all(own);
                explanation.outcome = if source && !candidates.is_empty() {
                    RouteOutcome::Source
                } else {
                    RouteOutcome::Route
                };
                let origin = location.map_or_else(|| "built-in".to_owned(), |one| one.to_string());
                explanation.route = Some(RouteLine { from, origin });
                explanation.reason = pin.map(|pin| format!("pinned to {pin}"));
                if candidates.is_empty() {
                    let kind = kind_name(reference);
                    explanation.reason = Some(format!("the route has no target for {kind}"));
                }
                let reference = pin.map_or_else(|| reference.clone(), Reference::Digest);
                explanation.candidates = candidates
                    .iter()
                    .filter_map(|one| candidate_line(one, &reference, table, directory))
                    .collect();
            }
        }
        explanation
    }

    /// Stored content is served even without candidates; else such a route denies.
    pub fn add_stored(&mut self, stored: Option<StoredImage>) {
        if stored.is_none() && self.outcome == RouteOutcome::Route && self.candidates.is_empty() {
            self.outcome = RouteOutcome::Deny;
        }
        self.stored = stored;
    }
}

impl StoredImage {
    /// What the store has under the first of these keys that it knows.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_up(
        store: &Store,
        keys: &[(Origin, Reference)],
    ) -> Result<Option<Self>, PullError> {
        for (origin, reference) in keys {
            let (digest, checked) = match reference {
                Reference::Digest(digest) => (*digest, None),
                Reference::Tag(tag) => match store.tag(origin, tag).await? {
                    Some(record) => (record.digest, Some(record.checked)),
                    None => continue,
                },
            };
            if let Some(complete) = completeness(store, origin, &digest).await? {
                return Ok(Some(Self {
                    digest: digest.to_string(),
                    complete,
                    checked,
                }));
            }
        }
        Ok(None)
    }
}

/// The keys under which the store may have a name's content: each origin with the reference there.
pub fn store_keys(
    table: &RouteTable,
    image: &ImageName,
    reference: &Reference,
) -> Vec<(Origin, Reference)> {
    let local = image
        .repositories()
        .map(|one| (Origin::Local(one), reference.clone()));
    let reference_at = |candidate: &Candidate| match (&candidate.tag, reference) {
        (Some(tag), Reference::Tag(_)) => Reference::Tag(Tag::clone(tag)),
        _ => reference.clone(),
    };
    let candidates = table.all_candidates(image);
    let upstream = candidates
        .iter()
        .map(|candidate| (origin_of(candidate), reference_at(candidate)));
    local.chain(upstream).collect()
}

/// Whether an origin's digest is stored, and with it all that it references.
async fn completeness(
    store: &Store,
    origin: &Origin,
    digest: &Digest,
) -> Result<Option<bool>, PullError> {
    let Some(top) = store.manifest(origin, digest).await? else {
        return Ok(store.holds(digest).await?.then_some(true));
    };
    let mut todo = vec![top];
    while let Some(manifest) = todo.pop() {
        for child in manifest.children() {
            if child.is_manifest {
                match store.manifest(origin, &child.digest).await? {
                    Some(child) => todo.push(child),
                    None => return Ok(Some(false)),
                }
            } else if !store.holds(&child.digest).await? {
                return Ok(Some(false));
            }
        }
    }
    Ok(Some(true))
}

fn candidate_line(
    candidate: &Candidate,
    reference: &Reference,
    table: &RouteTable,
    directory: &UpstreamDirectory,
) -> Option<CandidateLine> {
    let known = directory.find(&candidate.upstream, table).ok()?;
    let reference = match (&candidate.tag, reference) {
        (Some(tag), Reference::Tag(_)) => tag.to_string(),
        _ => reference.to_string(),
    };
    let entry = known.upstream.credentials_for(&candidate.name);
    let credential = entry.map(|entry| match &entry.source {
        CredentialSource::Static(credential) => credential.username().to_owned(),
        CredentialSource::Helper { name, .. } => format!("docker-credential-{name}"),
    });
    Some(CandidateLine {
        upstream: known.upstream.authority(),
        url: known.upstream.url(),
        repository: candidate.name.to_string(),
        reference,
        credential,
    })
}
