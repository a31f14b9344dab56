//! Parses a request's path, query and range. Pure.

use std::ops::Range;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Ping,
    Blob {
        repository: String,
        digest: String,
    },
    Manifest {
        repository: String,
        reference: String,
    },
    Tags {
        repository: String,
    },
    Referrers {
        repository: String,
        digest: String,
    },
    Token,
    Other,
}

impl Endpoint {
    /// Splits from the right: `a/blobs/b/manifests/1` is the tag `1` of `a/blobs/b`.
    pub(crate) fn parse(path: &str) -> Self {
        let path = decode(path);
        match path.as_str() {
            "/v2" | "/v2/" => return Self::Ping,
            "/token" | "/token/" | "/oauth2/token" | "/service/token" => return Self::Token,
            _ => {}
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Self::Other;
        };
        let segments: Vec<_> = rest.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Self::Other;
        }
        match segments.as_slice() {
            [name @ .., "tags", "list"] if !name.is_empty() => Self::Tags {
                repository: name.join("/"),
            },
            [name @ .., "blobs", digest] if !name.is_empty() => Self::Blob {
                repository: name.join("/"),
                digest: (*digest).to_owned(),
            },
            [name @ .., "manifests", reference] if !name.is_empty() => Self::Manifest {
                repository: name.join("/"),
                reference: (*reference).to_owned(),
            },
            [name @ .., "referrers", digest] if !name.is_empty() => Self::Referrers {
                repository: name.join("/"),
                digest: (*digest).to_owned(),
            },
            _ => Self::Other,
        }
    }

    pub(crate) fn repository(&self) -> Option<&str> {
        match self {
            Self::Blob { repository, .. }
            | Self::Manifest { repository, .. }
            | Self::Tags { repository }
            | Self::Referrers { repository, .. } => Some(repository),
            Self::Ping | Self::Token | Self::Other => None,
        }
    }
}

/// The first value of `key` in a query.
pub(crate) fn query_value(query: Option<&str>, key: &str) -> Option<String> {
    query_values(query, key).into_iter().next()
}

/// All values of `key` in a query.
pub(crate) fn query_values(query: Option<&str>, key: &str) -> Vec<String> {
    query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
        .collect()
}

/// The first value of `key` in a form, where a plus is a space.
pub(crate) fn form_value(form: &[u8], key: &str) -> Option<String> {
    let form = String::from_utf8_lossy(form).replace('+', "%20");
    query_value(Some(&form), key)
}

/// What a `Range` header asks of `len` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ranged {
    /// No range, several, or one that is not understood: RFC 9110 lets a server ignore it.
    Whole,
    Part(Range<usize>),
    Unsatisfiable,
}

/// Reads a single byte range.
pub(crate) fn ranged(header: Option<&str>, len: usize) -> Ranged {
    let Some((first, last)) = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Ranged::Whole;
    };
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse())
    };
    match (number(first), number(last)) {
        (Some(Err(_)), Some(Ok(0))) if first.is_empty() => Ranged::Unsatisfiable,
        (Some(Err(_)), Some(Ok(count))) if first.is_empty() => match len {
            0 => Ranged::Unsatisfiable,
            _ => Ranged::Part(len.saturating_sub(count)..len),
        },
        (Some(Ok(start)), Some(Ok(end))) if end < start => Ranged::Whole,
        (Some(Ok(start)), Some(_)) if start >= len => Ranged::Unsatisfiable,
        (Some(Ok(start)), Some(Err(_))) if last.is_empty() => Ranged::Part(start..len),
        (Some(Ok(start)), Some(Ok(end))) => {
            Ranged::Part(start..len.min(usize::saturating_add(end, 1)))
        }
        _ => Ranged::Whole,
    }
}

/// Percent-decoding; what is not a valid escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, after @ ..] if *byte == b'%' => hex_digit(*high)
                .zip(hex_digit(*low))
                .map(|(high, low)| (high * 16 + low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*byte, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_from_the_right() {
        let manifest = |repository: &str, reference: &str| Endpoint::Manifest {
            repository: repository.into(),
            reference: reference.into(),
        };
        let blob = |repository: &str, digest: &str| Endpoint::Blob {
            repository: repository.into(),
            digest: digest.into(),
        };
        for (path, endpoint) in [
            ("/v2/", Endpoint::Ping),
            ("/v2", Endpoint::Ping),
            ("/v2/a/manifests/1", manifest("a", "1")),
            ("/v2/a/b/c/d/manifests/1", manifest("a/b/c/d", "1")),
            ("/v2/a/blobs/b/manifests/1", manifest("a/blobs/b", "1")),
            (
                "/v2/manifests/blobs/sha256:0",
                blob("manifests", "sha256:0"),
            ),
            ("/v2/a/blobs/sha256%3A0", blob("a", "sha256:0")),
            (
                "/v2/a/tags/list",
                Endpoint::Tags {
                    repository: "a".into(),
                },
            ),
            ("/v2/tags/list", Endpoint::Other),
            ("/v2/a//blobs/sha256:0", Endpoint::Other),
            ("/v2/_catalog", Endpoint::Other),
            ("/v1/a/manifests/1", Endpoint::Other),
        ] {
            assert_eq!(Endpoint::parse(path), endpoint, "{path}");
        }
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (header, len, range) in [
            (None, 10, Ranged::Whole),
            (Some("bytes=0-"), 10, Ranged::Part(0..10)),
            (Some("bytes=3-5"), 10, Ranged::Part(3..6)),
            (Some("bytes=3-500"), 10, Ranged::Part(3..10)),
            (Some("bytes=-3"), 10, Ranged::Part(7..10)),
            (Some("bytes=-30"), 10, Ranged::Part(0..10)),
            (Some("bytes=-0"), 10, Ranged::Unsatisfiable),
            (Some("bytes=10-"), 10, Ranged::Unsatisfiable),
            (Some("bytes=10-12"), 10, Ranged::Unsatisfiable),
            (Some("bytes=0-"), 0, Ranged::Unsatisfiable),
            (Some("bytes=-1"), 0, Ranged::Unsatisfiable),
            (Some("bytes=5-3"), 10, Ranged::Whole),
            (Some("bytes=0-1,3-4"), 10, Ranged::Whole),
            (Some("bytes=-"), 10, Ranged::Whole),
            (Some("bytes=+1-2"), 10, Ranged::Whole),
            (Some("lines=1-2"), 10, Ranged::Whole),
            (
                Some("bytes=0-18446744073709551615"),
                10,
                Ranged::Part(0..10),
            ),
        ] {
            assert_eq!(ranged(header, len), range, "{header:?} of {len}");
        }
    }

    #[test]
    fn query_values_are_decoded() {
        let query = Some("n=2&last=a%2Fb&x=%zz");
        assert_eq!(query_value(query, "n").as_deref(), Some("2"));
        assert_eq!(query_value(query, "last").as_deref(), Some("a/b"));
        assert_eq!(query_value(query, "x").as_deref(), Some("%zz"));
        assert_eq!(query_value(query, "y"), None);
        assert_eq!(query_value(None, "n"), None);
        assert_eq!(query_values(Some("a=1&b=2&a=3"), "a"), ["1", "3"]);
        assert_eq!(form_value(b"x=a+b%2Bc", "x").as_deref(), Some("a b+c"));
    }
}
