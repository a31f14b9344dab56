//! Shell patterns over a whole text: `*` any run (slashes too), `?` one byte, `[a-z]`, `[!a-z]`.

use super::error::RuleError;

/// One compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Glob(Vec<GlobToken>);

#[derive(Clone, Debug)]
enum GlobToken {
    Byte(u8),
    One,
    Run,
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Glob {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let mut tokens = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            tokens.push(match byte {
                b'*' if matches!(tokens.last(), Some(GlobToken::Run)) => continue,
                b'*' => GlobToken::Run,
                b'?' => GlobToken::One,
                b'[' => class(&mut rest)?,
                byte => GlobToken::Byte(byte),
            });
        }
        Ok(Self(tokens))
    }

    /// The number of literal bytes: the more, the more specific the pattern.
    pub(super) fn literal_len(&self) -> usize {
        let literal = |token: &&GlobToken| matches!(token, GlobToken::Byte(_));
        self.0.iter().filter(literal).count()
    }

    /// On a mismatch only the latest `*` takes one more byte, so the worst case is the product of
    /// both lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(token), text.get(at)) {
                (None, None) => return true,
                (Some(GlobToken::Run), _) => {
                    retry = Some((at, token));
                    token += 1;
                    continue;
                }
                (Some(want), Some(byte)) if want.takes(*byte) => {
                    at += 1;
                    token += 1;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((from, run)) if from < text.len() => {
                    retry = Some((from + 1, run));
                    at = from + 1;
                    token = run + 1;
                }
                _ => return false,
            }
        }
    }
}

impl GlobToken {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(want) => *want == byte,
            Self::One => true,
            Self::Run => false,
            Self::Class { negated, ranges } => {
                let inside = |(from, to): &(u8, u8)| (*from..=*to).contains(&byte);
                ranges.iter().any(inside) != *negated
            }
        }
    }
}

/// Parses a class after its `[`; a `]` directly after the `[` is literal.
fn class(rest: &mut std::str::Bytes<'_>) -> Result<GlobToken, RuleError> {
    let unclosed = || RuleError::new("a [ has no closing ]");
    let mut byte = rest.next().ok_or_else(unclosed)?;
    let negated = matches!(byte, b'!' | b'^');
    if negated {
        byte = rest.next().ok_or_else(unclosed)?;
    }
    let mut ranges = Vec::new();
    loop {
        let mut next = rest.next().ok_or_else(unclosed)?;
        let mut to = byte;
        if next == b'-' {
            match rest.next().ok_or_else(unclosed)? {
                b']' => {
                    ranges.push((b'-', b'-'));
                    next = b']';
                }
                end => {
                    to = end;
                    next = rest.next().ok_or_else(unclosed)?;
                }
            }
        }
        ranges.push((byte, to));
        if next == b']' {
            return Ok(GlobToken::Class { negated, ranges });
        }
        byte = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        let check = |glob: &str, text: &str, want: bool| {
            assert_eq!(
                Glob::parse(glob).unwrap().matches(text),
                want,
                "{glob} {text}"
            );
        };
        check("hello", "hello", true);
        check("hello", "hello2", false);
        check("hello*", "hello2", true);
        check("*", "", true);
        check("?", "", false);
        check("v1.?", "v1.1", true);
        check("v1.?", "v1.12", false);
        check("*/nginx", "docker.io/library/nginx", true);
        check("*a*b*c", "xxaxxbxxbxxc", true);
        check("*a*b*c", "xxaxxbxxbxxcx", false);
        check("[a-c]x[!0-9]", "bxz", true);
        check("[a-c]x[!0-9]", "bx1", false);
        check("[]x]", "]", true);
        check("[a-]", "-", true);
        check("a**b", "ab", true);
    }

    #[test]
    fn an_open_class_is_an_error() {
        for bad in ["[", "[a", "[!", "[a-", "[a-z", "x[]"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let glob = Glob::parse(&format!("{}c", "*a".repeat(60))).unwrap();
        assert!(!glob.matches(&"aaab".repeat(90)));
    }
}
