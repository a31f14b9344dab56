//! Imports between rooms that the table allows, and others.

use super::{
    super::rooms::{Row, entries_up, imports_beyond},
    code,
};

const TABLE: &[Row<'_>] = &[
    ("main", "cli"),
    ("cli", "store"),
    ("store", "disk"),
    ("disk", ""),
    ("lib", ""),
];

/// The imports beyond the table where `store` imports `disk` and these files are added.
fn beyond(files: &[(&str, &str)]) -> Vec<String> {
    let store = (
        "src/store.rs",
        "use crate::disk::File; pub struct Blob(File);",
    );
    let files: Vec<_> = files.iter().copied().chain([store]).collect();
    imports_beyond(TABLE, &code(&files))
}

#[test]
fn a_cycle_between_rooms_is_refused() {
    for up in [
        "use crate::store::Blob;",
        "use crate::{store::Blob as Kept};",
        "pub use super::store::Blob;",
        "fn f(_: crate::store::Blob) {}",
        "fn f() { tracing::info!(kept = crate::store::keep()); }",
        "mod inner { use super::super::store; }",
        "fn f() { use crate::store::*; }",
    ] {
        let up = format!("pub struct File; {up}");
        let wrong = beyond(&[("src/disk.rs", &up)]);
        assert_eq!(wrong, ["src/disk.rs imports store"], "{up}");
    }
    let files = [
        ("src/disk/real.rs", "use super::super::store::Blob;"),
        ("src/disk.rs", "mod real;"),
    ];
    assert_eq!(beyond(&files), ["src/disk/real.rs imports store"]);
}

#[test]
fn the_program_imports_the_command_line_only() {
    let files = [
        ("src/cli.rs", "use crate::store::Blob;"),
        ("src/disk.rs", ""),
    ];
    let main = |text| beyond(&[("src/main.rs", text), files[0], files[1]]);
    assert_eq!(main("fn main() { roadstead::cli::run() }"), [""; 0]);
    let wrong = main("fn main() { roadstead::store::open() }");
    assert_eq!(wrong, ["src/main.rs imports store"]);
}

#[test]
fn paths_that_import_no_other_room_pass() {
    for harmless in [
        "pub(in crate::store) struct File;",
        "#[cfg(test)] mod tests { use crate::store::Blob; }",
        "#[cfg(test)] fn f(_: crate::store::Blob) {}",
        "/// For [`crate::store`].\nfn f() {}",
        "use store::Blob;",
        "use crate::disk::File as Own;",
    ] {
        assert_eq!(beyond(&[("src/disk.rs", harmless)]), [""; 0], "{harmless}");
    }
}

#[test]
fn a_room_without_a_row_is_refused() {
    let wrong = beyond(&[("src/disk.rs", ""), ("src/attic/box.rs", "")]);
    assert_eq!(wrong, ["src/attic/box.rs is in a room without a row"]);
}

#[test]
fn a_table_that_leads_up_is_refused() {
    assert_eq!(entries_up(TABLE), [""; 0]);
    let cyclic = [("store", "disk"), ("disk", "store wire")];
    let expected = [
        "disk may import store, which has no row below it",
        "disk may import wire, which has no row below it",
    ];
    assert_eq!(entries_up(&cyclic), expected);
}
