//! Where a route leads: the `to` grammar and its templates.

use crate::oci::{RepositoryName, Tag, UpstreamName};

use super::{
    Refused,
    rule::{Flaw, RefKind, TargetText},
};

/// One entry of `to`.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) ref_kind: RefKind,
    pub(super) refused: Option<Refused>,
    pub(super) to: To,
}

#[derive(Clone, Debug)]
pub(super) enum To {
    /// The registry of the name itself.
    Source,
    /// A registry, and templates for what to ask it for.
    Upstream {
        upstream: UpstreamName,
        path: Template,
        tag: Option<Template>,
    },
}

/// Text with `{variables}`.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Var(Var),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Var {
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

/// What the variables stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    /// The name in the spelling being tried, rewritten.
    pub(super) repository: &'a str,
    /// What is left of it below the matched prefix; empty if exactly one repository is meant.
    pub(super) rest: &'a str,
    /// The canonical name's first element, in every spelling: `library` never becomes `nginx`.
    pub(super) first: &'a str,
    pub(super) registry: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) groups: &'a [Option<String>],
}

/// What the rule's patterns allow a template to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// How many regex groups every pattern has.
    pub(super) groups: usize,
    /// Whether some pattern means exactly one repository, to which nothing is appended.
    pub(super) exact: bool,
}

impl Target {
    pub(super) fn parse(text: &TargetText, allowed: Allowed) -> Result<Self, Flaw> {
        let TargetText {
            target,
            ref_kind,
            refused,
        } = text;
        Ok(Self {
            ref_kind: *ref_kind,
            refused: *refused,
            to: match target.as_str() {
                "source" => To::Source,
                target => upstream(target, allowed)?,
            },
        })
    }

    /// Whether different names may become one here: the registry is left out.
    pub(super) fn drops_registry(&self) -> bool {
        match &self.to {
            To::Source => false,
            To::Upstream { path, .. } => !path.has(Var::Registry) && !path.has_group(),
        }
    }
}

fn upstream(target: &str, allowed: Allowed) -> Result<To, Flaw> {
    if let Some((_, bare)) = target.split_once("://") {
        let reason = "a target has no scheme; an address is the `url` of an [upstream] table";
        return Err(Flaw::new(reason).hint(bare));
    }
    if target.contains('@') {
        return Err(Flaw::new("a target has no digest; `digest` pins a tag"));
    }
    let (host, path) = match target.split_once('/') {
        Some((_, "")) => {
            let bare = target.trim_end_matches('/');
            return Err(Flaw::new("ends in a slash").hint(bare));
        }
        Some((host, path)) => (host, path),
        None => (target, ""),
    };
    let upstream: UpstreamName = host.parse().map_err(Flaw::new)?;
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(Template::parse(tag, allowed)?)),
        _ => (path, None),
    };
    if path.is_empty() && (allowed.exact || tag.is_some()) {
        let reason = "an exact `from` has nothing to append: name the repository, or {repository}";
        return Err(Flaw::new(reason).hint(format!("{host}/{{repository}}")));
    }
    let path = Template::parse(path, allowed)?;
    if !path.0.is_empty() {
        let example: Result<RepositoryName, _> = path.example().parse();
        example.map_err(|flaw| {
            let bare = target.trim_end_matches('/');
            let flaw = Flaw::new(flaw);
            if bare == target {
                flaw
            } else {
                flaw.hint(bare)
            }
        })?;
    }
    if let Some(tag) = &tag {
        let example: Result<Tag, _> = tag.example().parse();
        example.map_err(Flaw::new)?;
    }
    Ok(To::Upstream {
        upstream,
        path,
        tag,
    })
}

impl Template {
    fn parse(text: &str, allowed: Allowed) -> Result<Self, Flaw> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| Flaw::new("a { has no closing }"))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            pieces.push(Piece::Var(Var::parse(name, allowed)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let open = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains('}'));
        if pieces.iter().any(open) {
            return Err(Flaw::new("a } has no opening {"));
        }
        Ok(Self(pieces))
    }

    /// The text for these values; none if a variable has none.
    pub(super) fn fill(&self, values: &Values<'_>) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Var(var) => text.push_str(values.get(*var)?),
            }
        }
        Some(text)
    }

    /// The repository for these values. Without a variable the rest is appended; an empty
    /// `{rest}`, `{tail}` or `{dir}` takes its slash along.
    pub(super) fn fill_path(&self, values: &Values<'_>) -> Option<RepositoryName> {
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
        !self.0.iter().any(|piece| matches!(piece, Piece::Var(_)))
    }

    fn has(&self, var: Var) -> bool {
        self.0.contains(&Piece::Var(var))
    }

    fn has_group(&self) -> bool {
        let group = |piece: &Piece| matches!(piece, Piece::Var(Var::Group(_)));
        self.0.iter().any(group)
    }

    /// What it looks like, for checking the parts that are written out.
    fn example(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(plain) => plain.clone(),
            Piece::Var(_) => "a".to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

impl Var {
    fn parse(name: &str, allowed: Allowed) -> Result<Self, Flaw> {
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
                    let reason = format!("there is no group {group}: `from_regex` has {have}");
                    return Err(Flaw::new(reason));
                }
                Err(_) => {
                    let reason = format!("there is no variable {{{other}}}; there are {VARIABLES}");
                    return Err(Flaw::new(reason));
                }
            },
        })
    }
}

impl<'a> Values<'a> {
    fn get(&self, var: Var) -> Option<&'a str> {
        let Self { repository, .. } = self;
        match var {
            Var::Repository => Some(repository),
            Var::Rest => Some(self.rest),
            Var::First => Some(self.first),
            Var::Tail => Some(repository.split_once('/').map_or("", |(_, tail)| tail)),
            Var::Dir => Some(repository.rsplit_once('/').map_or("", |(dir, _)| dir)),
            Var::Name => Some(
                repository
                    .rsplit_once('/')
                    .map_or(repository, |(_, name)| name),
            ),
            Var::Registry => Some(self.registry),
            Var::Tag => self.tag,
            Var::Group(group) => self.groups.get(group.checked_sub(1)?)?.as_deref(),
        }
    }
}

const VARIABLES: &str = "{repository} {rest} {first} {tail} {dir} {name} {registry} {tag} {1}…";

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed {
        groups: 2,
        exact: false,
    };

    fn target(text: &str, allowed: Allowed) -> Result<To, Flaw> {
        let text = TargetText {
            target: text.to_owned(),
            ref_kind: RefKind::Any,
            refused: None,
        };
        Ok(Target::parse(&text, allowed)?.to)
    }

    #[test]
    fn templates_are_filled() {
        let groups = [Some("one".to_owned()), None];
        let values = Values {
            repository: "a/b/c",
            rest: "b/c",
            first: "a",
            registry: "quay.io",
            tag: Some("v1"),
            groups: &groups,
        };
        let check = |text: &str, want: Option<&str>| {
            let To::Upstream { path, .. } = target(text, ALLOWED).unwrap() else {
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
        let values = Values {
            repository: "c",
            rest: "",
            first: "c",
            registry: "r",
            tag: None,
            groups: &[],
        };
        let check = |text: &str, want: Option<&str>| {
            let To::Upstream { path, .. } = target(text, ALLOWED).unwrap() else {
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
        let exact = Allowed {
            groups: 0,
            exact: true,
        };
        let check = |text: &str, allowed: Allowed, hint: Option<&str>| {
            let flaw = target(text, allowed).unwrap_err();
            assert_eq!(flaw.hint.as_deref(), hint, "{text}: {}", flaw.reason);
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
