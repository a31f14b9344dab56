//! Imports between rooms go down, as a table of rooms says.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Crate;

/// A room, and the rooms that it may import, separated by spaces.
pub(super) type Row<'t> = (&'t str, &'t str);

/// The entries of the table that lead up. Without any, no imports that it allows are cyclic.
pub(super) fn entries_up(table: &[Row<'_>]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, (room, may_import)) in table.iter().enumerate() {
        let is_below = |other: &str| table.iter().skip(at + 1).any(|(below, _)| *below == other);
        for other in may_import.split_whitespace() {
            if !is_below(other) {
                wrong.push(format!(
                    "{room} may import {other}, which has no row below it"
                ));
            }
        }
    }
    wrong
}

/// The imports between rooms that the table does not allow.
pub(super) fn imports_beyond(table: &[Row<'_>], code: &Crate) -> Vec<String> {
    let rooms: BTreeMap<_, _> = table.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    for file in &code.files {
        if !rooms.contains_key(room_of(&file.path)) {
            wrong.insert(format!("{} is in a room without a row", file.path));
        }
    }
    for mention in &code.mentions {
        let path = &code.files[code.scopes[mention.scope].file].path;
        let own = room_of(path);
        let may_import = rooms.get(own).copied().unwrap_or_default();
        if let Some(other) = code.room_in(mention.scope, &mention.path)
            && other != own
            && !may_import.split_whitespace().any(|room| room == other)
        {
            wrong.insert(format!("{path} imports {other}"));
        }
    }
    wrong.into_iter().collect()
}

/// `store` for `src/store.rs` and for `src/store/blob.rs`.
fn room_of(path: &str) -> &str {
    path.split(['/', '.']).nth(1).unwrap_or_default()
}
