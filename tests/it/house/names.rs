//! A type's name is the name of one type.

use std::collections::BTreeMap;

use super::model::{Crate, TypeDefinition};

/// The names that several types have, each with all places; `exempt` names are left out.
pub(super) fn shared_names(code: &Crate, exempt: &[&str]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for definition in &code.types {
        let places = by_name.entry(&definition.name).or_default();
        places.push(place(code, definition));
    }
    by_name.retain(|name, places| places.len() > 1 && !exempt.contains(name));
    by_name
        .into_iter()
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

fn place(code: &Crate, definition: &TypeDefinition) -> String {
    let path = &code.files[definition.file].path;
    let around = definition
        .inside
        .iter()
        .map(|around| format!(" in {around}"));
    let around: Vec<_> = around.collect();
    format!("{path} ({}{})", definition.keyword, around.concat())
}
