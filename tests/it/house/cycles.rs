//! Import cycles between files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    imports::{Imports, imports},
    model::{Crate, FileId},
};

/// The import cycles as chains; behind each file, the items that the file before it takes from it.
///
/// A component has many cycles. Those printed are short, and every file of the component is in one.
pub(super) fn cycles(code: &Crate) -> Vec<String> {
    let imports = imports(code);
    let mut chains = Vec::new();
    for component in components(&imports) {
        let mut printed = BTreeSet::new();
        for file in component {
            if !printed.contains(&file) {
                let cycle = shortest_cycle(&imports, file);
                chains.push(chain(code, &imports, &cycle));
                printed.extend(cycle);
            }
        }
    }
    chains
}

/// The strongly connected components of more than one file.
pub(super) fn components(imports: &Imports) -> Vec<BTreeSet<FileId>> {
    let reached = imports
        .keys()
        .map(|file| (*file, reachable(imports, *file)));
    let reached: BTreeMap<_, _> = reached.collect();
    let mut components: Vec<BTreeSet<FileId>> = Vec::new();
    for (file, others) in &reached {
        let is_known = components.iter().any(|known| known.contains(file));
        if others.contains(file) && !is_known {
            let mutual = |other: &&FileId| reached.get(other).is_some_and(|r| r.contains(file));
            components.push(others.iter().filter(mutual).copied().collect());
        }
    }
    components
}

fn reachable(imports: &Imports, file: FileId) -> BTreeSet<FileId> {
    let mut found = BTreeSet::new();
    let mut open = vec![file];
    while let Some(at) = open.pop() {
        let next = imports.get(&at).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.copied().filter(|next| found.insert(*next)));
    }
    found
}

/// The shortest way from a file back to itself; the file is at both ends.
fn shortest_cycle(imports: &Imports, file: FileId) -> Vec<FileId> {
    let mut previous = BTreeMap::new();
    let mut open = VecDeque::from([file]);
    while let Some(at) = open.pop_front() {
        for next in imports.get(&at).into_iter().flat_map(BTreeMap::keys) {
            previous.entry(*next).or_insert_with(|| {
                open.push_back(*next);
                at
            });
        }
    }
    let mut cycle = vec![file, previous[&file]];
    while let Some(at) = cycle.last().filter(|at| **at != file) {
        cycle.push(previous[at]);
    }
    cycle.reverse();
    cycle
}

fn chain(code: &Crate, imports: &Imports, cycle: &[FileId]) -> String {
    let steps = cycle.windows(2).map(|step| {
        let items = &imports[&step[0]][&step[1]];
        let items: Vec<_> = items.iter().map(String::as_str).collect();
        format!(" -> {} ({})", short_path(code, step[1]), items.join(", "))
    });
    let steps: Vec<_> = steps.collect();
    format!("{}{}", short_path(code, cycle[0]), steps.concat())
}

/// A file's path below `src`.
pub(super) fn short_path(code: &Crate, file: FileId) -> &str {
    code.files[file].path.trim_start_matches("src/")
}
