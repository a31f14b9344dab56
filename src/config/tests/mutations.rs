//! Good files of all formats, maimed: nothing panics, and what is not refused is a configuration.
//!
//! `PROPTEST_CASES=1000000 cargo test --release mutations` looks longer; a failure prints what it
//! takes to see it again.

mod samples;

use proptest::{collection::vec, prelude::*, sample::Index};

use self::samples::{SAMPLES, WORDS};
use super::*;
use crate::platform::{
    self, CertificateAuthority, Format, ImportOptions, Imported, Input, SourceFallback,
    WrittenConfig,
};

/// Something that happens to a text.
#[derive(Clone, Debug)]
enum Change {
    /// A word, or what stands between the marks within a word, becomes another.
    Word(Index, bool, Index),
    /// A word becomes another one of the same text.
    Swap(Index, Index, bool),
    /// Some lines are taken out.
    Lines(Index, usize),
    /// Some lines stand elsewhere as well.
    Again(Index, usize, Index),
    /// Some lines of another sample.
    Splice(Index, Index, usize, Index),
    /// A byte becomes another.
    Byte(Index, u8),
    /// Some bytes are taken out.
    Bytes(Index, usize),
    /// Nothing follows.
    End(Index),
}

/// A sample by its number; those that other tests have as well get a registry.
fn sample(at: usize) -> (&'static Format, &'static str, String) {
    let (format, name, text) = SAMPLES[at % SAMPLES.len()];
    let (format, _) = platform::importable()
        .find(|(known, _)| known.name == format)
        .unwrap();
    (format, name, text.replace("REGISTRY", "r.corp:5000"))
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        8 => (index(), any::<bool>(), index()).prop_map(|(at, is_part, word)| Change::Word(at, is_part, word)),
        4 => (index(), index(), any::<bool>()).prop_map(|(at, other, is_part)| Change::Swap(at, other, is_part)),
        2 => (index(), 1_usize..4).prop_map(|(at, count)| Change::Lines(at, count)),
        2 => (index(), 1_usize..8, index()).prop_map(|(at, count, to)| Change::Again(at, count, to)),
        2 => (index(), index(), 1_usize..12, index())
            .prop_map(|(sample, at, count, to)| Change::Splice(sample, at, count, to)),
        2 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (index(), 1_usize..9).prop_map(|(at, count)| Change::Bytes(at, count)),
        1 => index().prop_map(Change::End),
    ]
}

/// What ends a word, and what ends a part of one.
const WHOLES: &str = "\"'{}[],=#";
const PARTS: &str = "\"'{}[],=#/:.@";

/// Where the words of a text are, or the parts of words.
fn words(text: &str, marks: &str) -> Vec<(usize, usize)> {
    let ends = |letter: char| letter.is_whitespace() || marks.contains(letter);
    let pieces = text.split(ends);
    let word = |piece: &str| {
        let start = piece.as_ptr().addr() - text.as_ptr().addr();
        (start, start + piece.trim_end_matches(':').len())
    };
    let words = pieces.filter(|piece| !piece.is_empty());
    words.map(word).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Lines from `at` on.
fn some(lines: &[&str], at: Index, count: usize) -> String {
    let at = at.index(lines.len().max(1));
    lines.iter().skip(at).take(count).copied().collect()
}

impl Change {
    fn of(&self, text: &str) -> String {
        let with = |(start, end): (usize, usize), word: &str| {
            let part = |range| text.get(range).unwrap_or_default();
            [part(0..start), word, part(end..text.len())].concat()
        };
        let into = |at: Index, more: &str| {
            let all = lines(text);
            let at = at.index(all.len() + 1);
            format!("{}{more}{}", all[..at].concat(), all[at..].concat())
        };
        let words = |is_part: &bool| words(text, if *is_part { PARTS } else { WHOLES });
        match self {
            Self::Word(at, is_part, word) => match words(is_part).as_slice() {
                [] => WORDS[word.index(WORDS.len())].to_owned(),
                places => with(
                    places[at.index(places.len())],
                    WORDS[word.index(WORDS.len())],
                ),
            },
            Self::Swap(at, other, is_part) => match words(is_part).as_slice() {
                [] => text.to_owned(),
                places => {
                    let (start, end) = places[other.index(places.len())];
                    with(
                        places[at.index(places.len())],
                        text.get(start..end).unwrap_or_default(),
                    )
                }
            },
            Self::Lines(at, count) => {
                let all = lines(text);
                let at = at.index(all.len().max(1)).min(all.len());
                let rest = all.iter().skip(at + count).copied();
                all[..at].iter().copied().chain(rest).collect()
            }
            Self::Again(at, count, to) => into(*to, &some(&lines(text), *at, *count)),
            Self::Splice(sample, at, count, to) => {
                let (_, _, other) = self::sample(sample.index(SAMPLES.len()));
                into(*to, &some(&lines(&other), *at, *count))
            }
            Self::Byte(..) | Self::Bytes(..) | Self::End(_) => text.to_owned(),
        }
    }

    /// What happens to bytes, after everything else.
    fn of_bytes(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Bytes(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::End(at) => bytes.truncate(at.index(bytes.len())),
            _ => {}
        }
    }
}

fn options(fallback: SourceFallback) -> ImportOptions<'static> {
    ImportOptions {
        baseline: None,
        internal_registry: Some("image-registry.example:5000"),
        fallback,
        own: &|registry| registry.as_str() == "localhost:5000",
        is_own_guessed: false,
    }
}

/// What was written is read as it stands, but for files that others have to provide.
fn accepted(imported: &Imported, folder: Option<&str>) -> Result<(), String> {
    let mut imported = imported.clone();
    for upstream in &mut imported.upstreams {
        upstream.client = None;
        if let Some(CertificateAuthority::File(_)) = upstream.ca {
            upstream.ca = None;
        }
    }
    let WrittenConfig { toml, files, .. } = platform::write(&imported, folder);
    let find = |path: &Path, _content| {
        let file = files
            .iter()
            .find(|file| Path::new("s").join(&file.name) == path);
        let bytes = file.map(|file| file.text.reveal().as_bytes().to_owned());
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let context = LoadContext {
        read_file: &find,
        ..CONTEXT
    };
    let overrides = Overrides {
        listen: Some("unix:roadstead.sock".to_owned()),
        store: None,
    };
    let read = read(&toml, "written", &overrides, &context);
    read.map(|_loaded| ())
        .map_err(|problems| format!("{problems}\n{toml}"))
}

/// What must hold of any file in any format.
fn holds(
    format: Option<&'static Format>,
    name: &str,
    bytes: &[u8],
    fallback: SourceFallback,
) -> Result<(), TestCaseError> {
    let imported = platform::import(
        format,
        &[Input {
            name,
            bytes,
            is_named: true,
        }],
        &options(fallback),
    );
    let line_count = bytes.iter().filter(|byte| b"\n\r".contains(byte)).count() + 1;
    for remark in &imported.diagnostics {
        let line = remark.to_string();
        prop_assert!(line.starts_with(&format!("{name}:")), "{line}");
        prop_assert!(
            (1..=line_count + 1).contains(&remark.location.line),
            "{line}"
        );
    }
    prop_assert!(
        !imported.diagnostics.is_empty()
            || !imported.routes.is_empty()
            || !imported.credentials.is_empty()
            || !imported.upstreams.is_empty()
            || !imported.aliases.is_empty()
    );
    if !imported.is_refused() {
        for folder in [Some("s"), None] {
            let accepted = accepted(&imported, folder);
            prop_assert!(accepted.is_ok(), "{}", accepted.unwrap_err());
        }
    }
    Ok(())
}

#[test]
fn the_samples_are_good() {
    for (format, name, text) in (0..SAMPLES.len()).map(sample) {
        for format in [Some(format), None] {
            let input = Input {
                name,
                bytes: text.as_bytes(),
                is_named: true,
            };
            let imported = platform::import(format, &[input], &options(SourceFallback::Auto));
            let lines: Vec<_> = imported
                .diagnostics
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(!imported.is_refused(), "{name}: {lines:#?}");
            accepted(&imported, Some("s")).unwrap();
        }
    }
    for (Format { name, .. }, _) in platform::importable() {
        assert!(SAMPLES.iter().any(|(known, _, _)| known == name), "{name}");
    }
}

#[test]
fn a_file_may_end_anywhere() {
    for (format, name, text) in (0..SAMPLES.len()).map(sample) {
        for end in 0..text.len() {
            for format in [Some(format), None] {
                let held = holds(format, name, &text.as_bytes()[..end], SourceFallback::Auto);
                held.unwrap_or_else(|error| panic!("{name} up to {end}: {error}"));
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_not_refused_is_a_configuration(
        sample in any::<Index>(),
        changes in vec(change(), 1..7),
        format in proptest::option::weighted(0.5, any::<Index>()),
        fallback in proptest::sample::select(vec![SourceFallback::Auto, SourceFallback::Deny, SourceFallback::Source]),
    ) {
        let (own, name, text) = self::sample(sample.index(SAMPLES.len()));
        let text = changes.iter().fold(text, |text, change| change.of(&text));
        let mut bytes = text.into_bytes();
        for change in &changes {
            change.of_bytes(&mut bytes);
        }
        holds(Some(own), name, &bytes, fallback)?;
        let formats: Vec<_> = platform::importable().map(|(format, _)| format).collect();
        let other = format.map(|at| formats[at.index(formats.len())]);
        holds(other, name, &bytes, fallback)?;
    }
}
