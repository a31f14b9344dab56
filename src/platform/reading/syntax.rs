//! The syntax of a text.

use super::location::SourceText;

/// The syntax of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform) enum Syntax {
    Yaml,
    Json,
    Toml,
    /// `SOURCE::TARGET` entries, in lines or separated by commas.
    Map,
}

impl Syntax {
    /// Guesses the syntax of a text.
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

/// For formats that are always TOML.
pub(in crate::platform) fn toml(_text: &SourceText<'_>, _guess: Syntax) -> Syntax {
    Syntax::Toml
}

/// For formats that are always JSON.
pub(in crate::platform) fn json(_text: &SourceText<'_>, _guess: Syntax) -> Syntax {
    Syntax::Json
}

/// For formats in several syntaxes: the guess.
pub(in crate::platform) fn guessed(_text: &SourceText<'_>, guess: Syntax) -> Syntax {
    guess
}

/// For formats that are YAML, of which JSON is a part.
pub(in crate::platform) fn yaml_or_json(_text: &SourceText<'_>, guess: Syntax) -> Syntax {
    if guess == Syntax::Json {
        Syntax::Json
    } else {
        Syntax::Yaml
    }
}

/// Whether a line is `SOURCE::TARGET`; values in YAML may have colons too.
fn is_pair(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.split_once("::").map(|(key, _)| key);
    key.is_some_and(|key| !key.starts_with("- ") && !key.contains(": ") && !key.contains('"'))
}

/// Whether a line is a TOML table header, and not an `[EXACT]` or similar of an imageswap map.
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
