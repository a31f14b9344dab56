//! Routes from a map's entries.

use std::{collections::HashMap, iter::Rev, ops::RangeInclusive};

use super::map::{LocatedText, SwapMap};
use crate::{
    oci::{ImageReference, InvalidName, Reference, Registry, RepositoryName},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
            name_part,
        },
    },
    route::{MatchText, RuleText},
};

/// The bands between a glob's default and an exact reference's: they keep the order of `[REPLACE]`
/// lines.
const REPLACE_BANDS: RangeInclusive<u16> = 300..=399;

/// Turns maps into routes.
pub(in crate::platform) struct SwapRouter<'i> {
    pub(in crate::platform) into: &'i mut Imported,
    /// Whether rerouted names are also pulled from their own registry.
    falls_back: bool,
    replace_bands: Rev<RangeInclusive<u16>>,
}

/// A registry that a map reroutes.
#[derive(Debug)]
pub(in crate::platform) struct RegistrySwap {
    /// The location of the target.
    pub(in crate::platform) location: Location,
    pub(in crate::platform) registry: Registry,
    /// `HOST[:PORT][/PATH]`.
    pub(in crate::platform) target: String,
    /// The index of its route.
    route: usize,
}

impl<'i> SwapRouter<'i> {
    pub(in crate::platform) fn new(context: &ImportContext<'_>, into: &'i mut Imported) -> Self {
        Self {
            into,
            falls_back: context.adds_source(),
            replace_bands: REPLACE_BANDS.rev(),
        }
    }

    /// Adds all entries of a map; returns the registries that it reroutes.
    pub(in crate::platform) fn map(&mut self, map: &SwapMap) -> Vec<RegistrySwap> {
        for pair in &map.exact.all {
            let made = self.exact(&pair.key, &pair.value);
            self.report_error(made);
        }
        for pair in &map.replace.all {
            let made = self.replace(&pair.key, &pair.value);
            self.report_error(made);
        }
        let mut swaps = Vec::new();
        for pair in &map.registries.all {
            match self.registry(map, &pair.key, &pair.value) {
                Ok(swap) => swaps.extend(swap),
                Err(diagnostic) => self.into.report(diagnostic),
            }
        }
        for part in &map.opt_outs {
            let made = self.opt_out(part);
            self.report_error(made);
        }
        if let Some(value) = &map.default {
            let made = self.default(value);
            self.report_error(made);
        }
        self.collisions(&swaps);
        swaps
    }

    /// Adds a target for a registry, after those that it has.
    pub(in crate::platform) fn add_target(&mut self, swap: &RegistrySwap, target: &str) {
        let falls_back = usize::from(self.falls_back);
        if let Some(route) = self.into.routes.get_mut(swap.route)
            && route.to.iter().all(|known| known.target != target)
        {
            let last = route.to.len().saturating_sub(falls_back);
            route.to.insert(last, target.into());
        }
    }

    /// A prefix of names in the form of routes.
    pub(in crate::platform) fn prefix(
        &mut self,
        source: &LocatedText,
    ) -> Result<String, Diagnostic> {
        source.reject_scheme()?;
        Ok(self.without_slashes(source).text)
    }

    /// Routes names with a prefix to a target.
    pub(in crate::platform) fn route_prefix(
        &mut self,
        location: &Location,
        from: &str,
        target: &str,
    ) {
        self.route(
            location,
            MatchText::From(vec![from.to_owned()]),
            Some(target),
        );
    }

    fn report_error(&mut self, made: Result<(), Diagnostic>) {
        if let Err(diagnostic) = made {
            self.into.report(diagnostic);
        }
    }

    /// Adds a route to a target, or without one to the registry itself.
    fn route(
        &mut self,
        location: &Location,
        matches: MatchText,
        target: Option<&str>,
    ) -> &mut RuleText {
        let source = target.is_none() || self.falls_back;
        let to: Vec<_> = target
            .into_iter()
            .chain(source.then_some("source"))
            .collect();
        self.into.route_matching(location, matches, &to)
    }

    /// `[EXACT]IMAGE::IMAGE`: repository and tag are those of the value.
    fn exact(&mut self, key: &LocatedText, value: &LocatedText) -> Result<(), Diagnostic> {
        let from = key.image()?;
        let Reference::Tag(tag) = &from.reference else {
            let message = "a digest cannot be rerouted: it names the same bytes everywhere";
            let diagnostic = key.diagnostic(DiagnosticCode::Ignored, message);
            return Err(diagnostic.fix("write the tag, or reroute the registry"));
        };
        let matches = MatchText::From(vec![format!("{}:{tag}", from.repository)]);
        if value.text.is_empty() {
            self.route(&key.location, matches, None);
            return Ok(());
        }
        value.reject_scheme()?;
        let value = self.without_slashes(value);
        let hub_root = value.text.strip_prefix("docker.io/");
        if hub_root.is_some_and(|name| !name.contains('/')) {
            self.hub_root(&value, &value.text);
        }
        let ImageReference {
            repository,
            reference,
        } = value.image()?;
        let (target, digest) = match reference {
            Reference::Tag(tag) => (format!("{repository}:{tag}"), None),
            Reference::Digest(digest) => (repository.to_string(), Some(digest.to_string())),
        };
        self.route(&key.location, matches, Some(&target)).digest = digest;
        Ok(())
    }

    /// `W-HUBROOT`: an image with a single path element on Docker Hub.
    fn hub_root(&mut self, value: &LocatedText, image: &str) {
        let message = format!("runtimes add library/ to the name of {image}");
        let diagnostic = value.diagnostic(DiagnosticCode::HubRoot, message);
        self.into.report(
            diagnostic.fix("write docker.io/FOLDER, or docker.io/library if that is meant"),
        );
    }

    /// `[REPLACE]GLOB::TARGET`: only the last path element of the name is kept.
    fn replace(&mut self, key: &LocatedText, value: &LocatedText) -> Result<(), Diagnostic> {
        if key.text.contains('@') {
            let message = "a pattern cannot match digests";
            return Err(key
                .diagnostic(DiagnosticCode::Ignored, message)
                .fix("write it without the @"));
        }
        let band = self.replace_bands.next().ok_or_else(|| {
            let most = REPLACE_BANDS.len();
            let message = format!("more than {most} [REPLACE] lines: their order would be lost");
            key.diagnostic(DiagnosticCode::Glob, message)
                .fix("join some of them")
        })?;
        let target = match value.text.as_str() {
            "" => Registry::docker_hub().to_string(),
            _ => self.target(value, "")?,
        };
        if !value.text.is_empty() && target == Registry::docker_hub().as_str() {
            self.hub_root(value, "docker.io/NAME");
        }
        let last = key.text.rsplit('/').next().unwrap_or_default();
        // A pattern without a tag means `latest`.
        let latest = if last.contains(':') || last.ends_with('*') {
            ""
        } else {
            ":latest"
        };
        let matches = MatchText::Glob(format!("{}{latest}", key.text));
        let route = self.route(&key.location, matches, Some(&format!("{target}/{{name}}")));
        route.band = Some(band);
        Ok(())
    }

    /// `REGISTRY::TARGET` and `REGISTRY/library::TARGET`.
    fn registry(
        &mut self,
        map: &SwapMap,
        key: &LocatedText,
        value: &LocatedText,
    ) -> Result<Option<RegistrySwap>, Diagnostic> {
        key.reject_scheme()?;
        let (host, is_library) = match key.text.split_once('/') {
            None => (key.text.as_str(), false),
            Some((host, "library")) => (host, true),
            Some(_) => return Err(key.dead_key()),
        };
        // A lone word is a folder on Docker Hub, or a mistake.
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(key.dead_key());
        }
        let registry: Registry = host.parse().map_err(|invalid: InvalidName| {
            key.diagnostic(DiagnosticCode::Reference, invalid.to_string())
        })?;
        let mut from = registry.to_string();
        if registry.port().is_none() {
            from.push_str(":*");
        }
        if is_library {
            self.library(map, key, &registry)?;
            from.push_str("/library");
        }
        let matches = MatchText::From(vec![from]);
        if value.text.is_empty() {
            self.route(&key.location, matches, None);
            return Ok(None);
        }
        let suffix = if value.text.ends_with('-') {
            registry.host()
        } else {
            ""
        };
        let target = self.target(value, suffix)?;
        let route = self.into.routes.len();
        self.route(&key.location, matches, Some(&target));
        Ok((!is_library).then(|| RegistrySwap {
            location: value.location.clone(),
            registry,
            target,
            route,
        }))
    }

    fn library(
        &mut self,
        map: &SwapMap,
        key: &LocatedText,
        registry: &Registry,
    ) -> Result<(), Diagnostic> {
        let host = key.text.trim_end_matches("/library");
        if !map.registries.has(host) {
            let message = "imageswap fails on images of a registry that has only a /library key";
            let diagnostic = key.diagnostic(DiagnosticCode::LibraryKey, message);
            return Err(diagnostic.fix(format!(
                "add {host}::TARGET, or {host}:: to leave the rest alone"
            )));
        }
        if !registry.is_docker_hub() {
            let message =
                "only images without a slash use a /library key, and those are Docker Hub's";
            return Err(key
                .diagnostic(DiagnosticCode::Ignored, message)
                .fix("remove the line"));
        }
        let message = "imageswap uses this key only for images written without a slash; here it \
                       also matches docker.io/library/NAME, which nodes cannot tell apart";
        self.into
            .report(key.diagnostic(DiagnosticCode::LibraryWider, message));
        Ok(())
    }

    /// A part of `noswap_wildcards`: names that contain it are not swapped, unless they have their
    /// own key.
    fn opt_out(&mut self, part: &LocatedText) -> Result<(), Diagnostic> {
        let is_of_tags = match part.text.rsplit_once(':') {
            Some((_, after)) => {
                let digits = after.split('/').next().unwrap_or_default();
                !digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            None => part.text.contains('@'),
        };
        if is_of_tags {
            let message = "opt-outs are compared with names, not with tags or digests";
            return Err(part.diagnostic(DiagnosticCode::Ignored, message));
        }
        let matches = MatchText::Contains(part.text.clone());
        self.route(&part.location, matches, None);
        Ok(())
    }

    /// `default`: all other names.
    fn default(&mut self, value: &LocatedText) -> Result<(), Diagnostic> {
        if value.text.is_empty() || self.falls_back {
            let message = "every other name is fetched from its own registry, for every client of \
                           the mirror";
            let fix = "name the registries instead, each with a line REGISTRY::";
            self.into
                .report(Diagnostic::new(DiagnosticCode::Open, &value.location, message).fix(fix));
        }
        let target = match value.text.as_str() {
            "" => None,
            text if text.ends_with('-') => Some(self.dashed_default(value)?),
            _ => Some(self.target(value, "")?),
        };
        let everything = MatchText::From(vec!["*".to_owned()]);
        self.route(&value.location, everything, target.as_deref());
        Ok(())
    }

    /// imageswap puts the registry before the whole reference, which already has it.
    fn dashed_default(&mut self, value: &LocatedText) -> Result<String, Diagnostic> {
        if !value.text.contains('/') {
            let message = "each registry would become part of the host name here";
            let diagnostic = value.diagnostic(DiagnosticCode::Reference, message);
            return Err(diagnostic.fix("write HOST/PREFIX-"));
        }
        // Any letter as the registry shows whether the rest is valid.
        let target = self.target(value, "x")?;
        let message = "imageswap writes the registry twice here; it is imported once";
        self.into
            .report(value.diagnostic(DiagnosticCode::DashDefault, message));
        let stem = target.trim_end_matches('x');
        Ok(format!("{stem}{{registry}}/{{repository}}"))
    }

    /// A value as `HOST[:PORT][/PATH]`; one without a host is a folder on Docker Hub, as in every
    /// reference. After a dash at its end the registry follows directly.
    pub(in crate::platform) fn target(
        &mut self,
        value: &LocatedText,
        registry: &str,
    ) -> Result<String, Diagnostic> {
        value.reject_scheme()?;
        let value = self.without_slashes(value);
        let text = format!("{}{registry}", value.text);
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text.as_str(), None),
        };
        let hub = Registry::docker_hub();
        let (host, path) = if Registry::looks_like(host) {
            (host.parse(), path)
        } else {
            (Ok(hub), Some(text.as_str()))
        };
        let wrong =
            |invalid: InvalidName| value.diagnostic(DiagnosticCode::Reference, invalid.to_string());
        let host = host.map_err(wrong)?;
        match path.map(str::parse::<RepositoryName>).transpose() {
            Ok(Some(path)) => Ok(format!("{host}/{path}")),
            Ok(None) => Ok(host.to_string()),
            Err(invalid) => Err(wrong(invalid).fix("write HOST, HOST:PORT or HOST/PATH")),
        }
    }

    /// Removes extra slashes, with `W-SLASH`.
    fn without_slashes(&mut self, LocatedText { text, location }: &LocatedText) -> LocatedText {
        let text = name_part::trim_slashes(text, location, &mut self.into.diagnostics);
        let location = location.clone();
        LocatedText { text, location }
    }

    /// Reports `W-COLLIDE` if two registries become one.
    fn collisions(&mut self, swaps: &[RegistrySwap]) {
        let mut known = HashMap::new();
        for swap in swaps {
            let RegistrySwap {
                location,
                registry,
                target,
                ..
            } = swap;
            let first = *known.entry(target).or_insert(registry);
            if first != registry {
                let message = format!("images of {first} and {registry} are not kept apart here");
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Collide, location, message).excerpt(target);
                let fix = "give each its own folder, unless both hold the same images";
                self.into.report(diagnostic.fix(fix));
            }
        }
    }
}
