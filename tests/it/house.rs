//! The shape of the house: who may import whom, how long a file may be, who touches the world.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What each room may name after `crate::`. Floors from the top; imports go down only.
const MAY_IMPORT: &[(&str, &str)] = &[
    ("main", "cli"),
    // The command line and `app` wire the rooms; nobody but the floor above imports them.
    (
        "cli",
        "api app config control disk oci platform pull route secret server store tasks telemetry upstream",
    ),
    (
        "app",
        "admin api config control disk oci pull route server store tasks telemetry upstream wire",
    ),
    // Text becomes the rooms' own settings.
    (
        "config",
        "oci platform pull route secret server store telemetry tls upstream",
    ),
    ("server", "tasks telemetry tls wire"),
    ("admin", "telemetry wire"),
    ("api", "oci pull route store telemetry wire"),
    ("control", "oci pull store wire"),
    ("pull", "oci route store tasks telemetry upstream wire"),
    // Others' formats: pure.
    ("platform", "oci route secret upstream"),
    ("route", "oci"),
    ("upstream", "connect oci secret telemetry"),
    ("store", "disk oci tasks telemetry wire"),
    ("wire", "disk"),
    ("oci", ""),
    ("telemetry", ""),
    ("tasks", "telemetry"),
    ("secret", ""),
    ("tls", ""),
    ("connect", "secret tls"),
    ("disk", ""),
    ("lib", ""),
];

/// Files outside of `disk` that touch file APIs: a socket's file belongs to its listener. (The
/// index is not here: its database opens its own file.)
const TOUCH_FILES: [&str; 1] = ["src/server/socket_file.rs"];

/// The rooms that answer HTTP, each with one file that picks failing statuses.
const PICK_STATUSES: [&str; 3] = ["src/api/error.rs", "src/admin.rs", "src/control.rs"];
const FINE_STATUSES: [&str; 3] = ["OK", "PARTIAL_CONTENT", "NOT_MODIFIED"];

/// Most lines of a file without its tests, and with them.
const LINES_MAX: (usize, usize) = (400, 600);
const NO_NAMES: [&str; 4] = ["mod", "util", "common", "helpers"];

struct Source {
    path: String,
    text: String,
    /// What is built without tests, without comments.
    code: String,
}

#[test]
fn imports_go_down() {
    let rooms: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in house() {
        let room = source.path.split(['/', '.']).nth(1).unwrap_or_default();
        let may = rooms[room];
        for other in crossings(&source.code) {
            if other != room && !may.split(' ').any(|allowed| allowed == other) {
                wrong.push(format!("{} imports {other}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    let root = root();
    let house = house();
    for path in files(&root.join("src"), &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let has_code = house.iter().any(|source| path.ends_with(&source.path));
        let code = if has_code { before_tests(&text) } else { "" };
        let (without, with) = (code.lines().count(), text.lines().count());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_long = without > LINES_MAX.0 || with > LINES_MAX.1;
        if is_long {
            wrong.push(format!("{}: {without} of {with} lines", path.display()));
        }
        if !text.starts_with("//!") || NO_NAMES.contains(&name) {
            wrong.push(format!("{}: no first line, or no name", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn few_files_touch_the_world_and_pick_statuses() {
    let mut wrong = Vec::new();
    for source in house() {
        let (path, code) = (source.path.as_str(), &source.code);
        let is_disk = path.starts_with("src/disk");
        if words(code).any(|word| word == "fs") && !is_disk && !TOUCH_FILES.contains(&path) {
            wrong.push(format!("{path} touches files"));
        }
        let dry = ["tokio", "fs", "TcpStream", "TcpListener", "UdpSocket"];
        if path.starts_with("src/oci") && words(code).any(|word| dry.contains(&word)) {
            wrong.push(format!("{path} waits or does I/O"));
        }
        let mut statuses = code.split("StatusCode::").skip(1).filter_map(first_word);
        let is_failing = |status: &str| {
            status.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                && !FINE_STATUSES.contains(&status)
        };
        if !PICK_STATUSES.contains(&path) && statuses.any(is_failing) {
            wrong.push(format!("{path} picks a failing status"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each row of a table in `docs/FAILURES.md` ends in the names of the tests that show it.
#[test]
fn every_fault_in_the_documents_is_shown_by_a_test() {
    let root = root();
    let tests = files(&root.join("src"), &["rs"])
        .into_iter()
        .chain(files(&root.join("tests"), &["rs"]));
    let tests: String = tests
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let document = fs::read_to_string(root.join("docs/FAILURES.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<_> = rows
        .filter(|row| !row.starts_with("| What ") && !row.starts_with("| --"))
        .collect();
    assert!(!rows.is_empty());
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            assert!(tests.contains(&format!("fn {name}(")), "{name}: {row}");
        }
    }
}

/// What we ship names no folder of whoever wrote it, and nobody's package registry.
#[test]
fn documents_name_no_private_place() {
    let root = root();
    let kinds = ["md", "toml", "yaml", "yml", "service", "rs"];
    let mut found = Vec::new();
    for folder in ["src", "docs", "config", "deploy", "tests"] {
        found.extend(files(&root.join(folder), &kinds));
    }
    found.extend(
        ["README.md", "CHANGELOG.md", "Cargo.toml", "Dockerfile"].map(|name| root.join(name)),
    );
    found.retain(|path| !path.ends_with(file!()));
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["/tmp/", "/home/", "/root/"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything below `src` that is built without tests.
fn house() -> Vec<Source> {
    let root = root();
    let mut sources = Vec::new();
    let mut only_tests = Vec::new();
    for path in files(&root.join("src"), &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let path = path
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        for declared in text.split("#[cfg(test)]\nmod ").skip(1) {
            if let Some((name, _)) = declared
                .split_once(';')
                .filter(|(name, _)| !name.contains(' '))
            {
                only_tests.push(format!("{}/{name}", path.trim_end_matches(".rs")));
            }
        }
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code = before_tests(&text).lines().filter(is_code);
        let mut code = code.collect::<Vec<_>>().join("\n");
        // Visibility inside a room is no import; the program imports its own library.
        code = code.replace("pub(in crate::", "pub(in ");
        if path == "src/main.rs" {
            code = code.replace("roadstead::", "crate::");
        }
        sources.push(Source { path, text, code });
    }
    assert!(sources.iter().all(|source| !source.text.is_empty()));
    let is_test = |path: &str| {
        only_tests.iter().any(|test| {
            path.strip_prefix(test.as_str())
                .is_some_and(|rest| rest.starts_with(['/', '.']))
        })
    };
    sources.retain(|source| !is_test(&source.path));
    sources
}

fn files(folder: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() {
            found.extend(files(&path, kinds));
        } else if kind.is_some_and(|kind| kinds.contains(&kind)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn before_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

/// The rooms that stand after `crate::`, alone or as the first words of a group in braces.
fn crossings(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            rooms.extend(first_word(after));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if begins && !letter.is_whitespace() => {
                    rooms.extend(group.get(at..).and_then(first_word));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

fn first_word(text: &str) -> Option<&str> {
    words(text).next().filter(|word| !word.is_empty())
}
