//! What a text is written in.

use super::location::SourceText;

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform) enum Syntax {
    Yaml,
    Json,
    Toml,
    /// Lines, or a list with commas, of `SOURCE::TARGET`.
    Map,
}

impl Syntax {
    /// What a text looks like.
    pub(in crate::platform) fn of(text: &SourceText<'_>, file: &str) -> Self {
        let text = &*text.text;
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
        let is_yaml = ["yaml", "yml"].contains(&extension);
        if text.trim_start().starts_with('{') && !is_yaml {
            return Self::Json;
        }
        let mut lines = text.lines().map(str::trim_end);
        if extension == "toml" || lines.clone().any(is_toml) {
            return Self::Toml;
        }
        let is_key = |line: &str| {
            let line = line.trim_start();
            line == "---" || line.starts_with("- ") || line.contains(": ")
        };
        let marks = ["apiVersion:", "kind:", "ociImageRegistry:", "stylus:"];
        if is_yaml || marks.iter().any(|mark| text.contains(mark)) {
            return Self::Yaml;
        }
        let mut written = lines
            .clone()
            .filter(|line| !line.trim_start().starts_with('#'));
        if lines.any(is_pair) || !written.any(is_key) {
            Self::Map
        } else {
            Self::Yaml
        }
    }
}

/// Of a format that is always TOML.
pub(in crate::platform) fn toml(_text: &SourceText<'_>, _guess: Syntax) -> Syntax {
    Syntax::Toml
}

/// Of a format that is always JSON.
pub(in crate::platform) fn json(_text: &SourceText<'_>, _guess: Syntax) -> Syntax {
    Syntax::Json
}

/// Of a format that is written in several syntaxes: what the text looks like.
pub(in crate::platform) fn guessed(_text: &SourceText<'_>, guess: Syntax) -> Syntax {
    guess
}

/// Of a format of Kubernetes' objects or values.
pub(in crate::platform) fn yaml_or_json(_text: &SourceText<'_>, guess: Syntax) -> Syntax {
    if guess == Syntax::Json {
        Syntax::Json
    } else {
        Syntax::Yaml
    }
}

/// `SOURCE::TARGET`; a value of YAML may have colons too.
fn is_pair(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.split_once("::").map(|(key, _)| key);
    key.is_some_and(|key| !key.starts_with("- ") && !key.contains(": ") && !key.contains('"'))
}

/// A table's header, which is no mark of an imageswap map.
fn is_toml(line: &str) -> bool {
    let line = line.trim_start();
    let inside = line
        .strip_prefix('[')
        .and_then(|line| line.split(" #").next()?.trim_end().strip_suffix(']'));
    inside.is_some_and(|inside| {
        let inside = inside.trim_start_matches('[');
        inside.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '"')
            && !inside.contains([',', ':'])
            || inside.starts_with("host.\"")
            || inside.starts_with("plugins.")
    })
}
