//! All routes together: conflicts, merges, and the index that decisions use.

use std::{
    collections::{BTreeMap, HashSet, btree_map},
    sync::Arc,
};

use thiserror::Error;

use super::{
    ConfigLocation,
    index::{RouteEntry, RouteIndex},
    pattern::Pattern,
    public,
    ref_kind::RefKind,
    rule::Rule,
};
use crate::oci::{Registry, UpstreamName};

/// What happens to a name that no route matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedPolicy {
    /// Served from its own registry if that is on the built-in list and the table has no routes.
    #[default]
    Auto,
    /// Refused.
    Deny,
    /// Served from its own registry if that is on the built-in list or some route names it.
    Source,
}

/// Two routes match equally and differ in effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{from:?} leads to different places in {} and {}", .first.0, .second.0)]
pub struct RouteConflict {
    /// What both match, as written in the first.
    pub from: String,
    /// The location of the first.
    pub first: ConfigLocation,
    /// The location of the second.
    pub second: ConfigLocation,
}

/// Every route, ready to decide.
#[derive(Clone, Debug)]
pub struct RouteTable {
    pub(super) index: RouteIndex,
    pub(super) unmatched: UnmatchedPolicy,
    /// How many routes there are.
    routes: usize,
    /// The upstreams that targets name.
    targets: HashSet<UpstreamName>,
}

impl RouteTable {
    /// Compares every route with every other; the notes name merged routes and possible collisions.
    pub fn new(
        rules: Vec<Rule>,
        unmatched: UnmatchedPolicy,
    ) -> Result<(Self, Vec<String>), Vec<RouteConflict>> {
        let routes = rules.len();
        let targets = rules.iter().flat_map(Rule::targets).cloned().collect();
        let (mut entries, mut notes, mut conflicts) =
            (EntriesByMatch::new(), Vec::new(), Vec::new());
        for entry in rules.into_iter().enumerate().flat_map(self::entries) {
            match insert(&mut entries, entry) {
                Ok(note) => notes.extend(note),
                Err(conflict) => conflicts.push(conflict),
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let entries: Vec<RouteEntry> = entries.into_values().collect();
        notes.extend(collision_notes(&entries));
        let table = Self {
            index: RouteIndex::new(entries),
            unmatched,
            routes,
            targets,
        };
        Ok((table, notes))
    }
}

impl RouteTable {
    /// The number of routes; without any, only the built-in list is served.
    pub fn routes(&self) -> usize {
        self.routes
    }

    /// Whether an upstream's name is in the configuration or on the built-in list, and does not
    /// merely come from a client's request.
    pub fn names_upstream(&self, upstream: &UpstreamName) -> bool {
        self.targets.contains(upstream)
            || upstream
                .as_str()
                .parse::<Registry>()
                .is_ok_and(|registry| self.index.names(&registry) || public::is_listed(&registry))
    }
}

/// Entries by what they match; equal keys match equally.
type EntriesByMatch = BTreeMap<(u16, String, RefKind), RouteEntry>;

/// One rule's patterns, in the order of the file.
fn entries((order, mut rule): (usize, Rule)) -> Vec<RouteEntry> {
    let patterns = std::mem::take(&mut rule.patterns);
    let rule = Arc::new(rule);
    let entry = |pattern: Pattern| RouteEntry {
        rank: pattern.rank(rule.text.band, rule.text.ref_kind, order),
        rule: Arc::clone(&rule),
        pattern,
    };
    patterns.into_iter().map(entry).collect()
}

fn key(entry: &RouteEntry) -> (u16, String, RefKind) {
    let kind = entry.rule.text.ref_kind;
    (entry.rank.band(), entry.pattern.key(), kind)
}

/// Adds an entry, or merges it with the one that matches equally; the note says how.
fn insert(entries: &mut EntriesByMatch, new: RouteEntry) -> Result<Option<String>, RouteConflict> {
    let mut held = match entries.entry(key(&new)) {
        btree_map::Entry::Vacant(free) => {
            free.insert(new);
            return Ok(None);
        }
        btree_map::Entry::Occupied(held) => held,
    };
    let old = held.get();
    let from = old.pattern.written.clone();
    let (first, second) = (old.rule.location().clone(), new.rule.location().clone());
    let (ConfigLocation(old_location), ConfigLocation(new_location)) = (&first, &second);
    if old.rule.has_same_effect(&new.rule) {
        let note = format!("{new_location}: {from:?} says the same as {old_location}");
        return Ok(Some(note));
    }
    let beats = |winner: &str, loser: &str| {
        format!("{winner}: {from:?} is written by hand and replaces the one from {loser}")
    };
    match (old.rule.imported, new.rule.imported) {
        (true, false) => {
            let note = beats(new_location, old_location);
            held.insert(new);
            Ok(Some(note))
        }
        (false, true) => Ok(Some(beats(old_location, new_location))),
        _ => Err(RouteConflict {
            from,
            first,
            second,
        }),
    }
}

/// `W-COLLIDE`: targets at which different images may get one name.
fn collision_notes(entries: &[RouteEntry]) -> Vec<String> {
    let mut by_target: BTreeMap<&str, BTreeMap<&ConfigLocation, &str>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.pattern.is_exact()) {
        let texts = entry.rule.text.to.iter().zip(&entry.rule.targets);
        for (text, _) in texts.filter(|(_, target)| target.drops_registry()) {
            let locations = by_target.entry(&text.target).or_default();
            locations.insert(entry.rule.location(), &entry.pattern.written);
        }
    }
    let several = by_target
        .into_iter()
        .filter(|(_, locations)| locations.len() > 1);
    several
        .map(|(target, locations)| {
            let sources: Vec<_> = locations
                .into_iter()
                .map(|(ConfigLocation(location), from)| format!("{from} ({location})"))
                .collect();
            let sources = sources.join(", ");
            format!("W-COLLIDE: different images may become one at {target:?}: {sources}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            text::{Action, MatchText, RuleText},
            vectors::route,
        },
        *,
    };

    fn at(mut text: RuleText, location: &str) -> Rule {
        text.location = ConfigLocation(location.into());
        text.compile().unwrap()
    }

    fn new(rules: Vec<Rule>) -> Result<Vec<String>, Vec<RouteConflict>> {
        RouteTable::new(rules, UnmatchedPolicy::Auto).map(|(_, notes)| notes)
    }

    #[test]
    fn equal_matches_that_differ_name_both_locations() {
        let rules = vec![
            at(route("index.docker.io", &["h"]), "a:1"),
            at(route("docker.io", &["g"]), "a:2"),
            at(route("quay.io", &["h/q"]), "a:3"),
        ];
        let conflicts = new(rules).unwrap_err();
        assert_eq!(conflicts.len(), 1);
        let text = conflicts[0].to_string();
        assert_eq!(
            text,
            "\"index.docker.io\" leads to different places in a:1 and a:2"
        );
    }

    #[test]
    fn equal_matches_that_agree_merge() {
        let rules = vec![
            at(route("docker.io", &["h"]), "a:1"),
            at(route("docker.io", &["h"]), "b:1"),
        ];
        let notes = new(rules).unwrap();
        assert_eq!(notes, ["b:1: \"docker.io\" says the same as a:1"]);
    }

    #[test]
    fn a_hand_written_route_beats_an_imported_one() {
        for swap in [false, true] {
            let mut rules = vec![
                at(route("docker.io", &["h"]), "hand:1"),
                at(route("docker.io", &["g"]), "import:1").imported(),
            ];
            if swap {
                rules.reverse();
            }
            let notes = new(rules).unwrap();
            assert!(notes[0].starts_with("hand:1"), "{notes:?}");
        }
        let rules = vec![
            at(route("docker.io", &["h"]), "import:1").imported(),
            at(route("docker.io", &["g"]), "import:2").imported(),
        ];
        assert!(new(rules).is_err());
    }

    #[test]
    fn what_differs_in_kind_or_band_is_no_conflict() {
        let mut tags = route("docker.io", &["h"]);
        tags.ref_kind = RefKind::Tag;
        let mut digests = route("docker.io", &["g"]);
        digests.ref_kind = RefKind::Digest;
        let mut pinned = route("docker.io", &["f"]);
        pinned.band = Some(500);
        let mut denied = route("docker.io/x", &[]);
        denied.action = Action::Deny;
        let any = route("docker.io", &["e"]);
        let texts = [tags, digests, pinned, denied, any];
        assert!(new(texts.map(|text| at(text, "a:1")).into()).is_ok());
    }

    #[test]
    fn cr10_collisions_are_noted() {
        let rules = vec![
            at(route("quay.io/calico", &["h/c/{name}"]), "a:1"),
            at(route("quay.io/tigera", &["h/c/{name}"]), "a:2"),
            at(route("ghcr.io", &["h/{registry}/{repository}"]), "a:3"),
            at(route("gcr.io", &["h/{registry}/{repository}"]), "a:4"),
        ];
        let notes = new(rules).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("a:1") && notes[0].contains("a:2"));
    }

    #[test]
    fn globs_and_regexes_conflict_by_text() {
        let glob = |to: &str| {
            let mut text = route("docker.io", &[to]);
            text.matches = MatchText::Glob("nginx*".to_owned());
            at(text, "a:1")
        };
        assert!(new(vec![glob("h"), glob("g")]).is_err());
        assert!(new(vec![glob("h"), glob("h")]).is_ok());
    }
}
