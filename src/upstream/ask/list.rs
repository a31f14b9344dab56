//! Lists: the tags of a repository, and what refers to a digest.

use bytes::Bytes;
use http::{HeaderMap, Method, header::LINK};
use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    oci::{Digest, MediaType, Tag},
    upstream::{
        ProtocolViolation, RequestContext, Upstream, UpstreamError,
        call::{
            judge,
            request::{RequestKind, RequestQuery, UpstreamRequest},
        },
    },
};

/// Which page of a tag list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagPageRequest {
    /// Most names; none: as many as upstream gives.
    pub n: Option<u64>,
    /// The last name of the page before.
    pub last: Option<String>,
}

/// One page of a tag list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// The names, in upstream's order; invalid tags are left out.
    pub names: Vec<String>,
    /// Whether upstream has another page.
    pub more: bool,
}

/// One page of what refers to a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    /// An OCI index, as upstream sent it.
    pub bytes: Bytes,
    /// Whether upstream applied the filter.
    pub filtered: bool,
    /// The query of the next page, for [`Upstream::referrers_next`].
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct TagListDocument {
    /// Some registries write null for none.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ReferrersIndex {
    #[serde(rename = "manifests")]
    _manifests: Vec<IgnoredAny>,
}

impl Upstream {
    /// One page of the repository's tags.
    pub async fn tags(
        &self,
        context: &RequestContext<'_>,
        page: &TagPageRequest,
    ) -> Result<Tags, UpstreamError> {
        let n = page.n.map(|n| ("n", n.to_string()));
        let last = page.last.clone().map(|last| ("last", last));
        let request = UpstreamRequest::new(RequestKind::Tags, Method::GET, context, "tags/list")
            .query(RequestQuery::Pairs(n.into_iter().chain(last).collect()));
        let mut answer = self.0.call(context, &request).await?.checked()?;
        let bytes_max = self.settings().manifest_bytes_max;
        let read_bytes = answer.whole(bytes_max, context.deadline).await?;
        let found: TagListDocument = serde_json::from_slice(&read_bytes).map_err(|error| {
            answer.violation(ProtocolViolation::Content(format!("no tag list: {error}")))
        })?;
        let mut names = found.tags.unwrap_or_default();
        names.retain(|name| name.parse::<Tag>().is_ok());
        Ok(Tags {
            names,
            more: next_query(answer.headers()).is_some(),
        })
    }

    /// What refers to a digest, from the first page on. Absent where upstream lacks the API.
    pub async fn referrers(
        &self,
        context: &RequestContext<'_>,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, UpstreamError> {
        let filter = artifact_type.map(|found| ("artifactType", found.to_owned()));
        let query = RequestQuery::Pairs(filter.into_iter().collect());
        self.referrers_page(context, digest, query).await
    }

    /// A later page; `next` is what the page before gave.
    pub async fn referrers_next(
        &self,
        context: &RequestContext<'_>,
        digest: &Digest,
        next: &str,
    ) -> Result<Referrers, UpstreamError> {
        let query = RequestQuery::Next(next.to_owned());
        self.referrers_page(context, digest, query).await
    }

    async fn referrers_page(
        &self,
        context: &RequestContext<'_>,
        digest: &Digest,
        query: RequestQuery,
    ) -> Result<Referrers, UpstreamError> {
        let what = format!("referrers/{digest}");
        let request =
            UpstreamRequest::new(RequestKind::Referrers, Method::GET, context, &what).query(query);
        let answer = self
            .0
            .call(context, &request)
            .await
            .map_err(|error| match error {
                UpstreamError::Failed {
                    endpoint,
                    status: 405 | 501,
                } => UpstreamError::Absent { endpoint },
                error => error,
            })?;
        let mut answer = answer.checked()?;
        if judge::content_type(answer.headers()) != Some(MediaType::oci_index()) {
            // Something answers every path with 200, but it is not this API.
            return Err(answer.violation(ProtocolViolation::Content(
                "referrers that are not an OCI index".into(),
            )));
        }
        let bytes_max = self.settings().manifest_bytes_max;
        let bytes = answer.whole(bytes_max, context.deadline).await?;
        serde_json::from_slice::<ReferrersIndex>(&bytes).map_err(|error| {
            answer.violation(ProtocolViolation::Content(format!("no index: {error}")))
        })?;
        Ok(Referrers {
            bytes,
            filtered: is_filtered(answer.headers()),
            next: next_query(answer.headers()),
        })
    }
}

fn is_filtered(headers: &HeaderMap) -> bool {
    let applied = headers.get_all("oci-filters-applied").iter();
    let applied = applied.filter_map(|value| value.to_str().ok());
    let mut names = applied.flat_map(|value| value.split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case("artifactType"))
}

/// The query of the link to the next page. Its host and path are upstream's opinion and not ours:
/// the next page is asked for where this one was.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(LINK).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let parameter = parameter.trim().to_ascii_lowercase();
            matches!(parameter.as_str(), "rel=next" | "rel=\"next\"")
        };
        if !parameters.split(';').any(is_next) {
            return None;
        }
        let base: Url = "http://localhost/".parse().ok()?;
        base.join(target).ok()?.query().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::upstream::scene::{NAME, Scene, digest, upstream, with};

    #[test]
    fn links_are_reduced_to_their_query() {
        let check = |line: &'static str, want: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_static(line));
            assert_eq!(next_query(&headers).as_deref(), want, "{line}");
        };
        check(
            "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
            Some("last=b&n=2"),
        );
        check("<https://evil.example/x?t=1>;rel=next", Some("t=1"));
        check("<?t=2>; rel=\"next\"", Some("t=2"));
        check(
            "</a?x=1>; rel=\"prev\", </a?x=2>; rel=\"next\"",
            Some("x=2"),
        );
        for none in [
            "",
            "</a?x=1>",
            "</a>; rel=\"next\"",
            "a?x; rel=next",
            "</a?x=1>; rel=last",
        ] {
            check(none, None);
        }
    }

    #[tokio::test]
    async fn tags_come_page_by_page() {
        let scene = Scene::new().await;
        let body = br#"{"name":"x","tags":["1","not a tag","b"]}"#;
        let link = "HTTP/1.1 200 K\nlink: </v2/x?last=b>; rel=\"next\"";
        scene.on(&format!("GET /v2/{NAME}/tags/list?n=2&last=a"), link, body);
        scene.on(
            &format!("GET /v2/{NAME}/tags/list"),
            "HTTP/1.1 200 K",
            br#"{"tags":null}"#,
        );
        let upstream = upstream(vec![scene.endpoint()], |_| {});
        let page = TagPageRequest {
            n: Some(2),
            last: Some("a".into()),
        };
        let tags = with(async |ask| upstream.tags(&ask, &page).await)
            .await
            .unwrap();
        assert_eq!(
            (tags.names, tags.more),
            (vec!["1".into(), "b".into()], true)
        );
        let all = TagPageRequest::default();
        let tags = with(async |ask| upstream.tags(&ask, &all).await)
            .await
            .unwrap();
        assert_eq!((tags.names, tags.more), (vec![], false));
    }

    #[tokio::test]
    async fn referrers_are_an_index_or_absent() {
        let subject = digest(b"x");
        let ask = async |head: &str, body: &[u8]| {
            let scene = Scene::new().await;
            let path = format!("GET /v2/{NAME}/referrers/{subject}?artifactType=a%2Fb");
            scene.on(&path, head, body);
            let upstream = upstream(vec![scene.endpoint()], |_| {});
            with(async |ask| upstream.referrers(&ask, &subject, Some("a/b")).await).await
        };
        let index = "HTTP/1.1 200 K\ncontent-type: application/vnd.oci.image.index.v1+json";
        let head = format!("{index}\noci-filters-applied: artifactType\nlink: <?p=2>; rel=next");
        let found = ask(&head, br#"{"manifests":[]}"#).await.unwrap();
        assert!(found.filtered);
        assert_eq!(found.next.as_deref(), Some("p=2"));
        for absent in ["HTTP/1.1 404 N", "HTTP/1.1 405 M", "HTTP/1.1 501 N"] {
            let found = ask(absent, b"").await;
            assert!(
                matches!(found, Err(UpstreamError::Absent { .. })),
                "{absent}"
            );
        }
        for (head, body) in [
            (index, &b"{}"[..]),
            ("HTTP/1.1 200 K", br#"{"manifests":[]}"#),
        ] {
            let found = ask(head, body).await;
            assert!(
                matches!(found, Err(UpstreamError::ProtocolViolation { .. })),
                "{head}"
            );
        }
    }
}
