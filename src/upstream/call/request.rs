//! A request upstream, built from scratch out of parsed words.

use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::Url;
use tokio::time::Instant;

use crate::{
    oci::{MediaType, Registry, RepositoryName, Via},
    upstream::settings::Settings,
};

/// What every question to an upstream carries.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The repository's name there.
    pub name: &'a RepositoryName,
    /// The registry of the client's own name, for an upstream that is itself a mirror.
    pub registry: &'a Registry,
    /// The mirrors that the request has passed, this one included; empty where none can send it back.
    pub via: &'a Via,
    /// When the head of the answer, and all of a small one, must be here.
    pub deadline: Instant,
}

/// Who gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Responder {
    /// The endpoint itself.
    Endpoint,
    /// A redirect's target on another host.
    RedirectTarget,
}

/// One question, before it is known which endpoint answers it.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct UpstreamRequest {
    /// What is asked for.
    pub(in crate::upstream) kind: RequestKind,
    /// HEAD or GET; there is nothing else.
    pub(in crate::upstream) method: Method,
    /// When the head of the answer must be here.
    pub(in crate::upstream) deadline: Instant,
    /// The repository; it decides the login.
    pub(in crate::upstream) name: Option<RepositoryName>,
    /// Empty for a ping, which no mirror forwards.
    via: Via,
    path: String,
    query: RequestQuery,
    range: Option<String>,
}

/// What is asked for; decides patience, the accepted types and the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum RequestKind {
    /// A manifest or an index.
    Manifest,
    /// A blob.
    Blob,
    /// A list of tags.
    Tags,
    /// What refers to a digest.
    Referrers,
    /// The API's root, which says how to log in.
    Ping,
}

/// What stands after the question mark.
#[derive(Clone, Debug)]
pub(in crate::upstream) enum RequestQuery {
    /// Names and values of ours.
    Pairs(Vec<(&'static str, String)>),
    /// An upstream's own link to its next page.
    Next(String),
}

impl RequestKind {
    /// The metric's label.
    pub(in crate::upstream) fn label(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Ping => "ping",
        }
    }

    /// Whether the caller would rather wait than be told 429, and holds its place for long. A
    /// manifest's caller has an older one, or a client that waits for seconds only.
    pub(in crate::upstream) fn is_long_transfer(self) -> bool {
        self == Self::Blob
    }

    fn accept(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Manifest => MediaType::MANIFEST_ACCEPT,
            Self::Blob | Self::Ping => "*/*",
            Self::Tags => "application/json",
            Self::Referrers => "application/vnd.oci.image.index.v1+json",
        })
    }
}

impl UpstreamRequest {
    /// A question about `what` of a repository, such as `blobs/DIGEST`.
    pub(in crate::upstream) fn new(
        kind: RequestKind,
        method: Method,
        context: &RequestContext<'_>,
        what: &str,
    ) -> Self {
        Self {
            kind,
            method,
            deadline: context.deadline,
            name: Some(context.name.clone()),
            via: context.via.clone(),
            path: format!("{}/{what}", context.name),
            query: RequestQuery::Pairs(Vec::new()),
            range: None,
        }
    }

    /// A question for the root of the API, with the login for a repository.
    pub(in crate::upstream) fn ping(name: Option<RepositoryName>, deadline: Instant) -> Self {
        Self {
            kind: RequestKind::Ping,
            method: Method::GET,
            deadline,
            name,
            via: Via::default(),
            path: String::new(),
            query: RequestQuery::Pairs(Vec::new()),
            range: None,
        }
    }

    /// With a query; `ns` is added where the settings say so.
    pub(in crate::upstream) fn query(mut self, query: RequestQuery) -> Self {
        self.query = query;
        self
    }

    /// With the one range that is ever asked for.
    pub(in crate::upstream) fn range(mut self, range: String) -> Self {
        self.range = Some(range);
        self
    }

    /// The API's root at an endpoint, as the specification writes it, and without its last slash.
    pub(in crate::upstream) fn roots(base: &Url, settings: &Settings) -> [Url; 2] {
        let api = settings.api_path.trim_matches('/');
        [format!("/{api}/"), format!("/{api}")].map(|path| {
            let mut url = base.clone();
            url.set_path(&path);
            url
        })
    }

    /// The whole address at an endpoint.
    pub(in crate::upstream) fn url(
        &self,
        base: &Url,
        context: &RequestContext<'_>,
        settings: &Settings,
    ) -> Url {
        let mut url = base.clone();
        let api = settings.api_path.trim_matches('/');
        let slash = if api.is_empty() { "" } else { "/" };
        url.set_path(&format!("{slash}{api}/{}", self.path));
        if let RequestQuery::Next(query) = &self.query {
            url.set_query(Some(query));
            return url;
        }
        let ns = settings
            .send_ns
            .then(|| ("ns", context.registry.to_string()));
        let pairs: Vec<_> = self.query.pairs().iter().cloned().chain(ns).collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        url
    }

    /// All headers but `Authorization`. `Via` is for the endpoint only: a redirect's target is not a
    /// mirror, and need not know of this one.
    pub(in crate::upstream) fn headers(&self, responder: Responder) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::ACCEPT, self.kind.accept());
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        let range = self.range.as_deref();
        if let Some(Ok(range)) = range.map(HeaderValue::from_str) {
            headers.insert(header::RANGE, range);
        }
        if responder == Responder::Endpoint
            && !self.via.is_empty()
            && let Ok(via) = HeaderValue::try_from(self.via.to_string())
        {
            headers.insert(header::VIA, via);
        }
        headers
    }
}

impl RequestQuery {
    fn pairs(&self) -> &[(&'static str, String)] {
        match self {
            Self::Pairs(pairs) => pairs,
            Self::Next(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamDefaults;

    #[test]
    fn addresses_are_built_from_words() {
        let mut settings = UpstreamDefaults::default().for_host(&"r.example".parse().unwrap());
        let ask = RequestContext {
            name: &"library/nginx".parse().unwrap(),
            registry: &"docker.io".parse().unwrap(),
            via: &Via::default(),
            deadline: Instant::now(),
        };
        let base = "https://r.example:8443".parse().unwrap();
        let plain = UpstreamRequest::new(RequestKind::Manifest, Method::GET, &ask, "manifests/1");
        let url = |request: &UpstreamRequest, settings: &Settings| {
            request.url(&base, &ask, settings).as_str().to_owned()
        };
        let root = "https://r.example:8443";
        assert_eq!(
            url(&plain, &settings),
            format!("{root}/v2/library/nginx/manifests/1")
        );
        settings.api_path = "/artifactory/api/docker/x/v2/".into();
        settings.send_ns = true;
        let tags = plain.query(RequestQuery::Pairs(vec![
            ("n", "5".into()),
            ("last", "a&b".into()),
        ]));
        assert_eq!(
            url(&tags, &settings),
            format!(
                "{root}/artifactory/api/docker/x/v2/library/nginx/manifests/1?n=5&last=a%26b&ns=docker.io"
            )
        );
        settings.api_path = String::new();
        let next = tags.query(RequestQuery::Next("token=x".into()));
        assert_eq!(
            url(&next, &settings),
            format!("{root}/library/nginx/manifests/1?token=x")
        );
    }
}
