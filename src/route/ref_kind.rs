//! Tags and digests: what a request names, and which of them a route or a target accepts.

use crate::oci::Tag;

/// Which kind of reference a route or a target accepts.
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

/// The reference of a request, as far as it matters for matching.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestedReference<'a> {
    Tag(&'a Tag),
    /// Any tag without a rule of its own.
    AnyTag,
    Digest,
}

impl RefKind {
    pub(super) fn accepts(self, reference: RequestedReference<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Tag => !matches!(reference, RequestedReference::Digest),
            Self::Digest => matches!(reference, RequestedReference::Digest),
        }
    }
}
