//! The bodies of macros, which stay unparsed: their words, paths and type definitions.

use syn::buffer::{Cursor, TokenBuffer};

/// What a list of tokens contains.
#[derive(Default)]
pub(super) struct Tokens {
    /// Every identifier.
    pub(super) words: Vec<String>,
    /// Paths of several words, and single words that may name an item.
    pub(super) paths: Vec<Vec<String>>,
    /// Keyword and name.
    pub(super) types: Vec<(&'static str, String)>,
}

impl Tokens {
    pub(super) fn read(buffer: &TokenBuffer) -> Self {
        let mut tokens = Self::default();
        tokens.read_group(buffer.begin());
        tokens
    }

    fn read_group(&mut self, mut at: Cursor<'_>) {
        let mut before = Before::default();
        while !at.eof() {
            // A lifetime first: it is a mark and a word to the methods below.
            if let Some((_, after)) = at.lifetime() {
                before = Before::default();
                at = after;
            } else if let Some((word, after)) = at.ident() {
                let path = Path::read(without_raw(&word.to_string()), after);
                at = path.after;
                before = self.take(path, &before);
            } else if let Some((inside, _, _, after)) = at.any_group() {
                self.read_group(inside);
                before = Before::default();
                at = after;
            } else if let Some((mark, after)) = at.punct() {
                before.marks.push(mark.as_char());
                before.keyword = None;
                at = after;
            } else if let Some((_, after)) = at.token_tree() {
                before = Before::default();
                at = after;
            }
        }
    }

    /// Keeps a path; answers what stands before the next token.
    fn take(&mut self, path: Path<'_>, before: &Before) -> Before {
        let words = path.words;
        let first = words.first().map(String::as_str).unwrap_or_default();
        let keyword = ["struct", "enum", "trait"]
            .into_iter()
            .find(|keyword| words.len() == 1 && first == *keyword);
        // `$name` is the macro's parameter; `$crate` is the crate.
        let is_parameter = before.marks.ends_with('$') && first != "crate";
        let is_member = before.marks.ends_with('.') && !before.marks.ends_with("..");
        self.words.extend(words.iter().cloned());
        if let Some(keyword) = before.keyword {
            self.types.push((keyword, first.to_owned()));
        } else if !is_parameter && (words.len() > 1 || !is_member && !is_label(path.after)) {
            self.paths.push(words);
        }
        Before {
            marks: String::new(),
            keyword,
        }
    }
}

/// A path without generic arguments, and what stands behind it.
struct Path<'c> {
    words: Vec<String>,
    after: Cursor<'c>,
}

impl<'c> Path<'c> {
    fn read(first: String, mut after: Cursor<'c>) -> Self {
        let mut words = vec![first];
        while let Some((word, behind)) = after_colons(after).and_then(Cursor::ident) {
            words.push(without_raw(&word.to_string()));
            after = behind;
        }
        Self { words, after }
    }
}

/// What stands directly before a token.
#[derive(Default)]
struct Before {
    marks: String,
    /// Of a type definition.
    keyword: Option<&'static str>,
}

/// Whether the word before is a field's name, as in `name: value` and `name = value`.
fn is_label(after: Cursor<'_>) -> bool {
    let Some((first, behind)) = after.punct() else {
        return false;
    };
    let second = behind.punct().map(|(second, _)| second.as_char());
    match first.as_char() {
        ':' => second != Some(':'),
        '=' => !matches!(second, Some('=' | '>')),
        _ => false,
    }
}

fn after_colons(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, at) = at.punct()?;
    let (second, at) = at.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(at)
}

/// `r#type` and `type` are one name.
pub(super) fn without_raw(word: &str) -> String {
    word.strip_prefix("r#").unwrap_or(word).to_owned()
}
