//! TOML as a tree with locations.

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{LocationIndex, SourceText},
    node::{DEPTH_MAX, Node, NodeKind, Scalar},
};

/// Longest document, in bytes. The parser needs eighty times as much memory.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// Most errors that are reported of one document; the rest mostly follows from them.
const ERRORS_MAX: usize = 20;

/// Reads the document.
///
/// # Errors
/// `E-TOML` for every error.
pub(in crate::platform) fn document(text: &SourceText<'_>) -> Result<Node, Vec<Diagnostic>> {
    let location = text.start();
    if text.text.len() > DOCUMENT_BYTES_MAX {
        let message = format!("a TOML document has at most {DOCUMENT_BYTES_MAX} bytes");
        return Err(vec![Diagnostic::new(
            DiagnosticCode::Toml,
            &location,
            message,
        )]);
    }
    let (table, errors) = DeTable::parse_recoverable(&text.text);
    let reader = TomlReader {
        text: &text.text,
        index: LocationIndex::new(text),
    };
    let diagnostic = |error: toml::de::Error| {
        let location = reader
            .index
            .of_byte(error.span().map_or(0, |span| span.start));
        let message = format!("invalid TOML: {}", error.message());
        Diagnostic::new(DiagnosticCode::Toml, &location, message)
    };
    let diagnostics: Vec<_> = errors
        .into_iter()
        .take(ERRORS_MAX)
        .map(diagnostic)
        .collect();
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let kind = reader.mapping(table.get_ref(), 0);
    Ok(Node {
        location,
        kind: kind.map_err(|diagnostic| vec![diagnostic])?,
    })
}

struct TomlReader<'t> {
    text: &'t str,
    index: LocationIndex<'t>,
}

impl TomlReader<'_> {
    fn mapping(&self, table: &DeTable<'_>, depth: usize) -> Result<NodeKind, Diagnostic> {
        let mut entries: Vec<_> = table.iter().collect();
        // In the order of the file, which is the order of hosts.
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let key = Scalar {
                text: key.get_ref().to_string(),
                start: self.index.of_byte(key.span().start),
                is_plain: true,
                is_verbatim: false,
            };
            Ok((key, self.node(value, depth + 1)?))
        };
        let entries: Result<_, Diagnostic> = entries.into_iter().map(entry).collect();
        Ok(NodeKind::Mapping(entries?))
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Diagnostic> {
        let location = self.index.of_byte(value.span().start);
        if depth > DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err(Diagnostic::new(DiagnosticCode::Toml, &location, message));
        }
        let plain = |written: String| {
            NodeKind::Scalar(Scalar {
                text: written,
                start: location.clone(),
                is_plain: true,
                is_verbatim: true,
            })
        };
        let kind = match value.get_ref() {
            DeValue::String(string) => NodeKind::Scalar(self.string(string, &value.span())),
            DeValue::Integer(number) => plain(number.to_string()),
            DeValue::Float(number) => plain(number.to_string()),
            DeValue::Boolean(flag) => plain(flag.to_string()),
            DeValue::Datetime(time) => plain(time.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item, depth + 1));
                NodeKind::Sequence(items.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.mapping(table, depth)?,
        };
        Ok(Node { location, kind })
    }

    fn string(&self, text: &str, span: &std::ops::Range<usize>) -> Scalar {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let is_block = ["\"\"\"", "'''"]
            .iter()
            .any(|mark| written.starts_with(mark));
        // A line end right after such a delimiter is not part of the text.
        let behind = written.get(3..).filter(|_| is_block).unwrap_or_default();
        let quotes = match behind {
            _ if !is_block => 1,
            behind if behind.starts_with("\r\n") => 5,
            behind if behind.starts_with('\n') => 4,
            _ => 3,
        };
        Scalar {
            text: text.to_owned(),
            start: self.index.of_byte(span.start + quotes),
            is_plain: false,
            is_verbatim: written.len() == text.len() + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Node, Vec<String>> {
        let read = document(&SourceText::file("f", text));
        read.map_err(|diagnostics| diagnostics.iter().map(Diagnostic::to_string).collect())
    }

    #[test]
    fn places_are_those_of_the_file() {
        let text = "a = 1.10\r\n[b.\"c.d\"]\r\nx = [ \"é\", { y = true } ]\n[[r]]\nl = 'ü\\' # c\n\
                    [[r]]\nm = '''\n  q'''\nn = \"\\n\"";
        let node = read(text).unwrap();
        let at = |node: &Node| node.location.to_string();
        assert_eq!(node.get("a").unwrap().text(), Some("1.10"));
        let items = node.at(&["b", "c.d", "x"]).unwrap().items();
        assert_eq!(at(&items[0]), "f:3:7");
        assert_eq!(items[0].scalar().unwrap().start.to_string(), "f:3:8");
        assert_eq!(at(items[1].get("y").unwrap()), "f:3:18");
        assert_eq!(items[1].get("y").unwrap().text(), Some("true"));
        let tables = node.get("r").unwrap().items();
        assert_eq!(at(&tables[0]), "f:4:1");
        assert_eq!(tables[0].get("l").unwrap().text(), Some("ü\\"));
        assert!(tables[0].get("l").unwrap().scalar().unwrap().is_verbatim);
        assert_eq!(at(tables[1].get("m").unwrap()), "f:7:5");
        let block = tables[1].get("m").unwrap().scalar().unwrap();
        assert_eq!(
            (block.start.to_string().as_str(), &*block.text),
            ("f:8:1", "  q")
        );
        assert!(!tables[1].get("n").unwrap().scalar().unwrap().is_verbatim);
    }

    #[test]
    fn every_error_says_where_and_not_too_many_do() {
        let errors = |text: &str| read(text).unwrap_err();
        assert!(errors("a = 1\na = 2\n[b]\n[b]\n")[1].starts_with("f:4:2: E-TOML"));
        assert!(errors("x = \"a\n")[0].starts_with("f:1:7: E-TOML"));
        assert_eq!(errors(&"=\n".repeat(5000)).len(), ERRORS_MAX);
        let long = "#".repeat(DOCUMENT_BYTES_MAX + 1);
        assert!(errors(&long)[0].starts_with("f:1:1: E-TOML: a TOML document has"));
        let key = ["a"; 40].join(".");
        let deep = format!("[{key}]\n{key} = {{ {key} = 1 }}");
        assert!(errors(&deep)[0].contains("nested more than 64 deep"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"([\[\]{}=.,"'\\# \r\n\tüa-c0-9]|""|''|true|1979-){0,30}"#) {
            let _outcome = read(&text);
        }
    }
}
