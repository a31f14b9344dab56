//! JSON as a tree with locations.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::{
    diagnostic::{Diagnostic, DiagnosticCode},
    location::{Location, LocationIndex, SourceText},
    node::{DEPTH_MAX, Node, NodeKind, Scalar, VALUES_MAX},
};

/// Reads one value.
///
/// # Errors
/// `E-JSON` at the first error.
pub(in crate::platform) fn document(text: &SourceText<'_>) -> Result<Vec<Node>, Diagnostic> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&text.text) {
        let message = match error.classify() {
            Category::Eof => "the file ends unexpectedly",
            // The parser's message might repeat a part of the text.
            _ => "invalid JSON",
        };
        let location = text.location(error.line(), error.column());
        return Err(Diagnostic::new(DiagnosticCode::Json, &location, message));
    }
    let mut reader = JsonReader {
        text: &text.text,
        index: LocationIndex::new(text),
        at: 0,
        values: 0,
    };
    Ok(vec![reader.value(0)?])
}

/// Walks through a text that is known to be valid JSON.
struct JsonReader<'t> {
    text: &'t str,
    index: LocationIndex<'t>,
    at: usize,
    values: usize,
}

impl<'t> JsonReader<'t> {
    /// The rest from the next token on. Separators are skipped, since the text is known to be
    /// valid.
    fn rest(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let token = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        self.at = self.text.len() - token.len();
        token
    }

    fn value(&mut self, depth: usize) -> Result<Node, Diagnostic> {
        let rest = self.rest();
        let location = self.index.of_byte(self.at);
        self.values += 1;
        if self.values > VALUES_MAX {
            let message = format!("more than {VALUES_MAX} values");
            return Err(
                Diagnostic::new(DiagnosticCode::Json, &location, message).fix("split the file")
            );
        }
        if depth >= DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err(Diagnostic::new(DiagnosticCode::Json, &location, message));
        }
        let kind = match rest.bytes().next() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => NodeKind::Scalar(self.string(&location)?),
            _ => {
                let end = rest.find([' ', '\t', '\n', '\r', ',', ']', '}']);
                let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.at += word.len();
                match word {
                    "null" => NodeKind::Null,
                    word => NodeKind::Scalar(Scalar {
                        text: word.to_owned(),
                        start: location.clone(),
                        is_plain: true,
                        is_verbatim: true,
                    }),
                }
            }
        };
        Ok(Node { location, kind })
    }

    fn object(&mut self, depth: usize) -> Result<NodeKind, Diagnostic> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut known = HashSet::new();
        while !self.ends(b'}') {
            let location = self.index.of_byte(self.at);
            let key = self.string(&location)?;
            if !known.insert(key.text.clone()) {
                let diagnostic = Diagnostic::new(
                    DiagnosticCode::Json,
                    &location,
                    "the object has this key twice",
                );
                return Err(diagnostic.excerpt(&key.text).fix("remove one"));
            }
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(NodeKind::Mapping(entries))
    }

    fn array(&mut self, depth: usize) -> Result<NodeKind, Diagnostic> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.ends(b']') {
            items.push(self.value(depth + 1)?);
        }
        Ok(NodeKind::Sequence(items))
    }

    /// Consumes the next token if it closes; returns whether it does.
    fn ends(&mut self, close: u8) -> bool {
        let next = self.rest().bytes().next();
        let ends = next.is_none_or(|next| next == close);
        self.at += usize::from(ends);
        ends
    }

    fn string(&mut self, location: &Location) -> Result<Scalar, Diagnostic> {
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let written = rest.get(..end.unwrap_or(0) + 2).unwrap_or_default();
        let start = self.index.of_byte(self.at + 1);
        self.at += written.len();
        let Ok(text) = serde_json::from_str::<String>(written) else {
            return Err(Diagnostic::new(
                DiagnosticCode::Json,
                location,
                "this is half of a surrogate pair",
            ));
        };
        Ok(Scalar {
            is_verbatim: written.len() == text.len() + 2,
            text,
            start,
            is_plain: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let read = document(&SourceText::file("f", text)).map(|mut found| found.remove(0));
        read.map_err(|diagnostic| diagnostic.to_string())
    }

    /// The content of a tree, with numbers as written.
    fn value(node: &Node) -> Value {
        match &node.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Scalar(scalar) if scalar.is_plain => {
                serde_json::from_str(&scalar.text).unwrap()
            }
            NodeKind::Scalar(scalar) => Value::String(scalar.text.clone()),
            NodeKind::Sequence(items) => items.iter().map(value).collect(),
            NodeKind::Mapping(entries) => {
                let entry = |(key, node): &(Scalar, Node)| (key.text.clone(), value(node));
                entries.iter().map(entry).collect()
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_read_as_it_is(want in values()) {
            for text in [want.to_string(), serde_json::to_string_pretty(&want).unwrap()] {
                prop_assert_eq!(value(&read(&text).unwrap()), want.clone());
                let tabs = text.replace("  ", "\t");
                prop_assert_eq!(read(&tabs).map(|_| ()), read(&text).map(|_| ()));
            }
        }

        #[test]
        fn no_text_panics(text in r#"([\[\]{}:,"\\ \n\tu0-9a-e-]|true|null|ü|\\ud83d){0,30}"#) {
            let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert!(is_json || read(&text).is_err());
        }
    }

    #[test]
    fn places_count_tabs_and_characters() {
        let node = read("{\t\"ü\":\t[1.10, \"ä\\n\"],\n\t\"b\" : {}}").unwrap();
        let items = node.get("ü").unwrap().items();
        assert_eq!(items[0].location.to_string(), "f:1:9");
        assert_eq!(items[0].text(), Some("1.10"));
        assert_eq!(items[1].location.to_string(), "f:1:15");
        assert_eq!(items[1].scalar().unwrap().start.to_string(), "f:1:16");
        assert_eq!(items[1].text(), Some("ä\n"));
        assert_eq!(node.get("b").unwrap().location.to_string(), "f:2:8");
        assert_eq!(read(r#""\ud83d\ude00""#).unwrap().text(), Some("😀"));
    }

    #[test]
    fn what_is_wrong_says_where() {
        let error = |text: &str| read(text).unwrap_err();
        assert_eq!(error("{\"a\": 1,\n}"), "f:2:1: E-JSON: invalid JSON");
        assert_eq!(error("[1,"), "f:1:3: E-JSON: the file ends unexpectedly");
        let twice = "f:1:9: E-JSON: the object has this key twice: \"b\"; remove one";
        assert_eq!(error(r#"{"b": 1,"b": 2}"#), twice);
        assert!(error(r#"["\ud83d"]"#).starts_with("f:1:2: E-JSON"));
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(error(&deep).starts_with("f:1:65: E-JSON: values are nested more than 64"));
        let many = format!("[{}1]", "1,".repeat(VALUES_MAX));
        assert!(error(&many).contains("more than 200000 values"));
    }
}
