//! Merges several orders into one, as nodes of `OpenShift` do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The mirrors of all lists, and their source if a list has it before a mirror; otherwise it comes
/// last and is omitted. The order of each list is kept unless lists contradict; then the cycle is
/// broken at its first name. The order of the lists does not matter.
pub(super) fn merge_orders<'l>(source: &'l str, lists: &'l [Vec<String>]) -> Vec<&'l str> {
    let mut graph: BTreeMap<&str, OrderLinks<'_>> = BTreeMap::new();
    for list in lists {
        let end = (!list.iter().any(|mirror| mirror == source)).then_some(source);
        let names = list.iter().map(String::as_str).chain(end);
        for (before, after) in names.clone().zip(names.skip(1)) {
            graph.entry(before).or_default().after.insert(after);
            graph.entry(after).or_default().before.insert(before);
        }
    }
    let names: Vec<&str> = graph.keys().copied().collect();
    let free = |name: &&str| graph.get(name).is_some_and(|links| links.before.is_empty());
    let mut free: VecDeque<&str> = names.iter().copied().filter(free).collect();
    let mut rest = names.into_iter();
    let mut order = Vec::new();
    while let Some(name) = free.pop_front().or_else(|| rest.next()) {
        let Some(links) = graph.get_mut(name).filter(|links| !links.is_placed) else {
            continue;
        };
        links.is_placed = true;
        order.push(name);
        for after in std::mem::take(&mut links.after) {
            if let Some(links) = graph.get_mut(after) {
                links.before.remove(name);
                if links.before.is_empty() {
                    free.push_back(after);
                }
            }
        }
    }
    order.pop_if(|last| *last == source);
    order
}

/// The direct neighbours of a name.
#[derive(Debug, Default)]
struct OrderLinks<'l> {
    before: BTreeSet<&'l str>,
    after: BTreeSet<&'l str>,
    is_placed: bool,
}

#[cfg(test)]
mod tests {
    use super::merge_orders;

    #[track_caller]
    fn check(lists: &[&str], want: &str) {
        let words = |list: &&str| list.split(' ').map(str::to_owned).collect();
        let mut lists: Vec<Vec<String>> = lists.iter().map(words).collect();
        for _ in 0..lists.len() {
            assert_eq!(merge_orders("s", &lists).join(" "), want, "{lists:?}");
            lists.rotate_left(1);
        }
    }

    #[test]
    fn orders_are_merged() {
        check(&["z1 y2 x3"], "z1 y2 x3");
        check(&["z1 y2", "y2 x3"], "z1 y2 x3");
        check(&["m1 m2", "m0 m1"], "m0 m1 m2");
        check(&["b", "a"], "a b");
        check(&["z1 s y2", "s y2 x3"], "z1 s y2 x3");
        check(&["a a"], "a");
    }

    #[test]
    fn contradictions_are_settled_the_same_way_always() {
        check(&["r1 r2", "l r2 r1"], "l r1 r2");
        check(&["a b", "b c", "c a"], "a b c");
        check(&["b a", "a b"], "a b");
    }
}
