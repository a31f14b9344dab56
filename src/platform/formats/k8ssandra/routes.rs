//! Routes from the operator's default images to those of the user's file.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    built_in::{BUILT_IN_IMAGES, BuiltInImage, SUFFIXES},
    image_config::{ComponentImage, ImageConfig, K8ssandraComponent},
};
use crate::{
    oci::{Digest, ImageReference, InvalidReference, Reference, Repository},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
        },
    },
};

/// Routes every image that the file moves, also by names of earlier releases.
pub(super) fn add_routes(
    config: &ImageConfig,
    baseline: &[ImageConfig],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut routes = K8ssandraRoutes {
        baseline,
        falls_back: context.adds_source(),
        known: BTreeMap::new(),
        reported: BTreeSet::new(),
        into,
    };
    let parse = |component| Some((component, routes.parse(component)?));
    let components: Vec<_> = config.components.iter().filter_map(parse).collect();
    for (component, target) in &components {
        routes.repositories(component, target);
    }
    for (component, target) in &components {
        routes.tags(component, target, config);
    }
    // An operator with the file requests these names itself.
    for (component, target) in &components {
        let own = format!("{}:*", target.repository);
        if !routes.known.contains_key(&own) {
            routes.route(&component.location, own, "source".to_owned(), None);
        }
    }
}

struct K8ssandraRoutes<'c, 'i> {
    baseline: &'c [ImageConfig],
    falls_back: bool,
    /// The target of each name that has a route.
    known: BTreeMap<String, (String, Option<Digest>)>,
    /// Diagnostics that are reported once for each location, for any number of images.
    reported: BTreeSet<(DiagnosticCode, Location)>,
    into: &'i mut Imported,
}

impl K8ssandraRoutes<'_, '_> {
    /// The target of a component. A server's tag has an empty version.
    fn parse(&mut self, component: &K8ssandraComponent) -> Option<ImageReference> {
        let K8ssandraComponent {
            image, location, ..
        } = component;
        let target = self.reference(image, location)?;
        let is_root = target.repository.registry.is_docker_hub()
            && target.repository.name.elements().next() == Some("library")
            && !image.text.contains("library/");
        let once = (DiagnosticCode::HubRoot, component.placed_at.clone());
        if is_root && self.reported.insert(once) {
            let message = "the root of Docker Hub has Docker's own images only: every runtime \
                           adds library/ to this name";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::HubRoot, &component.placed_at, message);
            let fix = "name the folder: docker.io/FOLDER/NAME";
            self.into.report(diagnostic.excerpt(&image.text).fix(fix));
        }
        Some(target)
    }

    fn reference(&mut self, image: &ComponentImage, location: &Location) -> Option<ImageReference> {
        let text = image.reference("0");
        let parsed: Result<ImageReference, InvalidReference> = text.parse();
        let invalid = match parsed {
            Ok(reference) => return Some(reference),
            Err(invalid) => invalid,
        };
        let code = match invalid {
            InvalidReference::Digest(_) => DiagnosticCode::Digest,
            InvalidReference::Name(_) | InvalidReference::Tag(_) => DiagnosticCode::Reference,
        };
        if self.reported.insert((code, location.clone())) {
            let message = format!("this does not form an image reference: {invalid}");
            let diagnostic = Diagnostic::new(code, location, message).excerpt(&text);
            let fix = "an image is [REGISTRY/]FOLDER/NAME with a tag or a digest, in lower case";
            self.into.report(diagnostic.fix(fix));
        }
        None
    }

    /// Adds routes for all tags, and for the single tag that differs in the file.
    fn repositories(&mut self, component: &K8ssandraComponent, target: &ImageReference) {
        let built_in = BUILT_IN_IMAGES
            .iter()
            .find(|known| known.component == component.name);
        let same = |other: &&K8ssandraComponent| {
            (&other.name, &other.server) == (&component.name, &component.server)
        };
        let given: Vec<_> = self
            .baseline
            .iter()
            .flat_map(|config| &config.components)
            .filter(same)
            .collect();
        let mut names: Vec<(ComponentImage, Location)> = Vec::new();
        names.extend(
            component
                .plain
                .clone()
                .map(|image| (image, component.location.clone())),
        );
        names.extend(
            given
                .iter()
                .map(|given| (given.image.clone(), given.location.clone())),
        );
        if given.is_empty() && component.server.is_none() {
            let images = built_in.into_iter().flat_map(BuiltInImage::images);
            names.extend(images.map(|image| (image, component.location.clone())));
        }
        for given in given {
            if given.image.around != component.image.around {
                let message = "the tags around the server's version differ from the baseline's; \
                               routes keep tags";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &component.location, message);
                let fix = "store the images under the baseline's tags too";
                self.into
                    .report(diagnostic.excerpt(&component.name).fix(fix));
            }
        }
        for (image, location) in names {
            let Some(name) = self.reference(&image, &location) else {
                continue;
            };
            self.repository(&component.location, &name.repository, &target.repository);
            if image.around.is_none()
                && name.reference != target.reference
                && let Reference::Tag(tag) = &name.reference
            {
                self.tag(&component.location, &name.repository, tag.as_str(), target);
            }
        }
    }

    /// Adds routes for the tags of a server version with its own image.
    fn tags(
        &mut self,
        component: &K8ssandraComponent,
        target: &ImageReference,
        config: &ImageConfig,
    ) {
        let Some(version) = &component.server else {
            return;
        };
        let general = |config: &ImageConfig| {
            let components = config.components.iter();
            let found =
                components.filter(|other| other.name == component.name && other.server.is_none());
            found
                .map(|other| other.plain.clone().unwrap_or_else(|| other.image.clone()))
                .collect::<Vec<_>>()
        };
        let mut images: Vec<_> = self.baseline.iter().flat_map(general).collect();
        if images.is_empty() {
            let known = BUILT_IN_IMAGES
                .iter()
                .filter(|known| known.component == component.name);
            for image in known.flat_map(BuiltInImage::images) {
                images.extend(SUFFIXES.map(|suffix| ComponentImage {
                    around: Some((String::new(), suffix.to_owned())),
                    ..image.clone()
                }));
            }
        }
        images.extend(general(config));
        for image in images {
            let parsed: Result<ImageReference, _> = image.reference(version).parse();
            match parsed {
                Ok(ImageReference {
                    repository,
                    reference: Reference::Tag(tag),
                }) => {
                    self.tag(&component.location, &repository, tag.as_str(), target);
                }
                Ok(_) => {}
                Err(invalid) => {
                    let diagnostic = Diagnostic::new(
                        DiagnosticCode::Reference,
                        &component.location,
                        invalid.to_string(),
                    );
                    let diagnostic = diagnostic
                        .excerpt(version)
                        .fix("write a version of the server");
                    self.into.report(diagnostic);
                    return;
                }
            }
        }
    }

    fn repository(&mut self, location: &Location, name: &Repository, target: &Repository) {
        self.route(location, format!("{name}:*"), target_of(name, target), None);
    }

    fn tag(&mut self, location: &Location, name: &Repository, tag: &str, target: &ImageReference) {
        let from = format!("{name}:{tag}");
        match &target.reference {
            Reference::Digest(digest) => {
                self.route(location, from, target.repository.to_string(), Some(*digest));
            }
            Reference::Tag(own) if own.as_str() == tag => {
                // The route for all tags may have the same target.
                let general = self.known.get(&format!("{name}:*"));
                let to = target_of(name, &target.repository);
                if general.is_none_or(|(known, _)| *known != to) {
                    self.route(location, from, to, None);
                }
            }
            Reference::Tag(_) => self.route(location, from, target.to_string(), None),
        }
    }

    fn route(&mut self, location: &Location, from: String, to: String, pin: Option<Digest>) {
        let meant = (to, pin);
        match self.known.get(&from) {
            Some(known) if *known == meant => return,
            Some((known, _)) => {
                let message = format!(
                    "{from} is also the image of another component, and is routed to \
                             {known}"
                );
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(&meant.0);
                let fix = "give both components the same image, or write a route";
                self.into.report(diagnostic.fix(fix));
                return;
            }
            None => {}
        }
        let mut to = vec![meant.0.as_str()];
        if self.falls_back && meant.0 != "source" {
            to.push("source");
        }
        let route = self.into.route(location, &from, &to);
        route.digest = pin.map(|digest| digest.to_string());
        self.known.insert(from, meant);
    }
}

/// A repository as the target of a route from `name`.
fn target_of(name: &Repository, target: &Repository) -> String {
    if name == target {
        "source".to_owned()
    } else {
        target.to_string()
    }
}
