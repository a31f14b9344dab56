//! The error codes of the distribution specification ("Error Codes").

/// A code of the specification that a mirror uses in error bodies. `UNAVAILABLE` is not one of the
/// specification's: registries use it for failures that are not caused by the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// `BLOB_UNKNOWN`: none of the name's upstreams has the blob.
    BlobUnknown,
    /// `DENIED`: a rule or an upstream refuses access.
    Denied,
    /// `DIGEST_INVALID`: a digest does not parse, or bytes do not match their digest.
    DigestInvalid,
    /// `MANIFEST_UNKNOWN`: none of the name's upstreams has the manifest.
    ManifestUnknown,
    /// `NAME_INVALID`: the repository name does not parse.
    NameInvalid,
    /// `NAME_UNKNOWN`: no route covers the registry, or the path is unknown.
    NameUnknown,
    /// `SIZE_INVALID`: a length contradicts what is known.
    SizeInvalid,
    /// `TOOMANYREQUESTS`: we or an upstream limit the rate of requests.
    TooManyRequests,
    /// `UNAVAILABLE`: an upstream or we cannot answer now.
    Unavailable,
    /// `UNSUPPORTED`: a mirror does not support the operation.
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
