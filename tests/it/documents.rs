//! The ids in tests: each has a row in a document, and each row names its tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The documents whose tables end in the names of tests.
const DOCUMENTS: [&str; 4] = ["FAILURES", "QUIRKS", "REQUIREMENTS", "ROUTING"];

/// A row of a table: its ids stand in the column `Id`, its tests in backticks in the last one.
struct Row {
    line: String,
    ids: Vec<String>,
    tests: Vec<String>,
}

#[test]
fn every_row_names_tests_that_exist() {
    let functions = functions();
    for row in rows() {
        assert!(!row.tests.is_empty(), "no test: {}", row.line);
        for test in &row.tests {
            assert!(functions.contains(test), "{test}: {}", row.line);
        }
    }
}

#[test]
fn every_id_in_a_tests_name_has_a_row_that_names_the_test() {
    let rows = rows();
    let mut by_id: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows {
        for id in &row.ids {
            let tests = row.tests.iter().map(String::as_str);
            by_id.entry(id).or_default().extend(tests);
        }
    }
    let mut missing = Vec::new();
    for test in functions() {
        for id in ids_of(&test) {
            let tests = by_id.get(id.as_str());
            if !tests.is_some_and(|tests| tests.contains(test.as_str())) {
                missing.push(format!("{id}: {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The rows of tables in tests begin with their id: `("IS-17", …)`, `("B020, where …", …)`.
#[test]
fn every_id_of_a_vector_has_a_row() {
    let rows = rows();
    let known: BTreeSet<_> = rows.iter().flat_map(|row| row.ids.iter()).collect();
    let kinds: BTreeSet<_> = known.iter().map(|id| kind(id)).collect();
    let mut missing = Vec::new();
    for (path, text) in sources() {
        for literal in text.split('"').skip(1) {
            let words = literal.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
            for id in words.map_while(id_of) {
                if kinds.contains(kind(&id)) && !known.contains(&id) {
                    missing.push(format!("{id}: {}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn ids_stand_at_the_front_of_names() {
    let check = |name: &str, want: &[&str]| assert_eq!(ids_of(name), want, "{name}");
    check("q42_a_body_breaks", &["Q42"]);
    check("k01_to_k03_w5_names", &["K01", "K02", "K03", "W5"]);
    check("a_429_shuts_the_gate", &[]);
    check("sha512_names", &[]);
    assert_eq!(id_of("IS-17").as_deref(), Some("IS17"));
    assert_eq!(id_of("is17"), None);
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(format!("docs/{document}.md"));
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().chain([""]).collect();
        let mut column = None;
        for pair in lines.windows(2) {
            let (line, next) = (pair[0], pair[1]);
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            if next.starts_with("| ---") {
                column = cells.iter().position(|cell| *cell == "Id");
            } else if line.starts_with("| ") && !line.starts_with("| ---") {
                let column = column.unwrap_or_else(|| panic!("no column Id: {line}"));
                let ids = cells[column].split(", ").filter(|id| !id.is_empty());
                let parsed = |id| id_of(id).unwrap_or_else(|| panic!("{id} is not an id: {line}"));
                let names = cells.last().unwrap().split('`').skip(1).step_by(2);
                rows.push(Row {
                    line: line.to_owned(),
                    ids: ids.map(parsed).collect(),
                    tests: names.map(str::to_owned).collect(),
                });
            }
        }
    }
    assert!(!rows.is_empty());
    rows
}

/// The ids that a function's name begins with: `k01_to_k03_…` has three.
fn ids_of(name: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut is_range = false;
    for word in name.split('_') {
        if word == "to" && !ids.is_empty() {
            is_range = true;
            continue;
        }
        let upper = word.to_uppercase();
        let Some(id) = id_of(&upper).filter(|_| word != upper) else {
            break;
        };
        if is_range {
            let letters = kind(&id);
            let number = |id: &str| id[letters.len()..].parse::<u16>().unwrap();
            let width = id.len() - letters.len();
            let between = number(ids.last().unwrap()) + 1..number(&id);
            ids.extend(between.map(|number| format!("{letters}{number:0width$}")));
            is_range = false;
        }
        ids.push(id);
    }
    ids
}

/// One or two capital letters and one to three digits; a dash between them is left out.
fn id_of(word: &str) -> Option<String> {
    let kind = kind(word);
    let rest = &word[kind.len()..];
    let number = rest.strip_prefix('-').unwrap_or(rest);
    let is_number = number.bytes().all(|letter| letter.is_ascii_digit());
    let fits = (1..=2).contains(&kind.len()) && (1..=3).contains(&number.len());
    (fits && is_number).then(|| format!("{kind}{number}"))
}

/// The capital letters that an id begins with.
fn kind(id: &str) -> &str {
    let end = id.find(|letter: char| !letter.is_ascii_uppercase());
    &id[..end.unwrap_or(id.len())]
}

/// The names of all functions, in `src` and in `tests`.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in sources() {
        let after = text.split("fn ").skip(1);
        let name = |after: &str| {
            let end = after.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            after[..end.unwrap_or(after.len())].to_owned()
        };
        names.extend(after.map(name));
    }
    names
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
