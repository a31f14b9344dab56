//! Finds a table's patterns by registry and path, so that a lookup among a thousand routes costs as
//! much as among ten.

use std::{collections::HashMap, sync::Arc};

use crate::oci::{Registry, Repository};

use super::{
    from::{HostMatch, PathMatch},
    pattern::{LoosePatterns, MatchRank, MatchSubject, Pattern, PatternKind},
    ref_kind::RequestedReference,
    rule::Rule,
};

/// One pattern of one rule, with its rank.
#[derive(Clone, Debug)]
pub(super) struct RouteEntry {
    pub(super) rank: MatchRank,
    pub(super) rule: Arc<Rule>,
    pub(super) pattern: Pattern,
}

/// The entries by what they require of a name.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteIndex {
    exact: HashMap<Registry, EntriesByPath>,
    any_port: HashMap<String, EntriesByPath>,
    suffix: HashMap<String, EntriesByPath>,
    any: EntriesByPath,
    /// Globs, regexes and substrings, the highest rank first: the first match is the best.
    loose: Vec<RouteEntry>,
}

/// Entries by path, exact names and prefixes together.
type EntriesByPath = HashMap<String, Vec<RouteEntry>>;

impl RouteIndex {
    pub(super) fn new(entries: Vec<RouteEntry>) -> Self {
        let mut index = Self::default();
        for entry in entries {
            let PatternKind::From(hosts, paths) = &entry.pattern.kind else {
                index.loose.push(entry);
                continue;
            };
            let by_path = match hosts {
                HostMatch::Exact(registry) => index.exact.entry(registry.clone()).or_default(),
                HostMatch::AnyPort(host) => index.any_port.entry(host.clone()).or_default(),
                HostMatch::Suffix(suffix) => index.suffix.entry(suffix.clone()).or_default(),
                HostMatch::Any => &mut index.any,
            };
            let path = match paths {
                PathMatch::Below(path) => path.clone(),
                PathMatch::Exactly(name, _) => name.to_string(),
            };
            by_path.entry(path).or_default().push(entry);
        }
        index
            .loose
            .sort_by_key(|entry| std::cmp::Reverse(entry.rank));
        index
    }

    pub(super) fn subject<'a>(&self, repository: &'a Repository) -> MatchSubject<'a> {
        let loose = if self.loose.is_empty() {
            LoosePatterns::None
        } else {
            LoosePatterns::Some
        };
        MatchSubject::new(repository, loose)
    }

    /// The entry that decides: of all that match, the one with the highest rank.
    pub(super) fn best(
        &self,
        subject: &MatchSubject<'_>,
        reference: RequestedReference<'_>,
    ) -> Option<&RouteEntry> {
        let fits = |entry: &&RouteEntry| {
            entry.rule.text.ref_kind.accepts(reference) && entry.pattern.matches(subject, reference)
        };
        let placed = self.placed(subject.repository).filter(fits);
        let placed = placed.max_by_key(|entry| entry.rank);
        let loose = self.loose.iter().find(fits);
        placed
            .into_iter()
            .chain(loose)
            .max_by_key(|entry| entry.rank)
    }

    /// The entries that decide single tags of this repository, the highest rank first.
    pub(super) fn single_tags(&self, subject: &MatchSubject<'_>) -> Vec<&RouteEntry> {
        let fits =
            |entry: &&RouteEntry| entry.pattern.is_tag_specific() && entry.pattern.covers(subject);
        let all = self.placed(subject.repository).chain(&self.loose);
        let mut found: Vec<_> = all.filter(fits).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.rank));
        found
    }

    /// Every entry, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &RouteEntry> {
        let placed = self.exact.values().chain(self.any_port.values());
        let placed = placed.chain(self.suffix.values()).chain([&self.any]);
        let placed = placed.flat_map(HashMap::values).flatten();
        placed.chain(&self.loose)
    }

    /// Whether some route names exactly this registry.
    pub(super) fn names(&self, registry: &Registry) -> bool {
        self.exact.contains_key(registry) || self.any_port.contains_key(registry.host())
    }

    /// The `from` entries that may match: those of every prefix of the name, under every form of
    /// its registry.
    fn placed(&self, repository: &Repository) -> impl Iterator<Item = &RouteEntry> {
        let Repository { registry, name } = repository;
        let host = registry.host();
        let suffixes = host
            .match_indices('.')
            .filter_map(move |(dot, _)| self.suffix.get(host.split_at_checked(dot)?.1));
        let by_paths = self.exact.get(registry).into_iter();
        let by_paths = by_paths.chain(self.any_port.get(host)).chain(suffixes);
        by_paths.chain([&self.any]).flat_map(move |by_path| {
            let name = name.as_str();
            let ends = name.match_indices('/').map(|(end, _)| end);
            let ends = std::iter::once(0).chain(ends).chain([name.len()]);
            ends.filter_map(move |end| by_path.get(name.split_at_checked(end)?.0))
                .flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::vectors::route, *};

    fn entries(froms: &[String]) -> Vec<RouteEntry> {
        let compiled = froms.iter().enumerate().filter_map(|(order, from)| {
            let rule = Arc::new(route(from, &["source"]).compile().ok()?);
            let pattern = rule.patterns.first()?.clone();
            let rank = pattern.rank(None, rule.text.ref_kind, order);
            Some(RouteEntry {
                rank,
                rule,
                pattern,
            })
        });
        compiled.collect()
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_linear_search_would(
            froms in proptest::collection::vec(
                "(\\*|\\*\\.b|\\*\\.a\\.b|a\\.b|a\\.b:1|a\\.b:\\*|c\\.a\\.b)(/[xy]){0,3}(:\\*|:1)?",
                1..20,
            ),
            asked in "(a\\.b|a\\.b:1|c\\.a\\.b|d\\.b)(/[xy]){1,3}",
        ) {
            let image: crate::oci::ImageReference = asked.parse().unwrap();
            let entries = entries(&froms);
            let tag = "1".parse().unwrap();
            let index = RouteIndex::new(entries.clone());
            let subject = index.subject(&image.repository);
            for reference in [RequestedReference::Tag(&tag), RequestedReference::AnyTag, RequestedReference::Digest] {
                let fits = |entry: &&RouteEntry| entry.pattern.matches(&subject, reference);
                let searched = entries.iter().filter(fits).map(|entry| entry.rank).max();
                let found = index.best(&subject, reference).map(|entry| entry.rank);
                prop_assert_eq!(found, searched);
            }
        }
    }
}
