//! Compiles one route and reports every problem at once.

use crate::oci::{Digest, UpstreamName};

use super::{
    ConfigLocation,
    error::{InvalidRule, RuleError, RuleErrors},
    pattern::Pattern,
    ref_kind::RefKind,
    rewrite::Rewrite,
    target::{Destination, RouteTarget, TemplateScope},
    text::{Action, MatchText, RewriteText, RuleText, TargetText},
};

/// A compiled route.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) text: RuleText,
    pub(super) patterns: Vec<Pattern>,
    pub(super) targets: Vec<RouteTarget>,
    pub(super) rewrites: Vec<Rewrite>,
    pub(super) pin: Option<Digest>,
    pub(super) imported: bool,
}

impl RuleText {
    /// Checks every value and reports all errors.
    pub fn compile(self) -> Result<Rule, Vec<InvalidRule>> {
        let mut problems = RuleErrors::default();
        let patterns = self.patterns(&mut problems);
        let allowed = TemplateScope {
            groups: patterns.iter().map(Pattern::groups).min().unwrap_or(0),
            exact: patterns.iter().any(Pattern::is_exact),
        };
        let parse = |target: &TargetText| RouteTarget::parse(target, allowed);
        let written = |target: &TargetText| target.target.clone();
        let targets = problems.collect_each("to", &self.to, written, parse);
        let written = |rewrite: &RewriteText| rewrite.regex.clone();
        let rewrites = problems.collect_each("rewrite", &self.rewrite, written, Rewrite::compile);
        let pin = self.pin(&patterns, &mut problems);
        self.check_whole(&patterns, &mut problems);
        if problems.0.is_empty() {
            Ok(Rule {
                text: self,
                patterns,
                targets,
                rewrites,
                pin,
                imported: false,
            })
        } else {
            Err(problems.0)
        }
    }

    fn patterns(&self, problems: &mut RuleErrors) -> Vec<Pattern> {
        let one =
            |key, text: &String, parsed: Result<Pattern, RuleError>, problems: &mut RuleErrors| {
                problems
                    .collect(key, None, text, parsed)
                    .into_iter()
                    .collect()
            };
        match &self.matches {
            MatchText::From(texts) => {
                if texts.is_empty() {
                    problems.add("from", None, "", RuleError::new("names no registry"));
                }
                let parsed =
                    problems.collect_each("from", texts, String::clone, |text| Pattern::from(text));
                let mut patterns: Vec<Pattern> = Vec::new();
                for pattern in parsed {
                    // Two spellings of one registry are one pattern.
                    if patterns.iter().all(|known| known.key() != pattern.key()) {
                        patterns.push(pattern);
                    }
                }
                patterns
            }
            MatchText::Glob(text) => one("from_glob", text, Pattern::glob(text), problems),
            MatchText::Regex(text) => one("from_regex", text, Pattern::regex(text), problems),
            MatchText::Contains(text) => one("contains", text, Pattern::contains(text), problems),
        }
    }

    fn pin(&self, patterns: &[Pattern], problems: &mut RuleErrors) -> Option<Digest> {
        let text = self.digest.as_ref()?;
        if !patterns.iter().all(|pattern| pattern.exact_tag().is_some()) {
            let reason = "only one tag can be pinned: `from` must name it, as R/REPOSITORY:TAG";
            problems.add("digest", None, text, RuleError::new(reason));
        }
        problems.collect("digest", None, text, text.parse().map_err(RuleError::new))
    }

    fn check_whole(&self, patterns: &[Pattern], problems: &mut RuleErrors) {
        match self.action {
            Action::Route if self.to.is_empty() => {
                let reason = "leads nowhere";
                let error = RuleError::new(reason).hint("to = [\"source\"], or action = \"deny\"");
                problems.add("to", None, "", error);
            }
            Action::Deny if !self.to.is_empty() => {
                let error = RuleError::new("action = \"deny\" leads nowhere");
                problems.add("to", None, "", error);
            }
            Action::Deny if self.digest.is_some() => {
                let error = RuleError::new("action = \"deny\" has no answer to pin");
                problems.add("digest", None, "", error);
            }
            Action::Route | Action::Deny => {}
        }
        if let Some(band) = self.band.filter(|band| *band > BAND_MAX) {
            let error = RuleError::new(format!("a band is a number from 0 to {BAND_MAX}"));
            problems.add("band", None, &band.to_string(), error);
        }
        if self.ref_kind == RefKind::Digest && patterns.iter().any(Pattern::is_tag_specific) {
            let error = RuleError::new("a request by digest has no tag for this route to match");
            problems.add("ref", None, "digest", error);
        }
    }
}

impl Rule {
    /// Marks it as imported from a platform's file: a hand-written route that matches equally wins.
    #[must_use]
    pub fn imported(mut self) -> Self {
        self.imported = true;
        self
    }

    /// Its location in the configuration.
    pub fn location(&self) -> &ConfigLocation {
        &self.text.location
    }

    /// The upstreams it names, for `check` and the loop guard, without `source`.
    pub fn targets(&self) -> impl Iterator<Item = &UpstreamName> {
        self.targets
            .iter()
            .filter_map(|target| match &target.destination {
                Destination::Source => None,
                Destination::Upstream { upstream, .. } => Some(upstream),
            })
    }

    /// Whether one of its targets is `source`.
    pub(super) fn can_target_source(&self) -> bool {
        let source = |target: &RouteTarget| matches!(target.destination, Destination::Source);
        self.targets.iter().any(source)
    }

    /// Whether both have the same effect on what they match.
    pub(super) fn has_same_effect(&self, other: &Self) -> bool {
        let what = |rule: &Self| {
            let RuleText {
                action,
                library,
                tag_fresh,
                tag_stale_max,
                ..
            } = rule.text;
            (action, library, tag_fresh, tag_stale_max, rule.pin)
        };
        what(self) == what(other)
            && self.text.to == other.text.to
            && self.text.rewrite == other.text.rewrite
    }
}

const BAND_MAX: u16 = 500;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::vectors::route, *};

    fn problems(text: RuleText) -> Vec<(&'static str, Option<usize>)> {
        let problems = text.compile().unwrap_err();
        problems
            .iter()
            .map(|error| (error.key, error.index))
            .collect()
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut text = route("docker.io/A", &["https://h", "source", "h/"]);
        text.rewrite = vec![RewriteText {
            regex: "(.*".to_owned(),
            with: String::new(),
        }];
        text.digest = Some("sha256:0".to_owned());
        text.band = Some(501);
        let want = [
            ("from", Some(0)),
            ("to", Some(0)),
            ("to", Some(2)),
            ("rewrite", Some(0)),
            ("digest", None),
            ("band", None),
        ];
        assert_eq!(problems(text), want);
    }

    #[test]
    fn contradictions_are_problems() {
        assert_eq!(problems(route("docker.io", &[])), [("to", None)]);
        let mut text = route("docker.io", &["h"]);
        text.action = Action::Deny;
        assert_eq!(problems(text), [("to", None)]);
        let mut text = route("docker.io", &["h"]);
        text.digest = Some(format!("sha256:{}", "0".repeat(64)));
        assert_eq!(problems(text), [("digest", None)]);
        let mut text = route("docker.io/a/b:1", &["h/a/b"]);
        text.ref_kind = RefKind::Digest;
        assert_eq!(problems(text), [("ref", None)]);
        let mut text = route("docker.io", &["h"]);
        text.matches = MatchText::From(Vec::new());
        assert_eq!(problems(text), [("from", None)]);
    }

    proptest! {
        #[test]
        fn no_text_panics(from in ".{0,40}", to in ".{0,40}", digest in ".{0,20}") {
            for matches in [
                MatchText::From(vec![from.clone(), "docker.io/a:1".to_owned()]),
                MatchText::Glob(from.clone()),
                MatchText::Regex(from.clone()),
                MatchText::Contains(from.clone()),
            ] {
                let mut text = route("docker.io", &[&to]);
                text.matches = matches;
                text.rewrite = vec![RewriteText { regex: from.clone(), with: to.clone() }];
                text.digest = Some(digest.clone());
                prop_assert!(text.compile().is_err());
            }
        }
    }

    #[test]
    fn n08_a_bad_regex_is_an_error_here() {
        let mut text = route("docker.io", &["h"]);
        text.rewrite = vec![RewriteText {
            regex: "(.*".to_owned(),
            with: "$1".to_owned(),
        }];
        assert_eq!(problems(text), [("rewrite", Some(0))]);
    }
}
