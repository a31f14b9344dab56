//! Tags and digests: what a request names, and which of them a route or a target accepts.

use crate::oci::Tag;

/// Which kind of reference a route or a target takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefKind {
    /// Both.
    #[default]
    Any,
    /// Tags only.
    Tag,
    /// Digests only.
    Digest,
}

/// What a request asks of a repository.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestedReference<'a> {
    Tag(&'a Tag),
    /// Some tag that no rule singles out.
    AnyTag,
    Digest,
}

impl RefKind {
    pub(super) fn accepts(self, asked: RequestedReference<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Tag => !matches!(asked, RequestedReference::Digest),
            Self::Digest => matches!(asked, RequestedReference::Digest),
        }
    }
}
