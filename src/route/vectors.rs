//! Tables of names and their candidates, by the ids of the routing reference.

mod models;
mod platforms;
mod rules;

use crate::oci::{ImageReference, Reference};

use super::*;

/// An id, the name a node asks for, and the candidates in order (`H` as the reference has it).
type RouteRow = (&'static str, &'static str, &'static [&'static str]);

/// A hand-written route with every other key at its default.
pub(super) fn route(from: &str, to: &[&str]) -> RuleText {
    let matches = MatchText::From(vec![from.to_owned()]);
    let to = to.iter().map(|to| TargetText::from(*to)).collect();
    RuleText::new(matches, to, ConfigLocation(from.into()))
}

fn table(texts: Vec<RuleText>) -> RouteTable {
    table_with(texts, UnmatchedPolicy::Auto)
}

fn table_with(texts: Vec<RuleText>, unmatched: UnmatchedPolicy) -> RouteTable {
    let compile = |text: RuleText| text.compile().unwrap();
    let rules = texts.into_iter().map(compile).collect();
    RouteTable::new(rules, unmatched).unwrap().0
}

fn routes(routes: &[(&str, &[&str])]) -> RouteTable {
    table(routes.iter().map(|(from, to)| route(from, to)).collect())
}

fn kind(mut text: RuleText, kinds: &[RefKind]) -> RuleText {
    for (target, kind) in text.to.iter_mut().zip(kinds) {
        target.ref_kind = *kind;
    }
    text
}

fn deny(from: &str) -> RuleText {
    let mut text = route(from, &[]);
    text.action = Action::Deny;
    text
}

fn with(mut text: RuleText, matches: MatchText) -> RuleText {
    text.matches = matches;
    text
}

fn banded(mut text: RuleText, band: u16) -> RuleText {
    text.band = Some(band);
    text
}

fn image(text: &str) -> (ImageName, Reference) {
    let image: ImageReference = text.replace("@D", &format!("@{DIGEST}")).parse().unwrap();
    (image.repository.into(), image.reference)
}

fn shown(candidates: &[Candidate]) -> Vec<String> {
    let show = |candidate: &Candidate| {
        let Candidate {
            upstream,
            name,
            tag,
            ..
        } = candidate;
        match tag {
            Some(tag) => format!("{upstream}/{name}:{tag}"),
            None => format!("{upstream}/{name}"),
        }
    };
    candidates.iter().map(show).collect()
}

fn outcome(table: &RouteTable, text: &str) -> Vec<String> {
    let (image, reference) = image(text);
    match table.decide(&image, &reference) {
        Decision::Route { candidates, .. } => shown(&candidates),
        Decision::Deny { .. } => vec!["deny".to_owned()],
        Decision::Unmatched { .. } => vec!["unmatched".to_owned()],
    }
}

#[track_caller]
fn check(table: &RouteTable, rows: &[RouteRow]) {
    for (id, asked, want) in rows {
        let want: Vec<String> = want.iter().map(|to| to.replace("H/", HARBOR)).collect();
        assert_eq!(outcome(table, asked), want, "{id}: {asked}");
    }
}

fn origins(table: &RouteTable, text: &str) -> Vec<String> {
    shown(&table.all_candidates(&image(text).0))
}

const HARBOR: &str = "harbor.example.org/airgap-images/";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
