//! The targets of a route: the `to` grammar and its templates.

use crate::oci::{RepositoryName, Tag, UpstreamName};

use super::{RefusalPolicy, error::RuleError, ref_kind::RefKind, text::TargetText};

/// One entry of `to`.
#[derive(Clone, Debug)]
pub(super) struct RouteTarget {
    pub(super) ref_kind: RefKind,
    pub(super) refused: Option<RefusalPolicy>,
    pub(super) destination: Destination,
}

#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// The image's own registry.
    Source,
    /// A registry, with templates for the repository and the tag there.
    Upstream {
        upstream: UpstreamName,
        path: Template,
        tag: Option<Template>,
    },
}

/// Text with `{variables}`.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Variable(TemplateVariable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplateVariable {
    Repository,
    Rest,
    First,
    Tail,
    Dir,
    Name,
    Registry,
    Tag,
    Group(usize),
}

/// The values of the variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct TemplateValues<'a> {
    /// The name in the spelling being tried, rewritten.
    pub(super) repository: &'a str,
    /// The rest of it below the matched prefix; empty if the pattern is one exact repository.
    pub(super) rest: &'a str,
    /// The canonical name's first element, in every spelling: `library` never becomes `nginx`.
    pub(super) first: &'a str,
    pub(super) registry: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) groups: &'a [Option<String>],
}

/// What the rule's patterns allow a template to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct TemplateScope {
    /// The number of regex groups that every pattern has.
    pub(super) groups: usize,
    /// Whether some pattern is one exact repository, so that there is nothing to append.
    pub(super) exact: bool,
}

impl RouteTarget {
    pub(super) fn parse(text: &TargetText, allowed: TemplateScope) -> Result<Self, RuleError> {
        let TargetText {
            target,
            ref_kind,
            refused,
        } = text;
        Ok(Self {
            ref_kind: *ref_kind,
            refused: *refused,
            destination: match target.as_str() {
                "source" => Destination::Source,
                target => parse_upstream(target, allowed)?,
            },
        })
    }

    /// Whether images of different registries may get one name here: the registry is left out.
    pub(super) fn drops_registry(&self) -> bool {
        match &self.destination {
            Destination::Source => false,
            Destination::Upstream { path, .. } => {
                !path.has(TemplateVariable::Registry) && !path.has_group()
            }
        }
    }
}

fn parse_upstream(target: &str, allowed: TemplateScope) -> Result<Destination, RuleError> {
    if let Some((_, bare)) = target.split_once("://") {
        let reason = "a target has no scheme; an address is the `url` of an [upstream] table";
        return Err(RuleError::new(reason).hint(bare));
    }
    if target.contains('@') {
        return Err(RuleError::new(
            "a target has no digest; `digest` pins a tag",
        ));
    }
    let (host, path) = match target.split_once('/') {
        Some((_, "")) => {
            let bare = target.trim_end_matches('/');
            return Err(RuleError::new("ends in a slash").hint(bare));
        }
        Some((host, path)) => (host, path),
        None => (target, ""),
    };
    let upstream: UpstreamName = host.parse().map_err(RuleError::new)?;
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(Template::parse(tag, allowed)?)),
        _ => (path, None),
    };
    if path.is_empty() && (allowed.exact || tag.is_some()) {
        let reason = "an exact `from` has nothing to append: name the repository, or {repository}";
        return Err(RuleError::new(reason).hint(format!("{host}/{{repository}}")));
    }
    let path = Template::parse(path, allowed)?;
    if !path.0.is_empty() {
        let example: Result<RepositoryName, _> = path.example().parse();
        example.map_err(|error| {
            let bare = target.trim_end_matches('/');
            let error = RuleError::new(error);
            if bare == target {
                error
            } else {
                error.hint(bare)
            }
        })?;
    }
    if let Some(tag) = &tag {
        let example: Result<Tag, _> = tag.example().parse();
        example.map_err(RuleError::new)?;
    }
    Ok(Destination::Upstream {
        upstream,
        path,
        tag,
    })
}

impl Template {
    fn parse(text: &str, allowed: TemplateScope) -> Result<Self, RuleError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| RuleError::new("a { has no closing }"))?;
            if !plain.is_empty() {
                pieces.push(TemplatePart::Text(plain.to_owned()));
            }
            pieces.push(TemplatePart::Variable(TemplateVariable::parse(
                name, allowed,
            )?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePart::Text(rest.to_owned()));
        }
        let open =
            |piece: &TemplatePart| matches!(piece, TemplatePart::Text(text) if text.contains('}'));
        if pieces.iter().any(open) {
            return Err(RuleError::new("a } has no opening {"));
        }
        Ok(Self(pieces))
    }

    /// The text for these values; none if a variable has no value.
    pub(super) fn fill(&self, values: &TemplateValues<'_>) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                TemplatePart::Text(plain) => text.push_str(plain),
                TemplatePart::Variable(var) => text.push_str(values.get(*var)?),
            }
        }
        Some(text)
    }

    /// The repository for these values. A template without variables gets the rest appended; an
    /// empty `{rest}`, `{tail}` or `{dir}` is dropped with its slash.
    pub(super) fn fill_path(&self, values: &TemplateValues<'_>) -> Option<RepositoryName> {
        let mut text = self.fill(values)?;
        if self.is_plain() {
            text.push('/');
            text.push_str(values.rest);
        }
        if text.starts_with('/') || text.ends_with('/') || text.contains("//") {
            let elements = text.split('/').filter(|element| !element.is_empty());
            text = elements.collect::<Vec<_>>().join("/");
        }
        text.parse().ok()
    }

    fn is_plain(&self) -> bool {
        !self
            .0
            .iter()
            .any(|piece| matches!(piece, TemplatePart::Variable(_)))
    }

    fn has(&self, var: TemplateVariable) -> bool {
        self.0.contains(&TemplatePart::Variable(var))
    }

    fn has_group(&self) -> bool {
        let group = |piece: &TemplatePart| {
            matches!(piece, TemplatePart::Variable(TemplateVariable::Group(_)))
        };
        self.0.iter().any(group)
    }

    /// An example of the result, to check the literal parts with.
    fn example(&self) -> String {
        let text = |piece: &TemplatePart| match piece {
            TemplatePart::Text(plain) => plain.clone(),
            TemplatePart::Variable(_) => "a".to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

impl TemplateVariable {
    fn parse(name: &str, allowed: TemplateScope) -> Result<Self, RuleError> {
        Ok(match name {
            "repository" => Self::Repository,
            "rest" => Self::Rest,
            "first" => Self::First,
            "tail" => Self::Tail,
            "dir" => Self::Dir,
            "name" => Self::Name,
            "registry" => Self::Registry,
            "tag" => Self::Tag,
            other => match other.parse::<usize>() {
                Ok(group) if (1..=allowed.groups).contains(&group) => Self::Group(group),
                Ok(group) => {
                    let have = allowed.groups;
                    let reason = format!("unknown group {group}: `from_regex` has {have}");
                    return Err(RuleError::new(reason));
                }
                Err(_) => {
                    let reason = format!("unknown variable {{{other}}}; there are {VARIABLES}");
                    return Err(RuleError::new(reason));
                }
            },
        })
    }
}

impl<'a> TemplateValues<'a> {
    fn get(&self, var: TemplateVariable) -> Option<&'a str> {
        let Self { repository, .. } = self;
        match var {
            TemplateVariable::Repository => Some(repository),
            TemplateVariable::Rest => Some(self.rest),
            TemplateVariable::First => Some(self.first),
            TemplateVariable::Tail => Some(repository.split_once('/').map_or("", |(_, tail)| tail)),
            TemplateVariable::Dir => Some(repository.rsplit_once('/').map_or("", |(dir, _)| dir)),
            TemplateVariable::Name => Some(
                repository
                    .rsplit_once('/')
                    .map_or(repository, |(_, name)| name),
            ),
            TemplateVariable::Registry => Some(self.registry),
            TemplateVariable::Tag => self.tag,
            TemplateVariable::Group(group) => self.groups.get(group.checked_sub(1)?)?.as_deref(),
        }
    }
}

const VARIABLES: &str = "{repository} {rest} {first} {tail} {dir} {name} {registry} {tag} {1}…";

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: TemplateScope = TemplateScope {
        groups: 2,
        exact: false,
    };

    fn target(text: &str, allowed: TemplateScope) -> Result<Destination, RuleError> {
        let text = TargetText {
            target: text.to_owned(),
            ref_kind: RefKind::Any,
            refused: None,
        };
        Ok(RouteTarget::parse(&text, allowed)?.destination)
    }

    #[test]
    fn templates_are_filled() {
        let groups = [Some("one".to_owned()), None];
        let values = TemplateValues {
            repository: "a/b/c",
            rest: "b/c",
            first: "a",
            registry: "quay.io",
            tag: Some("v1"),
            groups: &groups,
        };
        let check = |text: &str, want: Option<&str>| {
            let Destination::Upstream { path, .. } = target(text, ALLOWED).unwrap() else {
                panic!("{text}");
            };
            let name = path.fill_path(&values);
            assert_eq!(name.as_ref().map(RepositoryName::as_str), want, "{text}");
        };
        check("h", Some("b/c"));
        check("h:5000", Some("b/c"));
        check("h/p", Some("p/b/c"));
        check("h/p/{repository}", Some("p/a/b/c"));
        check("h/p-{registry}/{repository}", Some("p-quay.io/a/b/c"));
        check("h/{first}/x-{name}", Some("a/x-c"));
        check("h/{tail}", Some("b/c"));
        check("h/{dir}", Some("a/b"));
        check("h/{name}-{tag}", Some("c-v1"));
        check("h/{1}", Some("one"));
        check("h/{2}", None);
    }

    #[test]
    fn empty_variables_leave_no_empty_element() {
        let values = TemplateValues {
            repository: "c",
            rest: "",
            first: "c",
            registry: "r",
            tag: None,
            groups: &[],
        };
        let check = |text: &str, want: Option<&str>| {
            let Destination::Upstream { path, .. } = target(text, ALLOWED).unwrap() else {
                panic!("{text}");
            };
            let name = path.fill_path(&values);
            assert_eq!(name.as_ref().map(RepositoryName::as_str), want, "{text}");
        };
        check("h/p", Some("p"));
        check("h/p/{tail}/{name}", Some("p/c"));
        check("h/{dir}/{name}", Some("c"));
        check("h/{rest}", None);
        check("h/{name}-{tag}", None);
    }

    #[test]
    fn bad_targets_say_why() {
        let exact = TemplateScope {
            groups: 0,
            exact: true,
        };
        let check = |text: &str, allowed: TemplateScope, hint: Option<&str>| {
            let error = target(text, allowed).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}: {}", error.reason);
        };
        check("", ALLOWED, None);
        check("https://h/p", ALLOWED, Some("h/p"));
        check("h/", ALLOWED, Some("h"));
        check("h/p/", ALLOWED, Some("h/p"));
        check("h//p", ALLOWED, None);
        check("h/P", ALLOWED, None);
        check("h/../p", ALLOWED, None);
        check("h/p:", ALLOWED, None);
        check("h/p@sha256:00", ALLOWED, None);
        check("{registry}/p", ALLOWED, None);
        check("h/{nam}", ALLOWED, None);
        check("h/{name", ALLOWED, None);
        check("h/name}", ALLOWED, None);
        check("h/{3}", ALLOWED, None);
        check("h/{0}", ALLOWED, None);
        check("h", exact, Some("h/{repository}"));
    }
}
