//! Matchers of requests.

use http::Method;

use crate::content::Content;
use crate::record::Recorded;
use crate::target::Endpoint;

/// Which requests are meant: a kind of resource, narrowed by method or range.
#[derive(Debug, Clone)]
pub struct Match {
    what: What,
    method: Option<Method>,
    ranged: Option<bool>,
}

#[derive(Debug, Clone)]
enum What {
    Any,
    Ping,
    Token,
    Blobs,
    Manifests,
    /// Of any repository, and not only the content's own kind.
    Content {
        digest: String,
    },
    Blob {
        digest: String,
    },
    Manifest {
        repository: String,
        reference: String,
    },
    Repository(String),
    Tags(String),
    Referrers(String),
    Path(String),
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::of(What::Any)
    }

    /// `GET /v2/`.
    pub fn ping() -> Self {
        Self::of(What::Ping)
    }

    /// Requests to the token service.
    pub fn token() -> Self {
        Self::of(What::Token)
    }

    /// This blob, in whichever repository.
    pub fn blob(content: &Content) -> Self {
        Self::of(What::Blob {
            digest: content.digest.clone(),
        })
    }

    /// Any blob.
    pub fn blobs() -> Self {
        Self::of(What::Blobs)
    }

    /// A manifest by this very reference: a tag does not match its digest, nor the reverse.
    pub fn manifest(repository: &str, reference: &str) -> Self {
        Self::of(What::Manifest {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
        })
    }

    /// Any manifest, by tag or by digest.
    pub fn manifests() -> Self {
        Self::of(What::Manifests)
    }

    /// A blob or a manifest by its digest, in whichever repository.
    pub fn content(content: &Content) -> Self {
        Self::of(What::Content {
            digest: content.digest.clone(),
        })
    }

    /// Everything of one repository.
    pub fn repository(name: &str) -> Self {
        Self::of(What::Repository(name.to_owned()))
    }

    /// The tag list of one repository.
    pub fn tags(repository: &str) -> Self {
        Self::of(What::Tags(repository.to_owned()))
    }

    /// Referrers within one repository.
    pub fn referrers(repository: &str) -> Self {
        Self::of(What::Referrers(repository.to_owned()))
    }

    /// A path as the client wrote it.
    pub fn path(path: &str) -> Self {
        Self::of(What::Path(path.to_owned()))
    }

    /// Only GET.
    #[must_use]
    pub fn get(mut self) -> Self {
        self.method = Some(Method::GET);
        self
    }

    /// Only HEAD.
    #[must_use]
    pub fn head(mut self) -> Self {
        self.method = Some(Method::HEAD);
        self
    }

    /// Only with a `Range` header.
    #[must_use]
    pub fn ranged(mut self) -> Self {
        self.ranged = Some(true);
        self
    }

    /// Only without a `Range` header.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.ranged = Some(false);
        self
    }

    pub(crate) fn meets(&self, request: &Recorded) -> bool {
        self.method
            .as_ref()
            .is_none_or(|method| *method == request.method)
            && self
                .ranged
                .is_none_or(|ranged| ranged == request.range.is_some())
            && self.what.is(request)
    }

    fn of(what: What) -> Self {
        Self {
            what,
            method: None,
            ranged: None,
        }
    }
}

impl What {
    fn is(&self, request: &Recorded) -> bool {
        match (self, &request.endpoint) {
            (Self::Any, _)
            | (Self::Ping, Endpoint::Ping)
            | (Self::Token, Endpoint::Token)
            | (Self::Blobs, Endpoint::Blob { .. })
            | (Self::Manifests, Endpoint::Manifest { .. }) => true,
            (
                Self::Blob { digest } | Self::Content { digest },
                Endpoint::Blob { digest: asked, .. },
            )
            | (
                Self::Content { digest },
                Endpoint::Manifest {
                    reference: asked, ..
                },
            ) => digest == asked,
            (
                Self::Manifest {
                    repository,
                    reference,
                },
                Endpoint::Manifest {
                    repository: in_repository,
                    reference: asked,
                },
            ) => repository == in_repository && reference == asked,
            (Self::Repository(name), endpoint) => endpoint.repository() == Some(name),
            (Self::Tags(name), Endpoint::Tags { repository })
            | (Self::Referrers(name), Endpoint::Referrers { repository, .. }) => name == repository,
            (Self::Path(path), _) => *path == request.path,
            _ => false,
        }
    }
}
