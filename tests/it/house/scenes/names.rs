//! Names of several types, and names that only look so.

use super::{super::names::shared_names, code};

/// The names shared where two rooms have these texts.
fn shared(store: &str, route: &str) -> Vec<String> {
    let files = [("src/store.rs", store), ("src/route.rs", route)];
    shared_names(&code(&files), &["Settings"])
}

#[test]
fn a_second_type_of_a_name_is_refused_with_both_places() {
    for (second, place) in [
        ("pub enum Place { Here }", "enum"),
        ("trait Place {}", "trait"),
        ("type Place = u8;", "type"),
        ("union Place { one: u8 }", "union"),
        ("pub(crate) struct r#Place;", "struct"),
        ("fn find() { struct Place; }", "struct in fn find"),
        (
            "impl u8 { fn find() { { enum Place {} } } }",
            "enum in fn find",
        ),
        ("mod inner { pub struct Place; }", "struct in mod inner"),
        (
            "macro_rules! places { ($n:ident) => { struct Place; } }",
            "struct",
        ),
        ("places! { pub struct Place; }", "struct"),
    ] {
        let expected = format!("Place: src/store.rs (struct), src/route.rs ({place})");
        assert_eq!(shared("pub struct Place;", second), [expected], "{second}");
    }
    let twice = shared("fn a() { struct Place; } fn b() { struct Place; }", "");
    let expected = "Place: src/store.rs (struct in fn a), src/store.rs (struct in fn b)";
    assert_eq!(twice, [expected]);
}

#[test]
fn other_uses_of_a_name_pass() {
    for harmless in [
        "use crate::store::Place;",
        "pub use crate::store::Place as There;",
        "impl Iterator for u8 { type Place = u8; }",
        "trait Other { type Place; }",
        "enum Other { Place }",
        "fn place<Place>() {}",
        "mod place {}",
        "#[cfg(test)] mod tests { struct Place; }",
        "#[cfg(test)] struct Place;",
        "// struct Place;",
        "macro_rules! places { ($Place:ident) => { struct $Place; } }",
    ] {
        assert_eq!(shared("pub struct Place;", harmless), [""; 0], "{harmless}");
    }
    assert_eq!(
        shared("pub struct Settings;", "pub struct Settings;"),
        [""; 0]
    );
}
