//! What a 401 asks for. Pure.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

use super::realm::{Realm, UnusableRealm};

/// Longest service or scope that is taken from a challenge.
const WORD_BYTES_MAX: usize = 4096;
/// Most token services of one challenge that are considered.
const BEARERS_MAX: usize = 8;

/// The ways to log in that an endpoint offers, as far as we know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) struct Challenge {
    /// With user name and password.
    pub(super) basic: bool,
    /// With a token of a service; the first that may be asked is meant.
    pub(super) bearers: Vec<BearerChallenge>,
}

/// A token service, and what it is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BearerChallenge {
    /// Where it is, if that is an address at all.
    pub(super) realm: Result<Realm, UnusableRealm>,
    /// What it shall issue a token for.
    pub(super) service: Option<String>,
    /// What the token shall allow, sorted, if the endpoint says so.
    pub(super) scope: Option<String>,
    /// Whether the token that was sent is good, but allows too little.
    pub(super) insufficient_scope: bool,
}

impl Challenge {
    /// Reads all challenges, in any order, on one line or several; unknown schemes are skipped.
    pub(in crate::upstream) fn read(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(WWW_AUTHENTICATE).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let mut challenge = Self::default();
        for spoken in lines.flat_map(schemes) {
            match spoken.scheme.to_ascii_lowercase().as_str() {
                "basic" => challenge.basic = true,
                "bearer" if challenge.bearers.len() < BEARERS_MAX => {
                    challenge.bearers.extend(BearerChallenge::of(&spoken));
                }
                _ => {}
            }
        }
        challenge
    }

    /// Whether it offers nothing that we know.
    pub(super) fn is_empty(&self) -> bool {
        !self.basic && self.bearers.is_empty()
    }

    /// Whether a token was sent that allows too little.
    pub(in crate::upstream) fn is_insufficient_scope(&self) -> bool {
        self.bearers.iter().any(|bearer| bearer.insufficient_scope)
    }

    /// The same, for another repository.
    pub(super) fn without_scope(mut self) -> Self {
        for bearer in &mut self.bearers {
            bearer.scope = None;
        }
        self
    }
}

impl BearerChallenge {
    /// None without a realm: then there is no token service.
    fn of(spoken: &RawChallenge<'_>) -> Option<Self> {
        let realm = Realm::parse(spoken.parameter("realm")?.as_str());
        let word = |name| spoken.parameter(name).filter(|word| !word.is_empty());
        let word = |name| word(name).filter(|word| word.len() <= WORD_BYTES_MAX);
        let error = spoken.parameter("error");
        Some(Self {
            realm,
            service: word("service"),
            scope: word("scope").as_deref().and_then(sorted),
            insufficient_scope: error.as_deref() == Some("insufficient_scope"),
        })
    }
}

/// The same scopes in one spelling, so that they share a token.
fn sorted(scope: &str) -> Option<String> {
    let mut scopes: Vec<_> = scope.split_ascii_whitespace().collect();
    scopes.sort_unstable();
    scopes.dedup();
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// One challenge as it is written.
struct RawChallenge<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl RawChallenge<'_> {
    fn parameter(&self, name: &str) -> Option<String> {
        let mut found = self.parameters.iter();
        let found = found.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
}

/// The challenges of one line. An element is a parameter of the last scheme, or names a new one
/// and may carry its first parameter.
fn schemes(line: &str) -> Vec<RawChallenge<'_>> {
    let mut spoken: Vec<RawChallenge<'_>> = Vec::new();
    for element in elements(line) {
        let (head, value) = match element.split_once('=') {
            Some((head, value)) => (head.trim(), Some(unquoted(value.trim()))),
            None => (element, None),
        };
        let (scheme, name) = match head.split_once([' ', '\t']) {
            Some((scheme, name)) => (Some(scheme), name.trim()),
            None if value.is_none() => (Some(head), ""),
            None => (None, head),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            let parameters = Vec::new();
            spoken.push(RawChallenge { scheme, parameters });
        }
        if let (Some(last), Some(value)) = (spoken.last_mut(), value) {
            last.parameters.push((name, value));
        }
    }
    spoken
}

/// What stands between commas, but for those in quotes.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_separator = move |letter: char| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match letter {
            _ if was_escaped => false,
            '\\' if is_quoted => {
                is_escaped = true;
                false
            }
            '"' => {
                is_quoted = !is_quoted;
                false
            }
            letter => letter == ',' && !is_quoted,
        }
    };
    let elements = line.split(is_separator).map(str::trim);
    elements.filter(|element| !element.is_empty())
}

/// A value without its quotes and escapes.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' {
            letters.next()
        } else {
            Some(letter)
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> Challenge {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(line).unwrap());
        }
        Challenge::read(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> BearerChallenge {
        BearerChallenge {
            realm: Realm::parse(realm),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
            insufficient_scope: false,
        }
    }

    #[test]
    fn q03_challenges_come_in_any_order_on_one_line_or_several() {
        let token = r#"Bearer realm="https://a/t?x=1,2",service="s s", error="a, Basic b""#;
        let (bearer, none) = (bearer("https://a/t?x=1,2", Some("s s"), None), None);
        let both = |basic| (basic, Some(bearer.clone()));
        let joined = format!(r#"Negotiate, {token}, Basic realm="x""#);
        let turned = format!(r#"NTLM abc==, Basic realm="x, y", Negotiate YII=, {token}"#);
        let rows = [
            (vec![], (false, none.clone())),
            (vec![token], both(false)),
            (vec!["basic"], (true, none.clone())),
            (vec![r#"BASIC realm="x""#], (true, none.clone())),
            (vec![token, "Basic realm=x"], both(true)),
            (vec!["Basic realm=x", "Negotiate", token], both(true)),
            (vec![&joined], both(true)),
            (vec![&turned], both(true)),
            (vec!["Negotiate", "NTLM abc="], (false, none.clone())),
            (vec!["Bearer", "Bearer service=s"], (false, none.clone())),
            (
                vec!["", ",,", "=", "\"", "Digest realm=\"Basic"],
                (false, none),
            ),
        ];
        for (lines, (basic, bearer)) in rows {
            let found = read(&lines);
            let first = found.bearers.first().cloned();
            assert_eq!((found.basic, &first), (basic, &bearer), "{lines:?}");
            assert_eq!(found.is_empty(), !basic && bearer.is_none());
        }
    }

    #[test]
    fn q03_further_token_services_are_read_up_to_a_number() {
        let found = read(&[r#"Bearer realm="nowhere", Bearer, Bearer realm="https://a/""#]);
        let realms = found.bearers.iter().map(|bearer| bearer.realm.is_ok());
        assert_eq!(realms.collect::<Vec<_>>(), [false, true]);
        let many = vec!["Bearer realm=x"; 100];
        assert_eq!(read(&many).bearers.len(), BEARERS_MAX);
    }

    #[test]
    fn parameters_are_read_as_they_are_written() {
        let check = |line: &str, want: BearerChallenge| assert_eq!(read(&[line]).bearers, [want]);
        check(
            r#"bearer Realm = "https://a/\"t\"" , SERVICE=reg , scope="b:c a:b b:c""#,
            bearer("https://a/\"t\"", Some("reg"), Some("a:b b:c")),
        );
        check(
            "Bearer realm=https://a/t/,scope=aws",
            bearer("https://a/t/", None, Some("aws")),
        );
        check(
            r#"Bearer realm="https://a/",service="",scope="  ""#,
            bearer("https://a/", None, None),
        );
        let more = r#"Bearer realm="https://a/",error="insufficient_scope""#;
        assert!(read(&[more]).is_insufficient_scope());
        let long = format!(r#"Bearer realm="https://a/",scope="{}""#, "x".repeat(5000));
        check(&long, bearer("https://a/", None, None));
    }
}
