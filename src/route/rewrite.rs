//! Regex rewriting of repository names, in the dialect of k3s: unanchored, all occurrences, `$1`.

use regex::{Regex, RegexBuilder};

use super::{error::RuleError, text::RewriteText};

/// One compiled `rewrite`.
#[derive(Clone, Debug)]
pub(super) struct Rewrite {
    regex: Regex,
    with: String,
}

impl Rewrite {
    pub(super) fn compile(text: &RewriteText) -> Result<Self, RuleError> {
        let regex = compile(&text.regex)?;
        for group in groups(&text.with) {
            let known = match group.parse::<usize>() {
                Ok(number) => number < regex.captures_len(),
                Err(_) => regex.capture_names().any(|name| name == Some(group)),
            };
            if !known {
                let digits = group.bytes().take_while(u8::is_ascii_digit).count();
                let error = RuleError::new(format!("{:?} has no group {group:?}", text.regex));
                return Err(match group.split_at_checked(digits) {
                    Some((number, rest)) if digits > 0 && !rest.is_empty() => {
                        error.hint(format!("${{{number}}}{rest}"))
                    }
                    _ => error,
                });
            }
        }
        Ok(Self {
            regex,
            with: text.with.clone(),
        })
    }

    /// The name after the first rewrite that matches; none if none matches.
    pub(super) fn apply_first(rewrites: &[Self], name: &str) -> Option<String> {
        let rewrite = rewrites
            .iter()
            .find(|rewrite| rewrite.regex.is_match(name))?;
        let made = rewrite.regex.replace_all(name, rewrite.with.as_str());
        Some(made.into_owned())
    }
}

/// Compiles a regex within a size that legitimate ones never reach.
pub(super) fn compile(text: &str) -> Result<Regex, RuleError> {
    let built = RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .build();
    built.map_err(|error| {
        let text = error.to_string();
        // The library prints the pattern over several lines; only the last one is the error.
        let last = text.lines().last().unwrap_or_default();
        RuleError::new(last.trim_start_matches("error: "))
            .hint("write \\ before a sign that stands for itself: \\( \\[ \\{ \\* \\+ \\? \\. \\|")
    })
}

/// The groups a replacement names: `$1`, `$name`, `${name}`, where `$1x` is the group `1x`.
fn groups(with: &str) -> impl Iterator<Item = &str> {
    let plain = with.split("$$");
    plain.flat_map(|part| {
        part.split('$').skip(1).filter_map(|after| {
            if let Some(braced) = after.strip_prefix('{') {
                return braced.split_once('}').map(|(name, _)| name);
            }
            let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let length = after.bytes().take_while(word).count();
            after.get(..length).filter(|name| !name.is_empty())
        })
    })
}

const COMPILED_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(regex: &str, with: &str) -> Result<Rewrite, RuleError> {
        Rewrite::compile(&RewriteText {
            regex: regex.to_owned(),
            with: with.to_owned(),
        })
    }

    #[test]
    fn rewrites_are_unanchored_and_global() {
        let check = |regex: &str, with: &str, name: &str, want: Option<&str>| {
            let rewrites = [rewrite(regex, with).unwrap()];
            assert_eq!(
                Rewrite::apply_first(&rewrites, name).as_deref(),
                want,
                "{regex}"
            );
        };
        check("a", "b", "a/xa", Some("b/xb"));
        check("^a", "b", "a/a", Some("b/a"));
        check("c", "b", "a/a", None);
        check(
            "(.*)",
            "docker/$1",
            "library/busybox",
            Some("docker/library/busybox"),
        );
        check("(?P<n>.*)", "${n}-x", "a", Some("a-x"));
        check("a", "$$", "a", Some("$"));
    }

    #[test]
    fn bad_rewrites_say_why() {
        assert!(
            rewrite("(.*", "$1")
                .unwrap_err()
                .reason
                .contains("unclosed")
        );
        assert!(rewrite("(.*)", "$2").is_err());
        let error = rewrite("(.*)", "$1_x").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("${1}_x"));
        assert!(rewrite(&"(a{1000}){1000}".repeat(5), "").is_err());
    }
}
