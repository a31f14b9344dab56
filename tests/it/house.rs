//! The shape of the house: imports, names of types, lengths of files, who touches the world.
//!
//! The rules are functions over sources, so that `house/scenes.rs` can show each of them what it
//! must refuse.

mod cycles;
mod habits;
mod imports;
mod model;
mod names;
mod reader;
mod resolve;
mod rooms;
mod scenes;
mod sources;
mod tokens;

use std::{fs, path::PathBuf, sync::LazyLock};

use self::{
    model::Crate,
    sources::{Source, files, sources},
};

/// What each room may name after `crate::`. Floors from the top: a room imports rooms below it.
const MAY_IMPORT: &[rooms::Row<'_>] = &[
    ("main", "cli"),
    // The door for tests and benches.
    (
        "lib",
        "api app config disk oci platform route server store tls",
    ),
    // The command line and `app` wire the rooms; only the floor above imports them.
    (
        "cli",
        "api app config connect control disk oci platform pull route secret server store tasks telemetry upstream",
    ),
    (
        "app",
        "admin api config control disk oci pull route server store tasks telemetry upstream wire",
    ),
    // Text becomes the rooms' own settings.
    (
        "config",
        "connect oci platform pull route secret server store telemetry tls upstream",
    ),
    ("server", "tasks telemetry tls wire"),
    ("admin", "telemetry wire"),
    ("api", "oci pull route store telemetry wire"),
    ("control", "oci pull store wire"),
    (
        "pull",
        "connect oci route store tasks telemetry upstream wire",
    ),
    // Others' formats: pure.
    ("platform", "oci route secret upstream"),
    ("route", "oci"),
    ("upstream", "connect oci secret telemetry"),
    ("store", "disk oci tasks telemetry wire"),
    ("wire", "disk"),
    // The cellar.
    ("tasks", "telemetry"),
    ("telemetry", ""),
    ("oci", ""),
    ("connect", "secret tls"),
    ("secret", ""),
    ("tls", ""),
    ("disk", ""),
];

/// Names that every room may have a type of.
const EVERY_ROOMS_NAMES: [&str; 2] = ["Settings", "Arguments"];

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| sources(&root()));
static CODE: LazyLock<Crate> = LazyLock::new(|| reader::read(&SOURCES));

#[test]
fn imports_go_down() {
    assert_none(&rooms::entries_up(MAY_IMPORT));
    assert_none(&rooms::imports_beyond(MAY_IMPORT, &CODE));
}

#[test]
fn files_do_not_import_in_cycles() {
    assert_none(&imports::unresolved(&CODE));
    assert_none(&cycles::cycles(&CODE));
}

#[test]
fn a_name_stands_for_one_type() {
    assert_none(&names::shared_names(&CODE, &EVERY_ROOMS_NAMES));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    assert_none(&habits::lengths_and_names(&SOURCES, &CODE));
}

#[test]
fn few_files_touch_the_world_and_pick_statuses() {
    assert_none(&habits::touches_and_statuses(&CODE));
}

/// What we ship names no folder of a developer's machine.
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
    let private = ["tmp", "home", "root"].map(|folder| format!("/{folder}/"));
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for word in &private {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{wrong:#?}");
}
