//! The error codes of the distribution specification ("Error Codes").

/// One of the specification's codes that a mirror uses, as it stands in an error body;
/// `UNAVAILABLE` is the field's own addition for failures that are nobody's request's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// `BLOB_UNKNOWN`: the blob is in none of the name's upstreams.
    BlobUnknown,
    /// `DENIED`: a rule or an upstream refuses access.
    Denied,
    /// `DIGEST_INVALID`: a digest does not parse, or bytes do not have the digest they should.
    DigestInvalid,
    /// `MANIFEST_UNKNOWN`: the manifest is in none of the name's upstreams.
    ManifestUnknown,
    /// `NAME_INVALID`: the repository name does not parse.
    NameInvalid,
    /// `NAME_UNKNOWN`: no route knows the registry, or the path means nothing to us.
    NameUnknown,
    /// `SIZE_INVALID`: a length contradicts what is known.
    SizeInvalid,
    /// `TOOMANYREQUESTS`: we or an upstream ask to slow down.
    TooManyRequests,
    /// `UNAVAILABLE`: an upstream or we cannot answer now.
    Unavailable,
    /// `UNSUPPORTED`: the operation is not one of a mirror's.
    Unsupported,
}

impl ErrorCode {
    /// The code as the specification spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}
