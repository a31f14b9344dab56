//! YAML, all documents of it, within bounds: anything larger than a real file is rejected before it
//! uses memory.

mod merge;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{Location, SourceText},
    node::{DEPTH_MAX, Node, NodeKind, Scalar, VALUES_MAX},
};

/// Most bytes that aliases may repeat in one file.
const REPEATED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most separators of values in one file.
const SEPARATORS_MAX: usize = 2 * VALUES_MAX;

/// Reads all documents; empty ones are omitted.
///
/// # Errors
/// `E-YAML` at the first error.
pub(in crate::platform) fn documents(text: &SourceText<'_>) -> Result<Vec<Node>, Diagnostic> {
    // The parser buffers a whole list or mapping in brackets before its first event.
    let separators = text.text.bytes().filter(|byte| b",[{?:&!*".contains(byte));
    if separators.count() > SEPARATORS_MAX {
        let message = format!("more than {SEPARATORS_MAX} commas, colons and brackets");
        return Err(
            Diagnostic::new(DiagnosticCode::Yaml, &text.start(), message).fix("split the file"),
        );
    }
    let mut loading = YamlLoader::new(text);
    for event in Parser::new_from_str(&with_marks(&text.text)) {
        let (event, span) = event.map_err(|error| {
            let location = text.location(error.marker().line(), error.marker().col() + 1);
            loading.broken(error.marker().line(), &location, error.info())
        })?;
        loading.take(event, span)?;
    }
    Ok(loading.documents)
}

/// The text with its first `---` at the start of the line. Samples are copied with the indentation
/// of their paragraph, which breaks this line only.
fn with_marks(text: &str) -> Cow<'_, str> {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let mark = first.map_or("", str::trim_end);
    if !mark.starts_with(' ') || mark.trim_start() != "---" {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive('\n');
    let flush = lines.map(|line| {
        let is_mark = line.trim_end() == mark;
        if is_mark { line.trim_start() } else { line }
    });
    Cow::Owned(flush.collect())
}

/// A value that is not complete yet.
enum OpenCollection {
    Sequence(Vec<Node>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    done: Vec<(Scalar, Node)>,
    known: HashSet<String>,
    /// A key that waits for its value.
    key: Option<Scalar>,
}

struct YamlFrame {
    location: Location,
    anchor: usize,
    open: OpenCollection,
    /// Values in it so far, for the limit on aliases.
    values: usize,
    bytes: usize,
}

/// A value that an alias may repeat, with the cost of repeating it.
struct AnchoredValue {
    node: Node,
    values: usize,
    bytes: usize,
}

struct YamlLoader<'t> {
    text: &'t SourceText<'t>,
    documents: Vec<Node>,
    levels: Vec<YamlFrame>,
    anchored: HashMap<usize, AnchoredValue>,
    values: usize,
    repeated_bytes: usize,
}

impl<'t> YamlLoader<'t> {
    fn new(text: &'t SourceText<'t>) -> Self {
        Self {
            text,
            documents: Vec::new(),
            levels: Vec::new(),
            anchored: HashMap::new(),
            values: 0,
            repeated_bytes: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let location = self.text.location(span.start.line(), span.start.col() + 1);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar {
                    start: self.start(&text, span, style),
                    is_plain: style == ScalarStyle::Plain && tag.is_none(),
                    is_verbatim: is_verbatim(&text, span, style),
                    text: text.into_owned(),
                };
                let bytes = scalar.text.len();
                self.value(location, scalar, anchor, bytes)
            }
            Event::SequenceStart(anchor, _tag) => {
                self.open(location, anchor, OpenCollection::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, _tag) => self.open(
                location,
                anchor,
                OpenCollection::Mapping(OpenMapping::default()),
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.repeat(&location, anchor),
            Event::DocumentEnd => {
                // Anchors end with their document.
                self.anchored.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The start of a scalar's text: after its quote, or in the first line below a block's header.
    fn start(&self, text: &str, span: Span, style: ScalarStyle) -> Location {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                self.text.location(line, column + 1)
            }
            ScalarStyle::Literal => {
                // The parser reports the first line that is not empty.
                let empty = text.len() - text.trim_start_matches('\n').len();
                self.text
                    .location(line.saturating_sub(empty).max(1), column)
            }
            ScalarStyle::Folded | ScalarStyle::Plain => self.text.location(line, column),
        }
    }

    fn value(
        &mut self,
        location: Location,
        scalar: Scalar,
        anchor: usize,
        bytes: usize,
    ) -> Result<(), Diagnostic> {
        self.count(&location, 1)?;
        if self.waits_for_key() {
            return self.key(&location, scalar);
        }
        let is_null = scalar.is_plain && ["", "~", "null", "Null", "NULL"].contains(&&*scalar.text);
        let kind = if is_null {
            NodeKind::Null
        } else {
            NodeKind::Scalar(scalar)
        };
        self.put(Node { location, kind }, anchor, 1, bytes)
    }

    fn waits_for_key(&self) -> bool {
        let level = self.levels.last();
        level.is_some_and(
            |level| matches!(&level.open, OpenCollection::Mapping(entries) if entries.key.is_none()),
        )
    }

    fn key(&mut self, location: &Location, scalar: Scalar) -> Result<(), Diagnostic> {
        let Some(YamlFrame {
            open: OpenCollection::Mapping(entries),
            ..
        }) = self.levels.last_mut()
        else {
            return Ok(());
        };
        if !entries.known.insert(scalar.text.clone()) {
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Yaml,
                location,
                "the mapping has this key twice",
            );
            return Err(diagnostic.excerpt(&scalar.text).fix("remove one"));
        }
        entries.key = Some(scalar);
        Ok(())
    }

    fn open(
        &mut self,
        location: Location,
        anchor: usize,
        open: OpenCollection,
    ) -> Result<(), Diagnostic> {
        self.count(&location, 1)?;
        if self.levels.len() >= DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err(Diagnostic::new(DiagnosticCode::Yaml, &location, message));
        }
        if self.waits_for_key() {
            let message = "a key must be a string, not a list or a mapping";
            let fix = "quote text that starts with { or [";
            return Err(Diagnostic::new(DiagnosticCode::Yaml, &location, message).fix(fix));
        }
        self.levels.push(YamlFrame {
            location,
            anchor,
            open,
            values: 1,
            bytes: 0,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Diagnostic> {
        let Some(YamlFrame {
            location,
            anchor,
            open,
            values,
            bytes,
        }) = self.levels.pop()
        else {
            return Ok(());
        };
        let kind = match open {
            OpenCollection::Sequence(items) => NodeKind::Sequence(items),
            OpenCollection::Mapping(entries) => {
                NodeKind::Mapping(merge::merged(entries.done, entries.known)?)
            }
        };
        self.put(Node { location, kind }, anchor, values, bytes)
    }

    fn repeat(&mut self, location: &Location, anchor: usize) -> Result<(), Diagnostic> {
        let Some(AnchoredValue {
            node,
            values,
            bytes,
        }) = self.anchored.get(&anchor)
        else {
            let message = "the alias refers to a value that contains it";
            return Err(Diagnostic::new(DiagnosticCode::Yaml, location, message));
        };
        let (node, values, bytes) = (node.clone(), *values, *bytes);
        self.repeated(location, values, bytes)?;
        match node.scalar() {
            Some(scalar) if self.waits_for_key() => return self.key(location, scalar.clone()),
            _ => {}
        }
        self.put(node, 0, values, bytes)
    }

    fn put(
        &mut self,
        node: Node,
        anchor: usize,
        values: usize,
        bytes: usize,
    ) -> Result<(), Diagnostic> {
        if anchor != 0 {
            let node = node.clone();
            // A copy is kept, which costs as much as a repetition.
            self.repeated(&node.location, values, bytes)?;
            self.anchored.insert(
                anchor,
                AnchoredValue {
                    node,
                    values,
                    bytes,
                },
            );
        }
        let Some(level) = self.levels.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return Ok(());
        };
        level.values += values;
        level.bytes += bytes;
        match &mut level.open {
            OpenCollection::Sequence(items) => items.push(node),
            OpenCollection::Mapping(entries) => {
                let Some(key) = entries.key.take() else {
                    let message = "a key must be a string, not a list or a mapping";
                    return Err(Diagnostic::new(
                        DiagnosticCode::Yaml,
                        &node.location,
                        message,
                    ));
                };
                entries.done.push((key, node));
            }
        }
        Ok(())
    }

    fn repeated(
        &mut self,
        location: &Location,
        values: usize,
        bytes: usize,
    ) -> Result<(), Diagnostic> {
        self.repeated_bytes += bytes;
        if self.repeated_bytes > REPEATED_BYTES_MAX {
            let message = format!("aliases repeat more than {REPEATED_BYTES_MAX} bytes");
            return Err(Diagnostic::new(DiagnosticCode::Yaml, location, message));
        }
        self.count(location, values)
    }

    fn count(&mut self, location: &Location, values: usize) -> Result<(), Diagnostic> {
        self.values += values;
        if self.values > VALUES_MAX {
            return Err(too_many(location));
        }
        Ok(())
    }

    /// Names a tab, because it is invisible; the parser's error may be a line before or after it.
    fn broken(&self, line: usize, location: &Location, info: &str) -> Diagnostic {
        let near = self.text.lines().skip(line.saturating_sub(2)).take(3);
        let mut tabs = near.filter_map(|(at, line)| {
            let indent = line.len() - line.trim_start().len();
            let tab = line.find('\t').filter(|tab| *tab < indent)?;
            Some((at, tab + 1))
        });
        if let Some((line, column)) = tabs.next() {
            let message = "invalid YAML: a tab in the indentation";
            let diagnostic = Diagnostic::new(
                DiagnosticCode::Yaml,
                &self.text.location(line, column),
                message,
            );
            return diagnostic.fix("indent with spaces");
        }
        Diagnostic::new(
            DiagnosticCode::Yaml,
            location,
            format!("invalid YAML: {info}"),
        )
    }
}

/// Whether a scalar's text is verbatim in the file, except for quotes and a block's indentation.
fn is_verbatim(text: &str, span: Span, style: ScalarStyle) -> bool {
    let is_one_line = span.start.line() == span.end.line() && !text.contains('\n');
    match style {
        ScalarStyle::Plain => is_one_line,
        // Escapes and folded lines differ from the text.
        ScalarStyle::SingleQuoted => is_one_line && !text.contains('\''),
        ScalarStyle::DoubleQuoted => is_one_line && !text.contains(['"', '\\', '\t']),
        ScalarStyle::Literal => true,
        ScalarStyle::Folded => false,
    }
}

fn too_many(location: &Location) -> Diagnostic {
    let message = format!("more than {VALUES_MAX} values, including those that aliases repeat");
    Diagnostic::new(DiagnosticCode::Yaml, location, message).fix("split the file")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Node>, String> {
        documents(&SourceText::file("f", text)).map_err(|diagnostic| diagnostic.to_string())
    }

    fn error(text: &str) -> String {
        read(text).unwrap_err()
    }

    /// The start of the text of `key`, whether it is verbatim, and the text.
    fn scalar(text: &str, key: &str) -> (String, bool, String) {
        let documents = read(text).unwrap();
        let scalar = documents[0].get(key).unwrap().scalar().unwrap();
        let Scalar {
            start,
            is_verbatim,
            text,
            ..
        } = scalar.clone();
        (start.to_string(), is_verbatim, text)
    }

    #[test]
    fn texts_start_where_they_stand() {
        let check = |text: &str, start: &str, is_verbatim: bool, want: &str| {
            let found = scalar(text, "a");
            assert_eq!(
                found,
                (format!("f:{start}"), is_verbatim, want.to_owned()),
                "{text:?}"
            );
        };
        check("a: b", "1:4", true, "b");
        check("é: ü\na: \"ö\" # c", "2:5", true, "ö");
        check("{ü: 'x', a: 'ä'}", "1:14", true, "ä");
        check("a: 'it''s'", "1:5", false, "it's");
        check("a: \"x\\ny\"", "1:5", false, "x\ny");
        check("a: \"x\n  y\"", "1:5", false, "x y");
        check("a: x\n  y", "1:4", false, "x y");
        check("a: |\n  x\n  y\n", "2:3", true, "x\ny\n");
        check("a: |\r\n  x\r\n  y\r\nb: c", "2:3", true, "x\ny\n");
        check("a: | # c\n\n\n    x\n", "2:5", true, "\n\nx\n");
        check("a: |2-\n    x\n  y\n", "2:3", true, "  x\ny");
        check("b:\n- c\na: |-\n  \tx\n", "4:3", true, "\tx");
        check("a: >-\n  x\n  y\n", "2:3", false, "x y");
        let documents = read("a: |\n  {\"x\":\n   1 2}").unwrap();
        let inner = documents[0].get("a").unwrap().embedded_text().unwrap();
        assert_eq!(inner.location(2, 4).to_string(), "f:3:6");
    }

    #[test]
    fn every_document_and_only_what_stands_there() {
        let found =
            read("\u{feff}# x\n---\n---\na: 1\n...\n---\nb: ~\nc: !!str null\nd: \n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].location.to_string(), "f:7:1");
        assert!(found[1].has("b") && found[1].get("b").is_none());
        assert_eq!(found[1].get("c").unwrap().text(), Some("null"));
        assert!(found[1].get("d").is_none());
        assert_eq!(
            read("a: 1.10\nb: 0o7").unwrap()[0].get("a").unwrap().text(),
            Some("1.10")
        );
    }

    #[test]
    fn aliases_and_merges() {
        let text = "x: &x {p: 1, q: 2}\ny: &y {q: 3, r: 4}\nz:\n  q: 5\n  <<: [*y, *x]\n  s: *x\n";
        let found = read(text).unwrap();
        let z = found[0].get("z").unwrap();
        let keys: Vec<_> = z
            .entries()
            .map(|(key, node)| (&*key.text, node.text()))
            .collect();
        assert_eq!(
            keys,
            [
                ("q", Some("5")),
                ("s", None),
                ("r", Some("4")),
                ("p", Some("1"))
            ]
        );
        assert_eq!(z.at(&["s", "p"]).unwrap().location.to_string(), "f:1:11");
        assert!(read("\"<<\": 1").unwrap()[0].has("<<"));
        assert!(error("<<: 1\na: b").starts_with("f:1:5: E-YAML: the value of << must be"));
        assert!(error("a: *x").starts_with("f:1:4: E-YAML"));
        assert!(error("a: &x [*x]").starts_with("f:1:8: E-YAML: the alias refers"));
        assert!(error("a: &x 1\n---\nb: *x").starts_with("f:3:4: E-YAML"));
    }

    #[test]
    fn what_is_wrong_says_where() {
        let check = |text: &str, want: &str| {
            let found = error(text);
            assert!(found.starts_with(&format!("f:{want}")), "{text:?}: {found}");
        };
        check(
            "a:\n\tb: c\n",
            "2:1: E-YAML: invalid YAML: a tab in the indentation",
        );
        check("a:\n  b: c\n\td: e\n", "3:1: E-YAML: invalid YAML: a tab");
        check("a:\n  \t- b\n \tc: d", "2:3: E-YAML: invalid YAML: a tab");
        // Tabs in valid places are not blamed.
        check(
            "a: |\n  x\n  \ty\nb: 1\nc: 1\nd: ]\n",
            "6:4: E-YAML: invalid YAML: misplaced",
        );
        check(
            "a: 1\nb: 2\na: 3",
            "3:1: E-YAML: the mapping has this key twice",
        );
        check("a: {{ .Values.x }}", "1:5: E-YAML: a key must be a string");
        check("[a]: b", "1:1: E-YAML: a key must be a string");
        check("é: b: c", "1:5: E-YAML");
        check("a: 'b", "1:4: E-YAML");
        check("a: @b", "1:4: E-YAML");
    }

    #[test]
    fn what_is_larger_than_any_real_file_is_refused() {
        let anchor = |at| format!("{}- &a{at}\n", " ".repeat(at));
        let anchors = (0..60).map(anchor).collect::<Vec<_>>().concat();
        let huge = format!("{anchors}{}- {}", " ".repeat(60), "x".repeat(1 << 20));
        let bomb = (1..9).fold("a: &0 [x]\n".to_owned(), |text, at| {
            let before = format!("*{}, ", at - 1).repeat(9);
            text + &format!("a{at}: &{at} [{before}]\n")
        });
        for (text, want) in [
            ("- ".repeat(65), "nested more than 64 deep"),
            ("[".repeat(1 << 20), "more than 400000 commas"),
            ("[".repeat(1000), "recursion limit"),
            ("a,".repeat(1 << 20), "more than 400000 commas"),
            ("- a\n".repeat(VALUES_MAX), "more than 200000 values"),
            (huge, "aliases repeat more than"),
            (bomb, "more than 200000 values"),
        ] {
            let found = error(&text);
            assert!(found.contains(want), "{want}: {found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"([\[\]{}:,"'?|>&*!#%@`~ü<a-c1-]|: |- |\n|\n  |\t|\r\n|---\n|<<: ){0,30}"#) {
            let _outcome = read(&text);
        }

        #[test]
        fn texts_come_back_as_they_are_written(
            lines in proptest::collection::vec("[a-zü:#'\" ]{0,9}x", 1..5),
        ) {
            let text = format!("- a: |\n    x{}\n", lines.join("\n    "));
            let documents = read(&text).unwrap();
            let inner = documents[0].items()[0].get("a").unwrap().embedded_text().unwrap();
            prop_assert_eq!(&*inner.text, format!("x{}\n", lines.join("\n")));
            prop_assert_eq!(inner.location(1, 1).to_string(), "f:2:5");
        }
    }
}
