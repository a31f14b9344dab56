//! `[[route]]`: text for the route room to compile, and the lines of its errors.

use std::sync::Arc;

use super::{
    import::Located,
    limits::FRESHNESS_MS,
    problem::ValueError,
    reader::{ListElement, Section},
    report::{KeyLocation, ProblemReport},
    upstream::REFUSED,
    value::ConfigText,
};
use crate::{
    platform::DiagnosticCode,
    route::{
        Action, ConfigLocation, InvalidRule, LibraryPrefix, MatchText, RefKind, RewriteText,
        RouteConflict, RouteTable, Rule, RuleText, TargetText, UnmatchedPolicy,
    },
};

/// A target, and where it is written.
#[derive(Debug)]
pub(super) struct LocatedTarget {
    pub(super) text: String,
    pub(super) location: KeyLocation,
}

/// One route, for the checks across tables.
#[derive(Debug)]
pub(super) struct RouteSummary {
    /// Its `from`; `None` for the other kinds of match.
    pub(super) from: Option<Vec<String>>,
    pub(super) targets: Vec<LocatedTarget>,
    pub(super) location: KeyLocation,
    rule_location: ConfigLocation,
}

/// Every route.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) summaries: Vec<RouteSummary>,
    rules: Vec<Rule>,
}

const REF_KINDS: [(&str, RefKind); 3] = [
    ("any", RefKind::Any),
    ("tag", RefKind::Tag),
    ("digest", RefKind::Digest),
];
const ACTIONS: [(&str, Action); 2] = [("route", Action::Route), ("deny", Action::Deny)];
const LIBRARIES: [(&str, LibraryPrefix); 4] = [
    ("auto", LibraryPrefix::Auto),
    ("both", LibraryPrefix::Both),
    ("keep", LibraryPrefix::Keep),
    ("strip", LibraryPrefix::Strip),
];

/// Highest band of a route.
const BAND_MAX: usize = 500;

impl Routes {
    pub(super) fn read(root: &mut Section<'_>, file: &str) -> Self {
        let mut routes = Self::default();
        for mut section in root.sections("route") {
            let (line, _) = section
                .report
                .line_and_column(section.location.span.as_ref().map_or(0, |span| span.start));
            let rule_location = ConfigLocation(Arc::from(format!("{file}:{line}")));
            if let Some(rule) = routes.one(&mut section, rule_location) {
                routes.rules.push(rule);
            }
            section.finish();
        }
        routes
    }

    /// Adds imported routes, after those of the file, which take precedence.
    pub(super) fn import(&mut self, report: &ProblemReport<'_>, imported: Vec<Located<RuleText>>) {
        for (text, location) in imported {
            let target = |to: &TargetText| LocatedTarget {
                text: to.target.clone(),
                location: location.clone(),
            };
            let summary = RouteSummary {
                from: from(&text.matches),
                targets: text.to.iter().map(target).collect(),
                location: location.clone(),
                rule_location: text.location.clone(),
            };
            match text.compile() {
                Ok(rule) => self.rules.push(rule.imported()),
                Err(invalid) => {
                    for invalid in &invalid {
                        report.problem(&location, rule_error(invalid));
                    }
                }
            }
            self.summaries.push(summary);
        }
    }

    /// The table, if every route is valid and no two contradict.
    pub(super) fn table(
        self,
        report: &ProblemReport<'_>,
        unmatched: UnmatchedPolicy,
    ) -> Option<RouteTable> {
        match RouteTable::new(self.rules, unmatched) {
            Ok((table, notes)) => {
                for note in notes {
                    report.note(note);
                }
                Some(table)
            }
            Err(conflicts) => {
                for conflict in &conflicts {
                    report_conflict(report, &self.summaries, conflict);
                }
                None
            }
        }
    }

    fn one(&mut self, section: &mut Section<'_>, rule_location: ConfigLocation) -> Option<Rule> {
        let matches = matches(section);
        let from = matches.as_ref().and_then(from);
        let (to, targets) = targets(section);
        let rewrite = rewrites(section);
        let band = section.integer_or_auto("band", &(0..=BAND_MAX));
        let ref_kind = section.choice("ref", &REF_KINDS).unwrap_or(RefKind::Any);
        let action = section.choice("action", &ACTIONS).unwrap_or(Action::Route);
        let library = section
            .choice("library", &LIBRARIES)
            .unwrap_or(LibraryPrefix::Auto);
        let digest = section.string_or_unset("digest").map(|text| text.text);
        let tag_fresh = section.duration_or_unset("tag_fresh", &FRESHNESS_MS);
        let tag_stale_max = section.duration_or_unset("tag_stale_max", &FRESHNESS_MS);
        let text = matches.map(|matches| RuleText {
            matches,
            ref_kind,
            action,
            to,
            rewrite,
            library,
            digest,
            band: band.and_then(|band| u16::try_from(band).ok()),
            tag_fresh,
            tag_stale_max,
            location: rule_location.clone(),
        });
        let compiled = text.map_or(Err(Vec::new()), RuleText::compile);
        let invalid = compiled.as_ref().err().map_or(&[][..], Vec::as_slice);
        let refused: Vec<_> = invalid
            .iter()
            .map(|invalid| report_rule(section, invalid))
            .collect();
        let targets = targets
            .into_iter()
            .filter(|target| !refused.contains(&target.location.key));
        let location = section.location.clone();
        self.summaries.push(RouteSummary {
            from,
            targets: targets.collect(),
            location,
            rule_location,
        });
        compiled.ok()
    }
}

fn matches(section: &mut Section<'_>) -> Option<MatchText> {
    let from = section.strings("from");
    let from = from.map(|texts| MatchText::From(texts.into_iter().map(|text| text.text).collect()));
    let mut found: Vec<_> = from.into_iter().collect();
    let one = |text: Option<ConfigText>| text.map(|text| text.text);
    found.extend(one(section.string("from_glob")).map(MatchText::Glob));
    found.extend(one(section.string("from_regex")).map(MatchText::Regex));
    found.extend(one(section.string("contains")).map(MatchText::Contains));
    let written = ["from", "from_glob", "from_regex", "contains"];
    let count = written.iter().filter(|key| section.has(key)).count();
    if count != 1 {
        let error = match count {
            0 => ValueError::new("the route does not say which images it is for")
                .hint("add from = \"REGISTRY\""),
            _ => ValueError::new(
                "a route must have exactly one of from, from_glob, from_regex and contains",
            )
            .hint("write one route for each"),
        };
        section.report.problem(&section.location, error);
        return None;
    }
    found.pop()
}

fn targets(section: &mut Section<'_>) -> (Vec<TargetText>, Vec<LocatedTarget>) {
    let mut texts = Vec::new();
    let mut targets = Vec::new();
    for element in section.elements("to") {
        let (target, ref_kind, refused) = match element {
            None => (None, RefKind::Any, None),
            Some(ListElement::Text(text)) => (Some(text), RefKind::Any, None),
            Some(ListElement::Table(mut table)) => {
                let target = table.string("target");
                if !table.has("target") {
                    let error = ValueError::new("\"target\" is missing");
                    table.report.problem(&table.location, error);
                }
                let ref_kind = table.choice("ref", &REF_KINDS).unwrap_or(RefKind::Any);
                let refused = table.choice("refused", &REFUSED);
                table.finish();
                (target, ref_kind, refused)
            }
        };
        // A placeholder for an unreadable target keeps the indices of the others.
        let text = target
            .as_ref()
            .map_or("source", |target| &target.text)
            .to_owned();
        texts.push(TargetText {
            target: text,
            ref_kind,
            refused,
        });
        targets
            .extend(target.map(|ConfigText { text, location }| LocatedTarget { text, location }));
    }
    (texts, targets)
}

fn rewrites(section: &mut Section<'_>) -> Vec<RewriteText> {
    let read = |mut table: Section<'_>| {
        let (regex, with) = (table.string("regex"), table.string("with"));
        for key in ["regex", "with"] {
            if !table.has(key) {
                table.report.problem(
                    &table.location,
                    ValueError::new(format!("\"{key}\" is missing")),
                );
            }
        }
        table.finish();
        let text = |text: Option<ConfigText>| text.map(|text| text.text).unwrap_or_default();
        RewriteText {
            regex: text(regex),
            with: text(with),
        }
    };
    section.sections("rewrite").into_iter().map(read).collect()
}

fn from(matches: &MatchText) -> Option<Vec<String>> {
    match matches {
        MatchText::From(from) => Some(from.clone()),
        _ => None,
    }
}

fn rule_error(invalid: &InvalidRule) -> ValueError {
    ValueError {
        hint: invalid.hint.clone(),
        ..ValueError::new(&*invalid.reason)
    }
}

/// Reports one error and returns its key.
fn report_rule(section: &Section<'_>, invalid: &InvalidRule) -> String {
    let location = section.location_of(invalid.key, invalid.index);
    section.report.problem(&location, rule_error(invalid));
    location.key
}

fn report_conflict(
    report: &ProblemReport<'_>,
    summaries: &[RouteSummary],
    conflict: &RouteConflict,
) {
    let error = ValueError::new(conflict.to_string()).code(DiagnosticCode::Duplicate);
    match summaries
        .iter()
        .find(|route| route.rule_location == conflict.second)
    {
        Some(route) => report.problem(&route.location, error),
        None => report.problem_elsewhere("route", &conflict.from, error),
    }
}
