//! `roadstead check --online`: access to each upstream, and whether pinned tags have moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    cli::{
        exit::Exit,
        output::{eprint_error, print_line},
    },
    config::Settings,
    oci::{Digest, Reference, Repository, RepositoryName, Tag, UpstreamName, Via},
    pull::UpstreamDirectory,
    route::{Candidate, Decision, RouteTable},
    telemetry::{Metrics, chain},
    upstream::{PingOutcome, RequestContext, Upstream, UpstreamError},
};

/// Most checks at once.
const CONCURRENT_MAX: usize = 8;
/// Longest wait for one check.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The result of one check; `--json` prints this.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Finding {
    /// Access to an upstream.
    Credentials {
        /// The upstream, with the path of the credentials' scope.
        upstream: String,
        /// Whether it grants access.
        fine: bool,
        /// The authenticated user; `None`: anonymous.
        user: Option<String>,
        /// Why not.
        reason: Option<String>,
    },
    /// A pinned tag.
    Pin {
        /// The tag.
        pin: String,
        /// Whether upstream has the pinned digest.
        fine: bool,
        /// The pinned digest.
        digest: String,
        /// The digest upstream.
        now: Option<String>,
        /// Why that is not known.
        reason: Option<String>,
    },
}

/// All upstreams of the configuration.
type UpstreamsByName = BTreeMap<UpstreamName, Upstream>;

/// Runs all checks, and prints a line for each, in alphabetical order.
pub(super) async fn run(settings: Settings, format: OutputFormat) -> Exit {
    let table = settings.table.clone();
    let upstreams = match upstreams(settings) {
        Ok(upstreams) => upstreams,
        Err(exit) => return exit,
    };
    let pins = table.pins();
    let checks = upstreams.values().flat_map(credential_checks);
    let checks = checks.chain(pins.iter().map(|((repository, tag), digest)| {
        check_pin(&table, &upstreams, repository, tag, digest).boxed()
    }));
    let mut findings = stream::iter(checks).buffered(CONCURRENT_MAX);
    let mut exit = Exit::Success;
    while let Some(finding) = findings.next().await {
        if !finding.is_fine() {
            exit = Exit::Incomplete;
        }
        match serde_json::to_string(&finding) {
            Ok(line) if format == OutputFormat::Json => print_line(line),
            _ => print_line(&finding),
        }
    }
    exit
}

/// The upstreams with a table, and those that routes name.
fn upstreams(settings: Settings) -> Result<UpstreamsByName, Exit> {
    let failed = |error: &dyn std::error::Error| {
        eprint_error(chain(error));
        Exit::Failed
    };
    let metrics = Metrics::new().map_err(|error| failed(&error))?;
    let configured = settings
        .upstreams
        .iter()
        .map(|(table, _)| table.name.clone());
    let names: BTreeSet<_> = configured.chain(settings.table.upstreams()).collect();
    let (tables, defaults) = (settings.upstreams, settings.upstream_defaults);
    let directory = UpstreamDirectory::new(tables, defaults, Arc::new(metrics), None);
    let directory = directory.map_err(|error| failed(&error))?;
    let find = |name: UpstreamName| {
        let known = directory.find(&name, &settings.table);
        known.map(|known| (name, known.upstream))
    };
    let all = names.into_iter().map(find).collect::<Result<_, _>>();
    all.map_err(|error| failed(&error))
}

/// One check for each path with its own credentials, and one for the upstream as a whole, unless
/// all credentials are for paths.
fn credential_checks(upstream: &Upstream) -> impl Iterator<Item = BoxFuture<'_, Finding>> {
    let entries = upstream.settings().keyring.entries().iter();
    let mut subjects: Vec<_> = entries.map(|entry| entry.scope.path()).collect();
    if subjects.is_empty() {
        subjects.push(None);
    }
    subjects.sort();
    subjects.dedup();
    subjects
        .into_iter()
        .map(|path| check_credentials(upstream, path).boxed())
}

async fn check_credentials(upstream: &Upstream, path: Option<RepositoryName>) -> Finding {
    let outcome = upstream
        .ping(path.as_ref(), Instant::now() + ANSWER_MAX)
        .await;
    let name = match &path {
        Some(path) => format!("{}/{path}", upstream.name()),
        None => upstream.name().to_string(),
    };
    let (user, reason) = match outcome {
        Ok(PingOutcome::Authenticated(user)) => (Some(user), None),
        Ok(PingOutcome::NoCredentialsNeeded | PingOutcome::AnonymousToken) => (None, None),
        Err(error) => (None, Some(error_text(upstream, &error))),
    };
    Finding::Credentials {
        upstream: name,
        fine: reason.is_none(),
        user,
        reason,
    }
}

async fn check_pin(
    table: &RouteTable,
    upstreams: &UpstreamsByName,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Finding {
    let reference = Reference::Tag(tag.clone());
    let candidates = match table.decide(&repository.clone().into(), &reference) {
        Decision::Route { candidates, .. } => candidates,
        Decision::Deny { .. } | Decision::Unmatched { .. } => Vec::new(),
    };
    let deadline = Instant::now() + ANSWER_MAX;
    let (now, reason) = match current_digest(upstreams, &candidates, &reference, deadline).await {
        Ok(now) => (Some(now), None),
        Err(reason) => (None, Some(reason)),
    };
    Finding::Pin {
        pin: format!("{repository}:{tag}"),
        fine: now == Some(*digest),
        digest: digest.to_string(),
        now: now.map(|now| now.to_string()),
        reason,
    }
}

/// The digest of a tag at the first candidate that has it, or why it is not known.
async fn current_digest(
    upstreams: &UpstreamsByName,
    candidates: &[Candidate],
    reference: &Reference,
    deadline: Instant,
) -> Result<Digest, String> {
    for candidate in candidates {
        let Some(upstream) = upstreams.get(&candidate.upstream) else {
            continue;
        };
        let context = RequestContext {
            name: &candidate.name,
            registry: &candidate.registry,
            via: &Via::default(),
            deadline,
        };
        let rewritten = candidate.tag.clone().map(Reference::Tag);
        let reference = rewritten.as_ref().unwrap_or(reference);
        let digest = match upstream.manifest_head(&context, reference).await {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => {
                let manifest = upstream.manifest(&context, reference).await;
                manifest.map(|manifest| manifest.digest())
            }
            Err(error) => Err(error),
        };
        match digest {
            Err(UpstreamError::Absent { .. }) => {}
            // A candidate that does not answer may have the tag, which would come first.
            Err(error) => {
                return Err(format!(
                    "{}: {}",
                    upstream.name(),
                    error_text(upstream, &error)
                ));
            }
            Ok(digest) => return Ok(digest),
        }
    }
    Err("no candidate has the tag".to_owned())
}

/// An error without the URL that the line begins with anyway.
fn error_text(upstream: &Upstream, error: &UpstreamError) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix(&upstream.url());
    rest.map_or_else(|| text.clone(), |rest| rest.trim_start().to_owned())
}

impl Finding {
    fn is_fine(&self) -> bool {
        match self {
            Self::Credentials { fine, .. } | Self::Pin { fine, .. } => *fine,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials {
                upstream,
                user,
                reason,
                ..
            } => match (reason, user) {
                (Some(reason), _) => write!(formatter, "{upstream}: {reason}"),
                (None, Some(user)) => write!(formatter, "{upstream}: fine, as {user}"),
                (None, None) => write!(formatter, "{upstream}: fine, without credentials"),
            },
            Self::Pin {
                pin,
                fine,
                digest,
                now,
                reason,
            } => match (reason, now) {
                (Some(reason), _) => write!(formatter, "{pin}: pinned to {digest}; {reason}"),
                (None, _) if *fine => write!(formatter, "{pin}: fine, the tag is {digest}"),
                (None, now) => {
                    let now = now.as_deref().unwrap_or("unknown");
                    write!(formatter, "{pin}: pinned to {digest}, the tag is now {now}")
                }
            },
        }
    }
}
